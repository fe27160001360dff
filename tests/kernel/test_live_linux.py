"""memhp inside a running machine, as its administrator runs it: faults, kills, and bad words."""

import json
import random
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from inside_guest import huge_pages, inside, pool_of
from memhp.core.words import ExitCode
from memhp.machines.lab.initrd import HOST
from memhp.machines.lab.inside import BLOCKS, DIMM, HOG, MEMORY, Inside, pinned
from memhp.machines.lab.kernels import KERNELS
from memhp.machines.linux.live_write import NO_LIVE_WRITES

pytestmark = pytest.mark.kernel
OFFLINE = ("offline", "Normal Movable")
ONLINE = ("online", "Movable")
PROGRAM = Path(__file__).parents[1] / "brake_in_guest.py"
SEED = 20
KILLS = 3
"""So many between steps, and so many at one; with two in the midst of a write, eight a kernel."""
_LINES = 10
"""Of a journal of four steps, before the last one: two to begin with, two for each step."""
_BETWEEN, _AT_ONE = range(2, _LINES + 1, 2), range(3, _LINES, 2)
"""How many lines there are when a step has ended, and once one was noted and is asked for."""


@pytest.fixture(scope="module", params=KERNELS)
def guest(request: pytest.FixtureRequest) -> Iterator[Inside]:
    with inside(request.param) as there:
        yield there


@pytest.fixture
def here(guest: Inside) -> Inside:
    """The guest with its DIMM online and movable, and no journal."""
    guest.forget()
    guest.bring()
    assert guest.all_are(*ONLINE)
    return guest


def test_where_nothing_may_be_written_nothing_is_changed(here: Inside) -> None:
    """As in a container, which sees sysfs read-only."""
    here.run(f"mount -o remount,ro,bind {HOST}/sys")
    try:
        code, text = here.memhp("offline memory35")
    finally:
        here.run(f"mount -o remount,rw,bind {HOST}/sys")
    assert code == ExitCode.REFUSED
    assert "[EROFS (Read-only file system)]" in text
    assert here.all_are(*ONLINE)


@pytest.mark.parametrize("action", ["MEM_GOING_OFFLINE", "MEM_GOING_ONLINE"])
def test_a_veto_leaves_the_block_as_it_was(here: Inside, action: str) -> None:
    if action == "MEM_GOING_ONLINE":
        here.memhp(f"offline {DIMM}")
    before, word = here.blocks(), action.rpartition("_")[2].lower()
    zone = " --zone movable" if word == "online" else ""
    with here.injected(action):
        code, text = here.memhp(f"{word} memory34{zone}")
    assert code == ExitCode.REFUSED
    assert "[ENOMEM" in text
    assert here.blocks() == before


def pinned_block(here: Inside) -> int:
    """The block that refuses for the pinned pages in it; all others have gone."""
    code, text = here.memhp(f"offline {DIMM} --stall 2s")
    assert code == ExitCode.PARTLY, text
    [left] = [number for number, now in here.blocks().items() if now == ONLINE]
    assert f"offline memory{left}: refused: signal backoff [EINTR]" in text
    assert "given up, for nothing has moved for 2 s" in text
    return left


def test_what_never_moves_is_given_up_and_everything_else_is_out(here: Inside) -> None:
    with pinned(here.guest):
        left = pinned_block(here)
        code, text = here.memhp(f"offline memory{left} --deadline 2s")
        assert (code, "the deadline has passed" in text) == (ExitCode.REFUSED, True), text
        assert here.blocks()[left] == ONLINE
    assert here.memhp("undo 1")[0] == ExitCode.DONE
    assert here.all_are(*ONLINE)


@pytest.mark.parametrize("word", ["resume", "undo"])
def test_killed_in_the_midst_of_a_write(here: Inside, word: str) -> None:
    """The kernel is told at once: the block goes back, though nobody is left to wait for it.

    What was on to hear the kernel's reason is off again afterwards.
    """
    debug = "grep -c '=p ' /proc/dynamic_debug/control"
    before = here.run(debug)
    with pinned(here.guest):
        left = pinned_block(here)
        state = f"{MEMORY}/memory{left}/state"
        assert here.kill_in_write(f"offline memory{left}")
        back, _ = here.run(
            f"n=0; while [ $(cat {state}) = going-offline ]; do "
            "n=$((n + 1)); [ $n -lt 100 ] || exit 1; sleep 0.1; done"
        )
        assert back == 0
        assert here.blocks()[left] == ONLINE
    code, text = here.memhp(f"{word} 2")
    assert (code, here.run(debug)) == (ExitCode.DONE, before), text
    assert here.blocks()[left] == (OFFLINE if word == "resume" else ONLINE)


