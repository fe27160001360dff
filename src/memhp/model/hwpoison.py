"""Poisoned pages: ``hard_offline_page`` and ``soft_offline_page``.

Source: ``memory_failure()``, ``soft_offline_page()``.

Model: on a machine of which no page was ever touched, a page of an online block
counts as free unless it is among those known to hold what cannot move.
"""

import errno
from typing import Final

from memhp.core.errno_names import EHWPOISON
from memhp.core.geometry import PAGE_SHIFT
from memhp.core.words import BlockState
from memhp.model.kernel import Kernel
from memhp.model.steps import KernelRefusal
from memhp.model.tree.entries import word

_IGNORED = frozenset({"huge page", "reserved kernel page"})
_FREE: Final = "free buddy page: Recovered"


def hard_offline_page(kernel: Kernel, written: str) -> None:
    """Poison the page at a physical address (``memory_failure()``)."""
    pfn = _pfn(written)
    if not _is_online(kernel, pfn):
        raise KernelRefusal(errno.ENXIO, f"page frame {pfn:#x} is not online")
    if pfn in kernel.poisoned:
        raise KernelRefusal(EHWPOISON, f"page frame {pfn:#x} is poisoned already")
    if pfn in kernel.held:
        # It stays in use, and yet counts as poisoned.
        _poison(kernel, pfn, "kernel page: Ignored")
        raise KernelRefusal(errno.EBUSY, f"page frame {pfn:#x} is the kernel's own")
    found = "free buddy page" if kernel.pages is None else kernel.pages.poison(pfn)
    kept = found in _IGNORED
    _poison(kernel, pfn, f"{found}: {'Ignored' if kept else 'Recovered'}")
    if kept:
        raise KernelRefusal(errno.EBUSY, f"page frame {pfn:#x} is a {found}, and stays in use")


def soft_offline_page(kernel: Kernel, written: str) -> None:
    """Take a page out of use without harm to who uses it (``soft_offline_page()``)."""
    pfn = _pfn(written)
    block = kernel.blocks.get(pfn // kernel.pages_per_block)
    if block is None:
        raise KernelRefusal(errno.ENXIO, f"there is no page frame {pfn:#x}")
    if block.state is BlockState.OFFLINE:
        raise KernelRefusal(errno.EIO, f"page frame {pfn:#x} is not online")
    if pfn in kernel.poisoned:
        return
    if pfn in kernel.held:
        raise KernelRefusal(errno.EIO, f"page frame {pfn:#x} is the kernel's own")
    if kernel.pages is not None:
        kernel.pages.soft_poison(pfn)
    _poison(kernel, pfn, _FREE)


def _poison(kernel: Kernel, pfn: int, action: str) -> None:
    kernel.poisoned.add(pfn)
    kernel.poison_counter += 1
    kernel.printk(f"Memory failure: {pfn:#x}: recovery action for {action}")


def _is_online(kernel: Kernel, pfn: int) -> bool:
    block = kernel.blocks.get(pfn // kernel.pages_per_block)
    return block is not None and block.state is not BlockState.OFFLINE


def _pfn(written: str) -> int:
    """``kstrtoull(…, 0, …)`` of a physical address, as a page frame number."""
    try:
        address = int(word(written).removeprefix("+"), 0)
    except ValueError:
        raise KernelRefusal(errno.EINVAL, f"'{word(written)}' is no address") from None
    if not 0 <= address < 1 << 64:
        raise KernelRefusal(errno.EINVAL, f"'{word(written)}' is no address")
    return address >> PAGE_SHIFT
