"""What memory that comes will meet: files of sysfs, and the command line."""

from enum import StrEnum
from typing import TypeVar

from memhp.core.command_line import parse_command_line
from memhp.core.snapshot import Policy
from memhp.core.words import MemmapOnMemory, OnlinePolicy, OnlineType
from memhp.machines.linux.numbers import number
from memhp.machines.linux.root import MEMORY, Root

_PARAMETERS = "sys/module/memory_hotplug/parameters"
_TREAT_AS_MOVABLE = "proc/sys/vm/hotadd_memory_treat_as_movable"
_W = TypeVar("_W", bound=StrEnum)


def read_command_line(root: Root) -> str:
    """The kernel's command line; empty where it cannot be known. Raises ``MachineError``."""
    return (root.text_if_there("proc/cmdline") or "").strip()


def read_policy(root: Root, command_line: str) -> Policy:
    """The policies in force; ``None`` for what this kernel does not have."""
    numa_aware = root.text_if_there(f"{_PARAMETERS}/auto_movable_numa_aware")
    return Policy(
        auto_online_blocks=_word(OnlineType, root.text_if_there(f"{MEMORY}/auto_online_blocks")),
        online_policy=_word(OnlinePolicy, root.text_if_there(f"{_PARAMETERS}/online_policy")),
        auto_movable_ratio=number(root.text_if_there(f"{_PARAMETERS}/auto_movable_ratio")),
        auto_movable_numa_aware=None if numa_aware is None else numa_aware == "Y",
        memmap_on_memory=_word(
            MemmapOnMemory, root.text_if_there(f"{_PARAMETERS}/memmap_on_memory")
        ),
        movable_node=parse_command_line(command_line).movable_node,
        hotadd_memory_treat_as_movable=root.text_if_there(_TREAT_AS_MOVABLE) == "1",
    )


def _word(words: type[_W], text: str | None) -> _W | None:
    return words(text) if text in set(words) else None
