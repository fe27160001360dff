"""Online and offline: the zone that a block gets, the spans, and every refusal."""

import pytest

from booted import (
    MEMORY,
    PARAMETERS,
    booted,
    pull,
    span,
    states,
    with_dimm,
    write,
    write_file,
    zones,
)
from memhp.core.geometry import NodeId
from memhp.core.words import BlockState, ZoneType
from memhp.model.kernel import Kernel
from memhp.model.steps import KernelRefusal, Pause, Signal, run
from memhp.model.tree.tree import Tree

MOVABLE, NORMAL = ZoneType.MOVABLE, ZoneType.NORMAL


def test_zones_follow_the_spans_that_are_there() -> None:
    kernel = with_dimm()
    assert zones(kernel, *range(32, 40)) == ["Normal Movable"] * 8
    assert write(kernel, 34, "online_movable") == ""
    assert zones(kernel, 33, 34, 35) == ["Normal Movable", "Movable", "Normal Movable"]
    assert write(kernel, 36, "online_kernel") + write(kernel, 32, "online_kernel") == ""
    assert zones(kernel, 33, 35) == ["Normal Movable"] * 2
    write(kernel, 39, "online_movable")
    assert zones(kernel, 35, 37, 38) == ["Normal Movable", "Movable Normal", "Movable Normal"]
    write(kernel, 38, "online")
    assert zones(kernel, 38) == ["Movable"]
    assert (span(kernel, 0, NORMAL), span(kernel, 0, MOVABLE)) == ((32, 37), (34, 40))
    write(kernel, 32, "offline")
    assert span(kernel, 0, NORMAL) == (36, 37)
    assert zones(kernel, 35) == ["Movable Normal"]


def test_movable_node_prefers_movable_where_both_or_none_are() -> None:
    kernel = with_dimm("movable_node memhp_default_state=offline")
    assert set(zones(kernel, *range(32, 40))) == {"Movable Normal"}
    write(kernel, 33, "online_kernel")
    write(kernel, 35, "online")
    write(kernel, 32, "online")
    assert zones(kernel, 35, 32) == ["Movable", "Movable"]


def test_the_last_block_to_leave_ends_the_span() -> None:
    kernel = with_dimm()
    for number in (33, 34, 35):
        write(kernel, number, "online_movable")
    write(kernel, 34, "offline")
    assert span(kernel, 0, MOVABLE) == (33, 36)
    write(kernel, 33, "offline")
    assert span(kernel, 0, MOVABLE) == (35, 36)
    write(kernel, 35, "offline")
    assert span(kernel, 0, MOVABLE) == (0, 0)


@pytest.mark.parametrize(
    ("ratio", "numa_aware", "expected"),
    [
        # 1 GiB at boot: 301 % of it allows 3 GiB movable, but the DIMM has to fit whole.
        ("301", "Y", "Movable Normal"),
        ("99", "Y", "Normal Movable"),
        ("0", "Y", "Normal Movable"),
    ],
)
def test_auto_movable_keeps_the_ratio(ratio: str, numa_aware: str, expected: str) -> None:
    kernel = with_dimm()
    write_file(kernel, f"{PARAMETERS}/online_policy", "auto-movable")
    write_file(kernel, f"{PARAMETERS}/auto_movable_ratio", ratio)
    write_file(kernel, f"{PARAMETERS}/auto_movable_numa_aware", numa_aware)
    assert zones(kernel, 32) == [expected]


def test_auto_movable_looks_at_the_node_where_it_is_told_to() -> None:
    kernel = with_dimm(
        "memhp_default_state=offline memory_hotplug.online_policy=auto-movable", node=1
    )
    assert zones(kernel, 32) == ["Normal Movable"]
    write_file(kernel, f"{PARAMETERS}/auto_movable_numa_aware", "n")
    assert zones(kernel, 32) == ["Movable Normal"]


def test_a_device_with_one_kernel_block_stays_with_the_kernel() -> None:
    kernel = with_dimm("memhp_default_state=offline memory_hotplug.online_policy=auto-movable")
    assert zones(kernel, 35) == ["Movable Normal"]
    write(kernel, 32, "online_kernel")
    assert zones(kernel, 35) == ["Normal Movable"]


