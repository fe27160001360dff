"""``/sys/devices/system/cpu``: which processors there are, and on which node.

Source: ``drivers/base/cpu.c``.

Model: one processor a node that has any; of a processor's own files, the link to
its node alone.
"""

from memhp.core.geometry import NodeId
from memhp.core.ranges import format_list
from memhp.model.kernel import Kernel
from memhp.model.tree.driver_core import power_directory, uevent_file
from memhp.model.tree.entries import Directory, Entry, Link, directory, text

_MOST_PROCESSORS = 8192
_BITS_A_WORD = 32


def processor_directory(kernel: Kernel) -> Directory:
    """The lists of processors, and a directory for each."""
    nodes = processors(kernel)
    there = format_list(range(len(nodes))) + "\n"
    entries: dict[str, Entry] = {name: text(there) for name in ("online", "possible", "present")}
    entries |= {
        "kernel_max": text(f"{_MOST_PROCESSORS - 1}\n"),
        "offline": text("\n"),
        "power": power_directory(),
        "uevent": uevent_file(),
    }
    for number, node in enumerate(nodes):
        entries[f"cpu{number}"] = directory({f"node{node}": Link(target=f"../../node/node{node}")})
    return directory(entries)


def processors(kernel: Kernel) -> list[NodeId]:
    """The node of each processor, by its number."""
    return sorted(kernel.firmware.cpu_nodes)


def of_node(kernel: Kernel, node: NodeId) -> list[int]:
    """The numbers of a node's processors."""
    return [number for number, its in enumerate(processors(kernel)) if its == node]


def format_mask(numbers: list[int], nr_bits: int) -> str:
    """A mask as ``%*pb`` prints it: words of 32 bits, the first only as wide as it need be."""
    mask = sum(1 << number for number in numbers)
    words = []
    for low in reversed(range(0, nr_bits, _BITS_A_WORD)):
        bits = min(_BITS_A_WORD, nr_bits - low)
        words.append(f"{(mask >> low) & 0xFFFFFFFF:0{-(-bits // 4)}x}")
    return ",".join(words)
