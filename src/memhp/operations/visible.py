"""Whether enough can be seen of machines to go on with an operation, or to go back.

A guest tells of its blocks through an agent, which may die at any moment: that
nothing is seen of them does not mean that they are gone.
"""

from memhp.core.errors import ContactLost
from memhp.core.snapshot import MemoryBlock, Snapshots
from memhp.operations.operation import Operation, block_of


def check_visible(operation: Operation, snapshots: Snapshots) -> None:
    """Raise ``ContactLost`` where blocks were touched, and the machine shows none at all.

    A device that has not answered is seen all the same, and is all that matters then.
    """
    waits = operation.unanswered()
    if waits is not None and block_of(waits) is None:
        return
    for touched in (operation.before(), operation.goal):
        for name, things in touched.items():
            seen = name not in snapshots or bool(snapshots[name].blocks)
            if not seen and any(isinstance(thing, MemoryBlock) for thing in things):
                raise ContactLost(
                    machine=name,
                    problem="does not tell how its memory blocks stand",
                    advice="see that it runs, and its guest agent in it; then 'memhp resume' "
                    "goes on, and 'memhp undo' goes back",
                )
