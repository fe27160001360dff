"""``/proc/zoneinfo``: every zone of every node, in the kernel's format.

Source: ``zoneinfo_show_print()``, ``vmstat_text[]``.

Model: counters of what the model does not do (writeback, reclaim, NUMA hits
and so on) are zero; processors of all nodes are numbered in order of nodes.
"""

from collections.abc import Iterator, Mapping

from memhp.core.geometry import NodeId
from memhp.core.words import ZoneType
from memhp.model.kernel import Kernel
from memhp.model.page_numbers import PageNumbers
from memhp.model.watermarks import lowmem_reserve, watermarks
from memhp.model.zones import Zone

_NODE_COUNTERS = (
    "nr_inactive_anon", "nr_active_anon", "nr_inactive_file", "nr_active_file", "nr_unevictable",
    "nr_slab_reclaimable", "nr_slab_unreclaimable", "nr_isolated_anon", "nr_isolated_file",
    "workingset_nodes", "workingset_refault_anon", "workingset_refault_file",
    "workingset_activate_anon", "workingset_activate_file", "workingset_restore_anon",
    "workingset_restore_file", "workingset_nodereclaim", "nr_anon_pages", "nr_mapped",
    "nr_file_pages", "nr_dirty", "nr_writeback", "nr_writeback_temp", "nr_shmem",
    "nr_shmem_hugepages", "nr_shmem_pmdmapped", "nr_file_hugepages", "nr_file_pmdmapped",
    "nr_anon_transparent_hugepages", "nr_vmscan_write", "nr_vmscan_immediate_reclaim",
    "nr_dirtied", "nr_written", "nr_throttled_written", "nr_kernel_misc_reclaimable",
    "nr_foll_pin_acquired", "nr_foll_pin_released", "nr_kernel_stack", "nr_page_table_pages",
    "nr_sec_page_table_pages",
)  # fmt: skip
_NODE_COUNTERS_SINCE = ("nr_iommu_pages",)
_NODE_COUNTERS_LAST = ("nr_swapcached", "pgpromote_success", "pgpromote_candidate")
_DEMOTIONS = ("pgdemote_kswapd", "pgdemote_direct", "pgdemote_khugepaged")
_ZONE_COUNTERS = (
    "nr_zone_inactive_anon", "nr_zone_active_anon", "nr_zone_inactive_file",
    "nr_zone_active_file", "nr_zone_unevictable", "nr_zone_write_pending", "nr_mlock",
    "nr_bounce", "nr_zspages", "nr_free_cma",
)  # fmt: skip
_NUMA_COUNTERS = (
    "numa_hit", "numa_miss", "numa_foreign", "numa_interleave", "numa_local", "numa_other",
)  # fmt: skip
_KB_PER_PAGE = 4
_PAGES_PER_HUGE = 512


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
            counts = _node_counts(kernel, node)
            yield from (f"      {name:<12} {counts.get(name, 0)}" for name in _names(kernel))
        numbers = kernel.numbers(zone)
        yield from _sizes(kernel, zone, numbers)
        if zone.populated:
            yield from _counters(kernel, zone, numbers)


def _names(kernel: Kernel) -> tuple[str, ...]:
    """The per-node counters of the kernel's version, in its order."""
    if kernel.profile.more_node_counters:
        return (*_NODE_COUNTERS, *_NODE_COUNTERS_SINCE, *_NODE_COUNTERS_LAST, *_DEMOTIONS)
    return (*_NODE_COUNTERS, *_NODE_COUNTERS_LAST)


def _node_counts(kernel: Kernel, node: NodeId) -> Mapping[str, int]:
    zones = [kernel.numbers(zone) for zone in kernel.node_zones(node)]

    def pages(*kinds: str) -> int:
        return sum(numbers.of(*kinds) for numbers in zones)

    return {
        "nr_inactive_anon": pages("ANON", "THP", "SHMEM"),
        "nr_inactive_file": pages("FILE"),
        "nr_unevictable": sum(numbers.mlocked for numbers in zones),
        "nr_slab_reclaimable": pages("SLAB_RECLAIMABLE"),
        "nr_slab_unreclaimable": pages("SLAB"),
        "nr_anon_pages": pages("ANON", "THP"),
        "nr_mapped": pages("SHMEM"),
        "nr_file_pages": pages("FILE", "SHMEM"),
        "nr_shmem": pages("SHMEM"),
        "nr_anon_transparent_hugepages": pages("THP") // _PAGES_PER_HUGE,
        "nr_kernel_stack": pages("STACK") * _KB_PER_PAGE,
        "nr_page_table_pages": pages("PAGE_TABLE"),
    }


def _sizes(kernel: Kernel, zone: Zone, numbers: PageNumbers) -> Iterator[str]:
    marks = watermarks(kernel, zone)
    rows = [("boost", 0), ("min", marks.minimum), ("low", marks.low), ("high", marks.high)]
    if kernel.profile.zoneinfo_promo:
        rows.append(("promo", marks.promo))
    rows += [("spanned", zone.spanned), ("present", zone.present), ("managed", zone.managed)]
    rows.append(("cma", 0))
    yield f"  pages free     {numbers.free}"
    yield from (f"        {name:<8} {value}" for name, value in rows)
    reserve = ", ".join(str(pages) for pages in lowmem_reserve(kernel, zone))
    yield f"        protection: ({reserve})"


def _counters(kernel: Kernel, zone: Zone, numbers: PageNumbers) -> Iterator[str]:
    yield f"      nr_free_pages {numbers.free}"
    counts = {
        "nr_zone_inactive_anon": numbers.of("ANON", "THP", "SHMEM"),
        "nr_zone_inactive_file": numbers.of("FILE"),
        "nr_zone_unevictable": numbers.mlocked,
        "nr_mlock": numbers.mlocked,
        "nr_zspages": numbers.of("ZSMALLOC"),
    }
    names = (*_ZONE_COUNTERS, *(("nr_unaccepted",) if kernel.profile.meminfo_unaccepted else ()))
    yield from (f"      {name:<12} {counts.get(name, 0)}" for name in (*names, *_NUMA_COUNTERS))
    yield "  pagesets"
    for cpu in range(sum(kernel.firmware.cpus.values()) or 1):
        yield f"    cpu: {cpu}"
        yield f"              count: {numbers.cached.get(cpu, 0)}"
        yield f"              high:  {numbers.high}"
        yield f"              batch: {numbers.batch}"
        yield "  vm stats threshold: 0"
    yield "  node_unreclaimable:  0"
    yield f"  start_pfn:           {zone.start_pfn}"
