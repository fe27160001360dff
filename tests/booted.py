"""Small modelled machines for tests, and short words for what is done to them."""

from collections.abc import Callable

from memhp.core.geometry import NodeId
from memhp.core.ranges import PhysRange
from memhp.core.words import ZoneType
from memhp.model.acpi_memory import Verdict, eject, plug_in
from memhp.model.description import parse_description, start
from memhp.model.hardware import give_address
from memhp.model.kernel import Kernel
from memhp.model.steps import KernelRefusal, run
from memhp.model.tree.entries import Directory, File, Link
from memhp.model.tree.tree import Tree

MEMORY = "/sys/devices/system/memory"
PARAMETERS = "/sys/module/memory_hotplug/parameters"
PLAIN = """
kernel = "{kernel}"
command_line = "{line}"
[[node]]
memory = "1G"
cpus = 1
[[node]]
cpus = 0
[[dimm]]
size = "{dimm}"
node = {node}
"""


def booted(text: str) -> Kernel:
    """Boot what a TOML text describes."""
    return start(parse_description(text, "m.toml"))


def with_dimm(
    line: str = "memhp_default_state=offline",
    *,
    dimm: str = "1G",
    node: int = 0,
    kernel: str = "6.12",
) -> Kernel:
    """One GiB at boot and a DIMM at 4 GiB: with blocks of 128 MiB, those from 32 on."""
    return booted(PLAIN.format(kernel=kernel, line=line, dimm=dimm, node=node))


def write(kernel: Kernel, number: int, word: str) -> str:
    """Write to a block's ``state``; returns the errno's name, or nothing."""
    return write_file(kernel, f"{MEMORY}/memory{number}/state", word)


def write_file(kernel: Kernel, path: str, word: str) -> str:
    """Write to any file; returns the errno's name, or nothing."""
    try:
        Tree(kernel).write(path, word)
    except KernelRefusal as refusal:
        return refusal.errno_name
    return ""


def zones(kernel: Kernel, *numbers: int) -> list[str]:
    """What ``valid_zones`` of each block reads."""
    return [Tree(kernel).read(f"{MEMORY}/memory{number}/valid_zones").strip() for number in numbers]


def states(kernel: Kernel, *numbers: int) -> list[str]:
    """What ``state`` of each block reads."""
    return [Tree(kernel).read(f"{MEMORY}/memory{number}/state").strip() for number in numbers]


def span(kernel: Kernel, node: int, zone: ZoneType) -> tuple[int, int]:
    """A zone's span in whole memory blocks, half-open; ``(0, 0)`` where it spans nothing."""
    found = kernel.zone(NodeId(node), zone)
    per_block = kernel.pages_per_block
    return found.start_pfn // per_block, -(-found.end_pfn // per_block)


def pull(kernel: Kernel, slot: str) -> Verdict:
    """Ask for a DIMM to be ejected."""
    return run(eject(kernel, kernel.slots[slot]))


def plug(kernel: Kernel, slot: str) -> Verdict:
    """Put a waiting DIMM in."""
    give_address(kernel, kernel.slots[slot])
    return run(plug_in(kernel, kernel.slots[slot]))


def shown(kernel: Kernel) -> dict[str, str]:
    """Every file of a machine's tree with its text, and every link with its target."""
    tree = Tree(kernel)
    found: dict[str, str] = {}
    paths = [""]
    while paths:
        path = paths.pop()
        match tree.find(path, follow=False):
            case Directory() as entry:
                paths.extend(f"{path}/{name}" for name in entry.names())
            case Link(target=target):
                found[path] = target
            case File(read=read) if read is not None:
                found[path] = _text(read)
            case _:
                pass
    return found


def _text(read: Callable[[], str | bytes]) -> str:
    """What a file holds, or what its reader is refused with."""
    try:
        return str(read())
    except KernelRefusal as refusal:
        return refusal.errno_name


def gib(start: int, end: int) -> PhysRange:
    """A range in whole GiB."""
    return PhysRange(start=start << 30, end=end << 30)
