"""Who is at home where, when a machine runs its own workload."""

from booted import booted
from memhp.core.geometry import MIB, NodeId
from memhp.model.compare.load import homes_in, homes_of
from memhp.model.kernel import Kernel
from memhp.model.workload import Exit, Fork, Grow, KernelGrow, KernelMemory, Memory, Workload

TEXT = """
[[node]]
memory = "512M"
cpus = 2
[[node]]
memory = "512M"
cpus = 2
[[node]]
memory = "512M"
cpus = 0
"""


def machine() -> Kernel:
    return booted(TEXT)


def grow(process: str, node: int | None = None) -> Grow:
    at = None if node is None else NodeId(node)
    return Grow(process=process, memory=Memory.ANONYMOUS, size_bytes=MIB, node=at)


def test_a_process_is_at_home_where_it_was_started() -> None:
    steps = (
        grow("a"),
        grow("b", 1),
        grow("b", 0),
        Fork(process="b", child="c"),
        KernelGrow(memory=KernelMemory.SLAB, size_bytes=MIB, node=NodeId(0)),
    )
    assert homes_in(machine(), Workload(steps=steps)) == {"a": 0, "b": 1, "c": 1}


def test_who_comes_by_a_name_later_is_another() -> None:
    steps = (grow("a", 1), Exit(process="a"), grow("a", 0))
    assert homes_in(machine(), Workload(steps=steps)) == {"a": 0}


def test_a_node_without_processors_is_looked_after_by_the_nearest() -> None:
    assert homes_in(machine(), Workload(steps=(grow("a", 2),))) == {"a": 0}


def test_owners_of_mixed_are_at_home_as_ever() -> None:
    kernel = machine()
    workload = Workload(mixed_percent=10, steps=(grow("a", 1),))
    assert homes_in(kernel, workload) == homes_of(kernel) | {"a": NodeId(1)}
