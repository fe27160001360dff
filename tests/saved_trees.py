"""Trees of a Linux machine's files in a folder, of many shapes."""

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from memhp.model.kernel import Kernel
from memhp.model.steps import KernelRefusal
from memhp.model.tree.entries import Directory, File, Link
from memhp.model.tree.tree import Tree

MEMORY = "sys/devices/system/memory"
NODES = "sys/devices/system/node"


@dataclass(frozen=True, kw_only=True)
class SavedBlock:
    """What the files of a block read; ``None`` where there is no file."""

    state: str | None = "online"
    removable: str | None = "1"
    valid_zones: str | None = "Normal"
    nodes: tuple[int, ...] = (0,)


def save_tree(
    root: Path,
    blocks: Mapping[int, SavedBlock],
    *,
    block_size: str | None = "8000000",
    node_folders: bool = True,
) -> Path:
    """Write a tree with these blocks; returns its root."""
    memory = root / MEMORY
    memory.mkdir(parents=True)
    if block_size is not None:
        (memory / "block_size_bytes").write_text(f"{block_size}\n")
    for number, block in blocks.items():
        folder = memory / f"memory{number}"
        folder.mkdir()
        for name in ("state", "removable", "valid_zones"):
            text = getattr(block, name)
            if text is not None:
                (folder / name).write_text(f"{text}\n")
        for node in block.nodes:
            (folder / f"node{node}").symlink_to(f"../../node/node{node}")
            if node_folders:
                links = root / NODES / f"node{node}"
                links.mkdir(parents=True, exist_ok=True)
                (links / f"memory{number}").symlink_to(f"../../memory/memory{number}")
    return root


def unpack(archive: Path, root: Path) -> Path:
    """Unpack a tree that was saved from a real guest; returns its root."""
    subprocess.run(["tar", "xzf", archive, "-C", root], check=True)
    return root


def save_model(root: Path, kernel: Kernel) -> Path:
    """Write out the tree of a modelled machine; returns its root."""
    tree = Tree(kernel)
    paths = [""]
    while paths:
        path = paths.pop()
        match tree.find(path, follow=False):
            case Directory() as entry:
                (root / path.lstrip("/")).mkdir(parents=True, exist_ok=True)
                paths.extend(f"{path}/{name}" for name in entry.names())
            case Link(target=target):
                (root / path.lstrip("/")).symlink_to(target)
            case File(read=read) if read is not None:
                try:
                    (root / path.lstrip("/")).write_bytes(tree.read_bytes(path))
                except KernelRefusal:
                    continue
            case _:
                continue
    return root
