"""``/proc/zoneinfo``: every zone of every node, in the kernel's format.

Source: ``zoneinfo_show_print()``.

Model: of the counters that follow the sizes of a zone, those are printed that
the model knows; what depends on single pages is zero.
"""

from collections.abc import Iterator

from memhp.core.geometry import NodeId
from memhp.core.words import ZoneType
from memhp.model.kernel import Kernel
from memhp.model.watermarks import lowmem_reserve, watermarks
from memhp.model.zones import Zone

_NODE_COUNTERS = (
    "nr_inactive_anon",
    "nr_active_anon",
    "nr_inactive_file",
    "nr_active_file",
    "nr_unevictable",
    "nr_slab_reclaimable",
    "nr_slab_unreclaimable",
    "nr_anon_pages",
    "nr_mapped",
    "nr_file_pages",
    "nr_dirty",
    "nr_writeback",
    "nr_shmem",
    "nr_kernel_stack",
    "nr_page_table_pages",
)
_ZONE_COUNTERS = (
    "nr_zone_inactive_anon",
    "nr_zone_active_anon",
    "nr_zone_inactive_file",
    "nr_zone_active_file",
    "nr_zone_unevictable",
    "nr_zone_write_pending",
    "nr_mlock",
    "nr_bounce",
    "nr_zspages",
    "nr_free_cma",
)


def zoneinfo(kernel: Kernel) -> str:
    """The whole file; a node without a page present is printed too while it is online."""
    lines: list[str] = []
    for node in sorted(kernel.online_nodes):
        lines.extend(_node(kernel, node))
    return "\n".join(lines) + "\n"


def _node(kernel: Kernel, node: NodeId) -> Iterator[str]:
    """A node's zones; its own counters stand under the first that is populated."""
    shown = False
    for zone_type in ZoneType:
        zone = kernel.zone(node, zone_type)
        yield f"Node {node}, zone {zone_type.value:>8}"
        if zone.populated and not shown:
            shown = True
            yield "  per-node stats"
            yield from (f"      {name:<12} 0" for name in _NODE_COUNTERS)
        yield from _sizes(kernel, zone)
        if zone.populated:
            yield from _counters(zone)


def _sizes(kernel: Kernel, zone: Zone) -> Iterator[str]:
    marks = watermarks(kernel, zone)
    rows = [("boost", 0), ("min", marks.minimum), ("low", marks.low), ("high", marks.high)]
    if kernel.profile.zoneinfo_promo:
        rows.append(("promo", marks.promo))
    rows += [("spanned", zone.spanned), ("present", zone.present), ("managed", zone.managed)]
    rows.append(("cma", 0))
    yield f"  pages free     {_free(zone)}"
    yield from (f"        {name:<8} {value}" for name, value in rows)
    reserve = ", ".join(str(pages) for pages in lowmem_reserve(kernel, zone))
    yield f"        protection: ({reserve})"


def _counters(zone: Zone) -> Iterator[str]:
    yield f"      nr_free_pages {_free(zone)}"
    yield from (f"      {name:<12} 0" for name in _ZONE_COUNTERS)
    yield "  pagesets"
    yield "  node_unreclaimable:  0"
    yield f"  start_pfn:           {zone.start_pfn}"


def _free(zone: Zone) -> int:
    return zone.managed - zone.kernel_pages
