"""What guests say: QEMU's monitor, the shell on the serial line, files copied through it."""

import asyncio
import base64
import json
import re
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random
from typing import Any, Self, cast

import pytest
from qemu.qmp import ExecuteError, Message, Runstate
from qemu.qmp.models import ErrorResponse

from fuzz.mutation import dump, mutate_bytes
from fuzz.seeds import JSON, TEXT, any_json, any_text, archive_of, recordings, saved_tree
from fuzz.shrinking import smaller_bytes
from fuzz.target import Attempt, Shape, Target
from memhp.core.errors import ContactLost, MemhpError
from memhp.core.geometry import NodeId
from memhp.core.guest_shape import GuestShape
from memhp.core.listing import BlockFile
from memhp.core.snapshot import Want
from memhp.machines.lab.guest import Guest
from memhp.machines.lab.kernels import LabKernel
from memhp.machines.lab.machine import LabMachine
from memhp.machines.lab.monitor import monitor_of
from memhp.machines.lab.observe_guest import observe_guest
from memhp.machines.lab.record import _Recorder
from memhp.machines.lab.serial_shell import SerialShell
from memhp.machines.linux.root import Root
from memhp.machines.qemu import connection
from memhp.machines.qemu.connection import Connection
from memhp.machines.qemu.guest_tree import plant
from memhp.machines.qemu.monitor import Monitor
from memhp.machines.qemu.physical import Wanted
from memhp.machines.qemu.read_guest import Named, of_guest
from memhp.model.trace.scenario import Scenario

Json = dict[str, Any]
_DIMM = {"id": "d0", "addr": 1 << 32, "size": 1 << 27, "node": 0, "slot": 0} | {
    "hotplugged": True,
    "memdev": "/objects/d0-memory",
}
_VIRTIO = {"id": "v0", "memaddr": 1 << 33, "max-size": 1 << 29, "size": 0, "node": 0} | {
    "block-size": 1 << 21,
    "requested-size": 0,
    "memdev": "/objects/v0-memory",
}
_DEVICES = {"return": [{"type": "dimm", "data": _DIMM}, {"type": "virtio-mem", "data": _VIRTIO}]}
_TIME = {"timestamp": {"seconds": 1, "microseconds": 2}}
_OST = {"device": "d0", "slot": "0", "slot-type": "DIMM", "source": 1, "status": 0}


_REPORTS = {"return": [{"device": "d0", "slot": "0", "source": 1, "status": 0}]}
_UEVENTS = "733 add /devices/system/memory/memory48 memory"


class Said:
    """Events in the order in which they were given; then none comes."""

    def __init__(self, events: Any) -> None:
        self._events = list(events) if isinstance(events, list) else [events]

    def clear(self) -> None:
        """Nothing is forgotten: events are those of the next command."""

    async def get(self) -> Any:
        if not self._events:
            await asyncio.Event().wait()
        return self._events.pop(0)


class Client:
    """QEMU's client of the library: answers in turn, and events."""

    runstate = Runstate.RUNNING

    def __init__(self, replies: Any, events: Any) -> None:
        self._replies = list(replies) if isinstance(replies, list) else [replies]
        self.events = Said(events)

    async def execute(self, _command: str, _arguments: object) -> Any:
        """The next answer, in turn, as the library takes it apart."""
        if not self._replies:
            raise EOFError
        self._replies.append(self._replies.pop(0))
        reply = self._replies[-1]
        if isinstance(reply, dict) and "error" in reply:
            message = Message(reply)
            raise ExecuteError(ErrorResponse(message), message, message)
        return reply["return"]

    async def runstate_changed(self) -> Runstate:
        await asyncio.Event().wait()
        return self.runstate


@contextmanager
def monitor_saying(known: Mapping[str, Any]) -> Iterator[Monitor]:
    """A monitor that says what a document has."""
    client = Client(known.get("replies", []), known.get("events", []))
    with asyncio.Runner() as runner:
        yield Monitor(runner, Connection(cast(Any, client), "lab:g", "QEMU"))


class Shell:
    """A guest's shell that says what it is given, whatever it is asked."""

    def __init__(self, answers: Any) -> None:
        self._answers = answers if isinstance(answers, list) and answers else [answers]
        self._next = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_problem: object) -> None:
        pass

    def garbled(self, what: str, err: Exception) -> ContactLost:
        return ContactLost(machine="lab:g", problem=f"shows {what} garbled ({err})")

    def run(self, _command: str, _seconds: float = 60) -> tuple[int, str]:
        answer = self._answers[self._next % len(self._answers)]
        self._next += 1
        return (0, answer) if isinstance(answer, str) else (1, "")


