"""Record what a real kernel's page allocator does under a load, from boot on.

The guest boots with tracing on, a program in it puts a load on its memory,
stops tracing, and sends the ring buffer and the state of every page over a
virtio serial port into a file. Then each memory block is tried: what the kernel
itself says of whether it can go offline.
"""

import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from memhp.core.errors import MachineError
from memhp.core.geometry import MIB
from memhp.core.guest_shape import GuestShape
from memhp.machines.lab.carried import Carried
from memhp.machines.lab.guest import Guest
from memhp.machines.lab.page_chunks import (
    Chunks,
    fallbacks,
    lists_pages,
    page_flags,
    read_chunks,
    traced_events,
    zones,
)
from memhp.machines.lab.page_program import compile_page_program
from memhp.machines.lab.serial_shell import SerialShell
from memhp.machines.qemu.shell_errors import errno_name
from memhp.model.allocations.recording import AllocationRecording, TriedBlock
from memhp.model.allocations.story import tell_story

Tell = Callable[[str], None]
KERNEL: Final = "6.12"
"""The series that is recorded where nobody names one."""
_EVENTS: Final = ("mm_page_alloc", "mm_page_free", "mm_page_alloc_extfrag")
_BUFFER_MIB: Final = 32
_DISK_MIB: Final = 1024
_SECONDS: Final = 240.0
_TRY_SECONDS: Final = 20
_TIMED_OUT: Final = (124, 143)
_END: Final = b"end 0\n"
_PROGRAM: Final = "/bin/page_workload"
_MEMORY: Final = "/sys/devices/system/memory"


@dataclass(frozen=True, slots=True, kw_only=True)
class PageLoad:
    """A load on a guest: which, by what seed, and how many MiB it holds at the end of how many.

    ``kernel`` is a series of the lab; its image has NVMe and ext4 built in.
    """

    name: str
    seed: int
    size_mib: int = 550
    memory_mib: int = 1024
    kernel: str = KERNEL


def record_allocations(
    load: PageLoad, guest: Guest, tell: Tell = lambda _what: None
) -> AllocationRecording:
    """Record one load; the guest is put down whatever happens. Raises ``MachineError``."""
    carried = Carried(files={_PROGRAM: compile_page_program("page_workload")})
    with tempfile.TemporaryDirectory() as folder:
        disk, out = Path(folder) / "disk", Path(folder) / "out"
        _make_disk(disk)
        tell(f"boot, and load {load.name} with seed {load.seed}")
        try:
            guest.up(_shape(load), carried, list(_options(disk, out)))
            with guest.shell() as shell:
                chunks = _loaded(shell, load, out)
                tell("try every memory block")
                tried = tuple(_tried(shell))
                return _recording(load, shell, chunks, tried)
        finally:
            if guest.folder.is_dir():
                guest.down()


def _shape(load: PageLoad) -> GuestShape:
    events = ",".join(f"kmem:{name}" for name in _EVENTS)
    line = f"memhp_default_state=offline trace_buf_size={_BUFFER_MIB}M trace_event={events}"
    return GuestShape(kernel=load.kernel, nodes=(load.memory_mib * MIB,), command_line=line)


def _options(disk: Path, out: Path) -> Iterator[str]:
    yield from ("-device", "virtio-serial-pci", "-chardev", f"file,id=out,path={out}")
    yield from ("-device", "virtserialport,chardev=out,name=memhp.pages")
    yield from ("-drive", f"file={disk},if=none,id=disk,format=raw,cache=unsafe")
    yield from ("-device", "nvme,drive=disk,serial=memhp")


def _make_disk(disk: Path) -> None:
    """A sparse image with an empty file system; raises ``MachineError``."""
    maker = shutil.which("mke2fs", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if maker is None:
        raise MachineError(
            machine="lab:",
            problem="needs mke2fs for a guest's disk",
            advice="install package e2fsprogs",
        )
    with disk.open("wb") as file:
        file.truncate(_DISK_MIB * MIB)
    subprocess.run([maker, "-q", "-t", "ext4", "-F", str(disk)], check=True)


def _loaded(shell: SerialShell, load: PageLoad, out: Path) -> Chunks:
    """Start the load, wait until it stands, and take what it sent."""
    shell.run(
        f"chmod +x {_PROGRAM}; mkdir -p /mnt; mount -t ext4 /dev/nvme0n1 /mnt;"
        "mount -t tracefs trace /sys/kernel/tracing 2>/dev/null"
    )
    words = f"{load.name} {load.seed} {load.size_mib} $(echo /dev/vport*p1) /mnt"
    shell.run(f"{_PROGRAM} {words} >/tmp/said 2>&1 &")
    end = time.monotonic() + _SECONDS
    while not _has_ended(out):
        _, said = shell.run("cat /tmp/said 2>/dev/null")
        if said.strip() or time.monotonic() > end:
            why = said.strip() or "it takes too long"
            raise MachineError(
                machine="lab:",
                problem=f"cannot be loaded with {load.name} ({why})",
                advice="try a smaller load",
            )
        time.sleep(0.2)
    return read_chunks(out.read_bytes())


def _has_ended(out: Path) -> bool:
    with out.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - len(_END)))
        return file.read() == _END


def _tried(shell: SerialShell) -> Iterator[TriedBlock]:
    """Take each block offline and online again, the highest first."""
    names = shell.run(f"ls -d {_MEMORY}/memory[0-9]*")[1].split()
    for number in sorted((int(name.rpartition("memory")[2]) for name in names), reverse=True):
        folder = f"{_MEMORY}/memory{number}"
        zone = shell.run(f"cat {folder}/valid_zones")[1].strip()
        ask = f"timeout {_TRY_SECONDS} sh -c 'echo offline > {folder}/state'"
        code, said = shell.run(ask, 3 * _TRY_SECONDS)
        if code == 0:
            word = "online_movable" if zone == "Movable" else "online_kernel"
            shell.run(f"echo {word} > {folder}/state")
        yield TriedBlock(block=number, zone=zone, errno=_errno(code, said))


def _errno(code: int, said: str) -> str | None:
    """What the kernel said; EINTR where it would have gone on for ever."""
    if code in _TIMED_OUT:
        return "EINTR"
    return None if code == 0 else errno_name(said)


def _recording(
    load: PageLoad, shell: SerialShell, chunks: Chunks, tried: tuple[TriedBlock, ...]
) -> AllocationRecording:
    flags = page_flags(chunks)
    story = tell_story(traced_events(chunks), flags, lists_pages(chunks))
    return AllocationRecording(
        kernel=shell.run("uname -r")[1].strip(),
        workload=load.name,
        seed=load.seed,
        size_mib=load.size_mib,
        block_size_bytes=int(shell.run(f"cat {_MEMORY}/block_size_bytes")[1].strip(), 16),
        zones=zones(chunks),
        start=story.start,
        events=story.events,
        flags=flags,
        fallbacks=fallbacks(chunks),
        untraced=story.untraced,
        overlaps=story.overlaps,
        tried=tried,
    )
