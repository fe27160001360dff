"""Whoever connects hears what is sent from then on, one packet each."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from memhp.core.errors import MachineError
from memhp.model.uevents import Uevent
from memhp.serving.udev_messages import kernel_form, udev_form
from memhp.serving.uevent_socket import UeventSocket


def uevent(number: int) -> Uevent:
    return Uevent(action="online", devpath=f"/d/memory{number}", subsystem="memory", seqnum=number)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[UeventSocket]:
    made = UeventSocket(tmp_path / "uevents")
    yield made
    made.close()


def connected(served: UeventSocket, form: bytes = b"udev") -> socket.socket:
    """A client that has been let in: its word has been answered."""
    client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    client.settimeout(10)
    client.connect(str(served.path))
    client.send(form)
    assert client.recv(64) == form
    return client


def test_each_hears_what_comes_after_it(served: UeventSocket) -> None:
    with connected(served) as early:
        served.send(uevent(1))
        with connected(served) as late:
            served.send(uevent(2))
            assert [early.recv(999), early.recv(999)] == [udev_form(uevent(n)) for n in (1, 2)]
            assert late.recv(999) == udev_form(uevent(2))


def test_the_kernels_form_on_request(served: UeventSocket) -> None:
    with connected(served, b"kernel") as client, connected(served) as other:
        served.send(uevent(1))
        assert client.recv(999) == kernel_form(uevent(1))
        assert other.recv(999) == udev_form(uevent(1))
        client.send(b"udev")
        assert client.recv(999) == b"udev"
        client.send(b"nonsense")
        served.send(uevent(2))
        assert client.recv(999) == udev_form(uevent(2))


def test_who_does_not_read_is_parted_from_and_in_nobodys_way(served: UeventSocket) -> None:
    with connected(served) as sleeper, connected(served) as reader:
        for number in range(100_000):
            served.send(uevent(number))
            assert reader.recv(999) == udev_form(uevent(number))
            if len(served._clients) == 1:
                break
        heard = 0
        while sleeper.recv(999):
            heard += 1
        assert heard == number


def test_the_end_is_heard_and_the_socket_is_gone(tmp_path: Path) -> None:
    served = UeventSocket(tmp_path / "uevents")
    with connected(served) as client:
        served.close()
        assert client.recv(999) == b""
    assert list(tmp_path.iterdir()) == []


def test_a_socket_that_a_killed_server_left_is_taken_over(tmp_path: Path) -> None:
    left = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    left.bind(str(tmp_path / "uevents"))
    left.close()
    served = UeventSocket(tmp_path / "uevents")
    connected(served).close()
    with pytest.raises(MachineError, match="Address already in use"):
        UeventSocket(tmp_path / "uevents")
    connected(served).close()
    served.close()


@pytest.mark.parametrize("name", ["x" * 120, "no/such/folder", "file"])
def test_a_path_that_can_be_no_socket(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("kept")
    with pytest.raises(MachineError, match="cannot be a socket for uevents"):
        UeventSocket(tmp_path / name)
    assert (tmp_path / "file").read_text() == "kept"