class ShellOnly:
    """A guest that has a shell, and a monitor without devices."""

    name = "g"

    def __init__(self, text: str, monitor: Path) -> None:
        self._text = text
        self._monitor = monitor

    def shell(self) -> Shell:
        return Shell([self._text])

    def monitor_path(self) -> str:
        return str(self._monitor)


def _document(data: bytes) -> Any:
    """A document; what is none is taken as text."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return data.decode("utf-8", "replace")


def _soon() -> float:
    return time.monotonic() + 0.01


def _monitor(_folder: Path) -> Attempt:
    wanted = Wanted(name="d0", size_bytes=1 << 27, start=1 << 32)
    actions: tuple[Callable[[Monitor], object], ...] = (
        lambda monitor: monitor.memory_devices("dimm"),
        lambda monitor: monitor.account(),
        lambda monitor: monitor.address_of("d0"),
        lambda monitor: monitor.plug(wanted, _soon()),
        lambda monitor: monitor.unplug("d0", _soon()),
        lambda monitor: monitor.request_size("v0", 1 << 28),
        lambda monitor: monitor.plugged_size("v0"),
    )

    def attempt(data: bytes) -> None:
        document = _document(data)
        known = document if isinstance(document, dict) else {"replies": document}
        for number, action in enumerate(actions):
            if known.get("only", number) in (number, None):
                with monitor_saying(known) as monitor:
                    action(monitor)

    return attempt


def _conversations() -> list[bytes]:
    done: Json = {"return": {}}
    error = {"error": {"class": "GenericError", "desc": "Device 'd0' not found"}}
    ost = {"event": "ACPI_DEVICE_OST", "data": {"info": _OST}}
    refused = {"event": "ACPI_DEVICE_OST", "data": {"info": _OST | {"source": 3, "status": 130}}}
    deleted = {"event": "DEVICE_DELETED", "data": {"device": "d0", "path": "/machine/d0"}}
    machine = {"return": {"size": 1 << 30, "slots": 4, "max-size": 1 << 34}}
    backends = {"return": [{"id": "d0-memory", "size": 1 << 27, "share": False}]}
    objects = {"return": [{"name": "type", "type": "string"}, {"name": "d0-memory"}]}
    devices = [_DEVICES, _REPORTS]
    account = [machine, {"return": {"base-memory": 1 << 30}}, *devices, backends, objects]
    asked = [*devices, error, error, done, done, done]
    talks = [
        (0, devices, []),
        (1, account, []),
        (2, devices, []),
        *(
            (3, [error, error, done, *account, done, answer, error, done], [other, ost])
            for other in ({"event": "RTC_CHANGE", "data": {}}, deleted)
            for answer in (done, error)
        ),
        (4, [*asked, *devices, done], [deleted]),
        (4, [*asked, *devices, done], [refused]),
        (5, [error], []),
        (5, [done], []),
        (6, [{"return": 1 << 28}], []),
    ]
    return [
        dump({"only": only, "replies": replies, "events": events})
        for only, replies, events in talks
    ]


def _observed(_folder: Path) -> Attempt:
    def attempt(data: bytes) -> None:
        observe_guest(cast(SerialShell, Shell([data.decode("utf-8", "replace")])))

    return attempt


def _shown(name: str) -> str:
    """What a guest with a saved tree's files shows."""
    files = saved_tree(name)
    numbers = {
        int(found[1])
        for path in files
        if (found := re.match(r"sys/devices/system/memory/memory(\d+)/state", path))
    }
    lines = []
    for number in sorted(numbers):
        folder = f"sys/devices/system/memory/memory{number}"
        shown = [files[f"{folder}/{file}"].decode().strip() for file in ("state", "valid_zones")]
        lines.append(f"block|{number}|{'|'.join(shown)}|1| 0")
    iomem = files["proc/iomem"].decode().splitlines()
    lines += [f"iomem|{line}" for line in iomem if "System RAM" in line]
    lists = ("online", "possible", "has_memory", "has_normal_memory")
    lines += [f"list|{name}|0-1" for name in lists]
    lines += ["auto|offline", "total|1012345"]
    return "\n".join([*lines, "== zoneinfo", files["proc/zoneinfo"].decode()])


