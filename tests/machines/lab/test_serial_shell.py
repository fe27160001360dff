"""A guest's shell on its serial line: what garbled answers end in."""

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from memhp.core.errors import ContactLost
from memhp.machines.lab.observe_guest import observe_guest, read_resource
from memhp.machines.lab.serial_shell import SerialShell

PUTS_FILE = 2
"""A command that is short is put into a file in so many steps."""
TAG = re.compile(rb'echo -n "(T)""([0-9a-f]+)<')


@contextmanager
def answering(path: Path, text: bytes) -> Iterator[SerialShell]:
    """A shell behind which somebody says one thing, with the tag for TAG, and goes."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen(1)

        def answer() -> None:
            with suppress(OSError), listening.accept()[0] as line:
                found = TAG.search(line.recv(1 << 16))
                line.sendall(text.replace(b"TAG", b"".join(found.groups()) if found else b""))

        peer = threading.Thread(target=answer)
        peer.start()
        with SerialShell(path, "lab:g") as shell:
            yield shell
        peer.join()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (b"hello\r\nTAG:0:\r\n", (0, "hello\n")),
        (b"TAG:127:", (127, "")),
        (b"left over\r\nT0:0:TAG<hello\r\nTAG:0:", (0, "hello\n")),
        (b"\xff\nTAG:1:", (1, "\ufffd\n")),
    ],
    ids=["text", "nothing", "the rest of another answer", "bytes"],
)
def test_a_command_has_text_and_a_code(text: bytes, found: tuple[int, str], tmp_path: Path) -> None:
    with answering(tmp_path / "con", text) as shell:
        assert shell.run("true", 5) == found


@pytest.mark.parametrize(
    "text",
    [b"", b"TAG", b"TAG:x:", b"TAG:" + b"9" * 5000 + b":", "TAG:\u0663:".encode()],
    ids=["nothing", "no code", "no number", "digits without end", "digits of another script"],
)
def test_what_has_no_end_is_no_answer(text: bytes, tmp_path: Path) -> None:
    with answering(tmp_path / "con", text) as shell, pytest.raises(ContactLost, match="'lab:g'"):
        shell.run("true", 5)


def tag_of(command: bytes) -> bytes:
    found = TAG.search(command)
    return b"".join(found.groups()) if found else b""


@contextmanager
def saying(path: Path, pieces: list[bytes]) -> Iterator[SerialShell]:
    """A shell behind which somebody says things piece by piece, each when the one before was told.

    That is: each piece waits for a byte.
    """
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen(1)

        def answer() -> None:
            with listening.accept()[0] as line:
                line.settimeout(30)
                for _ in range(PUTS_FILE):
                    tag = tag_of(line.recv(1 << 16))
                    line.sendall(tag + b"<" + tag + b":0:")
                tag = tag_of(line.recv(1 << 16))
                for piece in pieces:
                    line.sendall(piece.replace(b"TAG", tag).replace(b"HALF", tag[:6]))
                    line.recv(1)

        peer = threading.Thread(target=answer)
        peer.start()
        with SerialShell(path, "lab:g") as shell:
            yield shell
        peer.join()


def test_a_command_is_followed_while_it_prints(tmp_path: Path) -> None:
    pieces = [
        b"TAG<one\r",
        b"\ntwo T",
        b"hree\xc3",
        b"\xa4\r\nHALF no\r\n",
        b"50 %\r",
        b"99 %TAG:7:",
    ]
    told: list[str] = []
    with saying(tmp_path / "con", pieces) as shell:

        def tell(text: str) -> None:
            told.append(text)
            shell._socket.sendall(b"x")

        assert shell.follow("true", tell) == 7
    assert "".join(told).startswith("one\ntwo Three\u00e4\n")
    assert "".join(told).endswith(" no\n50 %\r99 %")
    assert (told[0], told[1]) == ("one", "\ntwo ")


def test_a_guest_that_ends_while_it_is_followed(tmp_path: Path) -> None:
    with (
        answering(tmp_path / "con", b"TAG<some") as shell,
        pytest.raises(ContactLost, match="'lab:g' it has ended"),
    ):
        shell.follow("true", print)


SHOWN = "block|0|online|none|1| 0\nlist|online|0\nauto|offline\ntotal|1024\n== zoneinfo\n"
GARBLED = {
    "nothing": "",
    "no lists": SHOWN.replace("list", "lost"),
    "no word for what comes online": SHOWN.replace("auto|", "auto"),
    "a block without a number": SHOWN.replace("block|0", "block|x"),
    "a block with a field less": SHOWN.replace("|none", ""),
    "a block with a field more": SHOWN.replace("|none", "|none|none"),
    "a list without a name": SHOWN.replace("list|online", "list"),
    "no amount": SHOWN.replace("1024", "much"),
    "digits without end": SHOWN.replace("1024", "9" * 5000),
    "a zone of pages without end": (
        f"{SHOWN}Node 0, zone   Normal\n        spanned  {'9' * 5000}\n"
    ),
}


@pytest.mark.parametrize("text", GARBLED.values(), ids=GARBLED.keys())
def test_a_guest_that_shows_its_memory_garbled(text: str, tmp_path: Path) -> None:
    said = f"{text}\nTAG:0:".encode()
    with (
        answering(tmp_path / "con", said) as shell,
        pytest.raises(ContactLost, match="shows its memory garbled"),
    ):
        observe_guest(shell)


def test_a_guest_that_shows_its_memory(tmp_path: Path) -> None:
    with answering(tmp_path / "con", f"{SHOWN}TAG:0:".encode()) as shell:
        shown = observe_guest(shell)
    assert shown == {
        "blocks": [
            {"first": 0, "last": 0, "state": "online", "valid_zones": ["none"]}
            | {"removable": "1", "nodes": [0]}
        ],
        "zones": [],
        "iomem_ram": [],
        "nodes": {"online": "0"},
        "auto_online_blocks": "offline",
        "mem_total_kb": 1024,
    }
    assert read_resource("garbled") == [0, 0, "garbled"]
