"""The fuzzer itself: it finds each kind of bug, and saves the smallest input that shows it."""

import json
import mmap
import os
import signal
from pathlib import Path

import pytest
from hypothesis import strategies as st

from fuzz.batch import Amount
from fuzz.run import fuzz, keep
from fuzz.seeds import BYTES, JSON, TEXT
from fuzz.shrinking import shrink, smaller_json
from fuzz.summary import row_of, table
from fuzz.target import Attempt, Failure, Result, Shape, Target
from memhp.core.errors import FormatError


def fuzzed(
    attempt: Attempt,
    *seeds: bytes,
    shape: Shape = TEXT,
    seconds: float = 0.2,
    inputs: int = 300,
) -> Result:
    target = Target(
        name="planted",
        prepare=lambda _folder: attempt,
        seeds=lambda: seeds,
        shape=shape,
        inputs=inputs,
        invent=st.binary(max_size=9),
        seconds=seconds,
        memory_bytes=64 << 20,
    )
    return fuzz(target, Amount(inputs=inputs, seconds=None, seed=1, shrink_seconds=10))


def bugs(result: Result) -> set[tuple[str, bytes]]:
    return {(failure.kind, failure.data) for failure in result.failures}


def test_what_is_allowed_is_no_bug() -> None:
    def attempt(data: bytes) -> None:
        if len(data) % 2:
            raise FormatError("odd")

    result = fuzzed(attempt, b"ab")
    assert result.failures == ()
    assert result.tried > 300
    assert min(result.accepted, result.refused) > 20
    assert result.accepted + result.refused == result.tried


def test_a_traceback_is_found_and_made_small() -> None:
    def attempt(data: bytes) -> None:
        if b"7" in data:
            raise KeyError(data)

    assert bugs(fuzzed(attempt, b"one 1\ntwo 2\nthree 3\n")) == {("KeyError", b"7")}


def test_a_sentence_that_is_not_one_line_is_found() -> None:
    class Raw(FormatError):
        def __str__(self) -> str:
            return "two\nlines"

    def attempt(data: bytes) -> None:
        raise Raw

    assert bugs(fuzzed(attempt, b"")) == {("NoSentence", b"")}


def test_a_hang_is_found() -> None:
    def attempt(data: bytes) -> None:
        while b"8" in data:
            pass

    assert bugs(fuzzed(attempt, b"1 2 3", seconds=0.02)) == {("TooSlow", b"8")}


def test_waiting_for_ever_is_found(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")

    def attempt(data: bytes) -> None:
        if data == b"ab":
            (tmp_path / "fifo").read_bytes()

    assert bugs(fuzzed(attempt, b"ab", shape=BYTES, inputs=1)) == {("TooSlow", b"ab")}


def test_too_much_memory_is_found() -> None:
    def attempt(data: bytes) -> None:
        assert bytes((data == b"12") << 28) is not None

    assert bugs(fuzzed(attempt, b"12", shape=BYTES)) == {("MemoryError", b"12")}


def test_a_process_that_dies_is_found_with_its_last_input() -> None:
    def attempt(data: bytes) -> None:
        if data == b"dies":
            os.kill(os.getpid(), signal.SIGKILL)

    [failure] = fuzzed(attempt, b"lives", b"dies", b"never").failures
    assert (failure.kind, failure.data) == ("Died", b"dies")
    assert failure.told == "the process ended: signal 9"


def test_a_bug_is_told_once() -> None:
    seen = mmap.mmap(-1, 8)

    def attempt(data: bytes) -> None:
        seen[0] = min(255, seen[0] + 1)
        raise ValueError

    assert bugs(fuzzed(attempt, b"a", b"b", b"c")) == {("ValueError", b"")}
    assert seen[0] == 255


def test_the_same_seed_tries_the_same_inputs(tmp_path: Path) -> None:
    def noting(path: Path) -> Attempt:
        def attempt(data: bytes) -> None:
            with path.open("ab") as out:
                out.write(data.hex().encode() + b"\n")

        return attempt

    for name in ("one", "two"):
        fuzzed(noting(tmp_path / name), b'{"a": [1, 2, {"b": "c"}]}', shape=JSON)
    one, two = ((tmp_path / name).read_bytes() for name in ("one", "two"))
    assert one == two
    assert len(set(one.split())) > 200


def test_json_is_made_small_as_json() -> None:
    document = {"a": [1, 2, 3, {"bad": True, "c": "long text"}], "d": {"e": None}}

    def fails(data: bytes) -> bool:
        return '"bad": true' in json.dumps(json.loads(data))

    small = shrink(json.dumps(document).encode(), fails, smaller_json, 10)
    assert json.loads(small) == {"a": [{"bad": True}]}


def test_what_is_found_is_saved(tmp_path: Path) -> None:
    failure = Failure(kind="KeyError", place="a.py:1", told="Traceback: \udcff", data=b"\xff\0")
    path = keep(tmp_path, "a target", failure)
    assert path.read_bytes() == b"\xff\0"
    assert path.with_name(f"{path.name}.txt").read_text() == "Traceback: \\udcff"
    other = Failure(kind="KeyError", place="a.py:2", told="", data=b"")
    assert keep(tmp_path, "a target", other) != path


@pytest.mark.parametrize("failures", [0, 2])
def test_the_table_counts(failures: int) -> None:
    wrong = Failure(kind="KeyError", place="a.py:1", told="", data=b"")
    result = Result(target="SRAT", tried=1234, accepted=1000, failures=(wrong,) * failures)
    lines = table([row_of(result), row_of(result)])
    assert lines[0].split() == [
        *("SRAT", "1,234", "tried", "1,000", "read", str(234 - failures), "refused"),
        *(str(failures), "wrong"),
    ]
    assert lines[-1].split() == ["2", "targets", "2,468", "inputs", "tried"]
