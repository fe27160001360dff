"""``/proc/meminfo`` and each node's ``meminfo``, in the kernel's order and columns.

Source: ``meminfo_proc_show()``, ``node_read_meminfo()``.

Model: rows of what the model does not do (swap, writeback, commits) are zero,
and pages that were used lately are not told from others.
"""

from collections.abc import Iterable, Mapping

from memhp.core.geometry import KIB, NodeId, bytes_of
from memhp.core.surroundings import HugePool
from memhp.model.kernel import Kernel
from memhp.model.page_numbers import PageNumbers
from memhp.model.page_tables import Leaf
from memhp.model.tree.huge_pages import DEFAULT_BYTES
from memhp.model.watermarks import watermarks

_VMALLOC_TOTAL_KB = (1 << 45) // 1024 - 1
_USER_ROWS = (
    "Buffers", "Cached", "SwapCached", "Active", "Inactive", "Active(anon)", "Inactive(anon)",
    "Active(file)", "Inactive(file)", "Unevictable", "Mlocked", "SwapTotal", "SwapFree", "Dirty",
    "Writeback", "AnonPages", "Mapped", "Shmem", "KReclaimable", "Slab", "SReclaimable",
    "SUnreclaim", "KernelStack",
)  # fmt: skip
_KERNEL_ROWS = ("SecPageTables", "NFS_Unstable", "Bounce", "WritebackTmp")
_HUGE_ROWS = ("AnonHugePages", "ShmemHugePages", "ShmemPmdMapped", "FileHugePages", "FilePmdMapped")
_NODE_ROWS = (
    "SwapCached", "Active", "Inactive", "Active(anon)", "Inactive(anon)", "Active(file)",
    "Inactive(file)", "Unevictable", "Mlocked", "Dirty", "Writeback", "FilePages", "Mapped",
    "AnonPages", "Shmem", "KernelStack", "PageTables", "SecPageTables", "NFS_Unstable", "Bounce",
    "WritebackTmp", "KReclaimable", "Slab", "SReclaimable", "SUnreclaim", "AnonHugePages",
    "ShmemHugePages", "ShmemPmdMapped", "FileHugePages", "FilePmdMapped",
)  # fmt: skip


