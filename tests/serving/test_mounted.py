"""A mounted model as programs meet it: plain system calls, signals, and a server that is killed."""

import errno
import json
import os
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from memhp.core.errors import ArgumentError, MachineError, MachineLocked, NoSuchMachine
from memhp.machines.linux.mounted_model import find_mounted_model
from memhp.model.persist import encode_kernel
from memhp.model.shipped import shipped_text
from memhp.model.store import StateFile
from memhp.serving.mounted import Mounted, shows_memhp, start_mounted
from memhp.serving.take_down import take_down
from memhp.serving.unmount import is_mounted
from mounts import MEMORY, PINNED, Mount, described, mount, state_of

__all__ = ["mount"]
GOING_OFFLINE = "sys/kernel/debug/notifier-error-inject/memory/actions/MEM_GOING_OFFLINE/error"
WRITER = """
import ctypes, os, signal, sys
signal.signal(signal.SIGTERM, signal.SIG_DFL if sys.argv[3] == "dies" else lambda *_: None)
handle = os.open(sys.argv[1], os.O_WRONLY)
print("writes", flush=True)
word = sys.argv[2].encode()
libc = ctypes.CDLL(None, use_errno=True)  # Python's own write would begin again after EINTR
sys.exit(0 if libc.write(handle, word, len(word)) == len(word) else ctypes.get_errno())
"""


def writer(path: Path, word: str, *, dies: bool = False) -> "subprocess.Popen[str]":
    """A process that writes; ``dies`` by SIGTERM, or else ends with the errno of its write."""
    started = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), word, "dies" if dies else "hears"],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert started.stdout is not None
    assert started.stdout.readline() == "writes\n"
    return started


def blocked(mounted: Mounted, *, dies: bool = False) -> "subprocess.Popen[str]":
    """A writer whose offline never ends, once the kernel is at it."""
    started = writer(state_of(mounted, 34), "offline", dies=dies)
    while state_of(mounted, 34).read_text() != "going-offline\n":
        assert started.poll() is None
    return started


def ended(started: "subprocess.Popen[str]") -> int:
    started.communicate(timeout=30)
    return started.returncode


@pytest.fixture
def pinned(mount: Mount, tmp_path: Path) -> Mounted:
    return mount(described(tmp_path, PINNED))


def test_the_errno_reaches_the_writer_and_the_word_the_reader(pinned: Mounted) -> None:
    memory = pinned.folder / MEMORY
    assert state_of(pinned, 35).write_text("offline\n") == 8
    assert state_of(pinned, 35).read_text() == "offline\n"
    (pinned.folder / GOING_OFFLINE).write_text(f"-{errno.EBUSY}")
    for path, flags, word, code in (
        (memory / "memory35/state", os.O_WRONLY, b"offline", errno.EINVAL),
        (memory / "memory35/state", os.O_WRONLY, b"nonsense", errno.EINVAL),
        (memory / "memory36/state", os.O_RDWR | os.O_TRUNC, b"offline", errno.EBUSY),
        (memory / "memory35/removable", os.O_WRONLY, b"", errno.EACCES),
        (memory / "hard_offline_page", os.O_RDONLY, b"", errno.EACCES),
        (memory / "memory99/state", os.O_WRONLY, b"", errno.ENOENT),
        (memory / "new", os.O_WRONLY | os.O_CREAT, b"", errno.EACCES),
        (memory, os.O_WRONLY, b"", errno.EISDIR),
    ):
        with pytest.raises(OSError, match=r"Errno") as refused:
            wrote(path, flags, word)
        assert refused.value.errno == code, path
    for never in (
        lambda: (memory / "memory35").rmdir(),
        lambda: (memory / "memory35/state").unlink(),
        lambda: (memory / "memory100").mkdir(),
        lambda: (memory / "memory35").rename(memory / "memory36"),
        lambda: (memory / "memory35/state").chmod(0o777),
        lambda: (memory / "link").symlink_to("memory35"),
    ):
        with pytest.raises(PermissionError) as denied:
            never()
        assert denied.value.errno == errno.EPERM


def wrote(path: Path, flags: int, word: bytes) -> int:
    handle = os.open(path, flags)
    try:
        return os.write(handle, word)
    finally:
        os.close(handle)


