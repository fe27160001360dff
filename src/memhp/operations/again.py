"""Blocks that refused are set aside, and tried again once others have moved.

What an offline needs (pages nobody holds for a moment, free memory elsewhere)
comes and goes. So a block that was busy gets another try as soon as something
else was done after it; and, on a machine that changes by itself, after a pause
that doubles each time. A block that was given up is tried again only where time
is short anyway: it has had as long as it may be stuck.
"""

from dataclasses import dataclass

from memhp.core.geometry import BlockId
from memhp.core.outcome import Done, Outcome, Refused
from memhp.operations.operation import Operation, block_of

_TRIES = 5
_FIRST_PAUSE_SECONDS = 1.0
_PASSES = frozenset({"EBUSY", "EAGAIN", "ENOMEM"})
"""Errnos of what may be otherwise in a moment."""
_GIVEN_UP = "EINTR"


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """The blocks to try again, and how long to wait before it."""

    blocks: frozenset[BlockId]
    pause_seconds: float = 0.0


def blocks_to_try_again(operation: Operation, *, patient: bool) -> Again:
    """Find them in what was done so far; a pure function of it.

    The ``patient`` have until a deadline, and try what was given up again too.
    """
    passes = _PASSES | {_GIVEN_UP} if patient else _PASSES
    tries: dict[BlockId, int] = {}
    last_refusal: dict[BlockId, int] = {}
    last_done = 0
    for number, (block, outcome) in enumerate(_results(operation), 1):
        if isinstance(outcome, Done):
            last_done = number
            tries.pop(block, None)
        elif isinstance(outcome, Refused) and outcome.errno_name in passes:
            tries[block] = tries.get(block, 0) + 1
            last_refusal[block] = number
        else:
            tries[block] = _TRIES
    left = {block: count for block, count in tries.items() if count < _TRIES}
    moved = frozenset(block for block in left if last_refusal[block] < last_done)
    if moved:
        return Again(blocks=moved)
    rounds = min(left.values(), default=0)
    seconds = _FIRST_PAUSE_SECONDS * 2 ** (rounds - 1) if left else 0.0
    fewest = frozenset(block for block, count in left.items() if count == rounds)
    return Again(blocks=fewest, pause_seconds=seconds)


def _results(operation: Operation) -> list[tuple[BlockId, Outcome]]:
    return [
        (BlockId(block), outcome)
        for leg in operation.forward()
        for step, outcome in leg.results()
        if (block := block_of(step)) is not None
    ]
