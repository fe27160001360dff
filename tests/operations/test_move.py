"""Memory moves from one guest to another: all of it, a part, or none."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from memhp.core.errors import CannotPlan, JournalError, MachineLocked
from memhp.core.outcome import Done, Partly, Refused
from memhp.core.request import Conditions, Resize
from memhp.core.words import BlockState, Ending, OnlineType, ZoneType
from memhp.model.kernel import Kernel
from memhp.model.store import StateFile
from memhp.operations.machine_lock import lock_machine
from two_guests import GIB, MIB, TEXT, Pair

ALL = Conditions(all_or_nothing=True)


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return Pair(tmp_path)


def promised(pair: Pair) -> int:
    host = pair.look("web").host
    assert host is not None
    return host.promised_bytes


def test_a_part_of_a_virtio_mem_device_moves(pair: Pair) -> None:
    before = promised(pair)
    assert pair.move(512 * MIB) is Ending.DONE
    assert pair.sizes("web") == {"dimm0": 512, "dimm1": 256, "virtio-mem0": 512}
    assert pair.sizes("db") == {"virtio-mem0": 1024}
    assert promised(pair) == before


def test_sub_blocks_move(pair: Pair) -> None:
    """128 MiB are a block; a virtio-mem device gives 2 MiB."""
    assert pair.move(130 * MIB) is Ending.DONE
    assert (pair.sizes("web")["virtio-mem0"], pair.sizes("db")["virtio-mem0"]) == (894, 642)


def test_what_comes_is_online_in_the_zone_asked_for(pair: Pair) -> None:
    known = {block.block for block in pair.look("db").blocks}
    assert pair.move(512 * MIB, zone=OnlineType.ONLINE_MOVABLE) is Ending.DONE
    new = [block for block in pair.look("db").blocks if block.block not in known]
    assert [(b.state, b.zone) for b in new] == [(BlockState.ONLINE, ZoneType.MOVABLE)] * 4


def test_dimms_go_whole_where_virtio_mem_does_not_suffice(pair: Pair) -> None:
    """1 GiB of virtio-mem and 200 MiB: the smaller DIMM goes, and exactly the rest shrinks."""
    assert pair.move(1224 * MIB) is Ending.DONE
    assert pair.sizes("web") == {"dimm0": 512, "virtio-mem0": 56}
    assert pair.sizes("db") == {"virtio-mem0": 1736}


def test_what_has_no_room_in_virtio_mem_comes_as_a_dimm(pair: Pair) -> None:
    assert pair.move(1664 * MIB) is Ending.DONE
    assert pair.sizes("db") == {"virtio-mem0": 2048, "dimm0": 128}
    assert pair.sizes("web") == {"virtio-mem0": 0 + 1024 + 768 - 1664}
    blocks = [b for b in pair.look("db").blocks if b.device == "dimm0"]
    assert [b.state for b in blocks] == [BlockState.ONLINE]


def test_undo_makes_both_as_they_were(pair: Pair) -> None:
    before = pair.standing()
    assert pair.move(1664 * MIB) is Ending.DONE
    assert pair.conductor().undo("1") is Ending.DONE
    assert pair.standing() == before


def hold(device: str, *blocks: int) -> Callable[[Kernel], None]:
    """Let something be held in blocks of a virtio-mem device, by their place in it."""

    def put(kernel: Kernel) -> None:
        found = kernel.virtio_mem[device]
        numbers = sorted(found.plugged)
        found.held |= {numbers[place]: -1 & (1 << 64) - 1 for place in blocks}

    return put


def pin(kernel: Kernel) -> None:
    """Something is pinned in the first block of each DIMM."""
    for slot in kernel.slots.values():
        kernel.unmovable[slot.range.start // kernel.block_size_bytes] = "a pinned page"


def test_the_part_that_succeeded_moves(pair: Pair) -> None:
    """Six of eight blocks can be freed, and no DIMM can go."""
    pair.change("web", hold("virtio-mem0", 0, 1))
    pair.change("web", pin)
    assert pair.move(GIB) is Ending.PARTLY
    assert pair.sizes("web") == {"dimm0": 512, "dimm1": 256, "virtio-mem0": 256}
    assert pair.sizes("db") == {"virtio-mem0": 512 + 768}
    web, db = pair.look("web"), pair.look("db")
    assert [d.requested_bytes == d.plugged_bytes for d in (*web.devices, *db.devices)]
    assert all(b.state is BlockState.ONLINE for b in (*web.blocks, *db.blocks))


def test_what_one_device_refuses_another_gives(pair: Pair) -> None:
    """Without the DIMM whose block is pinned: what it lost comes back first."""
    pair.change("web", hold("virtio-mem0", *range(6)))

    def pin_one(kernel: Kernel) -> None:
        slot = kernel.slots["dimm1"]
        kernel.unmovable[slot.range.start // kernel.block_size_bytes] = "a pinned page"

    pair.change("web", pin_one)
    assert pair.move(512 * MIB) is Ending.DONE
    assert pair.sizes("db") == {"virtio-mem0": 1024}
    assert pair.sizes("web")["dimm1"] == 256
    assert all(b.state is BlockState.ONLINE for b in pair.look("web").blocks)
    steps = [step for step, _ in pair.outcomes()]
    assert steps.index("web: resize virtio-mem0 to 768M") < steps.index("web: remove dimm0")
    assert steps[-2:] == ["db: resize virtio-mem0 to 1G", "web: resize virtio-mem0 to 1G"]


def test_all_or_nothing_makes_the_giver_whole_again(pair: Pair) -> None:
    pair.change("web", hold("virtio-mem0", 0, 1))
    pair.change("web", pin)
    before = pair.standing()
    assert pair.move(GIB, ALL) is Ending.PUT_BACK
    assert pair.standing() == before


@pytest.mark.parametrize(
    ("least", "ending"), [(768 * MIB, Ending.DONE), (770 * MIB, Ending.PARTLY)]
)
def test_a_part_is_enough(pair: Pair, least: int, ending: Ending) -> None:
    pair.change("web", hold("virtio-mem0", 0, 1))
    pair.change("web", pin)
    assert pair.move(GIB, Conditions(at_least_bytes=least)) is ending
    assert pair.sizes("db") == {"virtio-mem0": 512 + 768}


def test_all_or_nothing_with_a_part_that_is_enough(pair: Pair) -> None:
    pair.change("web", hold("virtio-mem0", 0, 1))
    pair.change("web", pin)
    before = pair.standing()
    strict = Conditions(all_or_nothing=True, at_least_bytes=770 * MIB)
    assert pair.move(GIB, strict) is Ending.PUT_BACK
    assert pair.standing() == before
    enough = Conditions(all_or_nothing=True, at_least_bytes=768 * MIB)
    assert pair.move(GIB, enough) is Ending.DONE


def test_nothing_can_be_freed(pair: Pair) -> None:
    pair.change("web", hold("virtio-mem0", *range(8)))
    pair.change("web", pin)
    before = pair.standing()
    assert pair.move(GIB) in {Ending.REFUSED, Ending.PUT_BACK}
    assert pair.standing() == before


def test_what_the_taker_refuses_the_giver_gets_back(pair: Pair) -> None:
    """Its driver may add nothing: a notifier vetoes whatever comes online."""
    pair.change("db", lambda kernel: kernel.notifier_errors.update(MEM_GOING_ONLINE=-12))
    before = pair.standing()
    ending = pair.move(512 * MIB, ALL)
    assert ending is Ending.PUT_BACK
    assert pair.standing() == before


def test_a_taker_that_plugs_a_part(pair: Pair) -> None:
    """Blocks that stay offline stop the driver after 1 GiB; the rest goes back to the giver."""
    pair.change("db", lambda kernel: kernel.notifier_errors.update(MEM_GOING_ONLINE=-12))
    assert pair.move(1280 * MIB) is Ending.PARTLY
    web, db = pair.sizes("web"), pair.sizes("db")
    assert db["virtio-mem0"] == 512 + 1024
    assert sum(web.values()) == 1792 - 1024
    assert all(d.requested_bytes == d.plugged_bytes for d in pair.look("db").devices)
    assert all(b.state is BlockState.ONLINE for b in pair.look("web").blocks)


def test_the_account_is_told(pair: Pair) -> None:
    pair.move(512 * MIB)
    ended = pair.events[-1]
    web, db = pair.name("web"), pair.name("db")
    assert getattr(ended, "account", "") == f"{web} has 512M less, {db} has 512M more"


def test_what_is_left_of_a_dimm_stays_with_the_host(tmp_path: Path) -> None:
    pair = Pair(tmp_path, TEXT.replace('requested = "1G"', ""))
    before = promised(pair)
    assert pair.move(384 * MIB) is Ending.DONE
    assert pair.sizes("web") == {"dimm1": 256, "virtio-mem0": 0}
    assert pair.sizes("db") == {"virtio-mem0": 896}
    assert before - promised(pair) == 128 * MIB
    assert getattr(pair.events[-1], "account", "").endswith("; 128M stays with the host")


REFUSED = {
    "more than there is": (2 * GIB, {}, "could give 1792M"),
    "the reserve": (1536 * MIB, {"reserve_bytes": 1344 * MIB}, "its reserve is 1344M"),
    "no place at the taker": (1700 * MIB, {}, "is no multiple of 128M"),
    "in no unit": (MIB, {}, "is no multiple of 128M"),
}


@pytest.mark.parametrize(("size_bytes", "more", "told"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_planned(
    pair: Pair, size_bytes: int, more: dict[str, Any], told: str
) -> None:
    before = pair.file.read_bytes()
    with pytest.raises(CannotPlan, match=told):
        pair.move(size_bytes, **more)
    assert pair.file.read_bytes() == before
    assert not list(pair.folder.glob("*.journal"))


def test_the_reserve_by_default(pair: Pair) -> None:
    """An eighth of what is online, and 512 MiB at least: here that leaves enough."""
    tight = 1024 + 1792 - 512
    assert pair.move((tight - 640) * MIB) is Ending.DONE


def test_an_overcommitted_host_gives_nothing(tmp_path: Path) -> None:
    pair = Pair(tmp_path, TEXT.replace('memory = "12G"', 'memory = "4G"'))
    host = pair.look("db").host
    assert host is not None
    assert host.free_bytes < 0
    with pytest.raises(CannotPlan, match="more than it has"):
        pair.move(512 * MIB)


def test_a_full_host_is_never_overcommitted(tmp_path: Path) -> None:
    """There is room for nothing: so it works only because the giver gives first."""
    full = TEXT.replace('memory = "12G"', 'memory = "5G"')
    pair = Pair(tmp_path, full)
    room = pair.look("db").host
    assert room is not None
    assert 0 <= room.free_bytes < 1024 * MIB
    assert pair.move(GIB) is Ending.DONE
    assert pair.conductor().undo("1") is Ending.DONE
    outcomes = [outcome for _, outcome in pair.outcomes()]
    assert all(isinstance(outcome, Done) for outcome in outcomes)


def test_the_host_refuses_what_it_does_not_have(tmp_path: Path) -> None:
    """Checked by the machine itself, in the transaction of the change."""
    pair = Pair(tmp_path, TEXT.replace('memory = "12G"', 'memory = "5G"'))
    assert pair.begin("db", Resize(device="virtio-mem0", size_bytes=2 * GIB)) is Ending.REFUSED
    [(_, outcome)] = pair.outcomes()
    assert isinstance(outcome, Refused)
    assert "the host has" in outcome.reason


def test_one_operation_holds_both_machines(pair: Pair) -> None:
    for guest in ("web", "db"):
        machine = pair.machine(guest)
        with (
            lock_machine(pair.folder / "locks", machine.name, machine.identity, "something"),
            pytest.raises(MachineLocked, match="is being changed by process"),
        ):
            pair.move(512 * MIB)
    assert pair.move(512 * MIB) is Ending.DONE


@pytest.mark.parametrize("restarted", ["web", "db"])
def test_after_a_restart_the_other_alone_can_be_put_back(pair: Pair, restarted: str) -> None:
    other = {"web": "db", "db": "web"}[restarted]
    before = pair.standing()[other]
    assert pair.move(512 * MIB) is Ending.DONE
    with StateFile.open(pair.file) as state:
        state.restart(restarted)
    with pytest.raises(JournalError, match="has been booted since: 'memhp undo 1 --only"):
        pair.conductor().undo("1")
    assert pair.conductor(other).undo("1", only=True) is Ending.DONE
    assert pair.standing()[other] == before


def test_both_machines_have_to_be_at_hand(pair: Pair) -> None:
    assert pair.move(512 * MIB) is Ending.DONE
    before = pair.standing()
    with pytest.raises(JournalError, match=r"is about '.*/db' too, which is not at hand"):
        pair.conductor("web").undo("1")
    assert pair.standing() == before


def test_a_partial_shrink_is_told_in_bytes(pair: Pair) -> None:
    pair.change("web", hold("virtio-mem0", 0, 1))
    pair.move(GIB)
    told = [outcome for _, outcome in pair.outcomes() if isinstance(outcome, Partly)]
    assert told == [
        Partly(done_bytes=768 * MIB, wanted_bytes=GIB, reason="the guest can free no more of it")
    ]
