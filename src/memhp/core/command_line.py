"""The memory part of a kernel command line, read as the kernel reads it.

The kernel forgives much: a parameter that it does not know is passed on, a
value that it cannot read is ignored. ``CommandLine.ignored`` names what it
would ignore, so that a person can be told.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TypeVar

from memhp.core.geometry import pages_of
from memhp.core.words import MemmapOnMemory, OnlinePolicy, OnlineType

_WORD = re.compile(r'(?:[^\s"]|"[^"]*(?:"|\Z))+', re.ASCII)
_NUMBER = re.compile(r"0[xX](?P<hex>[0-9a-fA-F]+)|(?P<octal>0[0-7]*)|(?P<decimal>[1-9][0-9]*)")
_BASES = {"hex": 16, "octal": 8, "decimal": 10}
_SHIFTS = {"K": 10, "M": 20, "G": 30, "T": 40, "P": 50, "E": 60}
_U64 = (1 << 64) - 1
_POOL = re.compile(r"(?:(?P<node>[0-9]{1,9}):)?(?P<count>[0-9]{1,19})")
_HUGE_SIZES = (2 << 20, 1 << 30)
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
    huge_size_bytes = _HUGE_SIZES[0]
    for name, value in _parameters(text):
        changed: CommandLine | None
        if name == "hugepagesz":
            huge_size_bytes = _huge_size(value)
            changed = line if huge_size_bytes else None
        else:
            changed = _take(line, name, value, huge_size_bytes, memmap_force=memmap_force)
        if changed is None:
            shown = name if value is None else f"{name}={value}"
            changed = replace(line, ignored=(*line.ignored, shown))
        line = changed
    return line


def _parameters(text: str) -> Iterator[tuple[str, str | None]]:
    """Split as ``parse_args()`` does: ``-`` and ``_`` are one letter, ``--`` ends it.

    Only ``"`` quotes, and nothing escapes it (``next_arg()``).
    """
    for word in _WORD.findall(text):
        bare = word[1:].removesuffix('"') if word.startswith('"') else word
        equals = bare.find("=", 1)
        if bare == "--":
            return
        if equals < 0:
            yield bare.replace("-", "_"), None
            continue
        value = bare[equals + 1 :]
        if value.startswith('"'):
            value = value[1:].removesuffix('"')
        yield bare[:equals].replace("-", "_"), value


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
    """``cmdline_parse_core()``: a percentage, which takes no unit, or an amount in pages."""
    number = _number(value)
    if number is None:
        return None, None
    if number[1].startswith("%"):
        return number[0] & _U64, None
    return None, pages_of(_memparse(value) or 0)


def _mem(line: CommandLine, value: str | None) -> CommandLine | None:
    size_bytes = _memparse(value or "")
    return replace(line, mem_bytes=(*line.mem_bytes, size_bytes)) if size_bytes else None


def _huge_size(value: str | None) -> int:
    """``hugepagesz_setup()``; zero where x86-64 has no such page, and no pool may follow."""
    size_bytes = _memparse(value or "") or 0
    return size_bytes if size_bytes in _HUGE_SIZES else 0


def _hugepages(line: CommandLine, value: str | None, size_bytes: int) -> CommandLine | None:
    pools: list[HugePages] = []
    for part in (value or "").split(","):
        match = _POOL.fullmatch(part)
        if match is None or not size_bytes:
            return None
        node = None if match["node"] is None else int(match["node"])
        pools.append(HugePages(size_bytes=size_bytes, nr_pages=int(match["count"]), node=node))
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
    parsed = _number(text.removeprefix("+"))
    if parsed is None or parsed[1] not in {"", "\n"}:
        return None
    return parsed[0] if parsed[0] < 1 << 32 else None


def _memparse(text: str) -> int | None:
    """``memparse()``: bytes, from a number with K, M, G, T, P or E; it wraps at 64 bits."""
    parsed = _number(text)
    if parsed is None:
        return None
    number, rest = parsed
    return number << _SHIFTS.get(rest[:1].upper(), 0) & _U64


def _number(text: str) -> tuple[int, str] | None:
    """``simple_strtoull(…, 0)``: the number that a text begins with, and what follows it."""
    match = _NUMBER.match(text)
    if match is None or match.lastgroup is None:
        return None
    try:
        return int(match[match.lastgroup], _BASES[match.lastgroup]), text[match.end() :]
    except ValueError:
        # Python reads no decimal of more than 4300 digits, and no command line has room for one.
        return None


def _member(words: type[_W], value: str | None) -> _W | None:
    return next((word for word in words if word == value), None)
