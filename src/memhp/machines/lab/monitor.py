"""The physical phase of a lab guest, through QEMU's monitor: DIMMs come and go.

``device_del`` is only a request: the guest may refuse it (``_OST`` status 0x82),
or never answer. The backend is deleted only once the device is.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from memhp.core.errors import ContactLost, NotSupported
from memhp.core.outcome import Done, Outcome, Refused, Unanswered
from memhp.core.plan import AddDevice, RemoveDevice
from memhp.core.snapshot import Device
from memhp.machines.lab.guest import Guest

_SECONDS = 30.0
_INSERTION, _EJECTION = 1, 3
"""``_OST`` source events (ACPI 6.5, 6.3.5)."""
_IN_PROGRESS = 0x84
_MEANINGS = {0x82: "the guest refuses: the device is in use"}


class Monitor:
    """QEMU's monitor of one guest."""

    def __init__(self, protocol: Any) -> None:
        self._protocol = protocol

    def dimms(self) -> Mapping[int, str]:
        """The name of each DIMM by its address."""
        found = self._ask("query-memory-devices")["return"]
        return {
            item["data"]["addr"]: item["data"]["id"] for item in found if item["type"] == "dimm"
        }

    def add(self, action: AddDevice) -> Outcome:
        """Hot-add a DIMM of some size and take the guest's answer."""
        if action.size_bytes is None:
            return Refused(reason=f"no {action.device} lies beside this guest: give a size")
        backend = _backend(action.device)
        memory = {"qom-type": "memory-backend-ram", "id": backend, "reserve": False}
        device = {"driver": "pc-dimm", "id": action.device, "memdev": backend}
        answers = [self._ask("object-add", memory | {"size": action.size_bytes})]
        if "error" not in answers[0]:
            answers.append(self._ask("device_add", device | {"node": int(action.node or 0)}))
            if "error" in answers[1]:
                self._ask("object-del", {"id": backend})
        errors = [answer["error"]["desc"] for answer in answers if "error" in answer]
        if errors:
            return Refused(reason=errors[0])
        for event in self._events():
            info = event["data"].get("info", {})
            if event["event"] == "ACPI_DEVICE_OST" and info.get("source") == _INSERTION:
                return _verdict(info["status"]) or Done(note="the guest has taken it")
        return Unanswered(asked=f"add {action.device}")

    def remove(self, action: RemoveDevice) -> Outcome:
        """Ask for a DIMM's eject and take the guest's answer, in whichever form it comes."""
        answer = self._ask("device_del", {"id": action.device})
        if "error" in answer:
            return Refused(reason=answer["error"]["desc"])
        for event in self._events():
            data = event["data"]
            if event["event"] == "DEVICE_DELETED" and data.get("device") == action.device:
                self._ask("object-del", {"id": _backend(action.device)})
                return Done(note="removed")
            info = data.get("info", {})
            if event["event"] == "ACPI_DEVICE_OST" and info.get("source") == _EJECTION:
                refused = None if info["status"] == _IN_PROGRESS else _verdict(info["status"])
                if refused is not None:
                    return refused
        return Unanswered(asked=f"remove {action.device}")

    def _ask(self, name: str, arguments: Mapping[str, object] | None = None) -> Any:
        return self._protocol.cmd_raw(name, dict(arguments or {}))

    def _events(self) -> Iterator[Any]:
        """Events as they come, for as long as an answer may take."""
        end = time.monotonic() + _SECONDS
        while time.monotonic() < end:
            event = self._protocol.pull_event(wait=1.0)
            if event:
                yield event


@contextmanager
def monitor_of(guest: Guest) -> Iterator[Monitor]:
    """Talk to a guest's monitor; raises ``NotSupported`` without the library, ``ContactLost``."""
    try:
        from qemu.qmp import QMPError  # noqa: PLC0415 - only these steps need it
        from qemu.qmp.legacy import QEMUMonitorProtocol  # noqa: PLC0415
    except ImportError as err:
        raise NotSupported(
            machine=f"lab:{guest.name}",
            operation="add or remove devices without the package 'qemu.qmp'",
            advice="pip install 'memhp[lab]'",
        ) from err
    protocol = QEMUMonitorProtocol(guest.monitor_path())
    try:
        protocol.connect()
        yield Monitor(protocol)
    except (QMPError, OSError, TimeoutError) as err:
        raise ContactLost(machine=f"lab:{guest.name}", problem=f"lost its monitor ({err})") from err
    finally:
        protocol.close()


def named_as_qemu_does(devices: tuple[Device, ...], names: Mapping[int, str]) -> tuple[Device, ...]:
    """Give the guest's ACPI devices the names by which the host knows them."""
    return tuple(
        replace(device, name=names[device.ranges[0].start])
        if device.ranges and device.ranges[0].start in names
        else device
        for device in devices
    )


def _backend(device: str) -> str:
    return f"{device}-memory"


def _verdict(status: int) -> Refused | None:
    if status == 0:
        return None
    return Refused(reason=_MEANINGS.get(status, f"the guest reports ACPI status {status:#x}"))
