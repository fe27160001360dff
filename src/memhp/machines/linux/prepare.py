"""What is done on a Linux machine before blocks go: caches dropped, nodes compacted, huge pages.

Each is one word written to one file, in a process that can be ended, as blocks
are (``live_write.py``).
"""

import os
from collections.abc import Callable
from typing import Final

from memhp.core.geometry import KIB
from memhp.core.huge_pages import came_of_holding
from memhp.core.outcome import Done, Outcome, Refused
from memhp.core.plan import (
    Action,
    CompactNode,
    DropCaches,
    ExpectHugePages,
    HoldHugePages,
    Preparing,
    Step,
)
from memhp.machines.linux.live_write import HELD, write_live
from memhp.machines.linux.numbers import number
from memhp.machines.linux.root import NODES, Root

Write = Callable[[Root, str, str, float | None], str | None]
_CACHES: Final = "proc/sys/vm/drop_caches"
_ALL_CACHES: Final = "3"
"""Page cache (1), then dentries and inodes (2), which only go once their pages have.

What is dirty stays: it is not written to disk for this. (``drop_caches_sysctl_handler()``)
"""


def prepare(root: Root, step: Step, *, until: float | None, write: Write = write_live) -> Outcome:
    """Carry out one such step and read back what can be; raises ``NotSupported``.

    ``write`` is the one function that writes; tests have their own.
    """
    file, word = _file(step.action), _word(step.action)
    before = _held(root, step.action)
    if isinstance(step.expect, ExpectHugePages) and before != step.expect.count:
        return Refused(reason=f"expected {step.expect}, found {before}")
    errno_name = write(root, file, word, until)
    found = came_of_holding(step, _held(root, step.action))
    if found is not None:
        return found
    if errno_name is None and isinstance(step.action, HoldHugePages):
        return Refused(reason="there is no room for a huge page in one piece")
    if errno_name is None:
        return Done()
    if errno_name in {"EINTR", HELD}:
        # The kernel may go on with it for a while, which changes no memory's state.
        return Refused(reason="given up, for the time was over", errno_name="EINTR")
    return Refused(reason=_meaning(errno_name), errno_name=errno_name)


def why_not(root: Root, action: Action) -> str | None:
    """What keeps it from being done, before anything is; ``None`` where nothing does."""
    if not isinstance(action, Preparing):
        return None
    file = _file(action)
    if not os.path.lexists(root.path(file)):
        return f"there is no {root.path(file)}: {_ABSENT[type(action)]}"
    return None


def lacks_rights(root: Root, action: Action) -> str | None:
    """What to do about a file that this process may not write; ``None`` where it may."""
    return root.why_unwritable(_file(action)) if isinstance(action, Preparing) else None


def warnings(action: Action) -> tuple[str, ...]:
    """What a person should know before it is done."""
    if isinstance(action, DropCaches):
        return ("caches are dropped on the whole machine: what is read next comes from disk",)
    return ()


_ABSENT: Final = {
    DropCaches: "leave 'drop-caches' out of --prepare",
    CompactNode: "the kernel was built without compaction; leave 'compact' out of --prepare",
    HoldHugePages: "the kernel has no such huge pages; leave 'hugepages' out of --prepare",
}


def _meaning(errno_name: str) -> str:
    return "only root may do that" if errno_name in {"EACCES", "EPERM"} else "the kernel refused it"


def _word(action: Action) -> str:
    match action:
        case HoldHugePages(count=count):
            return str(count)
        case DropCaches():
            return _ALL_CACHES
    return "1"


def _file(action: Action) -> str:
    match action:
        case CompactNode(node=node):
            return f"{NODES}/node{node}/compact"
        case HoldHugePages():
            return f"{_pool(action)}/nr_hugepages"
    return _CACHES


def _pool(action: HoldHugePages) -> str:
    return f"{NODES}/node{action.node}/hugepages/hugepages-{action.size_bytes // KIB}kB"


def _held(root: Root, action: Action) -> int | None:
    """How many huge pages the node holds of those that are about; ``None`` for other steps."""
    if not isinstance(action, HoldHugePages):
        return None
    total, surplus = (
        number(root.text_if_there(f"{_pool(action)}/{file}"))
        for file in ("nr_hugepages", "surplus_hugepages")
    )
    return None if total is None else total - (surplus or 0)
