"""QEMU's monitor, and what it never says: contact is lost, whatever came instead of an answer."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from memhp.core.errors import ContactLost
from memhp.machines.qemu import connection
from memhp.machines.qemu.monitor import Monitor, open_monitor
from memhp.machines.qemu.physical import Wanted

DIMM = {"id": "d0", "addr": 1 << 32, "size": 1 << 27, "node": 0, "slot": 0, "memdev": "/objects/m"}
NO_DATA = {"event": "RESUME", "timestamp": {"seconds": 1, "microseconds": 2}}


@contextmanager
def speaking(path: Path, *lines: bytes) -> Iterator[str]:
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
        yield str(path)
        peer.join()


def said(*answers: Any) -> tuple[bytes, ...]:
    """Answers by their values; the client numbers its commands from 0."""
    replies = ({"return": value, "id": f"__qmp#{n:05}"} for n, value in enumerate(answers))
    return (GREETING, DONE, *(json.dumps(reply).encode() for reply in replies))


def dimms(talk: Monitor) -> object:
    return talk.memory_devices("dimm")


def size(talk: Monitor) -> object:
    return talk.plugged_size("v0")


def plug(talk: Monitor) -> object:
    return talk.plug(Wanted(name="d0", size_bytes=1))


def account(talk: Monitor) -> object:
    return talk.account()


WRONG: dict[str, tuple[Callable[[Monitor], object], tuple[Any, ...]]] = {
    "devices that are none": (dimms, ({"a": 1}, [])),
    "a device that is none": (dimms, ([1], [])),
    "a device of no type": (dimms, ([{"data": DIMM}], [])),
    "a device without data": (dimms, ([{"type": "dimm"}], [])),
    "an address that is a text": (dimms, ([{"type": "dimm", "data": DIMM | {"addr": "0"}}], [])),
    "an address that is true": (dimms, ([{"type": "dimm", "data": DIMM | {"addr": True}}], [])),
    "a backend that is a number": (dimms, ([{"type": "dimm", "data": DIMM | {"memdev": 7}}], [])),
    "reports that are none": (dimms, ([], 7)),
    "a report without a status": (dimms, ([], [{"device": "d0", "source": 1}])),
    "a size that is a text": (size, ("1G",)),
    "a size that is a truth value": (size, (False,)),
    "a machine without a size": (account, ({}, {"base-memory": 1})),
    "a DIMM that is not there": (lambda talk: talk.address_of("d0"), ([], [])),
}


@pytest.mark.parametrize(("ask", "answers"), WRONG.values(), ids=WRONG.keys())
def test_what_qemu_never_says(
    ask: Callable[[Monitor], object], answers: tuple[Any, ...], tmp_path: Path
) -> None:
    with (
        speaking(tmp_path / "qmp", *said(*answers)) as path,
        pytest.raises(ContactLost, match="'lab:g' is not to be understood: QEMU says no"),
        open_monitor(path, "lab:g") as talk,
    ):
        ask(talk)


@pytest.mark.parametrize(
    "event",
    [
        {"event": "RESET", "data": []},
        {"event": "ACPI_DEVICE_OST", "data": {"info": {"source": 1}}},
        {"event": "ACPI_DEVICE_OST", "data": {"info": 7}},
        {"event": 7},
    ],
)
def test_an_event_that_is_not_qemus(event: Any, tmp_path: Path) -> None:
    answers = said({}, {}, {}, [], {"size": 1}, {"base-memory": 1}, [], [], [], [], {}, {})
    last = answers[-1] + b"\n" + json.dumps(event).encode()
    with (
        speaking(tmp_path / "qmp", *answers[:-1], last) as path,
        pytest.raises(ContactLost, match="'lab:g'"),
        open_monitor(path, "lab:g") as talk,
    ):
        plug(talk)


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
def test_a_line_that_is_not_qemus(
    lines: tuple[bytes, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # An answer to nothing that was asked is passed over, and the right one never comes.
    monkeypatch.setattr(connection, "ANSWER_SECONDS", 0.2)
    with (
        speaking(tmp_path / "qmp", *lines) as path,
        pytest.raises(ContactLost, match="'lab:g'"),
        open_monitor(path, "lab:g") as talk,
    ):
        dimms(talk)


def test_a_line_that_is_qemus(tmp_path: Path) -> None:
    answers = said([{"type": "dimm", "data": DIMM}, {"type": "sgx-epc", "data": {}}], [])
    with speaking(tmp_path / "qmp", *answers) as path, open_monitor(path, "lab:g") as talk:
        [device] = talk.memory_devices("dimm")
    assert (device.name, device.start, device.backend) == ("d0", 1 << 32, "m")


def test_an_event_in_the_midst_of_the_negotiation(tmp_path: Path) -> None:
    """The first connection hears an event before the answer; the second is as usual."""
    path = str(tmp_path / "s")
    event = json.dumps(NO_DATA).encode()
    answer = json.dumps({"return": 7, "id": "__qmp#00000"}).encode()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen(2)

        def speak() -> None:
            for lines in ((GREETING, event), (GREETING, DONE, answer)):
                with suppress(OSError), listening.accept()[0] as line:
                    for text in lines:
                        line.sendall(text + b"\n")
                        line.recv(1 << 16)

        peer = threading.Thread(target=speak)
        peer.start()
        with open_monitor(path, "qemu:g") as talk:
            assert talk.plugged_size("v0") == 7
        peer.join()
