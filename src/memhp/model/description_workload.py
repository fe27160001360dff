"""``[workload]``: what runs on the machine, read from its description."""

from collections.abc import Sequence
from typing import Final

from memhp.core.geometry import NodeId
from memhp.model.description_table import Table
from memhp.model.workload import (
    Exit,
    Fork,
    Grow,
    KernelGrow,
    KernelMemory,
    Memory,
    Pin,
    Shrink,
    Step,
    Workload,
)

_KEYS: Final = ("seed", "mixed", "step")
_DOINGS: Final = ("grow", "shrink", "pin", "lock", "fork", "exit", "kernel")
_STEP_KEYS: Final = ("process", *_DOINGS, "size", "node", "bound")
_LARGEST_SEED: Final = (1 << 32) - 2
_MOST_STEPS: Final = 100_000


def read_workload(table: Table, nr_nodes: int) -> Workload | None:
    """Read ``[workload]``; ``None`` where there is none. Raises ``DescriptionError``."""
    table.only(_KEYS)
    steps = table.tables("step")
    if len(steps) > _MOST_STEPS:
        raise table.error("step", "has too many", f"give {_MOST_STEPS} at most")
    workload = Workload(
        seed=table.count("seed", 0, least=0, most=_LARGEST_SEED),
        mixed_percent=table.count("mixed", 0, least=0, most=100),
        steps=_steps(steps, nr_nodes),
    )
    return workload if workload != Workload() else None


def _steps(tables: Sequence[Table], nr_nodes: int) -> tuple[Step, ...]:
    """Read the steps, in order: only what was started can do anything."""
    running: set[str] = set()
    steps = []
    for table in tables:
        step = _step(table, nr_nodes)
        steps.append(step)
        match step:
            case Grow(process=name):
                running.add(name)
            case Fork(child=name) if name in running:
                raise table.error("fork", f'is "{name}"', "give a name that no process has")
            case Shrink() | Pin() | Fork() | Exit() if step.process not in running:
                known = ", ".join(sorted(running)) or "none"
                raise table.error(
                    "process", "was not started", f"let it grow first; known: {known}"
                )
            case Fork(child=name):
                running.add(name)
            case Exit(process=name):
                running.discard(name)
    return tuple(steps)


def _step(table: Table, nr_nodes: int) -> Step:
    table.only(_STEP_KEYS)
    doings = [key for key in _DOINGS if key in table]
    if len(doings) != 1:
        raise table.error(
            doings[1] if doings else None,
            "is a second thing to do" if doings else "says nothing to do",
            f"give one of {', '.join(_DOINGS)}",
        )
    if doings[0] == "kernel":
        return KernelGrow(
            memory=KernelMemory(table.word("kernel", KernelMemory)),
            size_bytes=table.size("size"),
            node=NodeId(table.count("node", 0, least=0, most=nr_nodes - 1)),
        )
    return _task_step(table, doings[0], nr_nodes)


def _task_step(table: Table, doing: str, nr_nodes: int) -> Step:
    process = table.text("process")
    match doing:
        case "fork":
            return Fork(process=process, child=table.text("fork"))
        case "exit":
            if not table.flag("exit", default=False):
                raise table.error("exit", "is false", "give true, or leave the step out")
            return Exit(process=process)
        case "grow":
            node = table.count("node", 0, least=0, most=nr_nodes - 1) if "node" in table else None
            return Grow(
                process=process,
                memory=Memory(table.word("grow", Memory)),
                size_bytes=table.size("size"),
                node=None if node is None else NodeId(node),
                bound=table.flag("bound", default=False),
            )
        case _:
            memory, size = Memory(table.word(doing, Memory)), table.size("size")
            if doing == "shrink":
                return Shrink(process=process, memory=memory, size_bytes=size)
            lock = doing == "lock"
            return Pin(process=process, memory=memory, size_bytes=size, only_lock=lock)
