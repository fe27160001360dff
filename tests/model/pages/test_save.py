"""Pages in a state file: whatever is done, what is loaded is what was saved, and goes on alike."""

import sqlite3
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from booted import booted, write
from memhp.core.errors import StateFileError
from memhp.core.geometry import MIB, NodeId
from memhp.core.words import ZoneType
from memhp.model.codec import CodecError
from memhp.model.kernel import Kernel
from memhp.model.pages.build import open_pages
from memhp.model.pages.machine_pages import MachinePages
from memhp.model.pages.processes import Processes
from memhp.model.pages.save import decode_pages, encode_pages
from memhp.model.persist import decode_kernel, encode_kernel
from memhp.model.store import StateFile
from memhp.model.store_pages import SavedPages
from memhp.model.workload import Fork, Grow, KernelGrow, KernelMemory, Memory, Shrink
from page_rules import broken_page_rules, content

TEXT = """
command_line = "movable_node"
[[node]]
memory = "1G"
[[node]]
memory = "512M"
hotpluggable = true
[proposals]
migrate_kernel = true
"""
WORK = (
    TEXT
    + """
[workload]
mixed = 40
step = [
    { process = "db", grow = "anonymous", size = "64M", node = 1 },
    { process = "db", fork = "web" },
    { process = "db", grow = "hugetlb-2M", size = "8M" },
]
"""
)


def reloaded(kernel: Kernel) -> Kernel:
    again = decode_kernel(encode_kernel(kernel))
    again.pages = decode_pages(again, dict(encode_pages(kernel)))
    return again


def lists(pages: MachinePages) -> list[list[int]]:
    return [each.entries().tolist() for area in pages.areas for row in area.lists for each in row]


def some_deed(kernel: Kernel, rng: Random) -> None:
    processes = Processes(kernel, open_pages(kernel), rng.randrange(1000))
    name = rng.choice("abc")
    size = rng.randint(1, 60) * MIB
    match rng.randrange(5):
        case 0:
            memory = rng.choice([Memory.ANONYMOUS, Memory.FILES, Memory.HUGE, Memory.HUGETLB_2M])
            processes.do(Grow(process=name, memory=memory, size_bytes=size))
        case 1:
            processes.do(Shrink(process=name, memory=Memory.ANONYMOUS, size_bytes=size))
        case 2:
            kind = rng.choice(list(KernelMemory))
            processes.do(KernelGrow(memory=kind, size_bytes=size, node=NodeId(0)))
        case 3 if processes.home("d") is None:
            processes.do(Fork(process=name, child="d"))
        case _:
            write(kernel, rng.randint(1, 11), rng.choice(["offline", "online_movable"]))


@given(st.randoms(use_true_random=False))
@settings(max_examples=25, deadline=None)
def test_loaded_as_saved_and_goes_on_alike(rng: Random) -> None:
    kernel = booted(TEXT)
    open_pages(kernel)
    for _ in range(rng.randint(1, 6)):
        some_deed(kernel, rng)
    again = reloaded(kernel)
    first, second = open_pages(kernel), open_pages(again)
    assert broken_page_rules(again, second) == []
    for _ in range(3):
        assert lists(first) == lists(second)
        assert content(first) == content(second)
        assert dict(encode_pages(kernel)) == dict(encode_pages(again))
        assert (first.holders.counts == second.holders.counts).all()
        seed = rng.randrange(1 << 30)
        some_deed(kernel, Random(seed))
        some_deed(again, Random(seed))


def test_a_state_file_keeps_pages_between_changes(tmp_path: Path) -> None:
    path = tmp_path / "m.machine"
    with StateFile.create(path, WORK) as state:
        before = content(open_pages(state.load()))
        with state.change("offline") as kernel:
            assert write(kernel, 9, "offline") == ""
            after = content(open_pages(kernel))
    assert {owner: held for owner, held in after.items() if owner in before} == before
    with StateFile.open(path) as state:
        pages = open_pages(state.load())
        assert content(pages) == after
        assert broken_page_rules(state.load(), pages) == []


def test_only_what_changed_is_written(tmp_path: Path) -> None:
    path = tmp_path / "m.machine"
    with StateFile.create(path, WORK) as state:
        pages = open_pages(state.load())
        touched = dict(sqlite3.connect(path).execute("SELECT name, crc FROM pages"))
        with state.change("nothing"):
            pass
        assert dict(sqlite3.connect(path).execute("SELECT name, crc FROM pages")) == touched
        with state.change("a step") as kernel:
            processes = Processes(kernel, open_pages(kernel))
            processes.do(Grow(process="x", memory=Memory.ANONYMOUS, size_bytes=4096))
        now = dict(sqlite3.connect(path).execute("SELECT name, crc FROM pages"))
    different = {name for name in now if now[name] != touched.get(name)}
    assert "meta" in different
    assert len(different) <= 5 < len(now)
    assert pages.holders.holdings


def test_an_untouched_machine_has_no_pages_in_its_file(tmp_path: Path) -> None:
    with StateFile.create(tmp_path / "m.machine", TEXT) as state:
        assert state.load().pages is None


@pytest.mark.parametrize("name", ["meta", "lists", "9"])
def test_damage_is_named(tmp_path: Path, name: str) -> None:
    path = tmp_path / "m.machine"
    StateFile.create(path, WORK).close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE pages SET value = zeroblob(9) WHERE name = ?", (name,))
    with StateFile.open(path) as state, pytest.raises(StateFileError, match="damaged"):
        state.load()


@pytest.mark.parametrize("name", ["meta", "lists", "9"])
@pytest.mark.parametrize("blob", [b"", b"x", b"x\x9c\x03\x00\x00\x00\x00\x01"])
def test_wrong_blobs_are_no_pages(name: str, blob: bytes) -> None:
    kernel = booted(WORK)
    blobs = dict(encode_pages(kernel)) | {name: blob}
    with pytest.raises(CodecError):
        decode_pages(kernel, blobs)


def test_pages_are_decoded_when_they_are_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "m.machine"
    with StateFile.create(path, WORK) as state:
        kernel = state.load()
        assert isinstance(kernel.pages, SavedPages)
        assert kernel.online_blocks() > 0
        free = kernel.numbers(kernel.zone(NodeId(0), ZoneType.DMA32)).free
        assert isinstance(kernel.pages, MachinePages)
        assert free == kernel.pages.area(NodeId(0), ZoneType.DMA32).free


def test_a_change_that_asks_for_no_page_writes_none(tmp_path: Path) -> None:
    path = tmp_path / "m.machine"
    with StateFile.create(path, WORK) as state:
        touched = dict(sqlite3.connect(path).execute("SELECT name, crc FROM pages"))
        with state.change("a setting") as kernel:
            kernel.settings.auto_movable_ratio = 5
        assert state.load().settings.auto_movable_ratio == 5
        assert dict(sqlite3.connect(path).execute("SELECT name, crc FROM pages")) == touched