def test_what_stat_and_readdir_show(pinned: Mounted) -> None:
    block = pinned.folder / MEMORY / "memory35"
    status = (block / "state").stat()
    assert (status.st_mode & 0o777, status.st_size, status.st_uid) == (0o644, 4096, os.geteuid())
    assert os.readlink(block / "node0") == "../../node/node0"
    assert sorted(entry.name for entry in os.scandir(block) if entry.is_symlink()) == [
        "node0",
        "subsystem",
    ]
    node = os.scandir(pinned.folder / "sys/devices/system/node/node0")
    blocks = [entry for entry in node if entry.name.startswith("memory")]
    assert len(blocks) == 24
    assert all(entry.is_symlink() for entry in blocks)
    assert (pinned.folder / "proc/meminfo").stat().st_size == 0
    assert (pinned.folder / "proc/meminfo").read_text().startswith("MemTotal:")
    assert ".memhp" not in os.listdir(block)
    with pytest.raises(OSError, match="not supported"):
        os.setxattr(block, "user.x", b"1")
    os.truncate(block / "state", 0)
    os.utime(block / "state")
    # To root access(2) allows what open(2) then refuses, in sysfs as well.
    assert os.access(block / "removable", os.W_OK)
    assert not os.access(block / "removable", os.X_OK)


def test_a_large_file_comes_in_pieces_of_one_state(mount: Mount) -> None:
    mounted = mount("server")
    whole = (mounted.folder / "proc/zoneinfo").read_bytes()
    handle = os.open(mounted.folder / "proc/zoneinfo", os.O_RDONLY)
    first = os.read(handle, 1000)
    state_of(mounted, 40).write_text("offline")
    assert first + b"".join(iter(lambda: os.read(handle, 1000), b"")) == whole
    os.close(handle)
    assert (mounted.folder / "proc/zoneinfo").read_bytes() != whole


def test_a_folder_proves_itself_and_no_other_does(pinned: Mounted, tmp_path: Path) -> None:
    model = find_mounted_model(str(pinned.folder))
    assert model is not None
    assert (model.pid, model.nonce) == (pinned.pid, pinned.nonce)
    assert model.machine == f"model:{tmp_path}/described.toml"
    assert shows_memhp(pinned.folder, pinned.nonce)
    assert shows_memhp(pinned.folder / MEMORY, pinned.nonce)
    assert not shows_memhp(pinned.folder, "another")
    forged = tmp_path / "forged"
    forged.mkdir()
    (forged / ".memhp").write_text((pinned.folder / ".memhp").read_text())
    assert find_mounted_model(str(forged)) is None
    assert not shows_memhp(forged, pinned.nonce)
    (forged / ".memhp").unlink()
    (forged / ".memhp").symlink_to(pinned.folder / ".memhp")
    assert find_mounted_model(str(forged)) is None


def test_readers_and_other_writers_go_on_while_one_is_blocked(pinned: Mounted) -> None:
    waits = blocked(pinned)
    assert (pinned.folder / "proc/zoneinfo").read_text().startswith("Node 0")
    (pinned.folder / MEMORY / "auto_online_blocks").write_text("offline")
    names = os.listdir(pinned.folder / MEMORY)
    assert sum(name.removeprefix("memory").isdecimal() for name in names) == 24
    assert waits.poll() is None
    waits.kill()
    ended(waits)


@pytest.mark.parametrize("dies", [True, False], ids=["who dies of it", "who handles it"])
def test_a_signal_ends_a_blocked_offline(pinned: Mounted, *, dies: bool) -> None:
    waits = blocked(pinned, dies=dies)
    waits.terminate()
    assert ended(waits) == (-signal.SIGTERM if dies else errno.EINTR)
    assert state_of(pinned, 34).read_text() == "online\n"
    state_of(pinned, 35).write_text("offline")


def test_a_writer_that_is_killed_does_not_hang(pinned: Mounted) -> None:
    waits = blocked(pinned)
    waits.kill()
    assert ended(waits) == -signal.SIGKILL
    assert state_of(pinned, 34).read_text() == "online\n"
    state_of(pinned, 35).write_text("offline")


def test_a_second_writer_waits_for_the_first(pinned: Mounted) -> None:
    first = blocked(pinned)
    second = writer(state_of(pinned, 35), "offline")
    third = writer(state_of(pinned, 36), "offline", dies=True)
    assert state_of(pinned, 35).read_text() == "online\n"
    third.terminate()
    assert ended(third) == -signal.SIGTERM
    assert second.poll() is None
    first.terminate()
    assert (ended(first), ended(second)) == (errno.EINTR, 0)
    states = [state_of(pinned, block).read_text() for block in (34, 35, 36)]
    assert states == ["online\n", "offline\n", "online\n"]


def test_forty_blocked_writers_are_in_no_readers_way(pinned: Mounted) -> None:
    writers = [blocked(pinned)]
    writers += [writer(state_of(pinned, 35), "offline") for _ in range(40)]
    assert state_of(pinned, 36).read_text() == "online\n"
    for each in reversed(writers):
        each.kill()
        ended(each)
    assert state_of(pinned, 35).read_text() == "online\n"


