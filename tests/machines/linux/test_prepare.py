"""What is done before blocks go, on trees of files in which somebody plays the kernel."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from memhp.core.errors import NotSupported
from memhp.core.geometry import GIB, MIB, BlockId, NodeId
from memhp.core.outcome import Done, Outcome, Partly, Refused
from memhp.core.plan import (
    Action,
    CompactNode,
    DropCaches,
    ExpectHugePages,
    HoldHugePages,
    OfflineBlock,
    Step,
)
from memhp.core.snapshot import Want
from memhp.core.surroundings import HugePool
from memhp.core.words import Preparation
from memhp.machines.linux.live_write import HELD
from memhp.machines.linux.prepare import lacks_rights, prepare, why_not
from memhp.machines.linux.root import Root
from memhp.machines.open import open_machine

CACHES = "proc/sys/vm/drop_caches"
COMPACT = "sys/devices/system/node/node1/compact"
POOL = "sys/devices/system/node/node1/hugepages/hugepages-2048kB"
PROMISED = "sys/kernel/mm/hugepages/hugepages-2048kB/resv_hugepages"
HOLD = HoldHugePages(node=NodeId(1), size_bytes=2 * MIB, count=8)
EXPECT = ExpectHugePages(node=NodeId(1), size_bytes=2 * MIB, count=4)


@dataclass
class Kernel:
    """Takes words as the kernel does: of huge pages it finds ``room`` for so many in all."""

    root: Root
    room: int = 100
    answer: str | None = None

    def put(self, name: str, text: str) -> None:
        path = Path(self.root.path(name))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def write(self, root: Root, relative: str, word: str, until: float | None) -> str | None:
        assert until == 5.0
        self.put(relative, str(min(int(word), self.room)))
        return self.answer

    def do(self, action: Action, expect: ExpectHugePages | None = None) -> Outcome:
        step = Step(machine="linux:", action=action, expect=expect)
        return prepare(self.root, step, until=5.0, write=self.write)


@pytest.fixture
def kernel(tmp_path: Path) -> Kernel:
    """Node 1 has six huge pages, two of them surplus, so it holds four."""
    there = Kernel(root=Root(str(tmp_path), "linux:tree"))
    for name, text in (("nr", "6"), ("free", "3"), ("surplus", "2")):
        there.put(f"{POOL}/{name}_hugepages", f"{text}\n")
    there.put(PROMISED, "1\n")
    there.put(CACHES, "")
    there.put(COMPACT, "")
    return there


def test_caches_are_dropped_page_cache_and_slab(kernel: Kernel) -> None:
    assert kernel.do(DropCaches()) == Done()
    assert kernel.root.text_if_there(CACHES) == "3"


def test_a_node_is_compacted(kernel: Kernel) -> None:
    assert kernel.do(CompactNode(node=NodeId(1))) == Done()
    assert kernel.root.text_if_there(COMPACT) == "1"


@pytest.mark.parametrize(
    ("room", "outcome"),
    [
        # Two are surplus as long as nobody takes them back.
        (10, Done()),
        (
            9,
            Partly(
                done_bytes=6 * MIB,
                wanted_bytes=8 * MIB,
                reason="there is no room for more in one piece",
            ),
        ),
        (6, Refused(reason="there is no room for a huge page in one piece")),
    ],
)
def test_huge_pages_come_as_far_as_there_is_room(
    kernel: Kernel, room: int, outcome: Outcome
) -> None:
    action = HoldHugePages(node=NodeId(1), size_bytes=2 * MIB, count=8)
    kernel.room = room

    def write(root: Root, relative: str, word: str, until: float | None) -> str | None:
        # The kernel counts surplus ones in nr_hugepages, and not in what it is asked for.
        return kernel.write(root, relative, str(int(word) + 2), until)

    step = Step(machine="linux:", action=action, expect=EXPECT)
    assert prepare(kernel.root, step, until=5.0, write=write) == outcome


def test_a_pool_that_somebody_has_changed_is_left_alone(kernel: Kernel) -> None:
    kernel.put(f"{POOL}/nr_hugepages", "7\n")
    assert kernel.do(HOLD, EXPECT) == Refused(reason="expected node1: 4 huge pages of 2M, found 5")
    assert kernel.root.text_if_there(f"{POOL}/nr_hugepages") == "7"


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        ("EINTR", Refused(reason="given up, for the time was over", errno_name="EINTR")),
        (HELD, Refused(reason="given up, for the time was over", errno_name="EINTR")),
        ("EACCES", Refused(reason="only root may do that", errno_name="EACCES")),
        ("EROFS", Refused(reason="the kernel refused it", errno_name="EROFS")),
    ],
)
def test_what_the_kernel_does_not_take(kernel: Kernel, answer: str, outcome: Outcome) -> None:
    kernel.answer = answer
    assert kernel.do(DropCaches()) == outcome


def test_the_pools_that_a_snapshot_has(kernel: Kernel) -> None:
    kernel.put("sys/devices/system/memory/block_size_bytes", "8000000\n")
    snapshot = open_machine(f"linux:{kernel.root.folder}").snapshot(Want.HUGE_POOLS)
    assert snapshot.surroundings.huge_pools == (
        HugePool(node=NodeId(1), size_bytes=2 * MIB, total=6, free=3, surplus=2, promised=1),
    )
    assert (snapshot.surroundings.bindings, snapshot.surroundings.rooms) == ((), ())


def test_what_is_not_there_is_said_before_anything_is_done(tmp_path: Path, kernel: Kernel) -> None:
    bare = Root(str(tmp_path / "bare"), "linux:bare")
    told = {
        str(action): why_not(bare, action)
        for action in (
            DropCaches(),
            CompactNode(node=NodeId(1)),
            HoldHugePages(node=NodeId(1), size_bytes=GIB, count=1),
            OfflineBlock(block=BlockId(1)),
        )
    }
    folder = bare.folder
    assert told == {
        "drop caches": f"there is no {folder}/{CACHES}: leave 'drop-caches' out of --prepare",
        "compact node1": f"there is no {folder}/{COMPACT}: the kernel was built without "
        "compaction; leave 'compact' out of --prepare",
        "hold 1 huge page of 1G on node1": f"there is no {folder}/sys/devices/system/node/node1/"
        "hugepages/hugepages-1048576kB/nr_hugepages: the kernel has no such huge pages; leave "
        "'hugepages' out of --prepare",
        "offline memory1": None,
    }
    assert [
        (why_not(kernel.root, a), lacks_rights(kernel.root, a))
        for a in (DropCaches(), CompactNode(node=NodeId(1)), HOLD)
    ] == [
        (None, None),
        (None, None),
        (None, None),
    ]


def test_nothing_is_written_to_a_saved_tree_or_behind_the_guard(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = Step(machine="linux:tree", action=CompactNode(node=NodeId(1)))
    with pytest.raises(NotSupported, match="saved tree"):
        prepare(kernel.root, step, until=None)
    monkeypatch.setenv("MEMHP_NO_LIVE_WRITES", "1")
    # No such node: were there no guard, nothing would come of it.
    nowhere = HoldHugePages(node=NodeId(4095), size_bytes=2 * MIB, count=8)
    for action in (CompactNode(node=NodeId(4095)), nowhere):
        with pytest.raises(NotSupported, match="MEMHP_NO_LIVE_WRITES"):
            prepare(Root("/", "linux:"), Step(machine="linux:", action=action), until=None)


def test_every_preparation_is_an_ability_by_the_same_word() -> None:
    assert [preparation.ability.value for preparation in Preparation] == list(Preparation)
