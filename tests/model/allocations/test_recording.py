"""Recordings are written and read back, and what is no recording is refused in one sentence."""

import json
import lzma
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memhp.core.errors import RecordingError
from memhp.model.allocations.events import Allocated, Freed
from memhp.model.allocations.recording import (
    FORMAT,
    AllocationRecording,
    RecordedZone,
    TriedBlock,
    read_allocations,
    write_allocations,
)

ZONE = RecordedZone(
    node=0,
    zone="DMA32",
    start_pfn=4096,
    spanned=1024,
    present=1024,
    managed=1000,
    free=10,
    minimum=1,
    low=2,
    high=3,
    protection=(0, 0, 4, 5, 5),
    in_lists=7,
    chunks=(2, 4, *(0,) * 9),
    pageblocks={"Unmovable": 1, "Movable": 1},
)
EVENTS = st.lists(
    st.one_of(
        st.builds(
            Allocated,
            st.integers(0, 1 << 40),
            st.integers(0, 10),
            st.integers(0, 1 << 30),
            st.integers(0, 3),
            st.booleans(),
        ),
        st.builds(Freed, st.integers(0, 1 << 40), st.integers(0, 10)),
    )
)


def recording(**changed: Any) -> AllocationRecording:
    fields: dict[str, Any] = {
        "kernel": "6.12.0",
        "workload": "anon",
        "seed": 1,
        "size_mib": 4,
        "block_size_bytes": 1 << 27,
        "zones": (ZONE,),
        "start": ((0, 3), (9, 1)),
        "events": (),
        "flags": (1024, 1024, 0),
        "fallbacks": {(0, 1, True): 4},
        "untraced": 0,
        "overlaps": 0,
        "tried": (TriedBlock(block=1, zone="DMA32", errno="EBUSY"),),
    }
    return AllocationRecording(**(fields | changed))


@given(EVENTS, st.lists(st.integers(0, 1 << 41)))
def test_what_was_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, events: list[Allocated | Freed], flags: list[int]
) -> None:
    file = tmp_path_factory.mktemp("recording") / "a.json.xz"
    written = recording(events=tuple(events), flags=tuple(flags))
    write_allocations(written, file)
    assert read_allocations(file) == written


def changed_document(file: Path, **changes: Any) -> None:
    write_allocations(recording(), file)
    document = json.loads(lzma.decompress(file.read_bytes())) | changes
    document = {name: value for name, value in document.items() if value is not ...}
    file.write_bytes(lzma.compress(json.dumps(document, default=str).encode()))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"format": "another"}, f"'format' is not '{FORMAT}'"),
        ({"zones": [{"node": 0}]}, "'protection' is missing"),
        ({"what": [5], "pfn": [1]}, "'document' does not fit the format"),
        ({"what": [-1], "pfn": []}, "'document' does not fit the format"),
        ({"flags": 3}, "'document' does not fit the format"),
    ],
    ids=["another format", "half a zone", "no such kind", "lengths", "no list"],
)
def test_what_does_not_fit_is_refused(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    file = tmp_path / "a.json.xz"
    changed_document(file, **changes)
    with pytest.raises(RecordingError, match=said):
        read_allocations(file)


def test_a_missing_field_is_named(tmp_path: Path) -> None:
    file = tmp_path / "a.json.xz"
    write_allocations(recording(), file)
    document = json.loads(lzma.decompress(file.read_bytes()))
    del document["start"]
    file.write_bytes(lzma.compress(json.dumps(document).encode()))
    with pytest.raises(RecordingError, match="'start' is missing"):
        read_allocations(file)


@pytest.mark.parametrize("content", [b"", b"{}", lzma.compress(b"[1"), lzma.compress(b"[]")])
def test_what_is_no_recording_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "a.json.xz"
    file.write_bytes(content)
    with pytest.raises(RecordingError):
        read_allocations(file)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="cannot be read"):
        read_allocations(tmp_path / "none")
