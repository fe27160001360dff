"""The kernel's log, from the moment on in which it was opened."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memhp.machines.linux.kernel_log import open_kernel_log, text_of


def test_only_what_comes_later_is_read(tmp_path: Path) -> None:
    file = tmp_path / "kmsg"
    file.write_bytes(b"6,1,10,-;before\n")
    log = open_kernel_log(str(file))
    assert log is not None
    with log:
        assert log.lines() == []
        with file.open("ab") as more:
            more.write(b"7,2,20,-;memory offlining\n SUBSYSTEM=memory\n")
        assert log.lines() == ["memory offlining"]
        assert log.lines() == []


def test_what_cannot_be_read_is_none(tmp_path: Path) -> None:
    assert open_kernel_log(str(tmp_path / "nothing")) is None
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert open_kernel_log(str(pipe)) is None


@pytest.mark.parametrize(
    ("record", "text"),
    [
        (b"4,339,5140900,c;page dumped\n", "page dumped"),
        (b"4,339,5140900,-,caller=T1;a;b\n", "a;b"),
        (b"no record", ""),
        (b"", ""),
    ],
    ids=["continued", "caller", "nonsense", "nothing"],
)  # fmt: skip
def test_the_text_of_a_record(record: bytes, text: str) -> None:
    assert text_of(record) == text


@given(st.binary(max_size=200))
def test_any_bytes_are_one_line_at_most(record: bytes) -> None:
    assert "\n" not in text_of(record)
