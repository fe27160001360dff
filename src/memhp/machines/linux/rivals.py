"""Who else brings memory of a Linux machine online: the kernel, udev, daxctl, drivers."""

import re
from collections.abc import Iterator

from memhp.core.errors import MachineError
from memhp.machines.linux.root import MEMORY, Root

_RULES = ("etc/udev/rules.d", "run/udev/rules.d", "usr/lib/udev/rules.d", "lib/udev/rules.d")
"""The first folder that has a file of some name decides (udev(7))."""
_ABOUT_MEMORY = re.compile(r'SUBSYSTEM[!=]="memory"')
_ONLINES = re.compile(r'ATTR\{(?:state|online)\}="')
_DAX_FOLDERS = ("etc/daxctl.conf.d", "etc/ndctl.conf.d", "usr/share/daxctl")
_DRIVERS = {
    "hv_balloon": "sys/bus/vmbus/drivers/hv_balloon",
    "virtio-mem": "sys/bus/virtio/drivers/virtio_mem",
}


def read_rivals(root: Root) -> tuple[str, ...]:
    """Name each of them; what cannot be read is no rival."""
    return tuple(
        rival for source in (_kernel, _udev, _daxctl, _drivers) for rival in _seen(source, root)
    )


def _seen(source: object, root: Root) -> tuple[str, ...]:
    try:
        return tuple(source(root))  # type: ignore[operator]
    except MachineError:
        return ()


def _kernel(root: Root) -> Iterator[str]:
    word = root.text_if_there(f"{MEMORY}/auto_online_blocks")
    if word not in {None, "offline"}:
        where = "auto_online_blocks"
        if "memhp_default_state=" in (root.text_if_there("proc/cmdline") or ""):
            where += ", from memhp_default_state"
        yield f"the kernel ({where}: '{word}')"


def _udev(root: Root) -> Iterator[str]:
    seen: set[str] = set()
    for folder in _RULES:
        for name in sorted(root.names(folder)):
            if name in seen or not name.endswith(".rules"):
                continue
            seen.add(name)
            text = _without_comments(root.text_if_there(f"{folder}/{name}") or "")
            if _ABOUT_MEMORY.search(text) and _ONLINES.search(text):
                yield f"udev (/{folder}/{name})"


def _without_comments(text: str) -> str:
    return "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))


def _daxctl(root: Root) -> Iterator[str]:
    """A section for a device makes udev call daxctl, which onlines.

    Source: daxctl-reconfigure-device(1).
    """
    for folder in _DAX_FOLDERS:
        for name in sorted(root.names(folder)):
            text = root.text_if_there(f"{folder}/{name}") if name.endswith(".conf") else None
            if "[reconfigure-device" in _without_comments(text or ""):
                yield f"daxctl (/{folder}/{name})"


def _drivers(root: Root) -> Iterator[str]:
    """Both add memory by themselves, whenever the host wants them to."""
    for driver, folder in _DRIVERS.items():
        bound = [n for n in root.names(folder) if n.startswith("virtio") or driver == "hv_balloon"]
        if bound:
            yield f"the driver {driver}"
