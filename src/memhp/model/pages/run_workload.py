"""A workload is done to a machine: first "mixed", then step by step."""

from memhp.model.kernel import Kernel
from memhp.model.pages.build import open_pages
from memhp.model.pages.mixed import fill
from memhp.model.pages.processes import Processes, words_of
from memhp.model.workload import Workload


def run_workload(kernel: Kernel, workload: Workload) -> int:
    """Do a workload; what found no memory is written into the kernel's log.

    Gives how many pages the steps fell short by.
    """
    pages = open_pages(kernel)
    if workload.mixed_percent:
        fill(kernel, pages, workload.mixed_percent, workload.seed)
    processes = Processes(kernel, pages, workload.seed)
    missing = 0
    for step in workload.steps:
        short = processes.do(step)
        missing += short
        if short:
            kernel.printk(words_of(step, short))
    return missing
