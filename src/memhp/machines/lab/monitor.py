"""The physical phase of a lab guest, through QEMU's monitor: DIMMs come and go.

``device_del`` is only a request: the guest may refuse it (``_OST`` status 0x82),
or never answer. The backend is deleted only once the device is.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

from memhp.core.errors import ContactLost, NotSupported
from memhp.core.outcome import Done, Outcome, Refused, Unanswered
from memhp.core.plan import AddDevice, RemoveDevice
from memhp.core.snapshot import Device
from memhp.machines.lab.guest import Guest

_SECONDS = 30.0
_INSERTION, _EJECTION = 1, 3
"""``_OST`` source events (ACPI 6.5, 6.3.5)."""
_IN_PROGRESS = 0x84
_FIELDS: Final[Mapping[str, Mapping[str, type]]] = {
    "dimm": {"id": str, "addr": int, "size": int, "node": int},
    "virtio-mem": {"id": str, "memaddr": int, "max-size": int, "node": int, "block-size": int},
}
"""What is asked of each device that QEMU tells of (``MemoryDeviceInfo``)."""
_LIBRARY_FAULTS: Final = (
    *(AssertionError, ValueError, TypeError, KeyError, AttributeError, RecursionError),
)
"""What the library lets out for what is no JSON or no message, and where QEMU goes at once."""
T = TypeVar("T")
_MEANINGS = {0x82: "the guest refuses: the device is in use"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came of a request to a guest.

    ``error`` is QEMU's, where it would not even ask; ``status`` what the guest
    reported (``_OST``), ``None`` where it said nothing in time; ``removed``
    whether the device is gone.
    """

    error: str | None = None
    status: int | None = None
    removed: bool = False