def test_an_online_type_stays_armed_until_it_is_used() -> None:
    kernel = with_dimm()
    write(kernel, 32, "online_kernel")
    assert write(kernel, 32, "online_movable") == "EINVAL"
    assert write(kernel, 32, "offline") == ""
    assert write_file(kernel, f"{MEMORY}/memory32/online", "1") == ""
    assert zones(kernel, 32) == ["Movable"]
    write(kernel, 32, "offline")
    write_file(kernel, f"{MEMORY}/memory32/online", "1")
    assert zones(kernel, 32) == ["Normal"]


def test_a_veto_uses_an_armed_type_up() -> None:
    kernel = with_dimm()
    kernel.notifier_errors["MEM_GOING_ONLINE"] = -12
    assert write(kernel, 32, "online_movable") == "ENOMEM"
    assert (states(kernel, 32), span(kernel, 0, MOVABLE)) == (["offline"], (0, 0))
    kernel.notifier_errors.clear()
    write_file(kernel, f"{MEMORY}/memory32/online", "1")
    assert zones(kernel, 32) == ["Normal"]


@pytest.mark.parametrize("word", ["online", "online_kernel", "online_movable"])
def test_online_of_an_online_block(word: str) -> None:
    kernel = with_dimm()
    write(kernel, 33, "online")
    assert write(kernel, 33, word) == "EINVAL"


@pytest.mark.parametrize(
    ("file", "word", "errno"),
    [
        ("state", "offline", "EINVAL"),
        ("state", "Online", "EINVAL"),
        ("state", "online\n\n", "EINVAL"),
        ("state", " online", "EINVAL"),
        ("state", "online\n", ""),
        ("state", "", ""),
        ("online", "0", ""),
        ("online", "off", ""),
        ("online", "yes", ""),
        ("online", "2", "EINVAL"),
        ("online", "o", "EINVAL"),
        ("valid_zones", "Movable", "EACCES"),
        ("nothing", "1", "ENOENT"),
    ],
)
def test_writes_to_an_offline_block(file: str, word: str, errno: str) -> None:
    assert write_file(with_dimm(), f"{MEMORY}/memory33/{file}", word) == errno


def test_refusals_come_in_the_kernels_order() -> None:
    # 1 GiB ends below 4 GiB; block 0 is DMA and DMA32.
    kernel = with_dimm()
    assert (zones(kernel, 0), write(kernel, 0, "offline")) == (["none"], "EINVAL")
    write(kernel, 32, "online_movable")
    kernel.unmovable[32] = "a pinned page"
    kernel.notifier_errors["MEM_GOING_OFFLINE"] = -1
    assert write(kernel, 32, "offline") == "EBUSY"
    kernel.unmovable.clear()
    assert write(kernel, 32, "offline") == "EPERM"
    assert states(kernel, 32) == ["online"]
    kernel.notifier_errors.clear()
    assert write(kernel, 32, "offline") == ""


def test_a_block_with_a_hole_shows_a_zone_and_does_not_go() -> None:
    kernel = booted('[layout]\nlow_memory = "1000M"\n[[node]]\nmemory = "2G"\n')
    last_low = (1000 << 20) // kernel.block_size_bytes
    assert zones(kernel, last_low) == ["DMA32"]
    assert write(kernel, last_low, "offline") == "EINVAL"


def test_kernel_memory_does_not_go_and_says_why() -> None:
    kernel = with_dimm("memhp_default_state=online_kernel", dimm="16G", node=1)
    holder = next(run.start for run in kernel.hosted if kernel.blocks.get(run.start).zone)  # type: ignore[union-attr]
    with pytest.raises(KernelRefusal, match="pages of the kernel"):
        Tree(kernel).write(f"{MEMORY}/memory{holder}/state", "offline")


@pytest.mark.parametrize("pause", [Pause.GOING_OFFLINE, Pause.MIGRATING])
def test_a_signal_puts_the_block_back(pause: Pause) -> None:
    kernel = with_dimm()
    write(kernel, 32, "online_movable")
    before = kernel.blocks.get(32)
    steps = Tree(kernel).write_steps(f"{MEMORY}/memory32/state", "offline")
    while next(steps) is not pause:
        pass
    assert states(kernel, 32) == ["going-offline"]
    assert zones(kernel, 32) == ["Movable Normal"]
    with pytest.raises(KernelRefusal) as caught:
        steps.throw(Signal())
    assert caught.value.errno_name == "EINTR"
    assert (kernel.blocks.get(32), kernel.hotplug_lock) == (before, False)
    assert kernel.zone(NodeId(0), MOVABLE).present == kernel.pages_per_block


def pinned() -> Kernel:
    kernel = with_dimm("memhp_default_state=online_movable")
    kernel.pinned[33] = "an O_DIRECT buffer"
    return kernel


