"""What keeps kernel memory away from memory that is to come out, and how a kernel is told so."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from memhp.core.errors import ArgumentError
from memhp.core.targets import parse_size
from memhp.model.compare.facts import Combination

NORMAL: Final = "normal"
MIGRATE_KERNEL: Final = "migrate-kernel"
MEMMAPS: Final = ("ordinary", "block", "node")
VMALLOC: Final = {"no": (False,), "yes": (True,), "both": (False, True)}
_FIXED: Final = {
    NORMAL: "",
    MIGRATE_KERNEL: "",
    "movable-node": "movable_node",
    "auto-movable": "memory_hotplug.online_policy=auto-movable",
}
_AMOUNT: Final = re.compile(r"(movablecore|kernelcore)=(.+)")
_RATIO: Final = re.compile(r"auto-movable=(\d{1,6})")
_PERCENT: Final = re.compile(r"(\d{1,2})%")
_OURS: Final = (
    "movable_node",
    "movablecore",
    "kernelcore",
    "memhp_default_state",
    "memory_hotplug.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A policy: its name as given, the words for the kernel, whether kernel memory may move."""

    name: str
    words: tuple[str, ...]
    migrate_kernel: bool

    def command_line(self, text: str) -> str:
        """A machine's command line with this policy's words instead of those that rival them.

        They come first: what stands behind ``--`` is not for the kernel.
        """
        kept = [word for word in text.split() if not word.startswith(_OURS)]
        return " ".join([*self.words, *kept])


def parse_policy(text: str) -> Policy:
    """Read a policy; ``+`` joins several. Raises ``ArgumentError``."""
    parts = text.split("+")
    words = tuple(word for part in parts for word in _words(text, part))
    return Policy(name=text, words=words, migrate_kernel=MIGRATE_KERNEL in parts)


def _words(text: str, part: str) -> Iterator[str]:
    """What one part of a policy puts on the command line."""
    amount, ratio = _AMOUNT.fullmatch(part), _RATIO.fullmatch(part)
    if part in _FIXED:
        yield from filter(None, [_FIXED[part]])
    elif ratio is not None:
        yield _FIXED["auto-movable"]
        yield f"memory_hotplug.auto_movable_ratio={ratio[1]}"
    elif amount is not None:
        _check_amount(part, amount[2])
        yield part
    else:
        raise ArgumentError(
            text=text,
            problem="is no policy",
            advice=f"there are {', '.join(_FIXED)}, auto-movable=RATIO, movablecore=AMOUNT or "
            "kernelcore=AMOUNT (a size or a percentage), and several joined by '+'",
        )


def _check_amount(part: str, amount: str) -> None:
    """Raise ``ArgumentError`` for what is neither a size nor a percentage below 100."""
    if _PERCENT.fullmatch(amount):
        return
    try:
        parse_size(amount)
    except ArgumentError as err:
        raise ArgumentError(
            text=part,
            problem="has no amount that memory can be divided by",
            advice="give a size with its unit, as 4G, or a percentage up to 99%",
        ) from err


def combinations(
    policies: Iterable[Policy],
    memmaps: Iterable[str],
    vmalloc: Iterable[bool],
    dma_percents: Iterable[int],
) -> tuple[Combination, ...]:
    """Every combination, each once.

    How much is pinned matters only where kernel memory moves; elsewhere all of
    it stays where it is, pinned or not.
    """
    shares = tuple(dma_percents)
    return tuple(
        Combination(policy=policy.name, memmap=memmap, migrate_vmalloc=moves, dma_percent=percent)
        for policy in policies
        for memmap in memmaps
        for moves in vmalloc
        for percent in (shares if policy.migrate_kernel else shares[:1])
    )
