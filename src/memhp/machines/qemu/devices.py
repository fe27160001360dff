"""QEMU's own account of a guest's memory: devices, backends, slots, the last verdicts."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from memhp.machines.qemu.connection import Connection
from memhp.machines.qemu.requests import Asked, read_requests
from memhp.machines.qemu.words import EJECTING, EJECTION, last_verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryDevice:
    """A memory device that QEMU has plugged in.

    ``kind`` is QEMU's word (``dimm``, ``virtio-mem``). ``size_bytes`` is what
    the device offers; ``plugged_bytes`` and ``requested_bytes`` are those of a
    virtio-mem device, in steps of ``unit_bytes``. ``verdict`` is what the guest
    last said of it (source and status of ``_OST``).
    """

    name: str
    kind: str
    start: int
    size_bytes: int
    node: int
    backend: str
    hotpluggable: bool = True
    slot: int | None = None
    plugged_bytes: int | None = None
    requested_bytes: int | None = None
    unit_bytes: int | None = None
    verdict: tuple[int, int] = (0, 0)

    @property
    def promised_bytes(self) -> int:
        """What the guest may come to use of it: all, or what is requested or plugged."""
        if self.requested_bytes is None:
            return self.size_bytes
        return max(self.requested_bytes, self.plugged_bytes or 0)

    @property
    def verdict_words(self) -> str | None:
        """The last verdict in words; ``None`` where there is none."""
        return last_verdict(*self.verdict)

    def is_pending(self, asked: Asked | None) -> bool:
        """Whether it was asked to go and has not answered yet."""
        if self.verdict[0] in EJECTION and self.verdict[1] == EJECTING:
            return True
        return asked is not None and not asked.answered_by(self.verdict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """Memory of the host that QEMU has set apart. ``options`` are those beside id and size."""

    name: str
    size_bytes: int
    options: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """All that QEMU says of a guest's memory.

    ``most_bytes`` is ``maxmem``; ``base_bytes`` what the guest was given at boot
    beside its devices; ``asked`` the devices that were asked to go.
    """

    devices: tuple[MemoryDevice, ...]
    backends: tuple[Backend, ...]
    slots: int
    most_bytes: int
    base_bytes: int
    asked: Mapping[str, Asked]

    @property
    def free_slots(self) -> int:
        """How many DIMMs may still be added."""
        return self.slots - sum(device.slot is not None for device in self.devices)

    @property
    def promised_bytes(self) -> int:
        """What the guest may come to use as it stands."""
        return self.base_bytes + sum(device.promised_bytes for device in self.devices)

    def device(self, name: str) -> MemoryDevice | None:
        """The device of this name."""
        return next((device for device in self.devices if device.name == name), None)

    def left_over(self, in_use: Iterable[str] = ()) -> tuple[Backend, ...]:
        """Backends of no device, those named ``in_use`` left out."""
        taken = {device.backend for device in self.devices} | set(in_use)
        return tuple(backend for backend in self.backends if backend.name not in taken)


async def read_account(monitor: Connection) -> Account:
    """Ask QEMU for all of it; raises ``ContactLost``."""
    machine = await monitor.ask_for("qom-get", dict, {"path": "/machine", "property": "memory"})
    summary = await monitor.ask_for("query-memory-size-summary", dict)
    size = monitor.field(machine, "size", int)
    return Account(
        devices=tuple(await read_devices(monitor)),
        backends=tuple(
            _backend(monitor, data) for data in await monitor.ask_for_items("query-memdev")
        ),
        slots=monitor.field(machine, "slots", int) if "slots" in machine else 0,
        most_bytes=monitor.field(machine, "max-size", int) if "max-size" in machine else size,
        base_bytes=monitor.field(summary, "base-memory", int),
        asked=await read_requests(monitor),
    )


async def read_devices(monitor: Connection) -> Sequence[MemoryDevice]:
    """Every memory device with the guest's last verdict on it; raises ``ContactLost``."""
    found = await monitor.ask_for_items("query-memory-devices")
    reports = await monitor.ask_for_items("query-acpi-ospm-status")
    verdicts = {
        monitor.field(report, "device", str): (
            monitor.field(report, "source", int),
            monitor.field(report, "status", int),
        )
        for report in reports
        if "device" in report
    }
    kinds = {"dimm", "nvdimm", "virtio-mem"}
    return [
        _device(monitor, item, verdicts)
        for item in found
        if monitor.field(item, "type", str) in kinds
    ]


async def read_device(monitor: Connection, name: str) -> MemoryDevice | None:
    """The device of this name."""
    return next((d for d in await read_devices(monitor) if d.name == name), None)


def backend_name(device: str) -> str:
    """How the backend of a device is called that memhp adds."""
    return f"{device}-memory"


def _device(
    monitor: Connection, item: Any, verdicts: Mapping[str, tuple[int, int]]
) -> MemoryDevice:
    data, kind = monitor.field(item, "data", dict), item["type"]
    virtio = kind == "virtio-mem"

    def number(name: str) -> int:
        return monitor.field(data, name, int)

    start = number("memaddr" if virtio else "addr")
    # A device without an id can be seen, and can never be asked to go.
    name = monitor.field(data, "id", str) if "id" in data else f"unnamed-{start:#x}"
    return MemoryDevice(
        name=name,
        kind=kind,
        start=start,
        size_bytes=number("max-size" if virtio else "size"),
        node=number("node"),
        backend=monitor.field(data, "memdev", str).rpartition("/")[2],
        hotpluggable=bool(data.get("hotpluggable", True)) and "id" in data and not virtio,
        slot=None if virtio else number("slot"),
        plugged_bytes=number("size") if virtio else None,
        requested_bytes=number("requested-size") if virtio else None,
        unit_bytes=number("block-size") if virtio else None,
        verdict=verdicts.get(name, (0, 0)),
    )


def _backend(monitor: Connection, data: Any) -> Backend:
    size = monitor.field(data, "size", int)
    options = {name: value for name, value in data.items() if name not in {"id", "size"}}
    return Backend(name=str(data.get("id", "")), size_bytes=size, options=options)
