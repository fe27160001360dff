"""Printing what ``memhp explain`` found, and what came of earlier answers."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from memhp.core.geometry import bytes_of
from memhp.core.targets import format_size
from memhp.interfaces.cli.show import printable
from memhp.operations.predict_offline import Answer, Prediction
from memhp.operations.prediction_records import Estimate, Judged

_MOST_IN_FULL = 4
"""More blocks than these are a table, with the first thing in the way of each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """The answers for some blocks; ``times`` has one for each, ``None`` if not measured yet."""

    machine: str
    predictions: tuple[Prediction, ...]
    times: tuple[Estimate | None, ...]
    notes: tuple[str, ...] = ()


def print_explanation(explanation: Explanation) -> None:
    """Print few blocks in full, many as a table, and the sum of both."""
    pairs = list(zip(explanation.predictions, explanation.times, strict=True))
    if len(pairs) > _MOST_IN_FULL:
        lines = list(_table(pairs))
    else:
        lines = [line for pair in pairs for line in _in_full(*pair)]
    print("\n".join(printable(line) for line in lines))
    print(_sum(explanation))
    for note in explanation.notes:
        print(f"note: {printable(note)}")


def _in_full(prediction: Prediction, time: Estimate | None) -> Iterator[str]:
    yield f"memory{prediction.block}{_zone_words(prediction)}: {_answer_words(prediction)}"
    for obstacle in prediction.obstacles:
        yield f"  in the way: {obstacle.what}"
        yield f"  you can:    {obstacle.remedy}"
    for words in prediction.goes_by_itself:
        yield f"  by itself:  {words}"
    if prediction.answer is not Answer.NO and not prediction.is_offline:
        yield f"  time:       {_time_words(time)}"


def _zone_words(prediction: Prediction) -> str:
    """An offline block has no zone; one that is online and not in one zone lies in several."""
    return "" if prediction.is_offline else f" ({prediction.zone or 'several zones'})"


def _answer_words(prediction: Prediction) -> str:
    if prediction.is_offline:
        return "offline already"
    return {
        Answer.YES: "yes, it can go offline now",
        Answer.NO: "no, it cannot go offline now",
        Answer.UNKNOWN: "unknown, it may go offline or not",
    }[prediction.answer]


def _table(pairs: Sequence[tuple[Prediction, Estimate | None]]) -> Iterator[str]:
    yield f"{'BLOCK':<12}{'ZONE':<9}{'ANSWER':<9}{'TO MOVE':>9}  IN THE WAY"
    for prediction, _ in pairs:
        way = [obstacle.what for obstacle in prediction.obstacles]
        more = f" (and {len(way) - 1} more)" if len(way) > 1 else ""
        yield (
            f"memory{prediction.block:<6}{prediction.zone or '-':<9}"
            f"{'offline' if prediction.is_offline else prediction.answer:<9}"
            f"{format_size(bytes_of(prediction.pages_to_move)):>9}  "
            f"{way[0] + more if way else '-'}"
        ).rstrip()


def _sum(explanation: Explanation) -> str:
    counts = Counter(prediction.answer for prediction in explanation.predictions)
    to_move = sum(p.pages_to_move for p in explanation.predictions if p.answer is Answer.YES)
    told = ", ".join(f"{counts[answer]} {answer}" for answer in Answer)
    known = [time for time in explanation.times if time is not None]
    whole = ""
    if len(known) == len(explanation.times) and len(known) > 1:
        whole = f", about {sum(time.milliseconds for time in known) / 1000:.1f} s in all"
    return f"{told}; {format_size(bytes_of(to_move))} to move{whole}"


def _time_words(time: Estimate | None) -> str:
    if time is None:
        return "not measured yet on this machine"
    return f"about {time.milliseconds / 1000:.1f} s, by {time.measured} offlines on this machine"


def print_history(judged: Sequence[Judged]) -> None:
    """Print every answer with its outcome, and how often they were right."""
    for one in judged:
        print(printable(_line(one)))
    print(_score(judged))


def _line(one: Judged) -> str:
    predicted, tried = one.predicted, one.tried
    said = f"{predicted.time} {predicted.address} memory{predicted.block} said {predicted.answer}"
    if predicted.because:
        said += f" ({predicted.because})"
    if tried is None:
        return f"{said}; not tried"
    took = "" if tried.milliseconds is None else f" in {tried.milliseconds / 1000:.1f} s"
    came = f"went{took}" if tried.went else f"stayed{took}: {tried.reason}"
    right = {True: "right", False: "WRONG", None: "no answer"}[one.was_right]
    return f"{said}; {came}: {right}"


def _score(judged: Sequence[Judged]) -> str:
    if not judged:
        return "nothing was explained yet"
    parts = []
    for answer in (Answer.YES, Answer.NO):
        mine = [j.was_right for j in judged if j.predicted.answer is answer and j.tried is not None]
        parts.append(f"{answer}: {sum(map(bool, mine))} of {len(mine)} right")
    waiting = sum(j.tried is None for j in judged)
    unknown = sum(j.predicted.answer is Answer.UNKNOWN for j in judged)
    return f"{'; '.join(parts)}; {unknown} unknown; {waiting} not tried"
