"""``/proc``, as far as memory goes."""

import errno

from memhp.core.command_line import parse_bool
from memhp.model.kernel import Kernel
from memhp.model.steps import KernelRefusal
from memhp.model.tree.entries import Directory, Entry, File, at_once, directory, text, word
from memhp.model.tree.meminfo import meminfo
from memhp.model.tree.page_files import page_files
from memhp.model.tree.zoneinfo import zoneinfo
from memhp.model.watermarks import min_free_kbytes


def proc_directory(kernel: Kernel) -> Directory:
    """The files of ``/proc`` that tell of memory."""
    files: dict[str, Entry] = {
        "cmdline": text(kernel.line.text + "\n"),
        "iomem": File(read=lambda: _iomem(kernel)),
        "meminfo": File(read=lambda: meminfo(kernel)),
        "sys": directory({"vm": _sysctls(kernel)}),
        "zoneinfo": File(read=lambda: zoneinfo(kernel)),
    }
    return directory(files | page_files(kernel))


def _sysctls(kernel: Kernel) -> Directory:
    """``/proc/sys/vm``; the proposal stands there only where the machine has it."""
    files: dict[str, Entry] = {
        "lowmem_reserve_ratio": text("256\t256\t32\t0\t0\n"),
        "min_free_kbytes": File(read=lambda: f"{min_free_kbytes(kernel)}\n"),
    }
    if kernel.proposals.hotadd_memory_treat_as_movable:
        files["hotadd_memory_treat_as_movable"] = File(
            read=lambda: f"{int(kernel.settings.treat_as_movable)}\n",
            write=at_once(lambda written: _store_treat(kernel, written)),
        )
    return directory(files)


def _iomem(kernel: Kernel) -> str:
    """Two blanks a level; addresses are as wide as the end of the address space needs."""
    return "".join(
        f"{'  ' * r.depth}{r.range.start:08x}-{r.range.end - 1:08x} : {r.name}\n"
        for r in kernel.iomem
    )


def _store_treat(kernel: Kernel, written: str) -> None:
    value = parse_bool(written)
    if value is None:
        raise KernelRefusal(errno.EINVAL, f"'{word(written)}' is no truth value")
    kernel.settings.treat_as_movable = value
