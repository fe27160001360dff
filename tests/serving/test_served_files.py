"""The served tree as a file system: modes, sizes, errno, content by offset."""

import errno
import os
import stat
import struct
from contextlib import AbstractContextManager

import pytest

from booted import booted
from memhp.model.kernel import Kernel
from memhp.model.steps import KernelRefusal
from memhp.model.uevents import Uevent
from memhp.serving.keepers import NothingKept
from memhp.serving.served_files import Attributes, ServedFiles
from memhp.serving.served_kernel import ServedKernel
from mounts import PINNED

MEMORY = "/sys/devices/system/memory"
STATE = f"{MEMORY}/memory35/state"
NOTE = b'{"nonce": "1"}\n'
ROOT, SOMEBODY = 0, 1000


def never() -> bool:
    return False


@pytest.fixture
def files() -> ServedFiles:
    return served_files(booted(PINNED))


def served_files(kernel: Kernel) -> ServedFiles:
    heard: list[ServedFiles] = []

    def hear(uevent: Uevent) -> None:
        for each in heard:
            each.hear(uevent)

    heard.append(ServedFiles(ServedKernel(kernel, NothingKept(), hear), NOTE, ROOT))
    return heard[0]


def refused(code: int) -> AbstractContextManager[object]:
    return pytest.raises(KernelRefusal, match=rf"\[{errno.errorcode[code]}: ")


@pytest.mark.parametrize(
    ("path", "kind", "mode", "size"),
    [
        ("/", stat.S_IFDIR, 0o755, 0),
        ("/proc", stat.S_IFDIR, 0o555, 0),
        (f"{MEMORY}/memory35", stat.S_IFDIR, 0o755, 0),
        (STATE, stat.S_IFREG, 0o644, 4096),
        (f"{MEMORY}/memory35/removable", stat.S_IFREG, 0o444, 4096),
        (f"{MEMORY}/hard_offline_page", stat.S_IFREG, 0o200, 4096),
        (f"{MEMORY}/memory35/node0", stat.S_IFLNK, 0o777, 0),
        ("/proc/zoneinfo", stat.S_IFREG, 0o444, 0),
        ("/.memhp", stat.S_IFREG, 0o444, len(NOTE)),
        (f"{MEMORY}/memory35/.memhp", stat.S_IFREG, 0o444, len(NOTE)),
    ],
)
def test_attributes(files: ServedFiles, path: str, kind: int, mode: int, size: int) -> None:
    assert files.attributes(path) == Attributes(mode=kind | mode, size_bytes=size)


@pytest.mark.parametrize(
    "path",
    ["/nothing", f"{MEMORY}/memory99", f"{MEMORY}/memory035", f"{STATE}/x", f"{STATE}/.memhp"],
)
def test_what_is_not_there(files: ServedFiles, path: str) -> None:
    with refused(errno.ENOENT):
        files.attributes(path)


def test_names_have_types_and_the_hidden_file_is_not_among_them(files: ServedFiles) -> None:
    names = dict(files.names(f"{MEMORY}/memory35"))
    assert names == {
        "node0": stat.S_IFLNK,
        "online": stat.S_IFREG,
        "phys_device": stat.S_IFREG,
        "phys_index": stat.S_IFREG,
        "power": stat.S_IFDIR,
        "removable": stat.S_IFREG,
        "state": stat.S_IFREG,
        "subsystem": stat.S_IFLNK,
        "uevent": stat.S_IFREG,
        "valid_zones": stat.S_IFREG,
    }
    assert dict(files.names(MEMORY))["memory35"] == stat.S_IFDIR
    assert files.target(f"{MEMORY}/memory35/node0") == "../../node/node0"
    with refused(errno.EINVAL):
        files.target(STATE)
    with refused(errno.ENOTDIR):
        files.names(STATE)


@pytest.mark.parametrize(
    ("path", "flags", "user", "code"),
    [
        (STATE, os.O_RDWR, ROOT, None),
        (STATE, os.O_WRONLY | os.O_TRUNC, ROOT, None),
        (STATE, os.O_RDONLY, SOMEBODY, None),
        (STATE, os.O_WRONLY, SOMEBODY, errno.EACCES),
        (f"{MEMORY}/memory35/removable", os.O_WRONLY, ROOT, errno.EACCES),
        (f"{MEMORY}/hard_offline_page", os.O_RDONLY, ROOT, errno.EACCES),
        (f"{MEMORY}/hard_offline_page", os.O_WRONLY, ROOT, None),
        ("/proc/meminfo", os.O_WRONLY, ROOT, None),
        ("/proc/meminfo", os.O_WRONLY, SOMEBODY, errno.EACCES),
        ("/proc/sys/vm/min_free_kbytes", os.O_WRONLY, ROOT, errno.EACCES),
        (f"{MEMORY}/memory35", os.O_RDONLY, ROOT, errno.EISDIR),
        (f"{MEMORY}/memory99/state", os.O_RDONLY, ROOT, errno.ENOENT),
    ],
)
def test_opening(files: ServedFiles, path: str, flags: int, user: int, code: int | None) -> None:
    if code is None:
        assert files.open(path, flags, user) > 0
        return
    with refused(code):
        files.open(path, flags, user)


