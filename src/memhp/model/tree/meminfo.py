"""``/proc/meminfo`` and each node's ``meminfo``, in the kernel's order and columns.

Source: ``meminfo_proc_show()``, ``node_read_meminfo()``.

Model: rows that depend on what pages hold are zero.
"""

from memhp.core.geometry import NodeId, bytes_of
from memhp.model.kernel import Kernel
from memhp.model.page_tables import Leaf
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
    free = _kb(sum(zone.managed - zone.kernel_pages for zone in zones))
    reserve = _kb(sum(watermarks(kernel, zone).low for zone in kernel.populated_zones()))
    rows = {"MemTotal": total, "MemFree": free, "MemAvailable": max(0, free - reserve)}
    rows |= dict.fromkeys(_USER_ROWS, 0)
    rows["PageTables"] = 0
    rows |= dict.fromkeys(_KERNEL_ROWS, 0)
    rows |= {"CommitLimit": total // 2, "Committed_AS": 0}
    rows |= {"VmallocTotal": _VMALLOC_TOTAL_KB, "VmallocUsed": 0, "VmallocChunk": 0, "Percpu": 0}
    text = "".join(_row(name, value) for name, value in rows.items())
    if kernel.profile.memory_failure:
        text += f"HardwareCorrupted: {_kb(kernel.poison_counter):>5} kB\n"
    huge = (*_HUGE_ROWS, *(("Unaccepted",) if kernel.profile.meminfo_unaccepted else ()))
    text += "".join(_row(name, 0) for name in huge) + _huge_pages()
    return text + "".join(_row(name, value) for name, value in _direct_map(kernel).items())


def node_meminfo(kernel: Kernel, node: NodeId) -> str:
    """One node's memory, in kB."""
    zones = list(kernel.node_zones(node))
    total = _kb(sum(zone.managed for zone in zones))
    free = _kb(sum(zone.managed - zone.kernel_pages for zone in zones))
    rows = {"MemTotal": total, "MemFree": free, "MemUsed": total - free}
    rows |= dict.fromkeys(_NODE_ROWS, 0)
    if kernel.profile.meminfo_unaccepted:
        rows["Unaccepted"] = 0
    text = "".join(_node_row(kernel, node, name, kb) for name, kb in rows.items())
    for name in ("Total", "Free", "Surp"):
        text += f"Node {node} HugePages_{name + ':':<6} {0:>5}\n"
    return text


def _node_row(kernel: Kernel, node: NodeId, name: str, kb: int) -> str:
    """Before 6.12 two rows stood one column further left."""
    width = 15 if (name.startswith("File") and "Huge" in name) or name == "FilePmdMapped" else 16
    if kernel.profile.meminfo_unaccepted:
        width = 16
    return f"Node {node} {name + ':':<{width}}{kb:>8} kB\n"


def _direct_map(kernel: Kernel) -> dict[str, int]:
    """What entries of each size map; the rest of RAM is mapped by single pages."""
    large = kernel.page_tables.direct_bytes(Leaf.PMD) // 1024
    huge = kernel.page_tables.direct_bytes(Leaf.PUD) // 1024
    return {"DirectMap4k": 0, "DirectMap2M": large, "DirectMap1G": huge}


def _huge_pages() -> str:
    counts = "".join(f"{'HugePages_' + name + ':':<16}{0:>8}\n" for name in _POOL)
    return counts + _row("Hugepagesize", 2048) + _row("Hugetlb", 0)


_POOL = ("Total", "Free", "Rsvd", "Surp")


def _row(name: str, kb: int) -> str:
    return f"{name + ':':<16}{kb:>8} kB\n"


def _kb(nr_pages: int) -> int:
    return bytes_of(nr_pages) >> 10
