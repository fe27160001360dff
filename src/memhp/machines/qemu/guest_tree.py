"""The files of a guest that tell of its memory, brought to the host as a tree.

A script prints them, with as few programs as can be, for starting one takes a
guest longer than what it prints; an agent that runs no programs is asked for them
file by file. What comes from a guest is not trusted: only known paths are
written, and no links.
"""

import itertools
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from memhp.core.errors import ContactLost
from memhp.core.ranges import parse_list
from memhp.core.snapshot import Want
from memhp.machines.qemu.agent import Agent

MEMORY: Final = "sys/devices/system/memory"
NODES: Final = "sys/devices/system/node"
_PARAMETERS: Final = "sys/module/memory_hotplug/parameters"
_OF_WANT: Final[Mapping[Want, tuple[str, ...]]] = {
    Want.BLOCKS: (f"{MEMORY}/block_size_bytes", f"{NODES}/online"),
    Want.NODES: tuple(f"{NODES}/{n}" for n in ("has_memory", "has_normal_memory", "has_cpu")),
    Want.POLICY: (
        f"{MEMORY}/auto_online_blocks",
        f"{_PARAMETERS}/online_policy",
        f"{_PARAMETERS}/auto_movable_ratio",
        f"{_PARAMETERS}/auto_movable_numa_aware",
        f"{_PARAMETERS}/memmap_on_memory",
        "proc/cmdline",
    ),
    Want.ROOM: ("proc/meminfo",),
    Want.IOMEM: ("proc/iomem",),
    Want.ZONES: ("proc/zoneinfo",),
}
_SINGLE: Final = frozenset(itertools.chain(*_OF_WANT.values()))
_OF_BLOCK: Final = ("state", "removable")
_ZONES: Final = "valid_zones"
_HEAD: Final = """export LC_ALL=C
cd / || exit 1
slow() { for f; do [ -r $f ] || continue
while IFS= read -r l; do echo "$f:$l"; done < $f; done; }
show() { grep -H "" "$@" 2>/dev/null; [ $? -lt 126 ] || slow "$@"; }
"""
_NUMBERED: Final = re.compile(
    rf"{MEMORY}/memory[0-9]{{1,9}}/({'|'.join((*_OF_BLOCK, _ZONES))})"
    rf"|{NODES}/node[0-9]{{1,4}}/distance"
)
_BY_NODE: Final = re.compile(rf"{NODES}/node[0-9]{{1,4}}/(memory[0-9]{{1,9}}/{_ZONES})")
_FOLDER: Final = re.compile(rf"{NODES}/node[0-9]{{1,4}}/memory[0-9]{{1,9}}")
_MOST_LINES: Final = 1 << 22


def script_for(want: Want, *, removable: bool = False) -> str:
    """The script that prints what the wanted parts of a snapshot are made of.

    One ``grep`` prints the files of all blocks, ``path:line``; where they are too
    many for one, or there is none, the shell itself does. Zones are read by way
    of the block's node: asked for them before a new block has its node, Linux 6.12
    crashes (``valid_zones_show()``, ``zone_for_pfn_range()``), and that link comes last.
    """
    files = _files_of(want)
    files += [f"{NODES}/node[0-9]*/distance"] if Want.NODES in want else []
    names = _OF_BLOCK if removable else _OF_BLOCK[:-1]
    files += [f"{MEMORY}/memory[0-9]*/{name}" for name in names]
    return f"""{_HEAD}for b in {NODES}/node[0-9]*/memory[0-9]*; do [ ! -e $b ] || echo "/$b"; done
by={NODES}/node[0-9]*; [ -d {NODES} ] || by={MEMORY}
show {" ".join(files)} $by/memory[0-9]*/{_ZONES}
echo .
"""


def plant(text: str, folder: Path, machine: str) -> None:
    """Make a tree of what the script printed; raises ``ContactLost`` where it is not whole."""
    lines = text.splitlines()
    if not lines or lines[-1] != "." or len(lines) > _MOST_LINES:
        raise ContactLost(machine=machine, problem="sent its files cut short", advice="try again")
    for found, content in _files(lines):
        by_node = _BY_NODE.fullmatch(found)
        path = found if by_node is None else f"{MEMORY}/{by_node[1]}"
        if content is None and _FOLDER.fullmatch(path):
            (folder / path).mkdir(parents=True, exist_ok=True)
        elif content is not None and (path in _SINGLE or _NUMBERED.fullmatch(path)):
            _write(folder / path, content)


async def fetch(agent: Agent, folder: Path, want: Want) -> None:
    """Make the same tree file by file, for an agent that runs no programs."""
    for path in _files_of(want):
        await _fetch_one(agent, folder, path)
    blocks = sorted(await agent.blocks())
    nodes = folder / NODES / "online"
    numbers = parse_list(nodes.read_text().strip()) if nodes.exists() else ()
    for number in blocks:
        for name in _OF_BLOCK:
            await _fetch_one(agent, folder, f"{MEMORY}/memory{number}/{name}")
        if not numbers:
            await _fetch_one(agent, folder, f"{MEMORY}/memory{number}/{_ZONES}")
        for node in numbers:
            place = f"{NODES}/node{node}/memory{number}"
            # A folder cannot be listed; a file in it can be opened or not.
            zones = await agent.read_file(f"/{place}/{_ZONES}")
            if zones is not None:
                (folder / place).mkdir(parents=True, exist_ok=True)
                text = zones.decode("utf-8", "replace")
                _write(folder / MEMORY / f"memory{number}" / _ZONES, text)
                break
    for node in numbers:
        await _fetch_one(agent, folder, f"{NODES}/node{node}/distance")


async def _fetch_one(agent: Agent, folder: Path, path: str) -> None:
    content = await agent.read_file(f"/{path}")
    if content is not None:
        _write(folder / path, content.decode("utf-8", "replace"))


def _files(lines: Iterable[str]) -> Iterator[tuple[str, str | None]]:
    """Each path with its content; a folder has none."""
    for path, of_path in itertools.groupby(lines, lambda line: line.partition(":")[0]):
        content = [line.partition(":")[1:] for line in of_path]
        if path.startswith("/"):
            yield path[1:], None
        elif all(colon for colon, _ in content):
            yield path, "".join(f"{text}\n" for _, text in content)


def _files_of(want: Want) -> list[str]:
    """Those of the wanted parts; blocks are always read, for they tell what has been taken."""
    return [
        path for part, paths in _OF_WANT.items() if part in want | Want.BLOCKS for path in paths
    ]


def _write(file: Path, content: str) -> None:
    try:
        _fill(file, content)
    except FileNotFoundError:
        file.parent.mkdir(parents=True, exist_ok=True)
        _fill(file, content)


def _fill(file: Path, content: str) -> None:
    # There are hundreds of them, and pathlib takes three times as long.
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(handle, content.encode())
    finally:
        os.close(handle)