@pytest.mark.parametrize(
    ("path", "wanted", "user", "allowed"),
    [
        (STATE, os.R_OK | os.W_OK, ROOT, True),
        (STATE, os.R_OK, SOMEBODY, True),
        (STATE, os.W_OK, SOMEBODY, False),
        (f"{MEMORY}/memory35/removable", os.W_OK, ROOT, True),
        (STATE, os.X_OK, ROOT, False),
        (f"{MEMORY}/memory35", os.X_OK, SOMEBODY, True),
        (f"{MEMORY}/hard_offline_page", os.R_OK, SOMEBODY, False),
    ],
)
def test_access(files: ServedFiles, path: str, wanted: int, user: int, *, allowed: bool) -> None:
    if allowed:
        files.may(path, wanted, user)
        return
    with refused(errno.EACCES):
        files.may(path, wanted, user)


def test_digits_of_other_scripts_are_no_number(files: ServedFiles) -> None:
    path = "/sys/module/memory_hotplug/parameters/auto_movable_ratio"
    writer = files.open(path, os.O_WRONLY, ROOT)
    with refused(errno.EINVAL):
        files.write(writer, "\N{ARABIC-INDIC DIGIT FIVE}".encode(), never)


def test_content_is_made_anew_at_offset_0_and_nowhere_else(files: ServedFiles) -> None:
    reader, writer = files.open(STATE, os.O_RDONLY, ROOT), files.open(STATE, os.O_WRONLY, ROOT)
    assert files.read(reader, 3, 0) == b"onl"
    assert files.write(writer, b"offline\n", never) == 8
    assert files.read(reader, 99, 3) == b"ine\n"
    assert files.read(reader, 99, 0) == b"offline\n"
    assert files.read(reader, 99, 8) == b""


@pytest.mark.parametrize(
    ("data", "taken"), [(b"offline", 7), (b"offline\n", 8), (b"offline\0junk", 12)]
)
def test_a_write_is_read_as_the_kernel_reads_it(
    files: ServedFiles, data: bytes, taken: int
) -> None:
    writer = files.open(STATE, os.O_WRONLY, ROOT)
    assert files.write(writer, data, never) == taken
    with refused(errno.EINVAL):
        files.write(writer, data, never)


def test_a_write_takes_one_page(files: ServedFiles) -> None:
    path = "/sys/kernel/debug/notifier-error-inject/memory/actions/MEM_GOING_ONLINE/error"
    writer = files.open(path, os.O_WRONLY, ROOT)
    assert files.write(writer, b"-12".ljust(5000, b"\0"), never) == 4096
    assert files.write(writer, b"", never) == 0


def test_writing_what_is_open_and_cannot_be_written(files: ServedFiles) -> None:
    with refused(errno.EIO):
        files.write(files.open("/proc/meminfo", os.O_WRONLY, ROOT), b"x", never)
    with refused(errno.EIO):
        path = f"{MEMORY}/hard_offline_page"
        files.read(files.open(path, os.O_WRONLY, ROOT), 9, 0)


def test_an_eject_loses_what_was_open_in_the_dimms_blocks() -> None:
    kernel = booted(PINNED)
    kernel.pinned.clear()
    files = served_files(kernel)
    reader = files.open(STATE, os.O_RDONLY, ROOT)
    device = "/sys/bus/acpi/devices/PNP0C80:00"
    assert "physical_node" in dict(files.names(device))
    files.write(files.open(f"{device}/eject", os.O_WRONLY, ROOT), b"1", never)
    with refused(errno.ENODEV):
        files.read(reader, 9, 0)
    with refused(errno.ENOENT):
        files.attributes(STATE)
    assert "physical_node" not in dict(files.names(device))
    assert "memory35" not in dict(files.names(MEMORY))


def test_a_file_that_is_open_while_its_block_goes_is_gone_for_good(files: ServedFiles) -> None:
    path = f"{MEMORY}/memory39/state"
    last = files.open(f"{MEMORY}/memory15/state", os.O_RDONLY, ROOT)
    reader = files.open(path, os.O_RDWR, ROOT)
    files.hear(
        Uevent(
            action="remove",
            devpath="/devices/system/memory/memory39",
            subsystem="memory",
            seqnum=1,
        )
    )
    for use in (
        lambda: files.read(reader, 9, 0),
        lambda: files.write(reader, b"online", never),
    ):
        with refused(errno.ENODEV):
            use()
    assert files.read(last, 9, 0) == b"online\n"
    assert files.read(files.open(path, os.O_RDONLY, ROOT), 9, 0) == b"online\n"


def test_flags_of_pages_are_read_in_parts(files: ServedFiles) -> None:
    """The file is one word for each frame: nobody reads all of it to see a few."""
    assert files.attributes("/proc/kpageflags").mode == stat.S_IFREG | 0o400
    number = files.open("/proc/kpageflags", os.O_RDONLY, ROOT)
    # Page 0 is reserved, and so is the hole below 1 MiB.
    assert files.read(number, 16, 0) == struct.pack("<QQ", 1 << 32, 1 << 32)
    free = files.read(number, 4096, 8 * 32768 * 2)
    assert free == struct.pack("<Q", 1 << 10) * 512
    assert files.read(number, 4096, 1 << 40) == b""
    with refused(errno.EINVAL):
        files.read(number, 5, 0)
