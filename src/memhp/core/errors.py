"""Everything that memhp raises on purpose.

::

    MemhpError
    ├── ArgumentError          the text of an argument is not in the grammar
    ├── MachineError           a machine cannot be opened or read
    │   ├── NoSuchMachine
    │   ├── DescriptionError   the TOML file of a model machine
    │   ├── StateFileError     the state file of a model machine
    │   ├── MachineLocked      another writer is at work
    │   ├── CommandDenied      QEMU, or the agent in a guest, refuses a command
    │   └── ContactLost        asked, and the outcome is unknown
    ├── NoSuchObject           a block, node, device or file that is not there
    ├── NotSupported           this machine cannot do that
    ├── CannotPlan             no plan leads there from here
    ├── StalePlan              the machine is no longer what the plan rests on
    ├── AnswerPending          something was asked of this device, and no answer came yet
    ├── JournalError           the journal cannot be written, read, or gone on from
    └── FormatError            bytes or text from outside that cannot be read
        ├── AcpiTableError
        ├── CommandLineError
        └── RecordingError

What the kernel refuses is no exception above the machines: it is an
``outcome.Refused``. Facts are attributes; the sentence is ``str(error)``, on one
line whatever the facts hold.
"""

from typing import Final

from memhp.core.words import ExitCode

_LONGEST: Final = 2000


class MemhpError(Exception):
    """The root: catch this to catch whatever memhp raises on purpose."""

    exit_code: ExitCode = ExitCode.REFUSED

    def __str__(self) -> str:
        sentence = self._sentence()
        if len(sentence) > _LONGEST:
            # What it quotes is too long to be read; what to do next stands at its end.
            sentence = f"{sentence[: _LONGEST // 2]} … {sentence[-_LONGEST // 2 :]}"
        return "".join(c if c.isprintable() else repr(c)[1:-1] for c in sentence)

    def _sentence(self) -> str:
        return super().__str__()


class ArgumentError(MemhpError):
    """A word of the command line that the grammar of arguments does not know."""

    exit_code = ExitCode.USAGE

    def __init__(self, *, text: str, problem: str, advice: str) -> None:
        super().__init__(text, problem, advice)
        self.text = text
        self.problem = problem
        self.advice = advice

    def _sentence(self) -> str:
        return f"'{self.text}' {self.problem}: {self.advice}"


class MachineError(MemhpError):
    """A machine that cannot be opened, read or written."""

    exit_code = ExitCode.MACHINE

    def __init__(self, *, machine: str, problem: str, advice: str | None = None) -> None:
        super().__init__(machine, problem, advice)
        self.machine = machine
        self.problem = problem
        self.advice = advice

    def _sentence(self) -> str:
        return _advised(f"machine '{self.machine}' {self.problem}", self.advice)


class NoSuchMachine(MachineError):
    """No machine has that address."""


class StateFileError(MachineError):
    """A state file that is damaged, of another version, or not one at all."""


class MachineLocked(MachineError):
    """Another writer holds the machine."""

    exit_code = ExitCode.LOCKED


class CommandDenied(MachineError):
    """QEMU or a guest's agent has understood a command and refuses it; nothing was done.

    ``kind`` is the protocol's class of error, ``answer`` its sentence.
    """

    exit_code = ExitCode.REFUSED

    def __init__(self, *, machine: str, command: str, kind: str, answer: str) -> None:
        super().__init__(machine=machine, problem=f"refuses '{command}' ({answer})")
        self.command = command
        self.kind = kind
        self.answer = answer


class ContactLost(MachineError):
    """The machine was asked, and nobody can tell what it did: take a new snapshot."""

    exit_code = ExitCode.UNKNOWN_OUTCOME


class DescriptionError(MachineError):
    """A machine's TOML file that does not describe a machine.

    ``line`` counts from 1 and is ``None`` where the fault has no single place.
    """

    def __init__(
        self, *, file: str, line: int | None, key: str | None, problem: str, allowed: str
    ) -> None:
        super().__init__(machine=file, problem=problem, advice=allowed)
        self.file = file
        self.line = line
        self.key = key
        self.allowed = allowed

    def _sentence(self) -> str:
        place = self.file if self.line is None else f"{self.file}, line {self.line}"
        what = self.problem if self.key is None else f"'{self.key}' {self.problem}"
        return f"{place}: {what}; {self.allowed}"


