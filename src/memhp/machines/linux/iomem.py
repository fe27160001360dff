"""The resource tree from ``/proc/iomem``."""

import re
from collections.abc import Iterator

from memhp.core.ranges import PhysRange
from memhp.core.snapshot import IomemEntry
from memhp.machines.linux.root import Root

_LINE = re.compile(r"( *)([0-9a-f]+)-([0-9a-f]+) : (.*)")


def read_iomem(root: Root) -> tuple[IomemEntry, ...]:
    """Every line; none where there is no such file, or where its addresses are hidden.

    The kernel shows zeros to whoever is not root. Raises ``MachineError``.
    """
    entries = tuple(_entries(root.text_if_there("proc/iomem") or ""))
    hidden = len(entries) > 1 and all(entry.range.end == 1 for entry in entries)
    return () if hidden else entries


def _entries(text: str) -> Iterator[IomemEntry]:
    for line in text.splitlines():
        if match := _LINE.fullmatch(line):
            first, last = int(match[2], 16), int(match[3], 16)
            if first <= last:
                yield IomemEntry(
                    range=PhysRange.inclusive(first, last),
                    name=match[4],
                    depth=len(match[1]) // 2,
                )
