"""All runs of a comparison, in as many processes as are asked for."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from multiprocessing import get_context

from memhp.model.compare.facts import Combination, Facts
from memhp.model.compare.run_one import Run, run_one

Tell = Callable[[int, int, Run], None]
"""Hears how many runs are done, of how many, and which was the last."""


def run_all(jobs: Sequence[Run], processes: int, tell: Tell) -> dict[Combination, list[Facts]]:
    """Run everything; the same facts, in the same order, however many processes there are."""
    done: dict[int, Facts] = {}
    for count, (index, facts) in enumerate(_finished(jobs, processes), 1):
        done[index] = facts
        tell(count, len(jobs), jobs[index])
    runs: dict[Combination, list[Facts]] = {}
    for index, job in enumerate(jobs):
        runs.setdefault(job.combination, []).append(done[index])
    return runs


def _finished(jobs: Sequence[Run], processes: int) -> Iterator[tuple[int, Facts]]:
    """The runs as they finish."""
    if processes <= 1:
        yield from ((index, run_one(job)) for index, job in enumerate(jobs))
        return
    # Started anew, not forked: whoever calls this may have threads.
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        waiting = {pool.submit(run_one, job): index for index, job in enumerate(jobs)}
        try:
            yield from _as_they_come(waiting)
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _as_they_come(waiting: dict[Future[Facts], int]) -> Iterator[tuple[int, Facts]]:
    left: Iterable[Future[Facts]] = set(waiting)
    while left:
        finished, left = wait(left, return_when=FIRST_COMPLETED)
        for future in finished:
            yield waiting[future], future.result()