class Monitor:
    """QEMU's monitor of one guest.

    Every method raises ``ContactLost`` for an answer that QEMU never gives.
    """

    def __init__(self, protocol: Any, machine: str = "lab:") -> None:
        self._protocol = protocol
        self._machine = machine

    def dimms(self) -> Mapping[int, str]:
        """The name of each DIMM by its address."""
        return {data["addr"]: data["id"] for data in self.memory_devices("dimm")}

    def memory_devices(self, kind: str) -> Sequence[Mapping[str, Any]]:
        """What QEMU says of its devices of a kind: ``dimm`` or ``virtio-mem``."""
        found = self._field(self._ask("query-memory-devices"), "return", list)
        devices = [item for item in found if self._field(item, "type", str) == kind]
        return [self._device(self._field(item, "data", dict), kind) for item in devices]

    def address_of(self, name: str) -> int:
        """Where a DIMM lies."""
        for address, dimm in self.dimms().items():
            if dimm == name:
                return address
        raise self._strange(f"nothing of {name}, which it has taken")

    def add(self, action: AddDevice) -> Outcome:
        """Hot-add a DIMM of some size and take the guest's answer."""
        if action.size_bytes is None:
            return Refused(reason=f"no {action.device} lies beside this guest: give a size")
        answer = self.plug(action.device, action.size_bytes, int(action.node or 0))
        if answer.error is not None:
            return Refused(reason=answer.error)
        if answer.status is None:
            return Unanswered(asked=f"add {action.device}")
        return _verdict(answer.status) or Done(note="the guest has taken it")

    def remove(self, action: RemoveDevice) -> Outcome:
        """Ask for a DIMM's eject and take the guest's answer, in whichever form it comes."""
        answer = self.unplug(action.device)
        if answer.error is not None:
            return Refused(reason=answer.error)
        if answer.removed:
            return Done(note="removed")
        refused = None if answer.status is None else _verdict(answer.status)
        return refused or Unanswered(asked=f"remove {action.device}")

    def plug(self, name: str, size_bytes: int, node: int, start: int | None = None) -> Answer:
        """Hot-add a DIMM, where QEMU chooses or at an address."""
        backend = _backend(name)
        memory = {"qom-type": "memory-backend-ram", "id": backend, "reserve": False}
        device = {"driver": "pc-dimm", "id": name, "memdev": backend, "node": node}
        self._protocol.clear_events()
        answer = self._ask("object-add", memory | {"size": size_bytes})
        error = self._error(answer)
        if error is None:
            answer = self._ask("device_add", device | ({} if start is None else {"addr": start}))
            error = self._error(answer)
            if error is not None:
                self._ask("object-del", {"id": backend})
        if error is not None:
            return Answer(error=error)
        for event, data in self._events():
            if event == "ACPI_DEVICE_OST" and _source(data) == _INSERTION:
                return Answer(status=self._field(data["info"], "status", int))
        return Answer()

    def unplug(self, name: str) -> Answer:
        """Ask for a DIMM's eject, and delete its backend once it is gone."""
        self._protocol.clear_events()
        error = self._error(self._ask("device_del", {"id": name}))
        if error is not None:
            return Answer(error=error)
        for event, data in self._events():
            if event == "DEVICE_DELETED" and data.get("device") == name:
                self._ask("object-del", {"id": _backend(name)})
                return Answer(status=0, removed=True)
            if event == "ACPI_DEVICE_OST" and _source(data) == _EJECTION:
                status = self._field(data["info"], "status", int)
                # 0 is the guest's goodbye; that the device is gone comes as an event of its own.
                if status not in {0, _IN_PROGRESS}:
                    return Answer(status=status)
        return Answer()

    def request_size(self, name: str, size_bytes: int) -> str | None:
        """Ask a virtio-mem device for another size; returns QEMU's error, if any."""
        answer = self._ask(
            "qom-set",
            {"path": f"/machine/peripheral/{name}", "property": "requested-size"}
            | {"value": size_bytes},
        )
        return self._error(answer)

    def plugged_size(self, name: str) -> int:
        """What a virtio-mem device's guest has plugged, in bytes."""
        answer = self._ask("qom-get", {"path": f"/machine/peripheral/{name}", "property": "size"})
        return self._field(answer, "return", int)

    def _ask(self, name: str, arguments: Mapping[str, object] | None = None) -> Any:
        return self._protocol.cmd_raw(name, dict(arguments or {}))

    def _events(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Events as they come, name and data, for as long as an answer may take."""
        end = time.monotonic() + _SECONDS
        while time.monotonic() < end:
            try:
                event = self._protocol.pull_event(wait=max(0.1, end - time.monotonic()))
            except TimeoutError:
                return
            name = self._field(event, "event", str)
            # An event that has nothing to tell has no data either: RESUME.
            yield name, self._field(event, "data", dict) if "data" in event else {}

    def _error(self, answer: Any) -> str | None:
        """What QEMU says was wrong; ``None`` where nothing was."""
        if isinstance(answer, dict) and "error" not in answer:
            return None
        return self._field(self._field(answer, "error", dict), "desc", str)

    def _device(self, data: dict[str, Any], kind: str) -> Mapping[str, Any]:
        for name, wanted in _FIELDS.get(kind, {}).items():
            self._field(data, name, wanted)
        return data

    def _field(self, data: Any, name: str, kind: type[T]) -> T:
        found = data.get(name) if isinstance(data, dict) else None
        # A truth value counts as a number for Python, and for nobody else.
        if not isinstance(found, kind) or isinstance(found, bool):
            raise self._strange(f"no '{name}' where one has to be")
        return found

    def _strange(self, what: str) -> ContactLost:
        return ContactLost(
            machine=self._machine,
            problem=f"has a monitor that is not QEMU's: it says {what}",
            advice="look at the guest itself to see what was done",
        )


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
        _connect(protocol)
        yield Monitor(protocol, f"lab:{guest.name}")
    except (QMPError, OSError, TimeoutError, EOFError) as err:
        why = str(err) or "it was closed"
        raise ContactLost(machine=f"lab:{guest.name}", problem=f"lost its monitor ({why})") from err
    finally:
        # Closing tells once more what has gone wrong with the line.
        with suppress(QMPError, OSError, EOFError, *_LIBRARY_FAULTS):
            protocol.close()


def _connect(protocol: Any) -> None:
    """Connect; raises what the library raises on purpose, ``EOFError`` for the rest."""
    try:
        protocol.connect()
    except _LIBRARY_FAULTS as err:
        raise EOFError("it does not greet as QEMU does") from err


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


def _source(data: Mapping[str, Any]) -> object:
    """What the guest's report is about, of an ``ACPI_DEVICE_OST``."""
    info = data.get("info")
    return info.get("source") if isinstance(info, dict) else None


def _verdict(status: int) -> Refused | None:
    if status == 0:
        return None
    return Refused(reason=_MEANINGS.get(status, f"the guest reports ACPI status {status:#x}"))
