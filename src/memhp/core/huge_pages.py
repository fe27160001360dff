"""What came of asking a node to hold another number of huge pages, read back from its pool."""

from memhp.core.outcome import Done, Outcome, Partly
from memhp.core.plan import ExpectHugePages, HoldHugePages, Step


def came_of_holding(step: Step, held: int | None) -> Outcome | None:
    """The outcome by how many are held now; ``None`` where nothing was done of it.

    The kernel makes as many as it finds room for, and says nothing where those
    are fewer (``set_max_huge_pages()``).
    """
    action, expect = step.action, step.expect
    if not isinstance(action, HoldHugePages) or held is None:
        return None
    if held == action.count:
        return Done()
    before = expect.count if isinstance(expect, ExpectHugePages) else held
    wanted, done = action.count - before, held - before
    if done * wanted <= 0:
        return None
    return Partly(
        done_bytes=min(abs(done), abs(wanted)) * action.size_bytes,
        wanted_bytes=abs(wanted) * action.size_bytes,
        reason="there is no room for more in one piece" if wanted > 0 else "it was interrupted",
    )
