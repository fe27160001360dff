"""What a person points at, and sizes."""

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from memhp.core.errors import ArgumentError
from memhp.core.geometry import GIB, KIB, MIB, TIB, BlockId, NodeId
from memhp.core.ranges import PhysRange
from memhp.core.targets import (
    Addresses,
    Amount,
    Blocks,
    DeviceTarget,
    NodeTarget,
    Target,
    format_size,
    parse_size,
    parse_target,
)

LAST_BLOCK = (1 << 25) - 1
GRAMMAR = (
    "give blocks (memory32, 32-39, 32,35), a size (4G, 512MiB), addresses "
    "(0x100000000-0x13fffffff), a node (node1) or a device (dimm0)"
)
A_SIZE_NEEDS_ITS_UNIT = (
    "is past the end of any machine: a bare number is a block; a size needs its unit, as 4G"
)


def blocks(*numbers: int) -> Blocks:
    return Blocks(blocks=tuple(BlockId(number) for number in numbers))


def addresses(first: int, last: int) -> Addresses:
    return Addresses(range=PhysRange.inclusive(first, last))


MEANINGS: list[tuple[str, Target]] = [
    ("32", blocks(32)),
    ("0", blocks(0)),
    ("007", blocks(7)),
    ("memory32", blocks(32)),
    ("memory32-35", blocks(32, 33, 34, 35)),
    ("32-32", blocks(32)),
    ("37,32-34,33", blocks(32, 33, 34, 37)),
    ("memory1,memory3-4,6", blocks(1, 3, 4, 6)),
    (str(LAST_BLOCK), blocks(LAST_BLOCK)),
    ("4G", Amount(size_bytes=4 * GIB)),
    ("4GiB", Amount(size_bytes=4 * GIB)),
    ("4gib", Amount(size_bytes=4 * GIB)),
    ("512m", Amount(size_bytes=512 * MIB)),
    ("64KiB", Amount(size_bytes=64 * KIB)),
    ("08T", Amount(size_bytes=8 * TIB)),
    ("1P", Amount(size_bytes=1 << 50)),
    ("1E", Amount(size_bytes=1 << 60)),
    ("0x100000000-0x13fffffff", addresses(4 * GIB, 5 * GIB - 1)),
    ("0X0-0XFf", addresses(0, 255)),
    ("0x10-0x10", addresses(16, 16)),
    ("node0", NodeTarget(node=NodeId(0))),
    ("node12", NodeTarget(node=NodeId(12))),
    ("dimm0", DeviceTarget(name="dimm0")),
    ("PNP0C80:03", DeviceTarget(name="PNP0C80:03")),
    ("virtio-mem0", DeviceTarget(name="virtio-mem0")),
    ("dax0.0", DeviceTarget(name="dax0.0")),
    ("memory", DeviceTarget(name="memory")),
    ("node", DeviceTarget(name="node")),
    ("G", DeviceTarget(name="G")),
]


@pytest.mark.parametrize(("text", "target"), MEANINGS, ids=[text for text, _ in MEANINGS])
def test_what_words_mean(text: str, target: Target) -> None:
    assert parse_target(text) == target


REFUSED = [
    ("", f"is no target: {GRAMMAR}"),
    (" 32", f"is no target: {GRAMMAR}"),
    ("32,", f"is no target: {GRAMMAR}"),
    ("32-", f"is no target: {GRAMMAR}"),
    ("-32", f"is no target: {GRAMMAR}"),
    ("1-2-3", f"is no target: {GRAMMAR}"),
    ("4GB", f"is no target: {GRAMMAR}"),
    ("1.5G", f"is no target: {GRAMMAR}"),
    ("0x100000000", f"is no target: {GRAMMAR}"),
    ("0x0-15", f"is no target: {GRAMMAR}"),
    ("node1,node2", f"is no target: {GRAMMAR}"),
    ("32\n", f"is no target: {GRAMMAR}"),
    ("\u0663", f"is no target: {GRAMMAR}"),
    ("4\u212a", f"is no target: {GRAMMAR}"),
    ("39-32", "counts backwards: give the lower block first"),
    ("0x20-0x10", "counts backwards: give the lower address first"),
    ("0G", "is no size: give a number with its unit, as 4G or 512MiB"),
    (str(LAST_BLOCK + 1), A_SIZE_NEEDS_ITS_UNIT),
    ("0-4294967296", A_SIZE_NEEDS_ITS_UNIT),
    ("9" * 5000, A_SIZE_NEEDS_ITS_UNIT),
    ("0-33000000", "names more blocks than any machine has: name fewer"),
    (",".join(["0-9999"] * 200), "names more blocks than any machine has: name fewer"),
]


