"""Moves with faults by chance: whatever goes wrong, the account is exact, nothing half done."""

import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memhp.core.errors import CannotPlan
from memhp.core.events import OperationEnded
from memhp.core.request import Conditions
from memhp.core.snapshot import Snapshot
from memhp.core.words import BlockState, Ending, OnlineType
from memhp.model.kernel import Kernel
from two_guests import MIB, TEXT, Pair

ZONES = [OnlineType.ONLINE, OnlineType.ONLINE_KERNEL, OnlineType.ONLINE_MOVABLE]
faults = st.fixed_dictionaries(
    {
        "held": st.sets(st.integers(0, 7)),
        "some of it": st.booleans(),
        "pinned": st.sets(st.sampled_from(["dimm0", "dimm1"])),
        "deaf taker": st.booleans(),
        "vetoing taker": st.booleans(),
        "offline taker": st.booleans(),
    }
)
wishes = st.builds(
    Conditions,
    all_or_nothing=st.booleans(),
    at_least_bytes=st.none() | st.integers(1, 900).map(lambda units: units * 2 * MIB),
)


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return Pair(tmp_path_factory.mktemp("moves"), TEXT)


def go_wrong(pair: Pair, chosen: dict[str, object]) -> None:
    """Let the faults befall both guests."""

    def giver(kernel: Kernel) -> None:
        device = kernel.virtio_mem["virtio-mem0"]
        numbers = sorted(device.plugged)
        bits = 0b1111 if chosen["some of it"] else (1 << 64) - 1
        held = {numbers[place]: bits for place in chosen["held"]}  # type: ignore[attr-defined]
        device.held |= held
        for name in chosen["pinned"]:  # type: ignore[attr-defined]
            first = kernel.slots[name].range.start // kernel.block_size_bytes
            kernel.unmovable[first] = "a pinned page"

    def taker(kernel: Kernel) -> None:
        if chosen["deaf taker"]:
            kernel.virtio_mem["virtio-mem0"].answers_after = -1
        if chosen["vetoing taker"]:
            kernel.notifier_errors["MEM_GOING_ONLINE"] = -12
        if chosen["offline taker"]:
            kernel.settings.auto_online = OnlineType.OFFLINE

    pair.change("web", giver)
    pair.change("db", taker)


def gives(snapshot: Snapshot) -> int:
    """What a machine's devices give it."""
    return sum(
        d.size_bytes if d.plugged_bytes is None else d.plugged_bytes
        for d in snapshot.devices
        if d.present
    )


@settings(max_examples=60)
@given(faults, st.integers(1, 900), wishes, st.sampled_from(ZONES))
def test_whatever_goes_wrong(
    fresh: Pair, chosen: dict[str, object], units: int, conditions: Conditions, zone: OnlineType
) -> None:
    folder = fresh.file.parent / "again"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    shutil.copy(fresh.file, folder / fresh.file.name)
    pair = Pair(folder)
    go_wrong(pair, chosen)
    before, had = pair.standing(), {g: gives(pair.look(g)) for g in ("web", "db")}
    try:
        ending = pair.move(units * 2 * MIB, conditions, zone=zone, reserve_bytes=1)
    except CannotPlan:
        assert pair.standing() == before
        return
    taken = had["web"] - gives(pair.look("web"))
    given_bytes = gives(pair.look("db")) - had["db"]
    check_account(pair, ending, conditions, (units * 2 * MIB, taken, given_bytes))
    if ending in {Ending.REFUSED, Ending.PUT_BACK}:
        assert pair.standing() == before
    nothing_is_half_done(pair)


def check_account(
    pair: Pair, ending: Ending, conditions: Conditions, sizes: tuple[int, int, int]
) -> None:
    """What is told is what is there, and what was promised was kept."""
    wanted, taken, given_bytes = sizes
    enough = min(wanted, conditions.at_least_bytes or wanted)
    assert taken >= given_bytes >= 0
    assert taken - given_bytes < 512 * MIB
    assert given_bytes <= wanted
    if ending is Ending.DONE:
        assert given_bytes >= enough
    ended = pair.events[-1]
    assert isinstance(ended, OperationEnded)
    for size in {taken, given_bytes} - {0}:
        assert f" {size // MIB}M" in ended.account.replace("1G ", "1024M ")


def nothing_is_half_done(pair: Pair) -> None:
    """No size that is asked for and not there; no block of the giver offline; no empty DIMM."""
    for guest in ("web", "db"):
        snapshot = pair.look(guest)
        assert all(d.requested_bytes == d.plugged_bytes for d in snapshot.devices)
    web = pair.look("web")
    assert all(block.state is BlockState.ONLINE for block in web.blocks)


def test_it_is_tried_in_a_folder_of_its_own(fresh: Pair, tmp_path: Path) -> None:
    """The machine that all examples begin with is never changed."""
    assert fresh.sizes("web") == Pair(tmp_path, TEXT).sizes("web")
