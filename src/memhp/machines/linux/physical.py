"""The physical phase from inside: what this machine can do to which device, and the doing of it."""

import os
from typing import Final

from memhp.core.errors import NotSupported
from memhp.core.machine import Tell
from memhp.core.outcome import Outcome
from memhp.core.plan import Action, AddDevice, RemoveDevice, Step
from memhp.machines.linux import dax
from memhp.machines.linux.devices import ACPI
from memhp.machines.linux.eject import eject
from memhp.machines.linux.root import Root

_ENABLED: Final = "sys/firmware/acpi/hotplug/memory/enabled"
_BY_HAND: Final = "the physical phase is done from outside, by the host or by hand"


def apply_physical(root: Root, step: Step, *, until: float | None, tell: Tell) -> Outcome:
    """Carry out one step; raises ``NotSupported`` for what cannot be done from inside."""
    match step.action:
        case RemoveDevice(device=name) if is_dax(name):
            return dax.unbind(root, name, until)
        case RemoveDevice(device=name):
            return eject(root, name, step, until=until, tell=tell)
        case AddDevice(device=name, size_bytes=None) if is_dax(name):
            return dax.bind(root, name, until)
    raise NotSupported(machine=root.name, operation=str(step), advice=_BY_HAND)


def why_not(root: Root, action: Action) -> str | None:
    """What keeps this from being done, before anything is; ``None`` where nothing does."""
    match action:
        case RemoveDevice(device=name) | AddDevice(device=name) if is_dax(name):
            return dax.why_not(root, name)
        case RemoveDevice(device=name):
            return _why_not_ejected(root, name)
        case AddDevice(device=name, size_bytes=size) if size is None or name.startswith("PNP"):
            return f"{_BY_HAND}; once {name} is there, its blocks can come online"
        case AddDevice():
            return _BY_HAND
    return None


def lacks_rights(root: Root, action: Action) -> str | None:
    """What to do about files that this process may not write; ``None`` where it may."""
    match action:
        case RemoveDevice(device=name) | AddDevice(device=name) if is_dax(name):
            file = dax.file_to_write(comes=isinstance(action, AddDevice))
        case RemoveDevice(device=name):
            file = f"{ACPI}/{name}/eject"
        case _:
            return None
    return root.why_unwritable(file)


def warnings(action: Action) -> tuple[str, ...]:
    """What a person should know before a device goes."""
    match action:
        case RemoveDevice(device=name) if not is_dax(name):
            back = f"once {name} is out nothing in this machine can put it back"
            return (f"{back}: a person has to, and then 'memhp undo' brings its blocks online",)
    return ()


def is_dax(name: str) -> bool:
    """Whether a device of this name is one of the dax bus."""
    return name.startswith("dax")


def _why_not_ejected(root: Root, name: str) -> str | None:
    if not os.path.lexists(root.path(f"{ACPI}/{name}/eject")):
        return (
            f"there is no {root.path(f'{ACPI}/{name}/eject')}: its firmware cannot eject it, or "
            "the kernel has no memory hotplug; its blocks can go offline"
        )
    if root.text_if_there(_ENABLED) == "0":
        return f"ACPI memory hotplug is off: write 1 to {root.path(_ENABLED)}"
    return None
