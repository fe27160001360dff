"""The physical phase of a lab guest, through QEMU's monitor: a DIMM is added."""

import time

from memhp.core.errors import ContactLost
from memhp.core.outcome import Done, Outcome, Refused, Unanswered
from memhp.core.plan import AddDevice, Step
from memhp.machines.lab.guest import Guest

_SECONDS = 30.0
_INSERTION = 1
"""``_OST`` source event: device insertion (ACPI 6.5, 6.3.5)."""


def add_dimm(guest: Guest, step: Step) -> Outcome | None:
    """Hot-add a DIMM where that is what the step wants; ``None`` for any other step."""
    action = step.action
    if not isinstance(action, AddDevice):
        return None
    if action.size_bytes is None:
        return Refused(reason=f"no {action.device} lies beside this guest: give a size")
    from qemu.qmp import QMPError  # noqa: PLC0415 - this step alone needs it
    from qemu.qmp.legacy import QEMUMonitorProtocol  # noqa: PLC0415

    monitor = QEMUMonitorProtocol(guest.monitor_path())
    try:
        monitor.connect()
        return _plug(monitor, action, action.size_bytes)
    except (QMPError, OSError) as err:
        raise ContactLost(machine=f"lab:{guest.name}", problem=f"lost its monitor ({err})") from err
    finally:
        monitor.close()


def _plug(monitor, action: AddDevice, size_bytes: int) -> Outcome:  # type: ignore[no-untyped-def]
    backend = f"{action.device}-memory"
    answers = [
        monitor.cmd_raw(
            "object-add",
            {"qom-type": "memory-backend-ram", "id": backend, "size": size_bytes, "reserve": False},
        ),
        monitor.cmd_raw(
            "device_add",
            {
                "driver": "pc-dimm",
                "id": action.device,
                "memdev": backend,
                "node": int(action.node or 0),
            },
        ),
    ]
    errors = [answer["error"]["desc"] for answer in answers if "error" in answer]
    if errors:
        monitor.cmd_raw("object-del", {"id": backend})
        return Refused(reason=errors[0])
    end = time.monotonic() + _SECONDS
    while time.monotonic() < end:
        event = monitor.pull_event(wait=1.0)
        if event and event["event"] == "ACPI_DEVICE_OST":
            info = event["data"]["info"]
            if info.get("source") == _INSERTION:
                return _verdict(int(info["status"]))
    return Unanswered(asked=f"add {action.device}")


def _verdict(status: int) -> Outcome:
    if status == 0:
        return Done(note="the guest has taken it")
    return Refused(reason=f"the guest reports ACPI status {status:#x}")
