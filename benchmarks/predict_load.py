"""Workloads for the measure of predictions: each holds memory in its own way until it is killed.

Runs inside a guest, as root: ``python predict_load.py NAME SEED``. Prints
``ready`` when what it holds is in place.
"""

import ctypes
import mmap
import os
import random
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

MIB = 1 << 20
PAGE = 4096
ZRAM = "/dev/zram0"
_SETUP, _REGISTER, _REGISTER_BUFFERS = 425, 427, 0
# Of ``mmap(2)``; Python's module has none of them.
_MAP_HUGETLB, _MAP_HUGE_1GB = 0x40000, 30 << 26
_LIBC = ctypes.CDLL(None, use_errno=True)


class IoVec(ctypes.Structure):
    """``struct iovec``."""

    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


def memory(size: int, flags: int = 0) -> mmap.mmap:
    """Anonymous memory, every page written with what does not compress."""
    area = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | flags)
    noise = os.urandom(MIB)
    for start in range(0, size, MIB):
        area[start : start + min(MIB, size - start)] = noise[: min(MIB, size - start)]
    return area


def address_of(area: mmap.mmap) -> int:
    """Where an area begins."""
    return ctypes.addressof(ctypes.c_char.from_buffer(area))


def scattered(chance: random.Random, size: int, keep: int) -> list[mmap.mmap]:
    """Pieces that lie apart: many are filled, and most given back."""
    pieces = [memory(MIB) for _ in range(size // MIB)]
    chance.shuffle(pieces)
    for piece in pieces[keep // MIB :]:
        piece.close()
    return pieces[: keep // MIB]


def quiet(chance: random.Random) -> Iterator[object]:
    """Memory of a process, and a file in memory."""
    yield scattered(chance, 2400 * MIB, 900 * MIB)
    Path("/run/quiet").write_bytes(os.urandom(64 * MIB))


def direct(chance: random.Random) -> Iterator[object]:
    """Threads that read past the page cache, without end."""
    pieces = scattered(chance, 2400 * MIB, 400 * MIB)
    yield pieces
    Path("/sys/block/zram0/disksize").write_text("64M")
    handle = os.open(ZRAM, os.O_RDWR | os.O_DIRECT)
    os.pwritev(handle, [pieces[0]], 0)

    def read() -> None:
        mine = random.Random(threading.get_ident())
        while True:
            os.preadv(handle, [mine.choice(pieces)], mine.randrange(32) * MIB)

    for _ in range(4):
        threading.Thread(target=read, daemon=True).start()


def uring(chance: random.Random) -> Iterator[object]:
    """Buffers that are registered with an io_uring: pinned as long as it is open."""
    pieces = scattered(chance, 2400 * MIB, 400 * MIB)
    yield pieces
    ring = _LIBC.syscall(_SETUP, 8, ctypes.create_string_buffer(120))
    vectors = (IoVec * 10)(*[IoVec(address_of(p), len(p)) for p in pieces[:10]])
    failed = _LIBC.syscall(_REGISTER, ring, _REGISTER_BUFFERS, vectors, 10)
    if ring < 0 or failed:
        raise OSError(ctypes.get_errno(), "io_uring")
    yield ring


def pipes(chance: random.Random) -> Iterator[object]:
    """Pages lent to pipes that nobody reads (``vmsplice(2)``)."""
    pieces = scattered(chance, 2400 * MIB, 800 * MIB)
    yield pieces
    for piece in pieces[:8]:
        reader, writer = os.pipe()
        vector = IoVec(address_of(piece), 4 * PAGE)
        if _LIBC.vmsplice(writer, ctypes.byref(vector), 1, 0) < 0:
            raise OSError(ctypes.get_errno(), "vmsplice")
        yield reader, writer


def zram(chance: random.Random) -> Iterator[object]:
    """A compressed disk in memory, with a file system's worth of data (zsmalloc)."""
    yield scattered(chance, 2400 * MIB, 600 * MIB)
    Path("/sys/block/zram0/disksize").write_text("256M")
    with open(ZRAM, "wb", buffering=0) as disk:
        disk.writelines(os.urandom(MIB // 2) + bytes(MIB // 2) for _ in range(160))
        os.fsync(disk.fileno())


def hugetlb(chance: random.Random) -> Iterator[object]:
    """Huge pages of 2 MiB, a part of them in use, some free."""
    yield scattered(chance, 2400 * MIB, 600 * MIB)
    Path("/proc/sys/vm/nr_hugepages").write_text("60")
    yield memory(80 * MIB, _MAP_HUGETLB)


def hugetlb_used(chance: random.Random) -> Iterator[object]:
    """Huge pages of 2 MiB, all in use."""
    yield scattered(chance, 2400 * MIB, 600 * MIB)
    Path("/proc/sys/vm/nr_hugepages").write_text("40")
    count = int(Path("/proc/sys/vm/nr_hugepages").read_text())
    yield memory(2 * count * MIB, _MAP_HUGETLB)


def gigantic(chance: random.Random) -> Iterator[object]:
    """A huge page of 1 GiB in use, and none free."""
    Path("/sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages").write_text("1")
    area = mmap.mmap(
        -1, 1 << 30, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_HUGETLB | _MAP_HUGE_1GB
    )
    area[0] = 1
    yield area
    yield scattered(chance, 1200 * MIB, 400 * MIB)


def forks(chance: random.Random) -> Iterator[object]:
    """Processes that fork and end without pause."""
    yield scattered(chance, 2400 * MIB, 800 * MIB)
    for _ in range(3):
        if os.fork() == 0:
            while True:
                child = os.fork()
                if child == 0:
                    _held = memory(MIB)
                    time.sleep(0.05)
                    os._exit(0)
                os.waitpid(child, 0)


def sockets(chance: random.Random) -> Iterator[object]:
    """Data in sockets that nobody reads: kernel memory, between memory of the process."""
    yield scattered(chance, 2400 * MIB, 800 * MIB)
    for _ in range(400):
        pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        pair[0].settimeout(0)
        try:
            while True:
                pair[0].send(bytes(32768))
        except BlockingIOError:
            yield pair


WORKLOADS: dict[str, Callable[[random.Random], Iterator[object]]] = {
    "quiet": quiet,
    "o_direct": direct,
    "io_uring": uring,
    "vmsplice": pipes,
    "zram": zram,
    "hugetlb": hugetlb,
    "hugetlb-used": hugetlb_used,
    "hugetlb-1g": gigantic,
    "forks": forks,
    "sockets": sockets,
    "balloon": quiet,
}


def main() -> None:
    """Hold what the workload holds, until killed."""
    name, seed = sys.argv[1], int(sys.argv[2])
    held = list(WORKLOADS[name](random.Random(seed)))
    print("ready", len(held), flush=True)
    while True:
        time.sleep(3600)


if __name__ == "__main__":
    main()
