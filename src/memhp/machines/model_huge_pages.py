"""The pools of huge pages of a modelled machine, as a step finds and changes them."""

from memhp.core.huge_pages import came_of_holding
from memhp.core.outcome import Outcome, Refused
from memhp.core.plan import ExpectHugePages, HoldHugePages, Step
from memhp.core.surroundings import HugePool
from memhp.model.kernel import Kernel


def hold(kernel: Kernel, step: Step, action: HoldHugePages) -> Outcome:
    """Have a node hold so many huge pages, and look how many it does."""
    pool = _pool(kernel, action)
    if pool is None or kernel.pages is None:
        return Refused(reason=f"node{action.node} has no pool of such huge pages")
    kernel.pages.hold_huge_pages(pool, action.count)
    found = came_of_holding(step, held_now(kernel, action))
    return found or Refused(reason="there is no room for a huge page in one piece")


def held_now(kernel: Kernel, about: HoldHugePages | ExpectHugePages) -> int | None:
    """How many huge pages a node holds; ``None`` where it has no such pool."""
    pool = _pool(kernel, about)
    return None if pool is None else pool.held


def _pool(kernel: Kernel, about: HoldHugePages | ExpectHugePages) -> HugePool | None:
    wanted = about.node, about.size_bytes
    return next((p for p in kernel.huge_pools() if (p.node, p.size_bytes) == wanted), None)