class NoSuchObject(MemhpError):
    """A block, node, device or file that the machine does not have."""

    exit_code = ExitCode.USAGE

    def __init__(self, *, machine: str, name: str, advice: str) -> None:
        super().__init__(machine, name, advice)
        self.machine = machine
        self.name = name
        self.advice = advice

    def _sentence(self) -> str:
        return f"machine '{self.machine}' has no {self.name}: {self.advice}"


class NotSupported(MemhpError):
    """An operation that this machine is not able to do."""

    def __init__(self, *, machine: str, operation: str, advice: str) -> None:
        super().__init__(machine, operation, advice)
        self.machine = machine
        self.operation = operation
        self.advice = advice

    def _sentence(self) -> str:
        return f"machine '{self.machine}' cannot {self.operation}: {self.advice}"


class CannotPlan(MemhpError):
    """No plan leads from the machine as it is to what was asked."""

    def __init__(self, *, request: str, problem: str, advice: str) -> None:
        super().__init__(request, problem, advice)
        self.request = request
        self.problem = problem
        self.advice = advice

    def _sentence(self) -> str:
        return f"cannot {self.request}: {self.problem}; {self.advice}"


class StalePlan(MemhpError):
    """The machine has changed since the plan was made; nothing was done."""

    exit_code = ExitCode.STALE

    def __init__(self, *, machine: str, changed: str) -> None:
        super().__init__(machine, changed)
        self.machine = machine
        self.changed = changed

    def _sentence(self) -> str:
        return (
            f"machine '{self.machine}' has changed since the plan was made "
            f"({self.changed}): make the plan again"
        )


class AnswerPending(MemhpError):
    """Something was asked of a device, and until the answer comes nobody may touch it."""

    exit_code = ExitCode.LOCKED

    def __init__(self, *, machine: str, device: str, asked: str, operation: str) -> None:
        super().__init__(machine, device, asked, operation)
        self.machine = machine
        self.device = device
        self.asked = asked
        self.operation = operation

    def _sentence(self) -> str:
        return (
            f"{self.device} of machine '{self.machine}' cannot be touched, for operation "
            f"{self.operation} has asked for '{self.asked}' and got no answer yet: "
            f"'memhp resume {self.operation}' takes the answer once there is one"
        )


class JournalError(MemhpError):
    """A journal that cannot be written or read, or an operation that cannot be gone on with.

    ``exit_code`` is that of what was wrong: no journal is wrong words, a
    machine that has been restarted is a stale plan.
    """

    exit_code = ExitCode.MACHINE

    def __init__(
        self, *, operation: str, problem: str, advice: str, exit_code: ExitCode | None = None
    ) -> None:
        super().__init__(operation, problem, advice)
        self.operation = operation
        self.problem = problem
        self.advice = advice
        if exit_code is not None:
            self.exit_code = exit_code

    def _sentence(self) -> str:
        return f"{self.operation} {self.problem}: {self.advice}"


class FormatError(MemhpError):
    """Bytes or text from outside that are not in the form they should have."""

    exit_code = ExitCode.MACHINE


class AcpiTableError(FormatError):
    """An ACPI table that cannot be read. ``offset`` counts bytes from its start."""

    def __init__(
        self, *, table: str, problem: str, offset: int | None = None, advice: str | None = None
    ) -> None:
        super().__init__(table, problem, offset, advice)
        self.table = table
        self.problem = problem
        self.offset = offset
        self.advice = advice

    def _sentence(self) -> str:
        place = "" if self.offset is None else f" at byte {self.offset}"
        return _advised(f"ACPI table {self.table}{place}: {self.problem}", self.advice)


class CommandLineError(FormatError):
    """A parameter on a kernel command line that the kernel would not take."""

    exit_code = ExitCode.USAGE

    def __init__(self, *, parameter: str, problem: str, advice: str) -> None:
        super().__init__(parameter, problem, advice)
        self.parameter = parameter
        self.problem = problem
        self.advice = advice

    def _sentence(self) -> str:
        return f"kernel parameter '{self.parameter}' {self.problem}: {self.advice}"


class RecordingError(FormatError):
    """A recording that is not in the format, with the field that is wrong."""

    def __init__(self, *, file: str, field: str, problem: str) -> None:
        super().__init__(file, field, problem)
        self.file = file
        self.field = field
        self.problem = problem

    def _sentence(self) -> str:
        return f"recording {self.file}: '{self.field}' {self.problem}"


def _advised(fact: str, advice: str | None) -> str:
    return fact if advice is None else f"{fact}: {advice}"
