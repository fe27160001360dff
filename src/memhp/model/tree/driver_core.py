"""What the driver core gives every device and every bus: ``uevent``, ``power``, ``devices``.

Source: ``drivers/base/core.c``, ``drivers/base/bus.c``, ``drivers/base/power/sysfs.c``.
"""

import errno
from collections.abc import Callable, Iterable

from memhp.model.tree.entries import Directory, Entry, File, Link, at_once, directory, refuse, word

_ACTIONS = frozenset({"add", "remove", "change", "move", "online", "offline", "bind", "unbind"})


def uevent_file() -> File:
    """A device's ``uevent``: those of memory, nodes and their parents have no key of their own."""
    return _UEVENT


def power_directory() -> Directory:
    """A device's ``power``, where no driver manages it at run time."""
    return _POWER


def bus_directory(
    target: str, names: Callable[[], Iterable[str]], has: Callable[[str], bool]
) -> Directory:
    """A bus without drivers; ``target`` is where its devices lie, seen from ``devices``."""
    devices = Directory(
        names=names, child=lambda name: Link(target=f"{target}/{name}") if has(name) else None
    )

    def probe(written: str) -> None:
        if not has(word(written)):
            raise refuse(errno.ENODEV, f"the bus has no device {word(written)}")

    entries: dict[str, Entry] = {
        "devices": devices,
        "drivers": directory({}),
        # Model: the word is not kept, for there is no driver that would probe.
        "drivers_autoprobe": File(read=lambda: "1\n", write=at_once(lambda _written: None)),
        "drivers_probe": File(write=at_once(probe)),
        "uevent": File(write=at_once(_store_uevent)),
    }
    return directory(entries)


def _store_uevent(written: str) -> None:
    """``kobject_synth_uevent()``: the first word is an action.

    Model: the uevent that is asked for is not sent.
    """
    if word(written).partition(" ")[0] not in _ACTIONS:
        raise refuse(errno.EINVAL, f"'{word(written)}' is no action of a uevent")


def _no_delay() -> str:
    raise refuse(errno.EIO, "the device has no autosuspend")


def _store_delay(_written: str) -> None:
    _no_delay()


def _store_control(written: str) -> None:
    """``control_store()``. Model: the word is not kept, for nothing here is ever suspended."""
    if word(written) not in {"auto", "on"}:
        raise refuse(errno.EINVAL, f"'{word(written)}' is neither 'auto' nor 'on'")


# Made once: every block of a machine has them, and they hold nothing of it.
_UEVENT = File(read=lambda: "", write=at_once(_store_uevent))
_POWER = directory(
    {
        "autosuspend_delay_ms": File(read=_no_delay, write=at_once(_store_delay)),
        "control": File(read=lambda: "auto\n", write=at_once(_store_control)),
        "runtime_active_time": File(read=lambda: "0\n"),
        "runtime_status": File(read=lambda: "unsupported\n"),
        "runtime_suspended_time": File(read=lambda: "0\n"),
    }
)
