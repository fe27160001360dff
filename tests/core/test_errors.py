"""What memhp raises on purpose: one sentence each, one exit code each."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memhp.core import errors
from memhp.core.errors import (
    AcpiTableError,
    AnswerPending,
    ArgumentError,
    CannotPlan,
    CommandDenied,
    CommandLineError,
    ContactLost,
    DescriptionError,
    FormatError,
    JournalError,
    MachineError,
    MachineLocked,
    MemhpError,
    NoSuchMachine,
    NoSuchObject,
    NotSupported,
    RecordingError,
    StalePlan,
    StateFileError,
)
from memhp.core.words import ExitCode


def one_of_each(name: str, problem: str, advice: str) -> list[MemhpError]:
    """Every error there is, about one object."""
    machine = {"machine": name, "problem": problem, "advice": advice}
    return [
        MemhpError(f"{name} {problem}: {advice}"),
        ArgumentError(text=name, problem=problem, advice=advice),
        MachineError(**machine),
        NoSuchMachine(**machine),
        StateFileError(**machine),
        MachineLocked(**machine),
        CommandDenied(machine=name, command="device_del", kind="GenericError", answer=problem),
        ContactLost(**machine),
        DescriptionError(file="m.toml", line=4, key=name, problem=problem, allowed=advice),
        NoSuchObject(machine="model:", name=name, advice=advice),
        NotSupported(machine=name, operation=problem, advice=advice),
        CannotPlan(request=name, problem=problem, advice=advice),
        StalePlan(machine=name, changed=problem),
        AnswerPending(machine="m", device=name, asked=problem, operation=advice),
        JournalError(operation=name, problem=problem, advice=advice),
        FormatError(f"{name} {problem}: {advice}"),
        AcpiTableError(table=name, problem=problem, offset=48, advice=advice),
        CommandLineError(parameter=name, problem=problem, advice=advice),
        RecordingError(file="r.json", field=name, problem=problem),
    ]


EXAMPLES = one_of_each("memory32", "is gone", "look again")
names = [type(error).__name__ for error in EXAMPLES]


def all_classes(root: type[MemhpError]) -> Iterator[type[MemhpError]]:
    yield root
    for child in root.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from all_classes(child)


def test_no_class_is_left_out() -> None:
    assert sorted(c.__name__ for c in all_classes(MemhpError)) == sorted(names)


def test_the_tree_is_as_it_is_drawn() -> None:
    drawn: set[tuple[str, ...]] = set()
    path: list[str] = []
    for line in (errors.__doc__ or "").partition("::")[2].splitlines():
        words = line.strip(" │├└─").split()
        if words and words[0] in names:
            path[line.index(words[0]) // 4 - 1 :] = [words[0]]
            drawn.add(tuple(path))
    above = [c.__mro__[c.__mro__.index(MemhpError) :: -1] for c in all_classes(MemhpError)]
    assert drawn == {tuple(parent.__name__ for parent in parents) for parents in above}


SENTENCES = [
    "memory32 is gone: look again",
    "'memory32' is gone: look again",
    "machine 'memory32' is gone: look again",
    "machine 'memory32' is gone: look again",
    "machine 'memory32' is gone: look again",
    "machine 'memory32' is gone: look again",
    "machine 'memory32' refuses 'device_del' (is gone)",
    "machine 'memory32' is gone: look again",
    "m.toml, line 4: 'memory32' is gone; look again",
    "machine 'model:' has no memory32: look again",
    "machine 'memory32' cannot is gone: look again",
    "cannot memory32: is gone; look again",
    "machine 'memory32' has changed since the plan was made (is gone): make the plan again",
    "memory32 of machine 'm' cannot be touched, for operation look again has asked for 'is gone' "
    "and got no answer yet: 'memhp resume look again' takes the answer once there is one",
    "memory32 is gone: look again",
    "memory32 is gone: look again",
    "ACPI table memory32 at byte 48: is gone: look again",
    "kernel parameter 'memory32' is gone: look again",
    "recording r.json: 'memory32' is gone",
]


@pytest.mark.parametrize(("error", "words"), list(zip(EXAMPLES, SENTENCES, strict=True)), ids=names)
def test_the_sentence_names_object_problem_and_advice(error: MemhpError, words: str) -> None:
    assert str(error) == words


CODES = {
    ArgumentError: ExitCode.USAGE,
    MachineError: ExitCode.MACHINE,
    JournalError: ExitCode.MACHINE,
    NoSuchMachine: ExitCode.MACHINE,
    StateFileError: ExitCode.MACHINE,
    MachineLocked: ExitCode.LOCKED,
    CommandDenied: ExitCode.REFUSED,
    ContactLost: ExitCode.UNKNOWN_OUTCOME,
    DescriptionError: ExitCode.MACHINE,
    NoSuchObject: ExitCode.USAGE,
    AnswerPending: ExitCode.LOCKED,
    NotSupported: ExitCode.REFUSED,
    CannotPlan: ExitCode.REFUSED,
    StalePlan: ExitCode.STALE,
    FormatError: ExitCode.MACHINE,
    AcpiTableError: ExitCode.MACHINE,
    CommandLineError: ExitCode.USAGE,
    RecordingError: ExitCode.MACHINE,
    MemhpError: ExitCode.REFUSED,
}


def test_what_is_quoted_at_length_is_cut_and_the_advice_is_not() -> None:
    told = str(CannotPlan(request="x" * 100_000, problem="it is so", advice="do something else"))
    assert told.startswith("cannot xxx")
    assert " … " in told
    assert told.endswith("xxx: it is so; do something else")
    assert len(told) < 2010


@pytest.mark.parametrize("error", EXAMPLES, ids=names)
def test_exit_codes(error: MemhpError) -> None:
    assert error.exit_code is CODES[type(error)]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (MachineError(machine="m", problem="is off"), "machine 'm' is off"),
        (
            DescriptionError(
                file="m.toml", line=None, key=None, problem="is empty", allowed="fill it"
            ),
            "m.toml: is empty; fill it",
        ),
        (AcpiTableError(table="SLIT", problem="is short"), "ACPI table SLIT: is short"),
        (AcpiTableError(table="SLIT", problem="is", offset=0), "ACPI table SLIT at byte 0: is"),
    ],
    ids=["no-advice", "no-place", "no-offset", "first-byte"],
)
def test_what_is_not_known_is_left_out(error: MemhpError, words: str) -> None:
    assert str(error) == words


@given(st.text(), st.text(), st.text())
def test_whatever_the_facts_hold_it_is_one_line(name: str, problem: str, advice: str) -> None:
    for error in one_of_each(name, problem, advice):
        assert str(error).isprintable()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\nb", r"a\nb"),
        ("\x1b[31mred", r"\x1b[31mred"),
        ("\udcff", r"\udcff"),
        ("\u2028", r"\u2028"),
        ("größe 4 GiB", "größe 4 GiB"),
    ],
    ids=["newline", "escape", "not-utf8", "separator", "words"],
)
def test_what_cannot_be_printed_is_spelled_out(text: str, shown: str) -> None:
    error = ArgumentError(text=text, problem="is odd", advice="mend it")
    assert str(error) == f"'{shown}' is odd: mend it"
    assert error.text == text
