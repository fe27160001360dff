"""``/proc/buddyinfo``, ``pagetypeinfo``, ``kpageflags`` and ``kpagecount``.

Source: ``frag_show_print()``, ``pagetypeinfo_show()``, ``kpageflags_read()``.
Reading them touches no page: a machine that has none stays as it is.
"""

import errno
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from memhp.core.geometry import PAGES_PER_PAGEBLOCK, PAGES_PER_SECTION, NodeId, round_up
from memhp.model.kernel import Kernel
from memhp.model.steps import KernelRefusal
from memhp.model.tree.entries import Entry, File

if TYPE_CHECKING:
    from memhp.model.pages.area import Area
    from memhp.model.pages.machine_pages import MachinePages

_WORD = 8
_MOST_COUNTED = 100_000


def page_files(kernel: Kernel) -> dict[str, Entry]:
    """The four files by name."""
    return {
        "buddyinfo": File(read=lambda: _buddyinfo(_pages(kernel))),
        "pagetypeinfo": File(read=lambda: _pagetypeinfo(kernel, _pages(kernel)), is_private=True),
        "kpagecount": File(at=lambda offset, size: _words(kernel, offset, size, _counts)),
        "kpageflags": File(at=lambda offset, size: _words(kernel, offset, size, _flags)),
    }


def _pages(kernel: Kernel) -> "MachinePages":
    from memhp.model.pages.build import pages_to_look_at  # noqa: PLC0415 - numpy loads slowly

    return pages_to_look_at(kernel)


def _buddyinfo(pages: "MachinePages") -> str:
    lines = []
    for area in _populated(pages):
        counts = "".join(f"{area.nr_free(order):6d} " for order in range(11))
        lines.append(f"Node {area.node}, zone {area.zone.value:>8} {counts}\n")
    return "".join(lines)


def _pagetypeinfo(kernel: Kernel, pages: "MachinePages") -> str:
    """The free table and the count of pageblocks of every node that has memory."""
    nodes = sorted({area.node for area in _populated(pages)})
    return "".join(line for node in nodes for line in _node_types(kernel, pages, node))


def _node_types(kernel: Kernel, pages: "MachinePages", node: NodeId) -> Iterator[str]:
    from memhp.model.pages.words import MigrateType  # noqa: PLC0415

    areas = [area for area in _populated(pages) if area.node == node]
    yield f"Page block order: 9\nPages per block:  {PAGES_PER_PAGEBLOCK}\n\n"
    orders = "".join(f"{order:6d} " for order in range(11))
    yield f"{'Free pages count per migrate type at order':<43} {orders}\n"
    for area in areas:
        for kind in MigrateType:
            counts = "".join(_capped(area.lists[kind][order].count) for order in range(11))
            yield f"Node {node:4d}, zone {area.zone.value:>8}, type {kind.label:>12} {counts}\n"
    yield f"\n{'Number of blocks type ':<23}"
    yield "".join(f"{kind.label:>12} " for kind in MigrateType) + "\n"
    for area in areas:
        blocks = _blocks_by_type(kernel, pages, area)
        counts = "".join(f"{number:12d} " for number in blocks)
        yield f"Node {node}, zone {area.zone.value:>8} {counts}\n"


def _blocks_by_type(kernel: Kernel, pages: "MachinePages", area: "Area") -> list[int]:
    import numpy as np  # noqa: PLC0415

    zone = kernel.zone(area.node, area.zone)
    first, last = zone.start_pfn // PAGES_PER_PAGEBLOCK, -(-zone.end_pfn // PAGES_PER_PAGEBLOCK)
    mine = pages.frames.zone[first:last] == area.index
    found = np.bincount(pages.frames.migratetype[first:last][mine], minlength=5)
    return [int(number) for number in found[:5]]


def _capped(count: int) -> str:
    """The kernel counts no further than this."""
    return f">{_MOST_COUNTED:6d} " if count >= _MOST_COUNTED else f"{count:6d} "


def _populated(pages: "MachinePages") -> "list[Area]":
    areas = [area for area in pages.areas if area.populated]
    return sorted(areas, key=lambda area: (area.node, area.zone.order))


def _words(
    kernel: Kernel, offset: int, size: int, read: Callable[[Kernel, Any, int, int], bytes]
) -> bytes:
    """A part of a file of one 8-byte number a frame, up to ``max_pfn``'s section."""
    if offset % _WORD or size % _WORD:
        raise KernelRefusal(errno.EINVAL, "the file is read in words of 8 bytes")
    first = offset // _WORD
    count = min(size // _WORD, _end(kernel) - first)
    return read(kernel, _pages(kernel), first, count) if count > 0 else b""


def _flags(kernel: Kernel, pages: "MachinePages", first: int, count: int) -> bytes:
    from memhp.model.pages.page_flags import page_flags  # noqa: PLC0415

    return page_flags(kernel, pages, first, count).tobytes()


def _counts(_kernel: Kernel, pages: "MachinePages", first: int, count: int) -> bytes:
    from memhp.model.pages.page_flags import page_counts  # noqa: PLC0415

    return page_counts(pages, first, count).tobytes()


def _end(kernel: Kernel) -> int:
    """The first frame that the files do not reach (``get_max_dump_pfn()``)."""
    return round_up(kernel.max_pfn, PAGES_PER_SECTION)
