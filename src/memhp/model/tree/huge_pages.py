"""``nodeN/hugepages``: the pools of huge pages of a node.

Source: ``hugetlb_register_node()``, ``nr_hugepages_store_common()``.

Model: a machine has these files only where its pages are known; pages are not promised, so
there is no ``resv_hugepages``.
"""

import errno
from collections.abc import Callable

from memhp.core.geometry import GIB, KIB, MIB, NodeId
from memhp.core.surroundings import HugePool
from memhp.model.kernel import Kernel
from memhp.model.tree.entries import Directory, File, at_once, directory, refuse, word

DEFAULT_BYTES = 2 * MIB
SIZES = (DEFAULT_BYTES, GIB)
_MOST_DIGITS = 18


def huge_page_directory(kernel: Kernel, node: NodeId) -> Directory:
    """A node's directory of pools, one of each size."""
    return directory(
        {f"hugepages-{size // KIB}kB": _pool_directory(kernel, node, size) for size in SIZES}
    )


def _pool_directory(kernel: Kernel, node: NodeId, size_bytes: int) -> Directory:
    def pool() -> HugePool:
        """The pool as it is; an empty one while the node has no memory."""
        found = (p for p in kernel.huge_pools() if (p.node, p.size_bytes) == (node, size_bytes))
        empty = HugePool(node=node, size_bytes=size_bytes, total=0, free=0, surplus=0)
        return next(found, empty)

    def hold(written: str) -> None:
        digits = word(written)
        if not (digits.isascii() and digits.isdecimal() and len(digits) <= _MOST_DIGITS):
            raise refuse(errno.EINVAL, f"'{digits}' is no number")
        if kernel.pages is not None:
            kernel.pages.hold_huge_pages(pool(), int(digits))

    return directory(
        {
            "nr_hugepages": File(read=_shown(lambda: pool().total), write=at_once(hold)),
            "free_hugepages": File(read=_shown(lambda: pool().free)),
            "surplus_hugepages": File(read=_shown(lambda: pool().surplus)),
        }
    )


def _shown(count: Callable[[], int]) -> Callable[[], str]:
    return lambda: f"{count()}\n"
