"""Pages of the trace ring buffer, made here by the kernel's rules, are read back."""

import struct
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memhp.core.errors import FormatError
from memhp.machines.lab.page_chunks import fallbacks, read_chunks, traced_events
from memhp.machines.lab.ring_buffer import parse_format, raw_events
from memhp.model.allocations.events import Allocated, Freed, PageEvent

COMMON = """name: {name}
ID: {number}
format:
\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;
\tfield:unsigned char common_flags;\toffset:2;\tsize:1;\tsigned:0;
\tfield:unsigned char common_preempt_count;\toffset:3;\tsize:1;\tsigned:0;
\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;

"""
FORMATS = {
    "mm_page_alloc": (
        7,
        "<HBBiQIxxxxQi",
        "\tfield:unsigned long pfn;\toffset:8;\tsize:8;\tsigned:0;\n"
        "\tfield:unsigned int order;\toffset:16;\tsize:4;\tsigned:0;\n"
        "\tfield:unsigned long gfp_flags;\toffset:24;\tsize:8;\tsigned:0;\n"
        "\tfield:int migratetype;\toffset:32;\tsize:4;\tsigned:1;\n",
    ),
    "mm_page_free": (
        8,
        "<HBBiQI",
        "\tfield:unsigned long pfn;\toffset:8;\tsize:8;\tsigned:0;\n"
        "\tfield:unsigned int order;\toffset:16;\tsize:4;\tsigned:0;\n",
    ),
    "mm_page_alloc_extfrag": (
        9,
        "<HBBiQiiiii",
        "\tfield:unsigned long pfn;\toffset:8;\tsize:8;\tsigned:0;\n"
        "\tfield:int alloc_order;\toffset:16;\tsize:4;\tsigned:1;\n"
        "\tfield:int fallback_order;\toffset:20;\tsize:4;\tsigned:1;\n"
        "\tfield:int alloc_migratetype;\toffset:24;\tsize:4;\tsigned:1;\n"
        "\tfield:int fallback_migratetype;\toffset:28;\tsize:4;\tsigned:1;\n"
        "\tfield:int change_ownership;\toffset:32;\tsize:4;\tsigned:1;\n",
    ),
}


def data_of(name: str, *values: int) -> bytes:
    number, layout, _ = FORMATS[name]
    return struct.pack(layout, number, 0, 0, 1, *values)


def entry(data: bytes, *, apart: bool = False) -> bytes:
    """An event as it lies in the buffer; what is long has its length in a word of its own."""
    data += b"\0" * (-len(data) % 4)
    if apart or len(data) > 28 * 4:
        return struct.pack("<II", 0, 4 + len(data)) + data
    return struct.pack("<I", 5 << 5 | len(data) // 4) + data


def page(entries: Iterable[bytes], flags: int = 0) -> bytes:
    body = b"".join(entries)
    return (struct.pack("<QQ", 123, len(body) | flags) + body).ljust(4096, b"\0")


def stream(pages: list[bytes]) -> bytes:
    chunks = [
        (name, (COMMON.format(name=name, number=number) + fields).encode())
        for name, (number, _, fields) in FORMATS.items()
    ]
    chunks += [("trace", data) for data in pages]
    told = (f"{name} {len(data)}\n".encode() + data for name, data in chunks)
    return b"".join(told) + b"end 0\n"


EVENTS = st.one_of(
    st.builds(
        Allocated,
        st.integers(1, 1 << 40),
        st.integers(0, 10),
        st.integers(0, 1 << 30),
        st.integers(0, 3),
        st.just(True),
    ),
    st.builds(Freed, st.integers(1, 1 << 40), st.integers(0, 10)),
)


def of_event(event: PageEvent) -> bytes:
    if isinstance(event, Freed):
        return data_of("mm_page_free", *event)
    return data_of("mm_page_alloc", *event[:4])


@given(st.lists(st.tuples(EVENTS, st.booleans(), st.booleans()), max_size=60))
def test_events_come_back_in_order(events: list[tuple[PageEvent, bool, bool]]) -> None:
    extend = struct.pack("<II", 30 | 7 << 5, 1)
    entries = [
        (extend if extended else b"") + entry(of_event(event), apart=apart)
        for event, apart, extended in events
    ]
    pages = [page(entries[at : at + 20]) for at in range(0, len(entries), 20)]
    found = list(traced_events(read_chunks(stream(pages or [page([])]))))
    assert found == [event for event, _, _ in events]


def test_padding_is_passed_over_and_ends_a_page() -> None:
    skipped = struct.pack("<II", 29 | 1 << 5, 12) + b"x" * 8
    end = struct.pack("<I", 29)
    event = Freed(5, 0)
    whole = page([skipped, entry(of_event(event)), end, entry(of_event(Freed(6, 0)))])
    assert list(traced_events(read_chunks(stream([whole])))) == [event]


def test_a_failed_allocation_is_no_event() -> None:
    failed = [data_of("mm_page_alloc", pfn, 0, 0, 0) for pfn in (0, (1 << 64) - 1)]
    assert list(traced_events(read_chunks(stream([page(map(entry, failed))])))) == []


def test_fallbacks_are_counted() -> None:
    data = data_of("mm_page_alloc_extfrag", 9, 0, 9, 0, 1, 1)
    assert fallbacks(read_chunks(stream([page([entry(data), entry(data)])]))) == {(0, 1, True): 2}


def test_lost_events_are_an_error() -> None:
    with pytest.raises(FormatError, match="lost events"):
        list(raw_events([page([], flags=1 << 31)]))


def test_half_a_stream_is_an_error() -> None:
    with pytest.raises(FormatError, match="ends too early"):
        read_chunks(stream([page([])])[:-4])


def test_a_format_without_an_id_is_an_error() -> None:
    with pytest.raises(FormatError, match="no ID"):
        parse_format("name: x\n")
