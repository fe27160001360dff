"""``/sys/devices/system/node``: the lists of nodes, and each node's files.

Source: ``drivers/base/node.c``.
"""

from collections.abc import Callable, Iterable

from memhp.core.geometry import NodeId
from memhp.core.ranges import format_list
from memhp.model.kernel import Kernel
from memhp.model.kernel_pages import distance
from memhp.model.tree.driver_core import bus_directory, power_directory, uevent_file
from memhp.model.tree.entries import Directory, Entry, File, Link, text
from memhp.model.tree.huge_pages import huge_page_directory
from memhp.model.tree.meminfo import node_meminfo
from memhp.model.tree.memory import block_number
from memhp.model.tree.processors import format_mask, of_node, processors

_NUMASTAT = (
    "numa_hit", "numa_miss", "numa_foreign", "interleave_hit", "local_node", "other_node",
)  # fmt: skip


def node_directory(kernel: Kernel) -> Directory:
    """The directory of nodes that are online, and the lists beside them."""
    lists: dict[str, Callable[[], Iterable[int]]] = {
        "possible": lambda: kernel.possible_nodes,
        "online": lambda: sorted(kernel.online_nodes),
        "has_memory": lambda: _with_memory(kernel, kernel_only=False),
        "has_normal_memory": lambda: _with_memory(kernel, kernel_only=True),
        "has_cpu": lambda: sorted(kernel.firmware.cpu_nodes),
        "has_generic_initiator": lambda: (),
    }

    entries: dict[str, Entry] = {name: _list_file(numbers) for name, numbers in lists.items()}
    entries |= {"power": power_directory(), "uevent": uevent_file()}

    def names() -> Iterable[str]:
        yield from entries
        yield from _names(kernel)

    def child(name: str) -> Entry | None:
        for node in kernel.online_nodes:
            if name == f"node{node}":
                return _one_node(kernel, node)
        return entries.get(name)

    return Directory(names=names, child=child)


def node_bus(kernel: Kernel) -> Directory:
    """``/sys/bus/node``."""
    return bus_directory(
        "../../../devices/system/node", lambda: _names(kernel), lambda name: name in _names(kernel)
    )


def _names(kernel: Kernel) -> list[str]:
    return [f"node{node}" for node in sorted(kernel.online_nodes)]


def _list_file(numbers: Callable[[], Iterable[int]]) -> File:
    return File(read=lambda: format_list(numbers()) + "\n")


def _with_memory(kernel: Kernel, *, kernel_only: bool) -> list[NodeId]:
    return [
        node
        for node in sorted(kernel.online_nodes)
        if kernel.node_present(node, kernel_only=kernel_only)
    ]


def _one_node(kernel: Kernel, node: NodeId) -> Directory:
    """A node's files, and a link to each of its blocks."""
    files: dict[str, Entry] = {
        "meminfo": File(read=lambda: node_meminfo(kernel, node)),
        "distance": File(read=lambda: _distances(kernel, node)),
        "cpulist": text(format_list(of_node(kernel, node)) + "\n"),
        "cpumap": text(format_mask(of_node(kernel, node), len(processors(kernel))) + "\n"),
        # Model: allocations are not counted.
        "numastat": text("".join(f"{row} 0\n" for row in _NUMASTAT)),
        "power": power_directory(),
        "subsystem": Link(target="../../../../bus/node"),
        "uevent": uevent_file(),
    }
    if kernel.pages is not None:
        files["hugepages"] = huge_page_directory(kernel, node)
    for number in of_node(kernel, node):
        files[f"cpu{number}"] = Link(target=f"../../cpu/cpu{number}")

    def names() -> Iterable[str]:
        yield from files
        for run in kernel.blocks:
            if node in run.value.links:
                for number in range(run.start, run.end):
                    yield f"memory{number}"

    def child(name: str) -> Entry | None:
        number = block_number(name)
        block = None if number is None else kernel.blocks.get(number)
        if block is not None:
            return Link(target=f"../../memory/{name}") if node in block.links else None
        return files.get(name)

    return Directory(names=names, child=child)


def _distances(kernel: Kernel, node: NodeId) -> str:
    return (
        " ".join(str(distance(kernel, node, other)) for other in sorted(kernel.online_nodes)) + "\n"
    )
