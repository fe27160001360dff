"""``/proc``, as far as memory goes."""

from memhp.model.kernel import Kernel
from memhp.model.steps import KernelRefusal
from memhp.model.tree.entries import Directory, Entry, File, at_once, directory, text, word
from memhp.core.command_line import parse_bool
import errno


def proc_directory(kernel: Kernel) -> Directory:
    """The files of ``/proc`` that tell of memory."""
    vm: dict[str, Entry] = {}
    if kernel.proposals.hotadd_memory_treat_as_movable:
        vm["hotadd_memory_treat_as_movable"] = File(
            read=lambda: f"{int(kernel.settings.treat_as_movable)}\n",
            write=at_once(lambda written: _store_treat(kernel, written)),
        )
    return directory(
        {
            "cmdline": text(kernel.line.text + "\n"),
            "iomem": File(read=lambda: _iomem(kernel)),
            "sys": directory({"vm": directory(vm)}),
        }
    )


def _iomem(kernel: Kernel) -> str:
    return "".join(
        f"{'  ' * r.depth}{r.range.start:08x}-{r.range.end - 1:08x} : {r.name}\n"
        for r in kernel.iomem
    )


def _store_treat(kernel: Kernel, written: str) -> None:
    value = parse_bool(written)
    if value is None:
        raise KernelRefusal(errno.EINVAL, f"'{word(written)}' is no truth value")
    kernel.settings.treat_as_movable = value
