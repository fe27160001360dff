"""Why the kernel would not take a block offline, in its own words and then in ours.

``offline_pages()`` tells its reason to the log at debug level only; the page
that stood in the way is dumped there by ``dump_page()``. Both are heard while
the attempt is made.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final

from memhp.core.geometry import PAGE_SIZE_BYTES
from memhp.core.outcome import Outcome, Refused
from memhp.core.plan import OfflineBlock, Step
from memhp.core.ranges import PhysRange
from memhp.core.reasons import OFFLINE_REASONS
from memhp.machines.linux.dynamic_debug import DynamicDebug
from memhp.machines.linux.kernel_log import open_kernel_log
from memhp.machines.linux.list_blocks import read_block_size
from memhp.machines.linux.root import Root

Told = Callable[[Outcome], Outcome]
"""Adds to an outcome what the kernel has said meanwhile."""

_FAILED: Final = re.compile(
    r"memory offlining \[mem (0x[0-9a-f]+)-0x[0-9a-f]+\] failed due to (.+)"
)
_PAGE: Final = re.compile(r"page:.*?refcount:(-?\d+) mapcount:(-?\d+).*\bpfn:(0x[0-9a-f]+)")
_FLAGS: Final = re.compile(r"(?P<type>[a-z ]*)flags: 0x[0-9a-f]+\((?P<names>[^)]*)\)")
_PAGE_TYPE: Final = re.compile(r"page_type: .*?\(([a-z]+)\)")
_FILE: Final = re.compile(r'aops:(\S+) ino:([0-9a-f]+)(?: dentry name(?:\(\?\))?:"([^"]*)")?')
_BECAUSE: Final = re.compile(r"page dumped because: (.+)")
_HINTS: Final = frozenset({"unmovable page", "migration failure", "isolation failed"})
_KINDS: Final = {
    "slab": "kernel objects (slab)",
    "table": "a page table",
    "pgtable": "a page table",
    "reserved": "reserved by the kernel or firmware",
    "offline": "given away by a driver",
    "hugetlb": "a huge page",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PageDump:
    """One page that the kernel has dumped. ``because`` is its own word for why."""

    pfn: int
    references: int
    mapped: int
    because: str
    flags: frozenset[str] = frozenset()
    what: str = ""
    file: str = ""

    @property
    def words(self) -> str:
        """The page as a person reads it: where, what, whose, how often referred to."""
        where = f"page frame {self.pfn:#x} at {self.pfn * PAGE_SIZE_BYTES:#x}"
        words = f"{where} is {self.what or _what_of(self.flags)}"
        if self.file:
            words += f" of {self.file}"
        if self.because != "unmovable page":
            words += (
                f", and would not move: {self.references} references, "
                f"mapped {self.mapped} time{'' if self.mapped == 1 else 's'}"
            )
        return words


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What the log says about an attempt to take a range offline."""

    reason: str | None
    dumps: tuple[PageDump, ...] = ()

    @property
    def culprit(self) -> PageDump | None:
        """The page to name: the one that stopped the isolation, or the last that would not move."""
        unmovable = [dump for dump in self.dumps if dump.because == "unmovable page"]
        found = unmovable or list(self.dumps)
        return found[-1] if found else None


@contextmanager
def listening(root: Root, step: Step) -> Iterator[Told]:
    """Hear what the kernel says of a step that takes a block of this host offline."""
    if not isinstance(step.action, OfflineBlock) or not root.is_live or root.mounted is not None:
        yield lambda outcome: outcome
        return
    size = read_block_size(root)
    block = PhysRange.at(step.action.block * size, size)
    log = open_kernel_log()
    if log is None:
        yield lambda outcome: with_reason(outcome, (), block, "the kernel's log cannot be read")
        return
    with log, DynamicDebug(root).on() as problem:
        yield lambda outcome: with_reason(outcome, log.lines(), block, problem)


def with_reason(
    outcome: Outcome, lines: Sequence[str], block: PhysRange, problem: str | None
) -> Outcome:
    """Put what the log says into a refusal; ``problem`` is why it may say nothing."""
    if not isinstance(outcome, Refused) or outcome.errno_name is None:
        return outcome
    heard = hear(lines, block)
    culprit = heard.culprit
    if heard.reason is None and culprit is None:
        if problem is None or outcome.errno_name not in {"EBUSY", "EINTR"}:
            return outcome
        return replace(
            outcome, reason=f"{outcome.reason} (the kernel's own reason: not available: {problem})"
        )
    term = heard.reason or _term_of(outcome, culprit)
    told_before, _, why = outcome.reason.partition(": ")
    details = [why if told_before == term else "", culprit.words if culprit else ""]
    detail = "; ".join(filter(None, details))
    return replace(outcome, reason=f"{term}: {detail}" if detail else term)


def _term_of(outcome: Refused, culprit: PageDump | None) -> str:
    """The reason where only a page was dumped, which the kernel does at any level."""
    if culprit is not None and culprit.because == "unmovable page":
        return "failure to isolate range"
    return outcome.reason


def hear(lines: Sequence[str], block: PhysRange) -> Heard:
    """Read what the log says of one block; other lines, and other blocks, are passed over."""
    reason = None
    for line in lines:
        match = _FAILED.search(line)
        if match and int(match[1], 16) in block and match[2].strip() in OFFLINE_REASONS:
            reason = match[2].strip()
    dumps = (dump for dump in _dumps(lines) if dump.pfn * PAGE_SIZE_BYTES in block)
    return Heard(reason=reason, dumps=tuple(dumps))


def _dumps(lines: Sequence[str]) -> Iterator[PageDump]:
    """Fold the lines of ``dump_page()``: a page's line opens a dump, its cause closes it."""
    open_dump: PageDump | None = None
    for line in lines:
        if match := _PAGE.search(line):
            open_dump = PageDump(
                pfn=int(match[3], 16), references=int(match[1]), mapped=int(match[2]), because=""
            )
        elif open_dump is not None:
            because = _BECAUSE.search(line)
            if because is None:
                open_dump = _further(open_dump, line)
            elif because[1].strip() in _HINTS:
                yield replace(open_dump, because=because[1].strip())
                open_dump = None


def _further(dump: PageDump, line: str) -> PageDump:
    if match := _FILE.search(line):
        name = f' "{match[3]}"' if match[3] else ""
        return replace(dump, file=f"file{name} (inode {int(match[2], 16)})")
    if match := _PAGE_TYPE.search(line):
        return replace(dump, what=_KINDS.get(match[1], dump.what))
    if match := _FLAGS.search(line):
        names = frozenset(match["names"].split("|")) | frozenset(match["type"].split())
        return replace(dump, flags=names)
    return dump


def _what_of(flags: frozenset[str]) -> str:
    """What a page is, by the names of its flags."""
    for flag, words in _KINDS.items():
        if flag in flags:
            return words
    if "anon" in flags or "swapbacked" in flags:
        return "memory of a process"
    if "lru" in flags or "uptodate" in flags:
        return "page cache"
    return "kernel memory"
