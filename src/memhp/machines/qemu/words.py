"""What QEMU's events and ACPI's codes say, in words. Pure.

Sources: ACPI 6.5, 6.3.5 (``_OST``: source events, status codes for insertion
and ejection); QEMU's ``qapi/acpi.json``, ``qapi/machine.json``, ``qapi/qdev.json``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

Event = tuple[str, Mapping[str, Any]]
"""The name of an event, and its data."""
INSERTION: Final = frozenset({0, 1})
"""Source events of an insertion: bus check and device check."""
EJECTION: Final = frozenset({3, 0x103})
"""Source events of an ejection: the firmware's request, and the guest's own (``eject``)."""
_SUCCESS: Final = 0
_INSERTING: Final = 0x80
EJECTING: Final = 0x84
"""The status of an ejection that the guest is at."""
_GENERAL: Final = {
    1: "it failed, and the guest gives no reason",
    2: "the guest does not know such a request",
}
_INSERTION_STATUS: Final = _GENERAL | {
    0x81: "the guest's driver for memory devices could not be loaded",
    0x82: "the guest does not support the device",
}
_EJECTION_STATUS: Final = _GENERAL | {
    0x80: "the guest does not support ejecting it",
    0x81: "an application in the guest uses it",
    0x82: "the guest refuses: the device is in use",
    0x83: "something that depends on it is in use in the guest",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came of a request to a guest.

    ``error`` is QEMU's, where it would not even ask; ``status`` what the guest
    reported (``_OST``), ``None`` where it said nothing in time; ``removed``
    whether the device is gone; ``refusal`` a refusal in words where QEMU tells
    one in an event of its own.
    """

    error: str | None = None
    status: int | None = None
    removed: bool = False
    refusal: str | None = None


def insertion_answer(event: Event, device: str) -> Answer | None:
    """What an event says about a device that was added; ``None`` where nothing, or not yet."""
    status = _reported(event, device, INSERTION)
    return None if status in {None, _INSERTING} else Answer(status=status)


def ejection_answer(event: Event, device: str) -> Answer | None:
    """What an event says about a device that was asked to go; ``None`` where nothing, or not yet.

    Success is the guest's goodbye alone: that the device is gone comes as
    ``DEVICE_DELETED``.
    """
    name, data = event
    if data.get("device") == device:
        match name:
            case "DEVICE_DELETED":
                return Answer(status=_SUCCESS, removed=True)
            case "MEM_UNPLUG_ERROR":
                return Answer(refusal=f"QEMU could not unplug it: {data.get('msg', 'no reason')}")
            case "DEVICE_UNPLUG_GUEST_ERROR":
                return Answer(refusal="the guest reports that it did not let the device go")
    status = _reported(event, device, EJECTION)
    waits = {None, _SUCCESS, EJECTING}
    return None if status in waits else Answer(status=status)


def insertion_words(status: int) -> str:
    """A refused insertion in words."""
    return _INSERTION_STATUS.get(status, f"the guest reports ACPI status {status:#x}")


def ejection_words(status: int) -> str:
    """A refused ejection in words."""
    return _EJECTION_STATUS.get(status, f"the guest reports ACPI status {status:#x}")


def last_verdict(source: int, status: int) -> str | None:
    """An entry of ``query-acpi-ospm-status`` in words; ``None`` where nothing was ever asked.

    The report is a slot's: that something has gone was said of what was there before.
    """
    if source in EJECTION:
        if status == EJECTING:
            return "asked to go, and the guest is at it"
        return None if status == _SUCCESS else f"asked to go: {ejection_words(status)}"
    if source in INSERTION and (source, status) != (0, 0):
        if status == _INSERTING:
            return "added, and the guest is at it"
        return "taken" if status == _SUCCESS else f"added: {insertion_words(status)}"
    return None


def _reported(event: Event, device: str, sources: frozenset[int]) -> int | None:
    """The status of an ``ACPI_DEVICE_OST`` about this device, if it is one.

    QEMU leaves the name out where the device is gone by then.
    """
    name, data = event
    if name != "ACPI_DEVICE_OST":
        return None
    info = data["info"]
    about = info.get("device", device)
    return int(info["status"]) if about == device and info.get("source") in sources else None