def test_killed_between_steps_and_at_one_it_ends_as_described(here: Inside) -> None:
    """From either side, at points that a seed chooses, by resume or by undo in turns."""
    chance = random.Random(SEED)
    points = chance.sample(_BETWEEN, KILLS) + chance.sample(_AT_ONE, KILLS)
    chance.shuffle(points)
    now = ONLINE
    for turn, lines in enumerate(points):
        there = OFFLINE if now == ONLINE else ONLINE
        words = f"offline {DIMM}" if now == ONLINE else f"online {DIMM} --zone movable"
        here.kill_after(words, lines)
        word = ("resume", "undo")[turn % 2]
        code, text = here.memhp(f"{word} 1")
        ended = "has ended" in text
        assert code == ExitCode.DONE or ended, (lines, word, text)
        now = there if ended or word == "resume" else now
        assert here.all_are(*now), (lines, word, text, here.blocks())


@pytest.mark.parametrize("guest", [KERNELS[0]], indirect=True)
def test_the_brake_pauses_and_ends_the_run_and_lets_go(here: Inside) -> None:
    """Under pressure that the kernel measures; nothing is done until it falls."""
    with here.pressed(10):
        words = f"$(cat {HOST}{HOG}) {BLOCKS[-1]} {BLOCKS[-2]}"
        _, text = here.run(f"host env -u {NO_LIVE_WRITES} {sys.executable} {PROGRAM} {words}")
    ended, went_on = json.loads(text)
    assert (ended["outcome"], ended["ends_run"], ended["paused"] > 0) == ("Refused", True, True)
    reason = r"memory pressure has stayed at \d+ % \(the limit is 30 %, see --brake\)"
    assert re.fullmatch(reason, ended["reason"])
    assert (went_on["outcome"], went_on["paused"] > 0) == ("Done", True)
    states = [here.blocks()[number][0] for number in BLOCKS[-2:]]
    assert states == ["offline", "online"]


@pytest.mark.parametrize("guest", [KERNELS[0]], indirect=True)
def test_huge_pages_that_would_go_round_for_ever_are_out_of_the_way(here: Inside) -> None:
    """On the only node those in use change places with free ones, until these are given back."""
    first = f"memory{BLOCKS[0]}"
    with huge_pages(here, total=12, used=8):
        code, text = here.memhp(f"offline {first} --stall 1s")
        assert (code, pool_of(here)) == (ExitCode.REFUSED, (12, 4, 0)), text
        here.kill_after(f"offline {first} --prepare hugepages", 4)
        # While a page is on its way, there may be one more of them.
        assert pool_of(here)[1] in {0, 4}
        code, text = here.memhp("resume 1")
        assert (code, here.blocks()[BLOCKS[0]], pool_of(here)) == (0, OFFLINE, (12, 4, 0)), text
        code, text = here.memhp("undo 1")
        assert (code, text) == (0, f"online_movable {first}: done, in Movable\n")
        assert pool_of(here) == (12, 4, 0)
        assert here.run(f"[ -e {HOST}/tmp/held ]")[0] == 0


@pytest.mark.parametrize("pages", [1, 2])
def test_on_a_full_disk_nothing_is_asked_for_that_cannot_be_noted(here: Inside, pages: int) -> None:
    """With one page it has room for the lock at the most; with two its journal may just fit."""
    with here.small_disk(pages) as folder:
        code, text = here.memhp(f"offline {DIMM}", folder)
        if pages == 1:
            assert (code, "No space left on device" in text) == (ExitCode.MACHINE, True), text
            assert here.all_are(*ONLINE)
        here.enlarge(folder)
        if code != ExitCode.DONE:
            has_begun = here.run(f"[ -s {here.journal(folder)} ]")[0] == 0
            code, text = here.memhp("resume" if has_begun else f"offline {DIMM}", folder)
        assert code == ExitCode.DONE, text
        assert here.all_are(*OFFLINE)


def test_a_rival_that_is_faster_is_named(here: Inside) -> None:
    """Every block ends where the rival puts it, or where memhp does; memhp says which."""
    here.memhp(f"offline {DIMM}")
    with here.rival():
        code, text = here.memhp(f"online {DIMM} --zone movable")
    assert code in {ExitCode.REFUSED, ExitCode.PARTLY}, text
    for number, (_, zone) in here.blocks().items():
        told = next((line for line in text.splitlines() if f"memory{number}" in line), "")
        assert (": done" in told) == (zone == "Movable"), text