def test_an_eject_takes_the_blocks_files_away(mount: Mount) -> None:
    mounted = mount("server")
    folder = mounted.folder / "sys/bus/acpi/devices"
    device = next(
        each for each in sorted(folder.iterdir()) if (each / "status").read_text() == "15\n"
    )
    blocks = sorted(os.path.basename(os.readlink(link)) for link in device.glob("physical_node*"))
    assert blocks
    gone = mounted.folder / MEMORY / blocks[0]
    handle = os.open(gone / "state", os.O_RDONLY)
    (device / "eject").write_text("1")
    with pytest.raises(OSError, match="No such device") as lost:
        os.read(handle, 99)
    assert lost.value.errno == errno.ENODEV
    os.close(handle)
    assert not gone.exists()
    assert blocks[0] not in os.listdir(gone.parent)
    assert list(device.glob("physical_node*")) == []


def test_uevents_are_read_from_the_socket(mount: Mount, tmp_path: Path) -> None:
    path = tmp_path / "uevents"
    mounted = mount("server", uevents=path)
    state_of(mounted, 40).write_text("offline")
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
        client.settimeout(30)
        client.connect(str(path))
        client.send(b"kernel")
        assert client.recv(99) == b"kernel"
        state_of(mounted, 40).write_text("online_movable")
        head, *lines = client.recv(999).split(b"\0")
        assert head == b"online@/devices/system/memory/memory40"
        assert lines[:3] == [
            b"ACTION=online",
            b"DEVPATH=/devices/system/memory/memory40",
            b"SUBSYSTEM=memory",
        ]
        assert json.loads((mounted.folder / ".memhp").read_text())["uevents"] == str(path)
        mounted.close()
        assert client.recv(99) == b""
    assert not path.exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_to_the_server_unmounts(pinned: Mounted, number: signal.Signals) -> None:
    waits = blocked(pinned)
    reader = os.open(state_of(pinned, 35), os.O_RDONLY)
    os.kill(pinned.pid, number)
    assert pinned.wait() == 0
    assert ended(waits) == errno.EINTR
    assert not is_mounted(pinned.folder)
    with pytest.raises(OSError, match="not connected"):
        os.read(reader, 99)
    os.close(reader)


def test_an_unmount_from_outside_ends_the_server(pinned: Mounted) -> None:
    if os.geteuid() == 0:
        subprocess.run(["umount", pinned.folder], check=True)
    else:
        subprocess.run(["fusermount3", "-u", pinned.folder], check=True)
    assert pinned.wait() == 0


def unmounted(folder: Path) -> bool:
    """Wait until nothing is mounted at a folder: the list of mounts can be polled (proc(5))."""
    with Path("/proc/self/mountinfo").open() as mounts:
        polled = select.poll()
        polled.register(mounts, select.POLLERR | select.POLLPRI)
        for _ in range(100):
            if not is_mounted(folder):
                return True
            polled.poll(1000)
    return False


def test_a_server_that_is_killed_leaves_no_mount(pinned: Mounted) -> None:
    waits = blocked(pinned)
    os.kill(pinned.pid, signal.SIGKILL)
    assert ended(waits) in {errno.ENOTCONN, errno.ECONNABORTED}
    assert unmounted(pinned.folder)
    assert list(pinned.folder.iterdir()) == []


