"""All runs of a comparison, in as many processes as are asked for."""

import signal
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import get_context

from memhp.model.compare.facts import Combination, Facts
from memhp.model.compare.run_one import Run, run_one

Tell = Callable[[int, int, Run], None]
"""Hears how many runs are done, of how many, and which was the last."""
_Numbered = tuple[int, Run]


def run_all(
    jobs: Sequence[Run], processes: int, tell: Tell
) -> dict[str, dict[Combination, list[Facts]]]:
    """Run everything; the same facts, in the same order, however many processes there are.

    By machine, and then by combination.
    """
    done: dict[int, Facts] = {}
    for count, (index, facts) in enumerate(_finished(list(enumerate(jobs)), processes), 1):
        done[index] = facts
        tell(count, len(jobs), jobs[index])
    runs: dict[str, dict[Combination, list[Facts]]] = {}
    for index, job in enumerate(jobs):
        runs.setdefault(job.machine, {}).setdefault(job.combination, []).append(done[index])
    return runs


def _finished(jobs: Sequence[_Numbered], processes: int) -> Iterator[tuple[int, Facts]]:
    """The runs as they finish. Whatever ends this early ends the processes."""
    if processes <= 1:
        yield from map(_run, jobs)
        return
    # Started anew, not forked: whoever calls this may have threads.
    with get_context("spawn").Pool(min(processes, len(jobs)), _leave_signals_alone) as pool:
        yield from pool.imap_unordered(_run, jobs)


def _run(job: _Numbered) -> tuple[int, Facts]:
    return job[0], run_one(job[1])


def _leave_signals_alone() -> None:
    """Ctrl-C reaches every process of a terminal; the one that started the others ends them."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
