"""Policies are read, and become words on the command line."""

import pytest

from memhp.core.errors import ArgumentError
from memhp.model.compare.facts import Combination
from memhp.model.compare.policies import combinations, parse_policy


@pytest.mark.parametrize(
    ("text", "words", "migrates"),
    [
        ("normal", (), False),
        ("movable-node", ("movable_node",), False),
        ("movablecore=25%", ("movablecore=25%",), False),
        ("kernelcore=4G", ("kernelcore=4G",), False),
        ("auto-movable", ("memory_hotplug.online_policy=auto-movable",), False),
        (
            "auto-movable=150",
            ("memory_hotplug.online_policy=auto-movable", "memory_hotplug.auto_movable_ratio=150"),
            False,
        ),
        ("migrate-kernel", (), True),
        ("movable-node+migrate-kernel", ("movable_node",), True),
    ],
)
def test_policies_are_read(text: str, words: tuple[str, ...], migrates: bool) -> None:
    policy = parse_policy(text)
    assert (policy.words, policy.migrate_kernel) == (words, migrates)


@pytest.mark.parametrize("text", ["", "movable", "movablecore=", "movablecore=x", "normal+"])
def test_what_is_no_policy_is_refused(text: str) -> None:
    with pytest.raises(ArgumentError):
        parse_policy(text)


def test_a_policy_replaces_what_rivals_it_and_keeps_the_rest() -> None:
    line = "quiet movable_node memhp_default_state=offline mem=8G memory_hotplug.x=1 -- init"
    changed = parse_policy("kernelcore=50%").command_line(line)
    assert changed == "kernelcore=50% quiet mem=8G -- init"


def test_pinned_shares_are_swept_where_kernel_memory_moves() -> None:
    policies = [parse_policy("normal"), parse_policy("migrate-kernel")]
    found = combinations(policies, ["ordinary"], [False], [0, 75])
    assert found == tuple(
        Combination(policy=name, memmap="ordinary", migrate_vmalloc=False, dma_percent=percent)
        for name, percent in (("normal", 0), ("migrate-kernel", 0), ("migrate-kernel", 75))
    )
