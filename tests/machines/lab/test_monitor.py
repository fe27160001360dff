"""QEMU's monitor, and what it never says: contact is lost, whatever came instead of an answer."""

from collections.abc import Callable
from typing import Any

import pytest

from memhp.core.errors import ContactLost
from memhp.core.outcome import Done, Refused, Unanswered
from memhp.core.plan import AddDevice, RemoveDevice
from memhp.machines.lab.monitor import Answer, Monitor

DIMM = {"id": "d0", "addr": 1 << 32, "size": 1 << 27, "node": 0}
TAKEN = {"event": "ACPI_DEVICE_OST", "data": {"info": {"source": 1, "status": 0}}}
REFUSED = {"event": "ACPI_DEVICE_OST", "data": {"info": {"source": 3, "status": 0x82}}}
GONE = {"event": "DEVICE_DELETED", "data": {"device": "d0", "path": "/machine/peripheral/d0"}}
NO_DATA = {"event": "RESUME", "timestamp": {"seconds": 1, "microseconds": 2}}
ERROR = {"error": {"class": "GenericError", "desc": "Device 'd0' not found"}}


class Protocol:
    """QEMU's side: one answer to everything, and events in order."""

    def __init__(self, reply: Any, *events: Any) -> None:
        self._reply = reply
        self._events = list(events)

    def clear_events(self) -> None:
        pass

    def cmd_raw(self, _name: str, _arguments: object) -> Any:
        return self._reply

    def pull_event(self, wait: float) -> Any:
        if not self._events:
            raise TimeoutError
        return self._events.pop(0)


def monitor(reply: Any, *events: Any) -> Monitor:
    return Monitor(Protocol(reply, *events), "lab:g")


def test_a_dimm_comes_and_goes() -> None:
    add, remove = AddDevice(device="d0", size_bytes=1 << 27), RemoveDevice(device="d0")
    assert monitor({"return": {}}, NO_DATA, TAKEN).add(add) == Done(note="the guest has taken it")
    assert monitor({"return": {}}, NO_DATA).add(add) == Unanswered(asked="add d0")
    assert monitor({"return": {}}, NO_DATA, GONE).remove(remove) == Done(note="removed")
    refused = Refused(reason="the guest refuses: the device is in use")
    assert monitor({"return": {}}, REFUSED).remove(remove) == refused
    assert monitor(ERROR).remove(remove) == Refused(reason="Device 'd0' not found")


def test_what_is_there() -> None:
    talk = monitor({"return": [{"type": "dimm", "data": DIMM}, {"type": "nvdimm", "data": {}}]})
    assert talk.dimms() == {1 << 32: "d0"}
    assert talk.address_of("d0") == 1 << 32
    assert monitor({"return": 5}).plugged_size("v0") == 5
    assert monitor(ERROR).request_size("v0", 1) == "Device 'd0' not found"
    assert monitor(ERROR).unplug("d0") == Answer(error="Device 'd0' not found")


def dimms(talk: Monitor) -> object:
    return talk.dimms()


def unplug(talk: Monitor) -> object:
    return talk.unplug("d0")


def plug(talk: Monitor) -> object:
    return talk.plug("d0", 1, 0)


WRONG: dict[str, tuple[Callable[[Monitor], object], Monitor]] = {
    "no answer": (dimms, monitor(None)),
    "an answer that is a list": (unplug, monitor([])),
    "an answer that is a text": (unplug, monitor("error")),
    "nothing returned": (dimms, monitor({})),
    "devices that are none": (dimms, monitor({"return": {"a": 1}})),
    "a device that is none": (dimms, monitor({"return": [1]})),
    "a device of no type": (dimms, monitor({"return": [{"data": DIMM}]})),
    "a device without data": (dimms, monitor({"return": [{"type": "dimm"}]})),
    "an address that is a text": (
        dimms,
        monitor({"return": [{"type": "dimm", "data": DIMM | {"addr": "0"}}]}),
    ),
    "an address that is a truth value": (
        dimms,
        monitor({"return": [{"type": "dimm", "data": DIMM | {"addr": True}}]}),
    ),
    "an error that is a text": (unplug, monitor({"error": "no"})),
    "an error that says nothing": (plug, monitor({"error": {"class": "GenericError"}})),
    "an event that is none": (unplug, monitor({"return": {}}, 7)),
    "an event without a name": (unplug, monitor({"return": {}}, {"data": {}})),
    "an event whose data is a list": (
        unplug,
        monitor({"return": {}}, {"event": "RESET", "data": []}),
    ),
    "a report without a status": (
        plug,
        monitor({"return": {}}, {"event": "ACPI_DEVICE_OST", "data": {"info": {"source": 1}}}),
    ),
    "a size that is a text": (
        lambda talk: talk.plugged_size("v0"),
        monitor({"return": "1G"}),
    ),
    "a DIMM that was taken and is not there": (
        lambda talk: talk.address_of("d0"),
        monitor({"return": []}),
    ),
}


@pytest.mark.parametrize(("ask", "talk"), WRONG.values(), ids=WRONG.keys())
def test_what_qemu_never_says(ask: Callable[[Monitor], object], talk: Monitor) -> None:
    with pytest.raises(ContactLost, match="'lab:g' has a monitor that is not QEMU's: it says no"):
        ask(talk)
