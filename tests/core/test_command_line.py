"""The memory parameters of a kernel command line, read as the kernel reads them."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from memhp.core.command_line import (
    CommandLine,
    HugePages,
    parse_bool,
    parse_command_line,
    parse_uint,
)
from memhp.core.words import MemmapOnMemory, OnlinePolicy, OnlineType

GIB_PAGES = 262144
HUGE = 2 << 20
GIGANTIC = 1 << 30


def pool(nr_pages: int, size_bytes: int = HUGE, node: int | None = None) -> HugePages:
    return HugePages(size_bytes=size_bytes, nr_pages=nr_pages, node=node)


def read(text: str, *, memmap_force: bool = True) -> CommandLine:
    return parse_command_line(text, memmap_force=memmap_force)


def test_what_holds_where_nothing_is_said() -> None:
    assert read("") == CommandLine(
        text="",
        movable_node=False,
        kernelcore_mirror=False,
        kernelcore_pages=0,
        kernelcore_percent=0,
        movablecore_pages=0,
        movablecore_percent=0,
        movablecore_acpi=False,
        mem_bytes=(),
        default_state=None,
        online_policy=OnlinePolicy.CONTIG_ZONES,
        auto_movable_ratio=301,
        auto_movable_numa_aware=True,
        memmap_on_memory=MemmapOnMemory.OFF,
        hugepages=(),
        ignored=(),
    )


TAKEN: list[tuple[str, dict[str, Any]]] = [
    ("", {}),
    ("quiet root=/dev/vda1 ro", {}),
    ("movable_node", {"movable_node": True}),
    ("movable-node", {"movable_node": True}),
    ("movable_node=0", {"movable_node": True}),
    ("kernelcore=1G", {"kernelcore_pages": GIB_PAGES}),
    ("kernelcore=1g", {"kernelcore_pages": GIB_PAGES}),
    ("kernelcore=0x40000000", {"kernelcore_pages": GIB_PAGES}),
    ("kernelcore=010000", {"kernelcore_pages": 1}),
    ("kernelcore=4095", {}),
    ("kernelcore=8193", {"kernelcore_pages": 2}),
    ("kernelcore=30%", {"kernelcore_percent": 30}),
    ("kernelcore=0x10%", {"kernelcore_percent": 16}),
    ("kernelcore=1G%", {"kernelcore_pages": GIB_PAGES}),
    ("kernelcore=1G kernelcore=30%", {"kernelcore_pages": GIB_PAGES, "kernelcore_percent": 30}),
    ("kernelcore=30% kernelcore=1G", {"kernelcore_pages": GIB_PAGES}),
    ("kernelcore=mirror", {"kernelcore_mirror": True}),
    ("kernelcore=a,mirror", {"kernelcore_mirror": True}),
    ("movablecore=2T", {"movablecore_pages": GIB_PAGES * 2048}),
    ("movablecore=16777216T", {}),
    ("movablecore=16777217T", {"movablecore_pages": GIB_PAGES * 1024}),
    ("movablecore=50%", {"movablecore_percent": 50}),
    ("movablecore=50% movablecore=1G", {"movablecore_pages": GIB_PAGES}),
    ("movablecore=acpi", {"movablecore_acpi": True}),
    ("mem=4097", {"mem_bytes": (4097,)}),
    ("mem=4G mem=512M", {"mem_bytes": (4 << 30, 512 << 20)}),
    ("memhp_default_state=online", {"default_state": OnlineType.ONLINE}),
    ("memhp_default_state=offline", {"default_state": OnlineType.OFFLINE}),
    ("memhp_default_state=online_kernel", {"default_state": OnlineType.ONLINE_KERNEL}),
    ("memhp-default-state=online_movable", {"default_state": OnlineType.ONLINE_MOVABLE}),
    ("memory_hotplug.online_policy=auto-movable", {"online_policy": OnlinePolicy.AUTO_MOVABLE}),
    ("memory-hotplug.online-policy=auto-movable", {"online_policy": OnlinePolicy.AUTO_MOVABLE}),
    ("memory_hotplug.auto_movable_ratio=0x100", {"auto_movable_ratio": 256}),
    ("memory_hotplug.auto_movable_numa_aware=0", {"auto_movable_numa_aware": False}),
    (
        "memory_hotplug.auto_movable_numa_aware=0 memory_hotplug.auto_movable_numa_aware",
        {"auto_movable_numa_aware": True},
    ),
    ("memory_hotplug.memmap_on_memory=1", {"memmap_on_memory": MemmapOnMemory.ON}),
    ("memory_hotplug.memmap_on_memory=on", {"memmap_on_memory": MemmapOnMemory.ON}),
    ("memory_hotplug.memmap_on_memory=force", {"memmap_on_memory": MemmapOnMemory.FORCE}),
    (
        "memory_hotplug.memmap_on_memory=force memory_hotplug.memmap_on_memory=off",
        {"memmap_on_memory": MemmapOnMemory.OFF},
    ),
    ("memory_hotplug.no_such_thing=1", {}),
    ("hugepages=64", {"hugepages": (pool(64),)}),
    (
        "hugepagesz=1G hugepages=0:4,1:8",
        {"hugepages": (pool(4, GIGANTIC, 0), pool(8, GIGANTIC, 1))},
    ),
    (
        "hugepagesz=1G hugepages=2 hugepagesz=2M hugepages=3",
        {"hugepages": (pool(2, GIGANTIC), pool(3))},
    ),
    ("a=b -- movable_node", {}),
    ("--=1 movable_node", {"movable_node": True}),
    ('dyndbg="file a.c +p" movable_node', {"movable_node": True}),
    ('dyndbg="file movable_node"', {}),
    ('"movable_node"', {"movable_node": True}),
    ('mem="1G"', {"mem_bytes": (1 << 30,)}),
    ('"mem=1G"', {"mem_bytes": (1 << 30,)}),
    ("name='a movable_node b'", {"movable_node": True}),
    ("path=C:\\ movable_node", {"movable_node": True}),
    ('init="never closed movable_node', {}),
    ("=mem=1G", {}),
    ("\tquiet\n movable_node\r\n", {"movable_node": True}),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), TAKEN, ids=[text or "empty" for text, _ in TAKEN])
def test_what_is_taken(text: str, expected: dict[str, Any]) -> None:
    assert read(text) == CommandLine(text=text, **expected)


IGNORED = [
    "kernelcore", "kernelcore=", "kernelcore=much", "kernelcore=-1", "kernelcore=\u0661G",
    "movablecore", "movablecore=x", "mem", "mem=", "mem=0", "mem=nopentium",
    "memhp_default_state", "memhp_default_state=Online", "memhp_default_state=going-offline",
    "memory_hotplug.online_policy", "memory_hotplug.online_policy=zones",
    "memory_hotplug.auto_movable_ratio", "memory_hotplug.auto_movable_ratio=-1",
    "memory_hotplug.auto_movable_ratio=4294967296",
    "memory_hotplug.auto_movable_numa_aware=maybe", "memory_hotplug.memmap_on_memory",
    "memory_hotplug.memmap_on_memory=x", "hugepages", "hugepages=", "hugepages=many",
    "hugepages=²", "hugepages=a:1", "hugepages=1:", "hugepagesz=3M", "hugepagesz",
]  # fmt: skip


@pytest.mark.parametrize("parameter", IGNORED)
def test_what_the_kernel_ignores_is_named(parameter: str) -> None:
    name, equals, value = parameter.partition("=")
    assert read(parameter) == CommandLine(text=parameter, ignored=(name + equals + value,))


def test_the_ignored_keep_their_order_and_change_nothing() -> None:
    text = "mem=x kernelcore=1G kernelcore=y hugepagesz=64K hugepages=9"
    assert read(text) == CommandLine(
        text=text,
        kernelcore_pages=GIB_PAGES,
        ignored=("mem=x", "kernelcore=y", "hugepagesz=64K", "hugepages=9"),
    )


@pytest.mark.parametrize(
    ("value", "mode"),
    [
        ("", MemmapOnMemory.ON),
        ("=Y", MemmapOnMemory.ON),
        ("=0", MemmapOnMemory.OFF),
        ("=force", MemmapOnMemory.OFF),
        ("=x", None),
    ],
    ids=["none", "yes", "no", "begins-with-f", "other"],
)
def test_memmap_on_memory_of_a_kernel_without_force(
    value: str, mode: MemmapOnMemory | None
) -> None:
    word = f"memory_hotplug.memmap_on_memory{value}"
    line = CommandLine(text=word, ignored=(word,) if mode is None else ())
    assert read(word, memmap_force=False) == replace(
        line, memmap_on_memory=mode or MemmapOnMemory.OFF
    )


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *(
            (word, True)
            for word in ("y", "Y", "yes", "t", "True", "1", "10", "on", "ON", "one", "1\n")
        ),
        *(
            (word, False)
            for word in ("n", "N", "no", "f", "Force", "0", "01", "of", "off", "Off", "0\n")
        ),
        *((word, None) for word in ("", "\n", " 1", "2", "o", "ok", "-1", "x")),
    ],
)
def test_truth_values(text: str, value: bool | None) -> None:
    assert parse_bool(text) is value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0),
        ("301", 301),
        ("+301", 301),
        ("301\n", 301),
        ("0x1F", 31),
        ("0X1f", 31),
        ("010", 8),
        ("4294967295", (1 << 32) - 1),
        *(
            (bad, None)
            for bad in (
                "", "\n", "+", "++1", "-1", "-0", " 1", "1 ", "1\n\n", "08", "0x", "0xg", "0o7",
                "1_0", "0x1_0", "1K", "٣", "²", "4294967296", "9" * 5000, "0x" + "f" * 5000,
            )
        ),
    ],
)  # fmt: skip
def test_unsigned_numbers(text: str, value: int | None) -> None:
    assert parse_uint(text) == value


@given(st.integers(0, (1 << 32) - 1), st.sampled_from(["{}", "{:#x}", "0{:o}", "+{}", "{}\n"]))
def test_every_spelling_of_a_number_is_read(number: int, spelling: str) -> None:
    assert parse_uint(spelling.format(number)) == number


@given(st.integers(1, (1 << 70)), st.sampled_from("KMGTPEkmgtpe"))
def test_amounts_wrap_at_64_bits(number: int, unit: str) -> None:
    size_bytes = number << 10 * ("KMGTPE".index(unit.upper()) + 1) & ((1 << 64) - 1)
    text = f"mem={number}{unit}"
    expected = {"mem_bytes": (size_bytes,)} if size_bytes else {"ignored": (text,)}
    assert read(text) == CommandLine(text=text, **expected)


PARAMETERS = [text for text, _ in TAKEN if " " not in text.strip() and '"' not in text]


@given(
    st.lists(st.sampled_from([*PARAMETERS, *IGNORED]), max_size=6), st.sampled_from([" ", "\t  "])
)
def test_space_between_parameters_does_not_matter(words: list[str], space: str) -> None:
    line = read(" ".join(words))
    assert replace(read(space.join(words)), text=line.text) == line


@given(st.lists(st.sampled_from(PARAMETERS), max_size=6))
def test_quotes_around_a_parameter_do_not_matter(words: list[str]) -> None:
    line = read(" ".join(words))
    quoted = read(" ".join(f'"{word}"' for word in words))
    assert replace(quoted, text=line.text) == line


@given(st.text(max_size=40), st.booleans())
@example("hugepages=" + "9" * 5000, True)
@example("kernelcore=" + "9" * 5000, True)
@example("mem=0x", True)
@example('"', True)
@example('=""', True)
def test_any_text_is_a_command_line(text: str, force: bool) -> None:
    assert read(text, memmap_force=force).text == text


@given(
    st.sampled_from(["kernelcore", "mem", "hugepages", "memory_hotplug.auto_movable_ratio"]),
    st.text("0123456789xXkKgG%,:-+\"' ²٣", max_size=12),
)
def test_any_value_is_taken_or_named(name: str, value: str) -> None:
    line = read(f"{name}={value}")
    nothing = CommandLine(text=line.text)
    assert line.ignored == () or line.ignored[0].startswith(f"{name}=")
    assert replace(line, ignored=()) == nothing or line.ignored == ()