def meminfo(kernel: Kernel) -> str:
    """The machine's memory, in kB."""
    zones = list(kernel.zones.values())
    total = _kb(sum(zone.managed for zone in zones))
    numbers = [kernel.numbers(zone) for zone in zones]
    free = _kb(sum(each.free for each in numbers))
    held = _held(numbers)
    reserve = _kb(sum(watermarks(kernel, zone).low for zone in kernel.populated_zones()))
    available = free - reserve + _available(held, reserve)
    rows = {"MemTotal": total, "MemFree": free, "MemAvailable": max(0, available)}
    rows |= {name: held.get(name, 0) for name in (*_USER_ROWS, "PageTables", *_KERNEL_ROWS)}
    rows |= {"CommitLimit": total // 2, "Committed_AS": 0}
    rows |= {"VmallocTotal": _VMALLOC_TOTAL_KB, "VmallocUsed": held["VmallocUsed"]}
    rows |= {"VmallocChunk": 0, "Percpu": held["Percpu"]}
    text = "".join(_row(name, value) for name, value in rows.items())
    if kernel.profile.memory_failure:
        text += f"HardwareCorrupted: {_kb(kernel.poison_counter):>5} kB\n"
    huge = (*_HUGE_ROWS, *(("Unaccepted",) if kernel.profile.meminfo_unaccepted else ()))
    text += "".join(_row(name, held.get(name, 0)) for name in huge) + _huge_pages(kernel)
    return text + "".join(_row(name, value) for name, value in _direct_map(kernel).items())


def node_meminfo(kernel: Kernel, node: NodeId) -> str:
    """One node's memory, in kB."""
    zones = list(kernel.node_zones(node))
    total = _kb(sum(zone.managed for zone in zones))
    numbers = [kernel.numbers(zone) for zone in zones]
    free = _kb(sum(each.free for each in numbers))
    held = _held(numbers)
    rows = {"MemTotal": total, "MemFree": free, "MemUsed": total - free}
    rows |= {name: held.get(name, 0) for name in _NODE_ROWS}
    if kernel.profile.meminfo_unaccepted:
        rows["Unaccepted"] = 0
    text = "".join(_node_row(kernel, node, name, kb) for name, kb in rows.items())
    mine = _of_default_size(pool for pool in kernel.huge_pools() if pool.node == node)
    for name in ("Total", "Free", "Surp"):
        text += f"Node {node} HugePages_{name + ':':<6} {mine[name]:>5}\n"
    return text


def _held(numbers: Iterable[PageNumbers]) -> Mapping[str, int]:
    """The rows that tell what holds pages, in kB."""
    zones = list(numbers)

    def kb(*kinds: str) -> int:
        return _kb(sum(each.of(*kinds) for each in zones))

    locked = _kb(sum(each.mlocked for each in zones))
    anon, file, shmem = kb("ANON", "THP"), kb("FILE"), kb("SHMEM")
    return {
        "Cached": file + shmem,
        "FilePages": file + shmem,
        "Inactive": anon + shmem + file,
        "Inactive(anon)": anon + shmem,
        "Inactive(file)": file,
        "Unevictable": locked,
        "Mlocked": locked,
        "AnonPages": anon,
        "Mapped": shmem,
        "Shmem": shmem,
        "KReclaimable": kb("SLAB_RECLAIMABLE"),
        "Slab": kb("SLAB", "SLAB_RECLAIMABLE"),
        "SReclaimable": kb("SLAB_RECLAIMABLE"),
        "SUnreclaim": kb("SLAB"),
        "KernelStack": kb("STACK"),
        "PageTables": kb("PAGE_TABLE"),
        "VmallocUsed": kb("VMALLOC"),
        "Percpu": kb("PERCPU"),
        "AnonHugePages": kb("THP"),
    }


def _available(held: Mapping[str, int], low: int) -> int:
    """What could be reclaimed: half of it, or all but the low marks (``si_mem_available()``)."""
    return sum(kb - min(kb // 2, low) for kb in (held["Inactive(file)"], held["SReclaimable"]))


def _node_row(kernel: Kernel, node: NodeId, name: str, kb: int) -> str:
    """Before 6.12 two rows stood one column further left."""
    width = 15 if (name.startswith("File") and "Huge" in name) or name == "FilePmdMapped" else 16
    if kernel.profile.meminfo_unaccepted:
        width = 16
    return f"Node {node} {name + ':':<{width}}{kb:>8} kB\n"


def _direct_map(kernel: Kernel) -> dict[str, int]:
    """What entries of each size map; ends of ranges below 2 MiB are not counted."""
    large = kernel.page_tables.direct_bytes(Leaf.PMD) // 1024
    huge = kernel.page_tables.direct_bytes(Leaf.PUD) // 1024
    small = kernel.page_tables.direct_bytes(Leaf.PTE) // 1024
    return {"DirectMap4k": small, "DirectMap2M": large, "DirectMap1G": huge}


def _huge_pages(kernel: Kernel) -> str:
    """Counts of the pools of the default size, and what all pools hold."""
    pools = list(kernel.huge_pools())
    counts = _of_default_size(pools)
    text = "".join(f"{'HugePages_' + name + ':':<16}{counts[name]:>8}\n" for name in counts)
    held = sum(pool.total * pool.size_bytes for pool in pools) // KIB
    return text + _row("Hugepagesize", DEFAULT_BYTES // KIB) + _row("Hugetlb", held)


def _of_default_size(pools: Iterable[HugePool]) -> Mapping[str, int]:
    mine = [pool for pool in pools if pool.size_bytes == DEFAULT_BYTES]
    return {
        "Total": sum(pool.total for pool in mine),
        "Free": sum(pool.free for pool in mine),
        "Rsvd": 0,
        "Surp": sum(pool.surplus for pool in mine),
    }


def _row(name: str, kb: int) -> str:
    return f"{name + ':':<16}{kb:>8} kB\n"


def _kb(nr_pages: int) -> int:
    return bytes_of(nr_pages) >> 10