def _recorded(folder: Path) -> Attempt:
    """Everything that recording a scenario reads of a guest."""
    kernel = LabKernel(series="6.12", image=folder / "vmlinuz", modules=())
    scenario = Scenario(
        name="fuzzed",
        about="",
        guest=GuestShape(kernel="6.12", nodes=(1 << 30,), hotpluggable_nodes=(NodeId(0),)),
        steps=(
            {"op": "write", "path": "memory33/state", "value": "online"},
            {"op": "read", "path": "memory33/state"},
        ),
    )

    def attempt(data: bytes) -> None:
        document = _document(data)
        known: Mapping[str, Any] = document if isinstance(document, dict) else {"said": document}
        (folder / "config").write_bytes(data)
        shell = cast(SerialShell, Shell(known.get("said", "")))
        with monitor_saying(known) as monitor:
            recorder = _Recorder(shell, monitor)
            recorder.text("uname -r")
            recorder.machine(scenario, kernel)
            list(recorder.steps(scenario, lambda _what: None))

    return attempt


def _log_of(document: Json) -> str:
    """The lines of a kernel's log that a recording's machine was read from."""
    machine = document["machine"]
    return "\n".join(
        [
            *(
                f"[    0.0] BIOS-e820: [mem {first:#018x}-{last:#018x}] {kind}"
                for first, last, kind in machine["memory_map"]
            ),
            *(
                f"[    0.0] ACPI: SRAT: Node {entry['node']} PXM {entry['node']} [mem "
                f"{entry['start']:#018x}-{entry['start'] + entry['size'] - 1:#018x}] hotplug"
                for entry in machine["srat"]
            ),
            *(f"RAMDISK: [mem {first:#x}-{last:#x}]" for first, last in machine["ramdisk"]),
        ]
    )


def _guests() -> list[bytes]:
    iomem = saved_tree("guest-6.12")["proc/iomem"].decode()
    common = {
        "replies": [_DEVICES, _REPORTS],
        "events": [{"event": "ACPI_DEVICE_OST", "data": {"info": _OST}}],
    }
    return [
        dump(
            common
            | {
                "said": [
                    *("6.12.38", _log_of(document), iomem, "memory1\nmemory2\nprobe", "8000000"),
                    *(
                        "online_policy contig-zones\n",
                        "state\nvalid_zones",
                        "",
                        "",
                        _UEVENTS,
                        _shown(name),
                    ),
                ]
            }
        )
        for document in map(json.loads, recordings()[:6])
        for name in ("guest-6.12", "guest-6.1")
    ]


def _copied(folder: Path) -> Attempt:
    """A guest's files as they come over its serial line: an archive, in letters."""

    def attempt(data: bytes) -> None:
        guest = cast(Guest, ShellOnly(data.decode("latin-1"), folder / "none"))
        LabMachine(guest).list_blocks(BlockFile.STATE | BlockFile.ZONES)

    return attempt


def _printed(folder: Path) -> Attempt:
    """A guest's files as a script in it prints them."""
    named = Named(machine="lab:g", identity="lab:g:1", want=Want.ALL)

    def attempt(data: bytes) -> None:
        tree = folder / "tree"
        shutil.rmtree(tree, ignore_errors=True)
        tree.mkdir()
        plant(data.decode("utf-8", "replace"), tree, "lab:g")
        of_guest(Root(str(tree), "lab:g"), named)

    return attempt


def _prints() -> list[bytes]:
    """What that script prints of saved trees, without most of their blocks."""
    return [_print_of(saved_tree(name)).encode() for name in ("guest-6.12", "guest-6.1")]


def _print_of(files: Mapping[str, bytes]) -> str:
    lines = []
    for path, content in files.items():
        if re.search(r"/memory/memory([3-9]|\d\d)", path):
            continue
        lines += [f"{path}:{line}" for line in content.decode("utf-8", "replace").splitlines()]
    return "\n".join([*lines, "/sys/devices/system/node/node0/memory1", "."])


def _mutate_archive(data: bytes, chance: Random) -> bytes:
    """Change letters, or bytes of the archive behind them."""
    if chance.random() < 0.3:
        return mutate_bytes(data, chance)
    with suppress(ValueError):
        return base64.encodebytes(mutate_bytes(base64.b64decode(data), chance))
    return mutate_bytes(data, chance)


def _archives() -> list[bytes]:
    files = saved_tree("guest-6.12")
    few = {path: content for path, content in files.items() if "/memory/memory" not in path}
    block = {path: content for path, content in files.items() if "/memory/memory1/" in path}
    return [base64.encodebytes(archive_of(few | block))]


