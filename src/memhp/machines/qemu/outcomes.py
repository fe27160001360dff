"""Answers of guests as outcomes of steps. Pure."""

from memhp.core.outcome import Done, Outcome, Refused, Unanswered
from memhp.machines.qemu.words import Answer, ejection_words, insertion_words


def added(answer: Answer, asked: str) -> Outcome:
    """What came of an addition; ``asked`` names it where nobody answered."""
    if answer.error is not None:
        return Refused(reason=answer.error)
    if answer.status is None:
        return Unanswered(asked=asked)
    if answer.status:
        return Refused(reason=insertion_words(answer.status))
    return Done(note="the guest has taken it")


def removed(answer: Answer, asked: str) -> Outcome:
    """What came of a removal."""
    if answer.error is not None:
        return Refused(reason=answer.error)
    if answer.removed:
        return Done(note="removed")
    if answer.refusal is not None:
        return Refused(reason=answer.refusal)
    if answer.status is None:
        return Unanswered(asked=asked)
    return Refused(reason=ejection_words(answer.status))
