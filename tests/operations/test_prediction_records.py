"""Predictions held against what happened, and kept on disk."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memhp.core.errors import JournalError
from memhp.core.words import ZoneType
from memhp.operations.predict_offline import Answer
from memhp.operations.prediction_records import (
    Estimate,
    Judged,
    Predicted,
    PredictionRecord,
    Tried,
    estimate,
    judge,
    waiting_blocks,
)
from memhp.operations.prediction_store import PredictionStore

HERE = "linux:m:boot"


def said(block: int, answer: Answer = Answer.YES, pages: int = 0) -> Predicted:
    return Predicted(
        time="2026-01-01T00:00:00+00:00",
        machine=HERE,
        address="linux:",
        block=block,
        zone=ZoneType.NORMAL,
        answer=answer,
        pages_to_move=pages,
    )


def tried(block: int, *, went: bool = True, took: int | None = None) -> Tried:
    return Tried(
        time="2026-01-01T00:01:00+00:00", machine=HERE, block=block, went=went, milliseconds=took
    )


def test_an_attempt_belongs_to_the_last_answer_before_it() -> None:
    early, other, late, went = said(1), said(2, Answer.NO), said(1, pages=7), tried(1)
    records = (early, other, late, went, tried(1, went=False), tried(3))
    assert judge(records) == (
        Judged(predicted=early),
        Judged(predicted=other),
        Judged(predicted=late, tried=went),
    )
    assert waiting_blocks(records, HERE) == {1, 2}
    assert waiting_blocks((late, went), HERE) == set()
    assert waiting_blocks(records, "linux:m:another boot") == set()


@pytest.mark.parametrize(
    ("answer", "went", "right"),
    [
        (Answer.YES, True, True),
        (Answer.YES, False, False),
        (Answer.NO, True, False),
        (Answer.NO, False, True),
        (Answer.UNKNOWN, True, None),
    ],
)
def test_what_is_right(answer: Answer, went: bool, right: bool | None) -> None:
    [judged] = judge([said(1, answer), tried(1, went=went)])
    assert judged.was_right is right
    assert Judged(predicted=said(1, answer)).was_right is None


def measured(points: list[tuple[int, int]]) -> tuple[Judged, ...]:
    return judge(
        record
        for number, (pages, took) in enumerate(points)
        for record in (said(number, pages=pages), tried(number, took=took))
    )


def test_time_is_what_was_measured_here_or_nothing() -> None:
    assert estimate(measured([(0, 50), (1000, 150)]), "linux:", 500) is None
    three = measured([(0, 50), (1000, 150), (2000, 250)])
    assert estimate(three, "linux:", 500) == Estimate(milliseconds=100, measured=3)
    assert estimate(three, "model:server", 500) is None
    failed = judge([said(1, pages=9), tried(1, went=False, took=60000)])
    assert estimate((*failed, *three), "linux:", 0) == Estimate(milliseconds=50, measured=3)


@given(st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(0, 10**6)), min_size=3))
def test_more_pages_never_take_less_time(points: list[tuple[int, int]]) -> None:
    judged = measured(points)
    few, many = estimate(judged, "linux:", 10), estimate(judged, "linux:", 100000)
    assert few is not None
    assert many is not None
    assert 0 <= few.milliseconds <= many.milliseconds


def test_what_is_kept_is_found_again(tmp_path: Path) -> None:
    store = PredictionStore(tmp_path / "state")
    assert store.records() == ()
    first: list[PredictionRecord] = [said(1, Answer.NO, 5), tried(1, went=False, took=7)]
    store.append(first)
    store.append([said(2)])
    assert PredictionStore(tmp_path / "state").records() == (*first, said(2))


@pytest.mark.parametrize("piece", [b"{", b"\xff\xfe", b'{"type": "Predicted"}', b"[" * 5000])
def test_a_piece_of_a_line_is_passed_over(tmp_path: Path, piece: bytes) -> None:
    store = PredictionStore(tmp_path)
    store.append([said(1)])
    with (tmp_path / "predictions.jsonl").open("ab") as file:
        file.write(piece + b"\n")
    store.append([said(2)])
    assert store.records() == (said(1), said(2))


def test_the_older_half_is_forgotten_when_it_is_too_much(tmp_path: Path) -> None:
    store = PredictionStore(tmp_path)
    store.append([said(number) for number in range(24000)])
    store.append([said(24000)])
    kept = store.records()
    assert kept[-1] == said(24000)
    assert 11000 < len(kept) < 13000


def test_a_folder_that_cannot_be_made_is_an_error_with_advice(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = PredictionStore(tmp_path / "file")
    with pytest.raises(JournalError, match="MEMHP_STATE_DIR"):
        store.append([said(1)])
