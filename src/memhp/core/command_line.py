"""The memory part of a kernel command line, read as the kernel reads it.

The kernel forgives much: a parameter that it does not know is passed on, a
value that it cannot read is ignored. ``CommandLine.ignored`` names what it
would ignore, so that a person can be told.
"""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TypeVar

from memhp.core.geometry import pages_of
from memhp.core.words import MemmapOnMemory, OnlinePolicy, OnlineType

_NUMBER = re.compile(r"(0[xX][0-9a-fA-F]+|\d+)([kKmMgGtTpPeE]?)")
_SHIFTS = {"": 0, "k": 10, "m": 20, "g": 30, "t": 40, "p": 50, "e": 60}
_W = TypeVar("_W", OnlineType, OnlinePolicy)
_TRUE = ("y", "t", "1", "on")
_FALSE = ("n", "f", "0", "of")


@dataclass(frozen=True, slots=True, kw_only=True)
class HugePages:
    """One ``hugepagesz=``/``hugepages=`` pair; ``node`` where it was given for one."""

    size_bytes: int
    nr_pages: int
    node: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandLine:
    """What the memory parameters ask for; amounts of memory are pages.

    ``kernelcore_percent`` and ``movablecore_percent`` are in hundredths of all
    memory; zero means that none was given (``cmdline_parse_core()``).
    ``mem_bytes`` holds each ``mem=`` in order. ``movablecore_acpi`` is a
    proposal of 2013 that no released kernel has.
    """

    text: str = ""
    movable_node: bool = False
    kernelcore_mirror: bool = False
    kernelcore_pages: int = 0
    kernelcore_percent: int = 0
    movablecore_pages: int = 0
    movablecore_percent: int = 0
    movablecore_acpi: bool = False
    mem_bytes: tuple[int, ...] = ()
    default_state: OnlineType | None = None
    online_policy: OnlinePolicy = OnlinePolicy.CONTIG_ZONES
    auto_movable_ratio: int = 301
    auto_movable_numa_aware: bool = True
    memmap_on_memory: MemmapOnMemory = MemmapOnMemory.OFF
    hugepages: tuple[HugePages, ...] = ()
    ignored: tuple[str, ...] = field(default=())


def parse_command_line(text: str, *, memmap_force: bool = True) -> CommandLine:
    """Read a command line; what the kernel would ignore is listed, never raised.

    ``memmap_force`` tells whether this kernel knows ``memmap_on_memory=force``.
    """
    line = CommandLine(text=text)
    huge_size_bytes = 2 << 20
    for name, value in _parameters(text):
        if name == "hugepagesz":
            huge_size_bytes = (_memparse(value or "") or (0, ""))[0] or huge_size_bytes
            continue
        changed = _take(line, name, value, huge_size_bytes, memmap_force=memmap_force)
        if changed is None:
            shown = name if value is None else f"{name}={value}"
            changed = replace(line, ignored=(*line.ignored, shown))
        line = changed
    return line


def _parameters(text: str) -> Iterator[tuple[str, str | None]]:
    """Split as ``parse_args()`` does: ``-`` and ``_`` are one letter, ``--`` ends it."""
    try:
        words = shlex.split(text, comments=False, posix=True)
    except ValueError:
        words = text.split()
    for word in words:
        if word == "--":
            return
        name, equals, value = word.partition("=")
        yield name.replace("-", "_"), (value if equals else None)


def _take(
    line: CommandLine, name: str, value: str | None, huge: int, *, memmap_force: bool
) -> CommandLine | None:
    """Apply one parameter; ``None`` where the kernel would ignore its value."""
    match name:
        case "movable_node":
            return replace(line, movable_node=True)
        case "kernelcore":
            return _kernelcore(line, value)
        case "movablecore":
            return _movablecore(line, value)
        case "mem":
            return _mem(line, value)
        case "memhp_default_state":
            word = _member(OnlineType, value)
            return None if word is None else replace(line, default_state=word)
        case "hugepages":
            return _hugepages(line, value, huge)
        case _ if name.startswith("memory_hotplug."):
            return _module_parameter(line, name.partition(".")[2], value, memmap_force=memmap_force)
    return line