def test_pinned_pages_are_tried_for_ever_until_a_signal() -> None:
    kernel = pinned()
    before = kernel.blocks.get(33)
    steps = Tree(kernel).write_steps(f"{MEMORY}/memory33/state", "offline")
    pauses = [next(steps) for _ in range(1000)]
    assert pauses[:2] == [Pause.GOING_OFFLINE, Pause.MIGRATING]
    assert set(pauses[2:]) == {Pause.RETRYING}
    assert (states(kernel, 33), kernel.hotplug_lock) == (["going-offline"], True)
    with pytest.raises(KernelRefusal) as caught:
        steps.throw(Signal())
    assert caught.value.errno_name == "EINTR"
    assert (kernel.blocks.get(33), kernel.hotplug_lock) == (before, False)


def test_pinned_pages_that_are_let_go_let_the_block_go() -> None:
    kernel = pinned()
    steps = Tree(kernel).write_steps(f"{MEMORY}/memory33/state", "offline")
    assert [next(steps) for _ in range(3)][-1] is Pause.RETRYING
    kernel.pinned.clear()
    assert list(steps) == []
    assert states(kernel, 33) == ["offline"]


def test_a_plain_call_ends_what_the_kernel_would_try_for_ever() -> None:
    kernel = pinned()
    stops: list[Pause] = []
    with pytest.raises(KernelRefusal) as caught:
        run(Tree(kernel).write_steps(f"{MEMORY}/memory33/state", "offline"), stops.append)
    assert stops == [Pause.GOING_OFFLINE, Pause.MIGRATING, Pause.RETRYING]
    assert (caught.value.errno_name, caught.value.reason) == (
        "EINTR",
        "signal backoff: pages are pinned, and the kernel would try for ever: an O_DIRECT buffer",
    )
    assert states(kernel, 33) == ["online"]


def test_pinned_pages_keep_a_dimm_whose_other_blocks_come_back() -> None:
    kernel = pinned()
    verdict = pull(kernel, "dimm0")
    assert verdict.refusal is not None
    assert verdict.refusal.errno_name == "EINTR"
    assert states(kernel, *range(32, 40)) == ["online"] * 8


def test_a_second_writer_waits_for_the_first() -> None:
    kernel = with_dimm()
    write(kernel, 32, "online_movable")
    first = Tree(kernel).write_steps(f"{MEMORY}/memory32/state", "offline")
    next(first)
    second = Tree(kernel).write_steps(f"{MEMORY}/memory33/state", "online")
    assert (next(second), next(second)) == (Pause.LOCK, Pause.LOCK)
    assert list(first)[-1:] == [Pause.MIGRATING]
    assert Pause.LOCK not in list(second)
    assert states(kernel, 32, 33) == ["offline", "online"]


def test_closing_a_change_half_way_lets_go_of_everything() -> None:
    kernel = with_dimm()
    write(kernel, 32, "online_movable")
    steps = Tree(kernel).write_steps(f"{MEMORY}/memory32/state", "offline")
    next(steps)
    steps.close()
    assert (states(kernel, 32), kernel.hotplug_lock) == (["online"], False)


def test_uevents_tell_of_what_ended_well() -> None:
    kernel = with_dimm()
    sent = len(kernel.uevents)
    write(kernel, 32, "online_movable")
    write(kernel, 32, "online_movable")
    write(kernel, 32, "offline")
    write(kernel, 99, "offline")
    told = [(uevent.action, uevent.devpath) for uevent in kernel.uevents[sent:]]
    path = "/devices/system/memory/memory32"
    assert told == [("online", path), ("offline", path)]


@pytest.mark.parametrize(
    ("word", "zone"),
    [("online", "Normal"), ("online_kernel", "Normal"), ("online_movable", "Movable")],
)
def test_added_memory_comes_online_as_auto_online_blocks_says(word: str, zone: str) -> None:
    kernel = with_dimm(f"memhp_default_state={word}")
    assert set(zones(kernel, *range(32, 40))) == {zone}
    assert {run.value.state for run in kernel.blocks} == {BlockState.ONLINE}


def test_auto_online_blocks_takes_only_its_words() -> None:
    kernel = with_dimm()
    assert write_file(kernel, f"{MEMORY}/auto_online_blocks", "movable") == "EINVAL"
    assert Tree(kernel).read(f"{MEMORY}/auto_online_blocks") == "offline\n"
