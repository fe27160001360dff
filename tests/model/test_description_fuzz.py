"""No text makes a traceback: it describes a machine that starts, or says what is wrong."""

import copy
import json
from collections.abc import Iterator
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from memhp.core.errors import DescriptionError
from memhp.model.description import Description, parse_description, start
from memhp.model.profile import PROFILES
from memhp.model.shipped import shipped_machines, shipped_text

TEXTS = [shipped_text(name) for name in shipped_machines()]
PIECES = [
    "\n", "=", "[", "]", "[[", "]]", '"', "'", "{", "}", ".", "#", '"""', "0", "1", "-1", "true",
    "4G", "2T", "0x", "[[node]]\n", "[layout]\n", "[guests.a]\n", "[[failures.poisoned]]\n",
]  # fmt: skip


def described(text: str) -> Description | DescriptionError:
    try:
        return parse_description(text, "m.toml")
    except DescriptionError as error:
        return error


def starts_or_says_why(text: str) -> None:
    description = described(text)
    if isinstance(description, DescriptionError):
        assert str(description).startswith("m.toml")
        assert description.line is None or 1 <= description.line <= text.count("\n") + 1
        return
    for machine in (description, *description.guests):
        kernel = start(machine)
        assert kernel.online_blocks() > 0
        assert all(zone.managed >= 0 for zone in kernel.zones.values())


@given(st.text(max_size=60))
@example("a = " + "[" * 100_000)
@example("a = " + "9" * 5_000)
@example("kernel = [0x" + "f" * 5_000 + "]")
@example('about = "\ud800"')
@example("[[node]]\nmemory = '" + "9" * 5_000 + "G'")
def test_any_text(text: str) -> None:
    starts_or_says_why(text)


@given(
    st.sampled_from(TEXTS),
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 40), st.sampled_from(PIECES)), max_size=4),
)
@settings(max_examples=200)
def test_damaged_descriptions(text: str, edits: list[tuple[float, int, str]]) -> None:
    for place, cut, piece in edits:
        at = int(place * len(text))
        text = text[:at] + piece + text[at + cut :]
    starts_or_says_why(text)


sizes = st.sampled_from(["512M", "1G", "3G", "4G", "5G", "64G", "1T"])
device_sizes = st.sampled_from(["128M", "1G", "2G", "4G", "130M"])
flags = st.booleans()
addresses = st.sampled_from(["0x1000000000", "0x10000000000", "0x1c0200000", "0x3f0000000000"])
words = st.sampled_from(
    [
        "movable_node", "kernelcore=1G", "kernelcore=50%", "kernelcore=mirror", "movablecore=acpi",
        "movablecore=90%", "mem=1G", "mem=3G", "memory_hotplug.memmap_on_memory=force",
        "memory_hotplug.online_policy=auto-movable", "memhp_default_state=online_movable",
        "kernelcore=99999999999999999999T", "hugepages=1:2", "mem=", "--",
    ]
)  # fmt: skip


def a_list(
    least: int, most: int, needed: dict[str, Any], **optional: st.SearchStrategy[Any]
) -> st.SearchStrategy[list[Any]]:
    """A list of tables with all needed keys and any optional ones."""
    return st.lists(st.fixed_dictionaries(needed, optional=optional), min_size=least, max_size=most)


nodes = a_list(
    1, 4, {"memory": sizes}, cpus=st.just(2), hotpluggable=flags, mirrored=st.just("256M")
) | st.just([{"ranges": ["0x0-0x3fffffff", "0x80000000-0x8fffffff"]}, {"cpus": 0}])
dimms = a_list(0, 3, {"size": device_sizes}, node=st.just(0), address=addresses, waiting=flags)
virtio = a_list(
    0,
    2,
    {"size": st.sampled_from(["2G", "4G"])},
    device_block=st.sampled_from(["2M", "4M", "1G", "2G"]),
    requested=st.sampled_from(["2G", "4M"]),
    address=addresses,
)
failures = st.fixed_dictionaries(
    {},
    optional={
        "unmovable": a_list(0, 2, {"blocks": st.sampled_from([0, "0-2,3"]), "what": st.just("x")}),
        "pinned": a_list(0, 2, {"blocks": st.sampled_from([1, "2,9"]), "what": st.just("x")}),
        "notifier": a_list(0, 1, {"event": st.just("MEM_GOING_ONLINE"), "errno": st.just("EIO")}),
        "poisoned": a_list(0, 2, {"address": st.just("0x1000000")}, pages=st.integers(1, 9)),
    },
)
layouts = st.fixed_dictionaries(
    {},
    optional={
        "low_memory": st.sampled_from(["512M", "2G"]),
        "kernel_image": st.sampled_from(["0x1000000-0x1ffffff", "0x100000000-0x10fffffff"]),
        "initrd": st.just("0x2000000-0x20fffff"),
        "hotplug_space": st.just("8T"),
    },
)
machines = st.fixed_dictionaries(
    {"node": nodes},
    optional={
        "command_line": st.lists(words, max_size=3).map(" ".join),
        "kernel": st.sampled_from(list(PROFILES)),
        "block_size": st.sampled_from(["128M", "1G", "2G", "64G"]),
        "hypervisor": flags,
        "dimm_slots": st.just(5),
        "dimm": dimms,
        "virtio_mem": virtio,
        "failures": failures,
        "proposals": st.fixed_dictionaries({"movablecore_acpi": flags}),
        "layout": layouts,
    },
)
junk = st.one_of(
    st.integers(),
    st.text(max_size=5),
    st.sampled_from([True, [], {}, [[]], [{}], "0G", "3M", "64T", "9P", "0x1000-0xfff", 1 << 70]),
)


def _written(value: Any) -> str:
    match value:
        case list():
            return "[" + ", ".join(_written(each) for each in value) + "]"
        case dict():
            return "{" + ", ".join(f"{key} = {_written(v)}" for key, v in value.items()) + "}"
        case _:
            return json.dumps(value)


def as_toml(document: dict[str, Any]) -> str:
    return "".join(f"{key} = {_written(value)}\n" for key, value in document.items())


@given(machines, st.none() | machines)
@settings(max_examples=300)
def test_values_that_may_be(machine: dict[str, Any], guest: dict[str, Any] | None) -> None:
    starts_or_says_why(as_toml(machine | ({} if guest is None else {"guests": {"a": guest}})))


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every value inside a document."""
    inside = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in inside:
        yield (*path, key)
        if isinstance(inner, dict | list):
            yield from places(inner, (*path, key))


@given(machines, st.integers(0, 1 << 16), junk)
@settings(max_examples=300)
def test_one_value_that_should_not_be(machine: dict[str, Any], choice: int, wrong: Any) -> None:
    document: Any = copy.deepcopy(machine)
    ways = list(places(document))
    *way, last = ways[choice % len(ways)]
    table = document
    for key in way:
        table = table[key]
    table[last] = copy.deepcopy(wrong)
    starts_or_says_why(as_toml(document))