def _kernelcore(line: CommandLine, value: str | None) -> CommandLine | None:
    if value is None:
        return None
    if "mirror" in value.split(","):
        return replace(line, kernelcore_mirror=True)
    percent, pages = _core(value)
    if percent is not None:
        return replace(line, kernelcore_percent=percent)
    if pages is None:
        return None
    return replace(line, kernelcore_pages=pages, kernelcore_percent=0)


def _movablecore(line: CommandLine, value: str | None) -> CommandLine | None:
    if value is None:
        return None
    if value == "acpi":
        return replace(line, movablecore_acpi=True)
    percent, pages = _core(value)
    if percent is not None:
        return replace(line, movablecore_percent=percent)
    if pages is None:
        return None
    return replace(line, movablecore_pages=pages, movablecore_percent=0)


def _core(value: str) -> tuple[int | None, int | None]:
    """``cmdline_parse_core()``: a percentage, or an amount in pages."""
    parsed = _memparse(value)
    if parsed is None:
        return None, None
    size_bytes, rest = parsed
    if rest.startswith("%"):
        return size_bytes, None
    return None, pages_of(size_bytes)


def _mem(line: CommandLine, value: str | None) -> CommandLine | None:
    parsed = _memparse(value or "")
    if parsed is None or parsed[0] == 0:
        return None
    return replace(line, mem_bytes=(*line.mem_bytes, parsed[0]))


def _hugepages(line: CommandLine, value: str | None, size_bytes: int) -> CommandLine | None:
    pools: list[HugePages] = []
    for part in (value or "").split(","):
        node, colon, count = part.partition(":")
        number = count if colon else node
        if not number.isdigit() or (colon and not node.isdigit()):
            return None
        pools.append(
            HugePages(
                size_bytes=size_bytes, nr_pages=int(number), node=int(node) if colon else None
            )
        )
    return replace(line, hugepages=(*line.hugepages, *pools))


def _module_parameter(
    line: CommandLine, name: str, value: str | None, *, memmap_force: bool
) -> CommandLine | None:
    match name:
        case "online_policy":
            policy = _member(OnlinePolicy, value)
            return None if policy is None else replace(line, online_policy=policy)
        case "auto_movable_ratio":
            ratio = parse_uint(value or "")
            return None if ratio is None else replace(line, auto_movable_ratio=ratio)
        case "auto_movable_numa_aware":
            aware = True if value is None else parse_bool(value)
            return None if aware is None else replace(line, auto_movable_numa_aware=aware)
        case "memmap_on_memory":
            mode = _memmap_mode(value, memmap_force=memmap_force)
            return None if mode is None else replace(line, memmap_on_memory=mode)
    return line


def _memmap_mode(value: str | None, *, memmap_force: bool) -> MemmapOnMemory | None:
    """6.12 takes ``force`` and wants a value; 6.1 is a plain bool parameter."""
    if value is None:
        return None if memmap_force else MemmapOnMemory.ON
    if memmap_force and value in {"force", "FORCE"}:
        return MemmapOnMemory.FORCE
    on = parse_bool(value)
    if on is None:
        return None
    return MemmapOnMemory.ON if on else MemmapOnMemory.OFF


def parse_bool(text: str) -> bool | None:
    """Read a truth value as ``kstrtobool()`` does: the first letters decide."""
    word = text.lower()
    if word.startswith(_TRUE):
        return True
    if word.startswith(_FALSE):
        return False
    return None


def parse_uint(text: str) -> int | None:
    """Read a number as ``kstrtouint(…, 0, …)`` does; ``None`` where it would not."""
    word = text.removesuffix("\n").removeprefix("+")
    try:
        if word.lower().startswith("0x"):
            number = int(word, 16) if word[2:].isalnum() else -1
        elif not word.isdigit():
            return None
        else:
            number = int(word, 8) if word.startswith("0") and len(word) > 1 else int(word)
    except ValueError:
        return None
    return number if 0 <= number < 1 << 32 else None


def _memparse(text: str) -> tuple[int, str] | None:
    """``memparse()``: a number with K, M, G, T, P or E, and what follows it."""
    match = _NUMBER.match(text)
    if match is None:
        return None
    digits = match[1]
    octal = digits.startswith("0") and digits.isdigit() and len(digits) > 1
    try:
        number = int(digits, 8) if octal else int(digits, 0)
    except ValueError:
        return None
    return number << _SHIFTS[match[2].lower()], text[match.end() :]


def _member(words: type[_W], value: str | None) -> _W | None:
    return next((word for word in words if word == value), None)
