"""What each page is to whoever takes its block offline, from flags and page structures."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memhp.core.evidence import Held
from memhp.core.geometry import PAGE_SIZE_BYTES
from memhp.machines.linux.page_classes import (
    CODE,
    KINDS,
    PageArrays,
    classify,
    extra_references,
    heads_of,
)
from memhp.machines.linux.page_structs import Segment, Structs, layout_of, open_page_structs
from memhp.machines.linux.root import Root
from saved_kcore import BASE, NOTE, save_kcore, structs_of

LRU, SLAB, BUDDY, ANON, SWAPCACHE, SWAPBACKED, HEAD, TAIL = 5, 7, 10, 12, 13, 14, 15, 16
HUGE, POISON, NOPAGE, THP, OFFLINE, TABLE, RESERVED, PRIVATE, OWNER = (
    17, 19, 20, 22, 23, 26, 32, 35, 37,
)  # fmt: skip
FACTS = {
    "page": b"64",
    "page._refcount": b"52",
    "page._mapcount": b"48",
    "page.mapping": b"24",
}
LAYOUT = layout_of(FACTS | {"vmemmap": f"{BASE:x}".encode()}, ())


def bits(*numbers: int) -> int:
    return sum(1 << number for number in numbers)


def arrays(pages: Sequence[tuple[int, int, int, int]], *, blind: bool = False) -> PageArrays:
    """Pages as (flags, references, mappings, mapping)."""
    assert LAYOUT is not None
    structs: Structs = np.zeros(len(pages), LAYOUT.dtype)
    structs["_refcount"] = [page[1] for page in pages]
    structs["_mapcount"] = [page[2] - 1 for page in pages]
    structs["mapping"] = np.array([page[3] for page in pages], np.uint64)
    return PageArrays(
        bits=np.array([page[0] for page in pages], np.uint64),
        counts=np.array([page[2] for page in pages], np.uint64),
        structs=None if blind else structs,
    )


CASES = [
    ("hole", (bits(NOPAGE), 0, 0, 0), Held.HOLE, Held.HOLE),
    ("free", (bits(BUDDY), 0, 0, 0), Held.FREE, Held.FREE),
    ("per-CPU", (0, 0, 0, 0), Held.CACHED_FREE, Held.PLAIN),
    ("kernel", (0, 1, 0, 0), Held.KERNEL, Held.PLAIN),
    ("slab", (bits(SLAB), 1, 0, 0), Held.SLAB, Held.SLAB),
    ("slab on no list", (bits(SLAB), 1, 0, 0xDEAD000000000122), Held.SLAB, Held.SLAB),
    ("table", (bits(TABLE), 1, 0, 0), Held.PAGE_TABLE, Held.PAGE_TABLE),
    ("reserved", (bits(RESERVED), 1, 0, 0), Held.RESERVED, Held.RESERVED),
    ("poisoned", (bits(POISON), 1, 0, 0), Held.POISONED, Held.POISONED),
    ("anon", (bits(LRU, ANON, SWAPBACKED), 1, 1, 0x1001), Held.LRU, Held.LRU),
    ("waiting for an LRU", (bits(ANON, SWAPBACKED), 2, 1, 0x1001), Held.LRU, Held.LRU),
    ("zsmalloc", (0, 1, 0, 0x1002), Held.DRIVER_MOVABLE, Held.PLAIN),
    ("balloon", (bits(OFFLINE), 1, 0, 0x1002), Held.DRIVER_MOVABLE, Held.DRIVER),
    ("virtio-mem", (bits(OFFLINE), 1, 0, 0), Held.DRIVER, Held.DRIVER),
]


@pytest.mark.parametrize(
    ("page", "seeing", "blind"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_a_page_is_what_the_kernel_asks_of_it(
    page: tuple[int, int, int, int], seeing: Held, blind: Held
) -> None:
    # A page before it, for only the first of a block may be of the block's own map.
    first = (bits(BUDDY), 0, 0, 0)
    assert KINDS[classify(arrays([first, page]))[1]] is seeing
    assert KINDS[classify(arrays([first, page], blind=True))[1]] is blind


def test_the_block_s_own_map_is_at_its_start() -> None:
    own, other = (bits(OWNER), 1, 0, 0), (bits(BUDDY), 0, 0, 0)
    found = [KINDS[code] for code in classify(arrays([own, own, other, own]))]
    assert found == [Held.OWN_MAP, Held.OWN_MAP, Held.FREE, Held.KERNEL]


@pytest.mark.parametrize(
    ("page", "held"),
    [
        ((bits(LRU, ANON, SWAPBACKED), 1, 1, 0x1001), False),
        ((bits(LRU, ANON, SWAPBACKED), 1025, 1, 0x1001), True),
        ((bits(LRU, ANON, SWAPBACKED), 2, 1, 0x1001), True),
        ((bits(LRU, ANON, SWAPBACKED, SWAPCACHE), 2, 1, 0x1001), False),
        ((bits(LRU), 1, 0, 0x1000), False),
        ((bits(LRU), 3, 2, 0x1000), False),
        ((bits(LRU, PRIVATE), 2, 0, 0x1000), False),
        ((bits(LRU), 2, 0, 0x1000), True),
        ((bits(SLAB), 9, 0, 0), False),
    ],
    ids=[
        "anon", "pinned", "in a pipe", "swap cache", "cache", "mapped cache", "buffers",
        "cache that is read into", "slab",
    ],
)  # fmt: skip
def test_references_beyond_the_expected_keep_a_page(
    page: tuple[int, int, int, int], held: bool
) -> None:
    seen = arrays([page])
    assert extra_references(seen, classify(seen)).tolist() == [held]


@pytest.mark.parametrize(("references", "held"), [(1, False), (2, True)])
def test_a_large_folio_is_held_as_a_whole(references: int, held: bool) -> None:
    """Mapped once as a whole, by one entry of 2 MiB: one reference."""
    flags = bits(LRU, ANON, SWAPBACKED, THP)
    pages = arrays(
        [(flags | bits(HEAD), references, 0, 0x1001)] + 511 * [(flags | bits(TAIL), 0, 0, 0)]
    )
    # Every page shows the mapping of the whole, and none has one of its own.
    seen = PageArrays(bits=pages.bits, counts=pages.counts + np.uint64(1), structs=pages.structs)
    codes = classify(seen)
    assert set(codes.tolist()) == {CODE[Held.LARGE]}
    assert extra_references(seen, codes).tolist() == [held] * 512


def test_huge_pages_used_and_free_small_and_gigantic() -> None:
    def huge(first: int, used: bool) -> list[tuple[int, int, int, int]]:
        head = (bits(HUGE, first), int(used), int(used), 0)
        return [head, *[(bits(HUGE, TAIL), 0, int(used), 0)] * 511]

    used, idle = huge(HEAD, used=True), huge(HEAD, used=False)
    small = classify(arrays(used + idle))
    assert [KINDS[code] for code in small[::512]] == [Held.HUGE, Held.HUGE_FREE]
    # The block begins in the middle of a page of 1 GiB.
    middle = classify(arrays(2 * huge(TAIL, used=True)))
    assert {KINDS[code] for code in middle} == {Held.GIGANTIC}


@given(st.lists(st.integers(0, (1 << 42) - 1), min_size=1, max_size=1024))
def test_any_flags_give_a_kind_and_a_head_before(flags: list[int]) -> None:
    seen = arrays([(flag, flag % 3, flag % 2, flag) for flag in flags])
    codes = classify(seen)
    assert codes.max() < len(KINDS)
    assert (heads_of(seen.bits) <= np.arange(len(flags))).all()
    assert len(extra_references(seen, codes)) == len(flags)


@pytest.mark.parametrize("named", [True, False], ids=["newer", "older kernel"])
def test_structures_are_found_in_the_kernel_s_memory(tmp_path: Path, named: bool) -> None:
    pages = structs_of((number, 7) for number in range(64))
    facts = NOTE + (f"SYMBOL(vmemmap)={BASE:x}\n".encode() if named else b"")
    structs = open_page_structs(save_kcore(tmp_path, facts, pages))
    assert structs is not None
    found = structs.read(3, 4)
    assert found is not None
    assert found["_refcount"].tolist() == [3, 4, 5, 6]
    assert found["mapping"].tolist() == [7] * 4
    assert structs.read(60, 5) is None
    structs.close()


@pytest.mark.parametrize("facts", [b"", NOTE.replace(b"SIZE(page)=64", b""), b"\xff" * 64])
def test_where_the_kernel_does_not_say_how_nothing_is_read(tmp_path: Path, facts: bytes) -> None:
    assert open_page_structs(save_kcore(tmp_path, facts, bytes(PAGE_SIZE_BYTES))) is None


def test_where_there_is_no_such_file_nothing_is_read(tmp_path: Path) -> None:
    assert open_page_structs(Root(str(tmp_path), "linux:x")) is None


def test_kernel_text_is_not_taken_for_memory() -> None:
    text = Segment(0xFFFFFFFF81000000, 1 << 20, 0, 0x1000000)
    vmalloc = Segment(0xFFFFC90000000000, 1 << 20, 0, None)
    ram = Segment(0xFFFF888000001000, 1 << 20, 0, 0x1000)
    behind = Segment(BASE, 1 << 14, 0, None)
    found = layout_of(FACTS, [text, vmalloc, ram, behind])
    assert found is not None
    assert found.base == BASE
