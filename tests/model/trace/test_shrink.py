"""Shrinking: what is left still differs, and nothing of it can be left out."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from memhp.core.geometry import GIB, NodeId
from memhp.core.guest_shape import BootDimm, GuestShape, VirtioMemShape
from memhp.model.trace.scenario import Scenario
from memhp.model.trace.shrink import shrink

GUEST = GuestShape(
    kernel="6.12",
    nodes=(GIB, 0),
    command_line="movable_node kernelcore=1G",
    hotpluggable_nodes=(NodeId(0), NodeId(1)),
    dimms=(BootDimm(size_bytes=GIB, node=NodeId(1)),),
    virtio_mem=(VirtioMemShape(size_bytes=GIB, node=NodeId(1)),),
)
PLAIN = GuestShape(kernel="6.12", nodes=(GIB, 0))


def scenario(paths: list[str]) -> Scenario:
    steps = tuple({"op": "read", "path": path} for path in paths)
    return Scenario(name="s", about="", guest=GUEST, steps=steps)


def paths_of(made: Scenario) -> list[str]:
    return [step["path"] for step in made.steps]


def is_within(wanted: list[str], paths: list[str]) -> bool:
    """Whether the wanted paths come in this order."""
    left = iter(paths)
    return all(path in left for path in wanted)


@given(st.lists(st.sampled_from("abcdef"), min_size=1, max_size=14), st.data())
def test_the_shortest_is_found_where_steps_in_an_order_make_the_difference(
    paths: list[str], data: st.DataObject
) -> None:
    places = data.draw(st.sets(st.integers(0, len(paths) - 1), max_size=3))
    wanted = [paths[place] for place in sorted(places)]
    tried = []

    def trial(candidate: Scenario) -> Scenario | None:
        tried.append(candidate)
        return candidate if is_within(wanted, paths_of(candidate)) else None

    shortest = shrink(scenario(paths), trial)
    assert paths_of(shortest) == wanted
    assert shortest.guest == PLAIN
    assert all(tried.count(candidate) == 1 for candidate in tried)


def test_what_a_trial_cuts_off_stays_off() -> None:
    def trial(candidate: Scenario) -> Scenario | None:
        paths = paths_of(candidate)
        if "b" not in paths:
            return None
        return replace(candidate, steps=candidate.steps[: paths.index("b") + 1])

    assert paths_of(shrink(scenario(list("aaabcccc")), trial)) == ["b"]


def test_what_makes_the_difference_in_the_guest_stays() -> None:
    def trial(candidate: Scenario) -> Scenario | None:
        guest = candidate.guest
        differs = "kernelcore=1G" in guest.command_line and guest.virtio_mem
        return candidate if differs else None

    shortest = shrink(scenario(["a"]), trial)
    assert shortest.steps == ()
    assert shortest.guest == replace(
        PLAIN, command_line="kernelcore=1G", virtio_mem=GUEST.virtio_mem
    )


def test_where_nothing_can_be_left_out_all_stays() -> None:
    made = scenario(["a", "b"])
    assert shrink(made, lambda candidate: candidate if candidate == made else None) == made