class Peer(threading.Thread):
    """The other end of a Unix socket: greets, and answers each line until the last."""

    def __init__(
        self,
        path: Path,
        answer: Callable[[bytes], tuple[bytes, bool]],
        greeting: bytes = b"",
    ) -> None:
        super().__init__(daemon=True)
        path.unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(path))
        self._socket.listen(1)
        self._answer = answer
        self._greeting = greeting
        self.start()

    def run(self) -> None:
        with suppress(OSError), self._socket.accept()[0] as line:
            line.sendall(self._greeting)
            while data := line.recv(1 << 16):
                said, last = self._answer(data)
                line.sendall(said)
                if last:
                    # Nobody waits for more from one who has said everything.
                    line.shutdown(socket.SHUT_WR)

    def end(self) -> None:
        """Let go of the socket and wait for the thread."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self.join()


def _serial(folder: Path) -> Attempt:
    path = folder / "con"
    tag = re.compile(rb'echo -n "(T)""([0-9a-f]+):')

    def said(line: bytes, data: bytes) -> bytes:
        found = tag.search(line)
        return data.replace(b"TAG", found[1] + found[2] if found else b"")

    def attempt(data: bytes) -> None:
        peer = Peer(path, lambda line: (said(line, data), True))
        try:
            with SerialShell(path, "lab:g") as shell:
                shell.run("true", 5)
        finally:
            peer.end()

    return attempt


@contextmanager
def impatient() -> Iterator[None]:
    """Who says nothing is not waited for."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(connection, "CONNECT_SECONDS", 0.1)
        patch.setattr(connection, "ANSWER_SECONDS", 0.1)
        yield


def _wire(folder: Path) -> Attempt:
    """QEMU's monitor as bytes on its socket, through the library that speaks its language."""
    path = folder / "qmp"

    def attempt(data: bytes) -> None:
        greeting, _, rest = data.partition(b"\n")
        answers = [answer.replace(b"\r", b"\n") + b"\n" for answer in rest.split(b"\n")]
        peer = Peer(
            path,
            lambda _line: (answers.pop(0) if answers else b"", not answers),
            greeting=greeting + b"\n",
        )
        try:
            with impatient(), monitor_of(cast(Guest, ShellOnly("", path))) as monitor:
                monitor.memory_devices("dimm")
                monitor.request_size("v0", 1 << 28)
                monitor.plugged_size("v0")
        finally:
            peer.end()

    return attempt


def _wires() -> Iterator[bytes]:
    version = {"qemu": {"micro": 0, "minor": 2, "major": 7}, "package": ""}
    greeting = json.dumps({"QMP": {"version": version, "capabilities": ["oob"]}})
    deleted = json.dumps({"event": "DEVICE_DELETED", "data": {"device": "d0"}} | _TIME)
    done: Json = {"return": {}}
    refused: Json = {"error": {"class": "X", "desc": "no d0"}}
    for answer in (done, refused):
        replies: tuple[Json, ...] = (_DEVICES, {"return": []}, answer, {"return": 1 << 28})
        numbered = [json.dumps(r | {"id": f"__qmp#{n:05}"}) for n, r in enumerate(replies)]
        # Two lines where one is awaited come together, as an event does right behind an answer.
        numbered[2] = f"{deleted}\r{numbered[2]}"
        yield "\n".join((greeting, json.dumps(done), *numbered)).encode()


TARGETS = (
    Target(
        name="QMP replies and events",
        prepare=_monitor,
        seeds=_conversations,
        shape=JSON,
        inputs=1200,
        invent=any_json,
        allowed=(MemhpError, TimeoutError),
    ),
    Target(
        name="QMP on the wire",
        prepare=_wire,
        seeds=lambda: list(_wires()),
        shape=TEXT,
        inputs=40,
        seconds=20,
        # Each thread, and each arena of its heap, takes address space.
        memory_bytes=1 << 30,
    ),
    Target(
        name="a guest observed",
        prepare=_observed,
        seeds=lambda: [_shown(name).encode() for name in ("guest-6.12", "guest-6.1")],
        shape=TEXT,
        inputs=1500,
        invent=any_text,
    ),
    Target(
        name="files that a guest prints",
        prepare=_printed,
        seeds=_prints,
        shape=TEXT,
        inputs=400,
        invent=any_text,
    ),
    Target(
        name="a guest recorded",
        prepare=_recorded,
        seeds=_guests,
        shape=JSON,
        inputs=200,
        invent=any_json,
        allowed=(MemhpError, TimeoutError),
    ),
    Target(
        name="a serial line",
        prepare=_serial,
        seeds=lambda: [b"hello\r\nTAG:0:\r\n", b"sh: not found\nTAG:127:", b"TAG:1:TAG:0:"],
        shape=TEXT,
        inputs=400,
        invent=any_text,
        memory_bytes=1 << 30,
    ),
    Target(
        name="a tree copied over a serial line",
        prepare=_copied,
        seeds=_archives,
        shape=Shape(mutate=_mutate_archive, smaller=smaller_bytes),
        inputs=15,
    ),
)
