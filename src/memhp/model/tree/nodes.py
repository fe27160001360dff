"""``/sys/devices/system/node``: the lists of nodes, and each node's files.

Source: ``drivers/base/node.c``.
"""

from collections.abc import Callable, Iterable

from memhp.core.geometry import NodeId
from memhp.core.ranges import format_list
from memhp.model.kernel import Kernel
from memhp.model.kernel_pages import distance
from memhp.model.tree.entries import Directory, Entry, File, Link, text
from memhp.model.tree.meminfo import node_meminfo
from memhp.model.tree.memory import block_number


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

    def names() -> Iterable[str]:
        yield from lists
        for node in sorted(kernel.online_nodes):
            yield f"node{node}"

    def child(name: str) -> Entry | None:
        if name in lists:
            return _list_file(lists[name])
        for node in kernel.online_nodes:
            if name == f"node{node}":
                return _one_node(kernel, node)
        return None

    return Directory(names=names, child=child)


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
        "cpulist": text(_cpulist(kernel, node)),
        "uevent": text(""),
    }

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


def _cpulist(kernel: Kernel, node: NodeId) -> str:
    """Model: one processor a node that has any."""
    nodes = sorted(kernel.firmware.cpu_nodes)
    return f"{nodes.index(node)}\n" if node in nodes else "\n"
