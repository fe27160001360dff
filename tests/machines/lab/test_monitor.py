"""QEMU's monitor, and what it never says: contact is lost, whatever came instead of an answer."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, cast

import pytest

from memhp.core.errors import ContactLost
from memhp.core.outcome import Done, Refused, Unanswered
from memhp.core.plan import AddDevice, RemoveDevice
from memhp.machines.lab.guest import Guest
from memhp.machines.lab.monitor import Answer, Monitor, monitor_of

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


class Wired:
    """A guest that is nothing but its monitor's socket."""

    name = "g"

    def __init__(self, path: Path) -> None:
        self._path = path

    def monitor_path(self) -> str:
        return str(self._path)


@contextmanager
def speaking(path: Path, *lines: bytes) -> Iterator[Guest]:
    """A monitor that greets with the first line and answers each command with the next."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen(1)

        def speak() -> None:
            with suppress(OSError), listening.accept()[0] as line:
                for text in lines:
                    line.sendall(text + b"\n")
                    line.recv(1 << 16)

        peer = threading.Thread(target=speak)
        peer.start()
        yield cast(Guest, Wired(path))
        peer.join()


GREETING = (
    b'{"QMP": {"version": {"qemu": {"major": 7, "minor": 2, "micro": 0}}, "capabilities": []}}'
)
DONE = b'{"return": {}}'


@pytest.mark.parametrize(
    "lines",
    [
        (b"",),
        (b"\xff\xfe",),
        (b"[" * 100_000,),
        (b"9" * 5000,),
        (b"{}",),
        (GREETING, b"\xff"),
        (GREETING, b"9" * 5000),
        (GREETING, DONE, b"\xff"),
        (GREETING, DONE, b"9" * 5000),
        (GREETING, DONE, b"[]"),
        (GREETING, DONE, b'{"id": [{}]}'),
        (GREETING, DONE, b'{"return": 7}'),
    ],
    ids=lambda lines: b" ".join(lines)[-12:].decode("latin-1"),
)
def test_a_line_that_is_not_qemus(lines: tuple[bytes, ...], tmp_path: Path) -> None:
    with (
        speaking(tmp_path / "qmp", *lines) as guest,
        pytest.raises(ContactLost, match="'lab:g'"),
        monitor_of(guest) as talk,
    ):
        talk.dimms()


def test_a_line_that_is_qemus(tmp_path: Path) -> None:
    told = b'{"return": [{"type": "dimm", "data": ' + json.dumps(DIMM).encode() + b"}]}"
    with speaking(tmp_path / "qmp", GREETING, DONE, told) as guest, monitor_of(guest) as talk:
        assert talk.dimms() == {1 << 32: "d0"}