@pytest.mark.parametrize(("text", "words"), REFUSED, ids=[repr(t[:20]) for t, _ in REFUSED])
def test_what_is_no_target(text: str, words: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        parse_target(text)
    problem, _, advice = words.partition(": ")
    assert (caught.value.text, caught.value.problem, caught.value.advice) == (text, problem, advice)


@given(st.text(max_size=30) | st.text("0123456789-,memorynodexKMGTPEiB.:", max_size=30))
@example("node" + "9" * 5000)
@example("9" * 5000 + "G")
@example("0x" + "f" * 5000 + "-0x" + "f" * 5001)
def test_any_text_is_a_target_or_a_refusal(text: str) -> None:
    try:
        target = parse_target(text)
    except ArgumentError as error:
        assert error.text == text  # noqa: PT017 - either is right
        return
    assert parse_target(str(target)) == target


numbers = st.sets(st.integers(0, LAST_BLOCK), min_size=1, max_size=30)
runs = st.tuples(st.integers(0, 5000), st.integers(0, 300))


@given(numbers)
def test_blocks_read_as_they_print(chosen: set[int]) -> None:
    target = blocks(*sorted(chosen))
    assert parse_target(str(target)) == target


@given(st.lists(runs, min_size=1, max_size=10), st.booleans())
def test_blocks_are_ascending_and_once(pairs: list[tuple[int, int]], named: bool) -> None:
    text = ",".join(f"{'memory' if named else ''}{first}-{first + n}" for first, n in pairs)
    wanted = {number for first, n in pairs for number in range(first, first + n + 1)}
    assert parse_target(text) == blocks(*sorted(wanted))


@given(st.integers(0, (1 << 64) - 1), st.integers(0, (1 << 64) - 1))
def test_addresses_read_as_they_print(one: int, other: int) -> None:
    target = addresses(min(one, other), max(one, other))
    assert parse_target(str(target)) == target


@given(st.integers(0, 1023))
def test_nodes_read_as_they_print(node: int) -> None:
    assert parse_target(str(NodeTarget(node=NodeId(node)))) == NodeTarget(node=NodeId(node))


@given(st.from_regex(r"[A-Za-z][A-Za-z0-9_.:-]*", fullmatch=True))
def test_other_names_are_devices(name: str) -> None:
    assume(not name.startswith(("memory", "node")))
    assert parse_target(name) == DeviceTarget(name=name)


@given(st.integers(1, (1 << 64) // KIB).map(lambda count: count * KIB))
def test_sizes_read_as_they_print(size_bytes: int) -> None:
    assert parse_size(format_size(size_bytes)) == size_bytes
    assert parse_target(str(Amount(size_bytes=size_bytes))) == Amount(size_bytes=size_bytes)


@given(st.integers(1, 10**20 - 1), st.sampled_from("KMGTPE"), st.sampled_from(["", "iB", "ib"]))
def test_every_spelling_of_a_size(count: int, unit: str, tail: str) -> None:
    size_bytes = count * 1024 ** ("KMGTPE".index(unit) + 1)
    assert parse_size(f"{count}{unit}{tail}") == size_bytes
    assert parse_size(f"{count}{unit.lower()}{tail}") == size_bytes


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (0, "0B"),
        (1, "1B"),
        (1023, "1023B"),
        (KIB, "1K"),
        (1536 * KIB, "1536K"),
        (1536 * MIB, "1536M"),
        (GIB, "1G"),
        (GIB + 1, "1073741825B"),
        (3 * TIB, "3T"),
        (1 << 60, "1E"),
    ],
)
def test_how_sizes_print(size_bytes: int, text: str) -> None:
    assert format_size(size_bytes) == text


@pytest.mark.parametrize("text", ["", "4", "0G", "G", "-1G", "1 G", "1KB", "1Gi", "1" * 21 + "K"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(ArgumentError, match="is no size: give a number with its unit"):
        parse_size(text)
