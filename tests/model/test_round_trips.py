"""What is undone is as it was; where the kernel does not put it back, the rule is named."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from booted import booted, plug, pull, shown, span, with_dimm, write, zones
from memhp.core.geometry import NodeId
from memhp.core.words import ZoneType
from memhp.model.hot_add import remove_memory
from memhp.model.kernel import Kernel
from memhp.model.tree.tree import Tree


def same(before: dict[str, str], kernel: Kernel) -> None:
    assert shown(kernel) == before


@given(
    st.dictionaries(st.integers(32, 39), st.sampled_from(["online_kernel", "online_movable"])),
    st.integers(32, 39),
)
def test_offline_then_online_in_its_zone(words: dict[int, str], number: int) -> None:
    """A block that goes offline and comes back by the word of its zone restores every file."""
    kernel = with_dimm()
    for each, word in words.items():
        write(kernel, each, word)
    before = shown(kernel)
    if number in words and write(kernel, number, "offline") == "":
        assert shown(kernel) != before
        write(kernel, number, words[number])
    same(before, kernel)


@given(st.dictionaries(st.integers(32, 39), st.sampled_from(["online_kernel", "online_movable"])))
def test_online_then_offline(words: dict[int, str]) -> None:
    kernel = with_dimm()
    before = shown(kernel)
    for number, word in words.items():
        write(kernel, number, word)
    for number in words:
        assert write(kernel, number, "offline") == ""
    same(before, kernel)


@pytest.mark.parametrize("policy", ["offline", "online", "online_kernel", "online_movable"])
@pytest.mark.parametrize("node", [0, 1])
@pytest.mark.parametrize("memmap", ["N", "Y"])
def test_add_then_remove(policy: str, node: int, memmap: str) -> None:
    line = f"memhp_default_state={policy} memory_hotplug.memmap_on_memory={memmap}"
    kernel = with_dimm(line, node=node)
    for word in ("with the device", "without it"):
        before = shown(kernel)
        if word == "with the device":
            assert pull(kernel, "dimm0").refusal is None
            plug(kernel, "dimm0")
        else:
            plug(kernel, "dimm0")
            assert pull(kernel, "dimm0").refusal is None
        same(before, kernel)
        pull(kernel, "dimm0")


def test_exception_the_armed_type() -> None:
    """A refused ``online_movable`` leaves its mark: plain online obeys it later."""
    kernel = with_dimm()
    write(kernel, 32, "online_kernel")
    before = zones(kernel, 32)
    write(kernel, 32, "online_movable")
    write(kernel, 32, "offline")
    # 'online' would store its own type; the old file only says yes.
    Tree(kernel).write("/sys/devices/system/memory/memory32/online", "1")
    assert (before, zones(kernel, 32)) == (["Normal"], ["Movable"])


def test_exception_the_zone_chosen_anew() -> None:
    """Plain online asks where the spans are now, not where the block was."""
    kernel = with_dimm()
    write(kernel, 32, "online_movable")
    write(kernel, 32, "offline")
    write(kernel, 32, "online")
    assert zones(kernel, 32) == ["Normal"]


BOOT_MOVABLE = """
command_line = "movable_node"
[[node]]
memory = "3G"
[[node]]
memory = "2G"
hotpluggable = true
"""


def test_exception_boot_memory_comes_back_whole() -> None:
    """What booting took out of a boot block's managed pages is given back to nobody.

    Where a boot block holds nothing of the kernel's, offline and online
    restore it; its memory map stays where it is until it is removed.
    """
    kernel = booted(BOOT_MOVABLE)
    movable = kernel.zone(NodeId(1), ZoneType.MOVABLE)
    block = movable.start_pfn // kernel.pages_per_block + 1
    before = shown(kernel)
    assert write(kernel, block, "offline") == ""
    assert write(kernel, block, "online_movable") == ""
    same(before, kernel)


BOOT_DIMM = """
[[node]]
memory = "4G"
[layout]
low_memory = "2G"
"""


def test_exception_removed_boot_memory_frees_its_memory_map() -> None:
    """``free_map_bootmem()``: MemTotal rises by what the map took at boot."""
    kernel = booted(BOOT_DIMM)
    kernel.own_pages_block = False
    kernel.hosted.clear(0, 1 << 40)
    per_block = kernel.pages_per_block
    number = kernel.zone(NodeId(0), ZoneType.NORMAL).start_pfn // per_block
    home = kernel.page_tables.memmap_home.get(number)
    assert home is not None
    assert home != number
    assert write(kernel, number, "offline") == ""
    managed = sum(zone.managed for zone in kernel.zones.values())
    remove_memory(kernel, kernel.block_range(number))
    assert sum(zone.managed for zone in kernel.zones.values()) == managed + 512


@pytest.mark.parametrize(
    ("text", "number"),
    [
        pytest.param('[[node]]\nmemory = "1G"\n', 0, id="two zones"),
        pytest.param('[[node]]\nmemory = "960M"\n[[node]]\nmemory = "1088M"\n', 7, id="two nodes"),
        pytest.param(
            'command_line = "kernelcore=1088M"\n[[node]]\nmemory = "2G"\n',
            8,
            id="made by kernelcore",
        ),
    ],
)
def test_exception_a_boot_block_that_is_not_one_zones(text: str, number: int) -> None:
    """It cannot go offline at all, so there is nothing to restore."""
    kernel = booted(text)
    before = shown(kernel)
    assert (zones(kernel, number), write(kernel, number, "offline")) == (["none"], "EINVAL")
    same(before, kernel)


def test_exception_the_span_in_the_middle() -> None:
    """A block that leaves the middle leaves the span as it is, so the default zone stays."""
    kernel = with_dimm()
    for number in (32, 33, 34):
        write(kernel, number, "online_movable")
    write(kernel, 33, "offline")
    assert (span(kernel, 0, ZoneType.MOVABLE), zones(kernel, 33)) == ((32, 35), ["Movable Normal"])
