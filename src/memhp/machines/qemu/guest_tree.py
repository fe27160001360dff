"""The files of a guest that tell of its memory, brought to the host as a tree.

A script prints them, shell builtins alone, for a program started for each file
would take most of the time; an agent that runs no programs is asked for them
file by file. What comes from a guest is not trusted: only known paths are
written, and no links.
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from memhp.core.errors import ContactLost
from memhp.core.ranges import parse_list
from memhp.machines.qemu.agent import Agent

MEMORY: Final = "sys/devices/system/memory"
NODES: Final = "sys/devices/system/node"
_PARAMETERS: Final = "sys/module/memory_hotplug/parameters"
_SINGLE: Final = (
    f"{MEMORY}/block_size_bytes",
    f"{MEMORY}/auto_online_blocks",
    *(
        f"{_PARAMETERS}/{name}"
        for name in (
            "online_policy",
            "auto_movable_ratio",
            "auto_movable_numa_aware",
            "memmap_on_memory",
        )
    ),
    *(f"{NODES}/{name}" for name in ("online", "has_memory", "has_normal_memory", "has_cpu")),
    "proc/cmdline",
    "proc/meminfo",
    "proc/iomem",
    "proc/zoneinfo",
)
_OF_BLOCK: Final = ("state", "valid_zones", "removable")
SCRIPT: Final = f"""export LC_ALL=C
show() {{ [ -r $1 ] || return; echo "=$1"; while IFS= read -r l; do echo "+$l"; done < $1; }}
cd / || exit 1
for f in {" ".join(_SINGLE)}; do show $f; done
for d in {NODES}/node[0-9]*; do show $d/distance
for b in $d/memory[0-9]*; do [ -e $b ] && echo "/$b"; done; done
for d in {MEMORY}/memory[0-9]*; do for f in {" ".join(_OF_BLOCK)}; do
read l < $d/$f && echo "=$d/$f" && echo "+$l"; done; done
echo .
"""
_NUMBERED: Final = re.compile(
    rf"{MEMORY}/memory[0-9]{{1,9}}/({'|'.join(_OF_BLOCK)})|{NODES}/node[0-9]{{1,4}}/distance"
)
_FOLDER: Final = re.compile(rf"{NODES}/node[0-9]{{1,4}}/memory[0-9]{{1,9}}")
_MOST_LINES: Final = 1 << 22


def plant(text: str, folder: Path, machine: str) -> None:
    """Make a tree of what the script printed; raises ``ContactLost`` where it is not whole."""
    lines = text.splitlines()
    if not lines or lines[-1] != "." or len(lines) > _MOST_LINES:
        raise ContactLost(machine=machine, problem="sent its files cut short", advice="try again")
    for path, content in _files(lines):
        if content is None and _FOLDER.fullmatch(path):
            (folder / path).mkdir(parents=True, exist_ok=True)
        elif content is not None and (path in _SINGLE or _NUMBERED.fullmatch(path)):
            _write(folder / path, content)


async def fetch(agent: Agent, folder: Path) -> None:
    """Make the same tree file by file, for an agent that runs no programs."""
    for path in _SINGLE:
        await _fetch_one(agent, folder, path)
    blocks = sorted(await agent.blocks())
    nodes = folder / NODES / "online"
    numbers = parse_list(nodes.read_text().strip()) if nodes.exists() else ()
    for number in blocks:
        for name in _OF_BLOCK:
            await _fetch_one(agent, folder, f"{MEMORY}/memory{number}/{name}")
        for node in numbers:
            place = f"{NODES}/node{node}/memory{number}"
            # A folder cannot be listed; a file in it can be opened or not.
            if await agent.read_file(f"/{place}/state") is not None:
                (folder / place).mkdir(parents=True, exist_ok=True)
                break
    for node in numbers:
        await _fetch_one(agent, folder, f"{NODES}/node{node}/distance")


async def _fetch_one(agent: Agent, folder: Path, path: str) -> None:
    content = await agent.read_file(f"/{path}")
    if content is not None:
        _write(folder / path, content.decode("utf-8", "replace"))


def _files(lines: Iterable[str]) -> Iterator[tuple[str, str | None]]:
    """Each path with its content; a folder has none."""
    path: str | None = None
    content: list[str] = []
    for line in lines:
        if line.startswith("+"):
            content.append(line[1:])
            continue
        if path is not None:
            yield path, "".join(f"{text}\n" for text in content)
        path, content = None, []
        if line.startswith("="):
            path = line[1:]
        elif line.startswith("/"):
            yield line[1:], None


def _write(file: Path, content: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content, encoding="utf-8")
