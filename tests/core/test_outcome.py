"""What a refusal says to a person."""

import pytest

from memhp.core.outcome import Refused
from memhp.core.reasons import meaning_of


@pytest.mark.parametrize(
    ("reason", "errno_name", "words"),
    [
        (
            "failure to isolate range",
            "EBUSY",
            "failure to isolate range [EBUSY]: it holds pages that cannot be moved elsewhere",
        ),
        (
            "notifier failure: virtio_mem",
            "EBUSY",
            "notifier failure [EBUSY]: a driver vetoed it (virtio_mem)",
        ),
        (
            "no such reason: a, b",
            "EBUSY",
            "no such reason: a, b [EBUSY (Device or resource busy)]",
        ),
        ("new", "EINVAL", "new [EINVAL (Invalid argument)]"),
        ("new", "EWONDER", "new [EWONDER]"),
        ("memory32 is offline already", None, "memory32 is offline already"),
        ("memory holes", None, "memory holes"),
    ],
    ids=["meaning", "detail", "unknown", "errno", "strange-errno", "precondition", "no-errno"],
)
def test_words_of_a_refusal(reason: str, errno_name: str | None, words: str) -> None:
    assert Refused(reason=reason, errno_name=errno_name).words == words


def test_a_reason_that_explains_itself_has_no_meaning() -> None:
    assert meaning_of("memory holes") == (
        "a part of the block is no RAM, and Linux never takes such a block offline"
    )
    assert (meaning_of("memory"), meaning_of(""), meaning_of(": x")) == (None, None, None)
