"""Who is bound to nodes of a Linux machine: by a policy, by a cgroup, by what it may use at all."""

import os
import re
from collections.abc import Iterator

from memhp.core.errors import MachineError
from memhp.core.geometry import NodeId
from memhp.core.surroundings import Binding
from memhp.machines.linux.numbers import number_list
from memhp.machines.linux.root import Root

Nodes = tuple[NodeId, ...]
_CGROUPS = "sys/fs/cgroup"
_DEEPEST = 32
_POLICY = re.compile(
    rb"^[0-9a-f]+ (?:bind|prefer(?: \(many\))?|(?:weighted )?interleave)[^:\s]*:([0-9,-]+) ",
    re.MULTILINE,
)
"""Source: ``mpol_to_str()``. ``local`` and ``default`` bind nobody."""
_ALLOWED = re.compile(r"^Mems_allowed_list:\s*([0-9,-]+)$", re.MULTILINE)


def read_bindings(root: Root, memory_nodes: Nodes) -> Iterator[Binding]:
    """Everything that may not, or should not, use every node that has memory.

    A task is told of where no cgroup says the same of it. Raises ``MachineError``.
    """
    cgroups = tuple(_cgroups(root, _CGROUPS, "/", _DEEPEST))
    bound = [group for group in cgroups if is_bound(group.nodes, memory_nodes)]
    yield from bound
    known = {group.nodes for group in bound}
    for pid in _pids(root):
        if root.is_live and int(pid) == os.getpid():
            continue
        allowed = allowed_nodes(root, pid)
        sets = _policies(root, pid)
        if allowed is not None and allowed not in known:
            sets.add(allowed)
        for nodes in sorted(sets):
            if is_bound(nodes, memory_nodes):
                yield Binding(who=f"{_name(root, pid)} ({pid})", nodes=nodes)


def count_unreadable(root: Root) -> int:
    """Count the processes whose policies this user may not see, by merely opening their files."""
    return sum(_is_closed(root.path(f"proc/{pid}/numa_maps")) for pid in _pids(root))


def _is_closed(path: str) -> bool:
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK))
    except PermissionError:
        return True
    except OSError:
        return False  # it has ended, or the kernel knows no policies
    return False


def _pids(root: Root) -> list[str]:
    return sorted((name for name in root.names("proc") if name.isdecimal()), key=int)


def is_bound(nodes: Nodes, memory_nodes: Nodes) -> bool:
    """Whether some of the nodes with memory are left out."""
    return bool(nodes) and not set(memory_nodes) <= set(nodes)


def allowed_nodes(root: Root, pid: str) -> Nodes | None:
    """The nodes on which a process may have pages; ``None`` where it has ended."""
    found = _ALLOWED.search(_text(root, f"proc/{pid}/status"))
    return None if found is None else _nodes(found[1])


def _policies(root: Root, pid: str) -> set[Nodes]:
    """The sets of nodes that a process's own policies name; none of one that is not ours to see."""
    try:
        maps = root.read_if_there(f"proc/{pid}/numa_maps") or b""
    except MachineError:
        return set()
    return {_nodes(found.decode()) for found in set(_POLICY.findall(maps))}


def _cgroups(root: Root, folder: str, name: str, depth: int) -> Iterator[Binding]:
    names = root.names(folder)
    if "cpuset.mems" in names:
        nodes = _nodes(_text(root, f"{folder}/cpuset.mems"))
        if nodes:
            yield Binding(who=f"cgroup {name}", nodes=nodes)
    for child in sorted(names) if depth else ():
        path = f"{folder}/{child}"
        if os.path.isdir(root.path(path)) and not os.path.islink(root.path(path)):
            yield from _cgroups(root, path, f"{name.rstrip('/')}/{child}", depth - 1)


def _name(root: Root, pid: str) -> str:
    return _text(root, f"proc/{pid}/comm") or "process"


def _text(root: Root, path: str) -> str:
    """A file's text; empty where it is gone, as a process may be at any moment."""
    try:
        return root.text_if_there(path) or ""
    except MachineError:
        return ""


def _nodes(text: str) -> Nodes:
    return tuple(NodeId(number) for number in number_list(text.strip() or None))
