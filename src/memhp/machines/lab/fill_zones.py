"""Watch a real kernel give anonymous memory out of its zones until there is no more."""

import re
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from memhp.core.errors import MachineError
from memhp.core.geometry import MIB, NodeId
from memhp.core.guest_shape import BootDimm, GuestShape
from memhp.core.words import OnlineType
from memhp.machines.lab.carried import Carried
from memhp.machines.lab.guest import Guest
from memhp.machines.lab.page_program import compile_page_program
from memhp.machines.lab.record_pages import KERNEL
from memhp.machines.lab.serial_shell import SerialShell
from memhp.model.allocations.filling import Filling, ZoneAtStart

STEP_MIB: Final = 4
_PROGRAM: Final = "/bin/page_fill"
_RATIO: Final = "/proc/sys/vm/lowmem_reserve_ratio"
_MEMORY: Final = "/sys/devices/system/memory"
_BOOT_MIB: Final = 768
_SECONDS: Final = 180.0
_ZONE: Final = re.compile(r"^Node (\d+), zone +(\w+)$", re.MULTILINE)
_PROTECTION: Final = re.compile(r"protection: \((.*?)\)")
_HIGH: Final = re.compile(r"^ +high: +(\d+)$", re.MULTILINE)


def fill_zones(
    guest: Guest,
    ratio: str | None,
    *,
    kernel: str = KERNEL,
    kernel_mib: int = 256,
    movable_mib: int = 512,
) -> Filling:
    """Boot a guest with all zones, let a program take all it can, and put the guest down.

    The guest has DMA and DMA32 from boot, and DIMMs that come online as Normal
    and as Movable. ``ratio`` is for ``vm.lowmem_reserve_ratio``; none leaves it.
    Raises ``MachineError``.
    """
    sizes = (kernel_mib, movable_mib)
    shape = GuestShape(
        kernel=kernel,
        nodes=(_BOOT_MIB * MIB,),
        command_line="memhp_default_state=offline transparent_hugepage=never",
        dimms=tuple(BootDimm(size_bytes=size * MIB, node=NodeId(0)) for size in sizes),
    )
    carried = Carried(files={_PROGRAM: compile_page_program("page_fill")})
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        try:
            guest.up(shape, carried, list(_options(out)))
            with guest.shell() as shell:
                _online(shell, kernel_mib, movable_mib)
                if ratio is not None:
                    shell.run(f"echo {ratio} > {_RATIO}")
                used = shell.run(f"cat {_RATIO}")[1].split()
                most = _BOOT_MIB + kernel_mib + movable_mib
                shell.run(f"chmod +x {_PROGRAM}; {_PROGRAM} {most} $(echo /dev/vport*p1) &")
                release = shell.run("uname -r")[1].strip()
                return _filling(_wait(out), release, " ".join(used))
        finally:
            if guest.folder.is_dir():
                guest.down()


def _options(out: Path) -> Iterator[str]:
    yield from ("-device", "virtio-serial-pci", "-chardev", f"file,id=out,path={out}")
    yield from ("-device", "virtserialport,chardev=out,name=memhp.pages")


def _online(shell: SerialShell, kernel_mib: int, movable_mib: int) -> None:
    """Bring the first DIMM online as Normal, the second as Movable."""
    offline = f"for d in {_MEMORY}/memory[0-9]*; do read s < $d/state; "
    offline += '[ "$s" = offline ] && echo ${d##*/memory}; done | sort -n'
    blocks = shell.run(offline)[1].split()
    kernel = len(blocks) * kernel_mib // (kernel_mib + movable_mib)
    for index, block in enumerate(blocks):
        word = OnlineType.ONLINE_KERNEL if index < kernel else OnlineType.ONLINE_MOVABLE
        shell.run(f"echo {word} > {_MEMORY}/memory{block}/state")


def _wait(out: Path) -> bytes:
    end = time.monotonic() + _SECONDS
    while time.monotonic() < end:
        data = out.read_bytes()
        if data.endswith(b"end 0\n"):
            return data
        time.sleep(0.3)
    raise MachineError(machine="lab:", problem="did not fill its memory in time")


def _filling(data: bytes, kernel: str, ratio: str) -> Filling:
    begin, *steps = _texts(data)
    return Filling(
        kernel=kernel,
        ratio=ratio,
        step_mib=STEP_MIB,
        zones=tuple(_zone_at_start(*found) for found in _zone_texts(begin)),
        free=tuple(
            tuple(_number("pages free", text) for _, _, text in _zone_texts(step)) for step in steps
        ),
    )


def _texts(data: bytes) -> Iterator[str]:
    """What zoneinfo said before, and after every step."""
    at, text, steps = 0, b"", False
    while (end := data.find(b"\n", at)) >= 0:
        name, length = data[at:end].decode().rsplit(" ", 1)
        at = end + 1 + int(length)
        if name == "step" and not steps:
            yield text.decode()
            text, steps = b"", True
        if name == "next":
            yield text.decode()
            text = b""
        text += data[end + 1 : at]


def _zone_texts(text: str) -> Iterator[tuple[int, str, str]]:
    parts: Sequence[str] = _ZONE.split(text)[1:]
    for node, zone, rest in zip(parts[::3], parts[1::3], parts[2::3], strict=True):
        if _number("managed", rest):
            yield int(node), zone, rest


def _zone_at_start(node: int, zone: str, text: str) -> ZoneAtStart:
    protection = _PROTECTION.search(text)
    in_list = _HIGH.search(text)
    return ZoneAtStart(
        node=node,
        zone=zone,
        managed=_number("managed", text),
        free=_number("pages free", text),
        minimum=_number("min", text),
        low=_number("low", text),
        high=_number("high", text),
        protection=tuple(map(int, protection[1].split(", "))) if protection else (),
        list_high=int(in_list[1]) if in_list else 0,
    )


def _number(name: str, text: str) -> int:
    found = re.search(rf"^ +{name} +(\d+)$", text, re.MULTILINE)
    return int(found[1]) if found else 0
