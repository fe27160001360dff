"""The arguments that give a guest the same memory devices when its QEMU is started again."""

from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

from memhp.machines.qemu.connection import Connection
from memhp.machines.qemu.devices import Account, Backend, MemoryDevice, read_account

_DRIVERS: Final = {"dimm": "pc-dimm", "nvdimm": "nvdimm", "virtio-mem": "virtio-mem-pci"}
_DEFAULTS: Final[Mapping[str, Any]] = {
    "share": False,
    "reserve": True,
    "prealloc": False,
    "merge": True,
    "dump": True,
    "policy": "default",
    "host-nodes": [],
}


async def restart_arguments(monitor: Connection) -> tuple[str, ...]:
    """``-object`` and ``-device`` for every memory device that there is now, and no others."""
    account = await read_account(monitor)
    return tuple([word async for word in _arguments(monitor, account)])


async def _arguments(monitor: Connection, account: Account) -> AsyncIterator[str]:
    backends = {backend.name: backend for backend in account.backends}
    for device in account.devices:
        backend = backends.get(device.backend)
        if backend is not None:
            yield f"-object {await _backend_words(monitor, backend)}"
            yield f"-device {device_words(device)}"


async def _backend_words(monitor: Connection, backend: Backend) -> str:
    path = f"/objects/{backend.name}"
    kind = await monitor.ask("qom-get", {"path": path, "property": "type"})
    place = ""
    if kind == "memory-backend-file":
        file = await monitor.ask("qom-get", {"path": path, "property": "mem-path"})
        place = f",mem-path={file}"
    return f"{kind},{backend_words(backend)}{place}"


def backend_words(backend: Backend) -> str:
    """A backend's options, those left out that are QEMU's own choice. Pure."""
    words = [f"id={backend.name}", f"size={backend.size_bytes}"]
    for name, value in sorted(backend.options.items()):
        if name not in _DEFAULTS or value == _DEFAULTS[name]:
            continue
        shown = ("off", "on")[value] if isinstance(value, bool) else value
        values = shown if isinstance(shown, list) else [shown]
        words += [f"{name}={one}" for one in values]
    return ",".join(words)


def device_words(device: MemoryDevice) -> str:
    """A device's options: where it lies now, so that the guest finds it there again. Pure."""
    words = [_DRIVERS[device.kind], f"id={device.name}", f"memdev={device.backend}"]
    words.append(f"node={device.node}")
    if device.requested_bytes is not None:
        words += [f"requested-size={device.requested_bytes}", f"memaddr={device.start:#x}"]
        words.append(f"block-size={device.unit_bytes}")
    else:
        words += [f"addr={device.start:#x}", f"slot={device.slot}"]
    return ",".join(words)