def test_a_server_ends_with_whoever_started_it(mount: Mount, tmp_path: Path) -> None:
    folder = tmp_path / "theirs"
    folder.mkdir()
    script = (
        "import pathlib, sys\n"
        "from memhp.serving.mounted import start_mounted\n"
        "mounted = start_mounted('server', pathlib.Path(sys.argv[1]))\n"
        "print('mounted', flush=True)\n"
        "sys.stdin.read()\n"
    )
    starter = subprocess.Popen(
        [sys.executable, "-c", script, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert starter.stdout is not None
    assert starter.stdout.readline() == "mounted\n"
    assert is_mounted(folder)
    starter.kill()
    starter.communicate()
    assert unmounted(folder)


def test_many_machines_at_once(mount: Mount) -> None:
    mounts = [mount("server") for _ in range(8)]
    for number, mounted in enumerate(mounts):
        state_of(mounted, 40 + number).write_text("offline")
    for number, mounted in enumerate(mounts):
        states = [state_of(mounted, 40 + block).read_text() for block in range(8)]
        assert [n for n, state in enumerate(states) if state == "offline\n"] == [number]
    assert len({mounted.nonce for mounted in mounts}) == 8


def test_a_state_file_keeps_what_is_done_and_is_held(mount: Mount, tmp_path: Path) -> None:
    path = tmp_path / "m.machine"
    (tmp_path / "other").mkdir()
    StateFile.create(path, PINNED).close()
    mounted = mount(str(path))
    with StateFile.open(path) as state, pytest.raises(MachineLocked) as locked:
        state.load()
    assert f"by process {mounted.pid} at {mounted.folder}" in str(locked.value)
    with pytest.raises(MachineLocked):
        start_mounted(f"model:{path}", tmp_path / "other")
    state_of(mounted, 35).write_text("offline\n")
    with pytest.raises(OSError, match="Invalid"):
        wrote(state_of(mounted, 35), os.O_WRONLY, b"offline")
    mounted.close()
    with StateFile.open(path) as state:
        assert Path(tmp_path / "m.machine-served").exists() is False
        rows = [(row.asked, row.outcome, len(row.uevents)) for row in state.log()[1:]]
    file = "/sys/devices/system/memory/memory35/state"
    refused = "refused: memory35 is offline already [EINVAL: Invalid argument]"
    assert rows == [
        (f"write 'offline' to {file}", "done", 1),
        (f"write 'offline' to {file}", refused, 0),
    ]
    with start_mounted(str(path), mounted.folder) as again:
        assert state_of(again, 35).read_text() == "offline\n"


def test_a_killed_server_leaves_its_last_finished_change(mount: Mount, tmp_path: Path) -> None:
    """One offline is half way when a small write is finished; only that is kept."""
    path = tmp_path / "m.machine"
    with StateFile.create(path, PINNED) as state:
        before = encode_kernel(state.load())
    mounted = mount(str(path))
    waits = blocked(mounted)
    (mounted.folder / MEMORY / "auto_online_blocks").write_text("online_kernel")
    os.kill(mounted.pid, signal.SIGKILL)
    ended(waits)
    assert unmounted(mounted.folder)
    with StateFile.open(path) as state:
        after = encode_kernel(state.load())
        assert [row.asked[:25] for row in state.log()] == ["boot", "write 'online_kernel' to "]
        with state.change("x"):
            pass
    assert {part for part in before if before[part] != after[part]} == {"settings"}
    again = mount(str(path))
    assert state_of(again, 34).read_text() == "online\n"


def test_guests_are_served_each_by_its_own(mount: Mount, tmp_path: Path) -> None:
    path = tmp_path / "h.machine"
    with StateFile.create(path, shipped_text("host")) as state:
        guests = state.parts()
    mounts = {guest: mount(f"{path}/{guest}") for guest in guests}
    host = mount(str(path))
    assert len({each.nonce for each in (host, *mounts.values())}) == len(guests) + 1
    for mounted in mounts.values():
        (mounted.folder / MEMORY / "auto_online_blocks").write_text("online_kernel")
    assert (host.folder / MEMORY / "auto_online_blocks").read_text() != "online_kernel\n"
    for mounted in (host, *mounts.values()):
        mounted.close()
    with StateFile.open(path) as state:
        assert sorted(row.part for row in state.log()[-len(guests) :]) == sorted(guests)


def test_what_cannot_be_mounted_is_said_in_a_sentence(mount: Mount, tmp_path: Path) -> None:
    here = mount("server").folder
    (tmp_path / "file").write_text("")
    empty = tmp_path / "empty"
    empty.mkdir()
    for folder, problem in (
        (tmp_path, "is not empty"),
        (tmp_path / "none", "does not exist"),
        (tmp_path / "file", "is no folder"),
        (here, "is a mount already: model:server, served by process"),
    ):
        with pytest.raises(ArgumentError, match=problem):
            start_mounted("server", folder)
    with pytest.raises(NoSuchMachine, match="'nobody' does not come with memhp"):
        start_mounted("nobody", empty)
    with pytest.raises(MachineError, match="cannot be a socket for uevents"):
        start_mounted("server", empty, uevents=tmp_path / "file")
    assert not is_mounted(empty)


def test_a_folder_behind_a_link(mount: Mount, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    with start_mounted("server", tmp_path / "link") as mounted:
        assert mounted.folder == tmp_path / "real"
        os.kill(mounted.pid, signal.SIGKILL)
        assert unmounted(tmp_path / "real")
    with start_mounted("server", tmp_path / "link"):
        take_down(tmp_path / "link")
        assert not is_mounted(tmp_path / "real")


def test_taking_down(mount: Mount, tmp_path: Path) -> None:
    mounted = mount("server")
    model = take_down(mounted.folder)
    assert model is not None
    assert (model.pid, mounted.wait(), is_mounted(mounted.folder)) == (mounted.pid, 0, False)
    for folder in (mounted.folder, tmp_path, tmp_path / "none"):
        with pytest.raises(ArgumentError, match="no folder at which a model is mounted"):
            take_down(folder)
