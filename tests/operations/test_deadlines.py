"""The deadline passes at every moment there is: nothing is left half done.

The clock is turned by whoever looks at it: after so many looks it is too late.
"""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from kills import in_ram
from memhp.core.events import OperationEnded
from memhp.core.request import (
    Add,
    Conditions,
    Evacuate,
    Move,
    Offline,
    Remove,
    Replace,
    Request,
    Resize,
)
from memhp.core.targets import Amount, DeviceTarget
from memhp.core.words import BlockState, Ending, OnlineType
from memhp.operations.converge import converge
from memhp.operations.operation import Operation
from two_guests import MIB, TEXT, Pair

__all__ = ["in_ram"]
ALL = Conditions(all_or_nothing=True)


class Clock:
    """Says that it is early so many times, and late from then on."""

    def __init__(self, looks: int) -> None:
        self.left = looks

    def __call__(self) -> float:
        self.left -= 1
        return 0.0 if self.left >= 0 else 2.0


def run(pair: Pair, guests: tuple[str, ...], operation: Operation, clock: Clock) -> Ending:
    opened = [pair.machine(guest) for guest in guests]
    return converge(
        operation,
        {machine.name: machine for machine in opened},
        note=lambda _record: None,
        listeners=(pair.events.append,),
        until=1.0,
        clock=clock,
    )


def at_every_moment(
    folder: Path,
    guests: tuple[str, ...],
    ask: Callable[[Pair], Operation],
    check: Callable[[Pair, Ending, int], None],
) -> set[Ending]:
    """Do it with a clock that is late at the first look, the second, and so on."""
    pair = Pair(folder, TEXT)
    kept = folder / "kept"
    shutil.copy(pair.file, kept)
    endings = set()
    for looks in range(200):
        shutil.copy(kept, pair.file)
        pair.events.clear()
        clock = Clock(looks)
        ending = run(pair, guests, ask(pair), clock)
        check(pair, ending, looks)
        endings.add(ending)
        if clock.left >= 0:
            return endings
    pytest.fail("it never was early enough")


def settled(pair: Pair, looks: int) -> None:
    """Every block is online, and every device has what is asked of it."""
    for guest in ("web", "db"):
        snapshot = pair.look(guest)
        assert all(b.state is BlockState.ONLINE for b in snapshot.blocks), looks
        assert all(d.requested_bytes == d.plugged_bytes for d in snapshot.devices), looks


@pytest.mark.parametrize("conditions", [Conditions(), ALL], ids=["as far as it goes", "all"])
def test_a_move(in_ram: Path, conditions: Conditions) -> None:
    """What was taken is given, or the giver has it again: 1.5 GiB are there at any time."""
    whole = Pair(in_ram, TEXT)
    before = whole.standing()
    total = sum(sum(whole.sizes(guest).values()) for guest in ("web", "db"))

    def ask(pair: Pair) -> Operation:
        move = Move(
            size_bytes=1536 * MIB,
            giver=pair.name("web"),
            taker=pair.name("db"),
            zone=OnlineType.ONLINE_MOVABLE,
        )
        return Operation(request=move, conditions=conditions)

    def check(pair: Pair, ending: Ending, looks: int) -> None:
        settled(pair, looks)
        now = sum(sum(pair.sizes(guest).values()) for guest in ("web", "db"))
        assert now == total, (looks, pair.sizes("web"), pair.sizes("db"))
        if ending in {Ending.REFUSED, Ending.PUT_BACK}:
            assert pair.standing() == before, looks
        if conditions.all_or_nothing:
            assert ending is not Ending.PARTLY, looks

    endings = at_every_moment(in_ram, ("web", "db"), ask, check)
    assert Ending.DONE in endings
    assert (Ending.PARTLY in endings) is not conditions.all_or_nothing


REQUESTS: dict[str, Request] = {
    "replace": Replace(device="dimm0"),
    "add first": Replace(device="dimm0", add_first=True),
    "remove": Remove(device="dimm0"),
    "resize": Resize(device="virtio-mem0", by_bytes=512 * MIB, zone=OnlineType.ONLINE_KERNEL),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_one_machine(name: str, in_ram: Path) -> None:
    """Done, or as it was; a replacement is ended once the old device is out."""
    before = Pair(in_ram, TEXT).standing()["web"]

    def check(pair: Pair, ending: Ending, looks: int) -> None:
        if ending in {Ending.REFUSED, Ending.PUT_BACK}:
            assert pair.standing()["web"] == before, looks
        if name in {"replace", "add first"}:
            assert ending is not Ending.PARTLY, looks
            settled(pair, looks)

    request = REQUESTS[name]
    endings = at_every_moment(in_ram, ("web",), lambda _: Operation(request=request), check)
    assert Ending.DONE in endings
    assert len(endings) > 1


TOO_LATE: dict[str, Request] = {
    **REQUESTS,
    "add": Add(size_bytes=256 * MIB),
    "offline": Offline(targets=(DeviceTarget(name="dimm0"),)),
    "evacuate": Evacuate(targets=(Amount(size_bytes=512 * MIB),)),
}


@pytest.mark.parametrize("name", TOO_LATE)
def test_what_was_late_from_the_beginning_is_not_done(name: str, in_ram: Path) -> None:
    pair = Pair(in_ram, TEXT)
    before = pair.standing()
    assert run(pair, ("web",), Operation(request=TOO_LATE[name]), Clock(0)) is Ending.REFUSED
    assert pair.events == [OperationEnded(ending=Ending.REFUSED, late=True)]
    assert pair.standing() == before
