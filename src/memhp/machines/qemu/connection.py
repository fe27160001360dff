"""One conversation with QEMU or with a guest's agent: commands, answers, events.

Everything here and in its neighbours is asynchronous, in one style; the door
(``machine.py``, ``monitor.py``) runs it to its end. Each of these sockets
serves one client at a time: who comes second hears nothing.
"""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, TypeVar

from memhp.core.errors import CommandDenied, ContactLost, MachineLocked, NoSuchMachine, NotSupported

if TYPE_CHECKING:
    from qemu.qmp import QMPClient

T = TypeVar("T")
_LIBRARY_FAULTS: Final = (
    *(AssertionError, ValueError, TypeError, KeyError, AttributeError, RecursionError),
)
"""What the library lets out for what is no JSON or no message, and where QEMU goes at once."""
CONNECT_SECONDS: Final = 15.0
ANSWER_SECONDS: Final = 60.0
"""QEMU answers in milliseconds; a machine under load may take a thousand times as long."""


class Connection:
    """An open conversation. ``speaker`` names the other side in errors."""

    def __init__(self, client: "QMPClient", machine: str, speaker: str) -> None:
        self._client = client
        self._machine = machine
        self._speaker = speaker

    async def ask(
        self,
        command: str,
        arguments: Mapping[str, object] | None = None,
        *,
        within: float | None = None,
    ) -> Any:
        """Ask and take the answer.

        Raises ``CommandDenied`` for an error in the answer, ``ContactLost``
        where there is none: what was asked may have been done or not.
        """
        from qemu.qmp import ExecuteError, QMPError  # noqa: PLC0415 - there, for it has connected

        seconds = ANSWER_SECONDS if within is None else within
        try:
            return await asyncio.wait_for(self._client.execute(command, arguments), seconds)
        except ExecuteError as err:
            raise CommandDenied(
                machine=self._machine, command=command, kind=err.error_class, answer=str(err)
            ) from err
        except TimeoutError as err:
            raise self.lost(f"did not answer '{command}' within {seconds:.0f} seconds") from err
        except (QMPError, OSError, EOFError, *_LIBRARY_FAULTS) as err:
            raise self.lost(f"hung up on '{command}'") from err

    async def ask_for(
        self, command: str, kind: type[T], arguments: Mapping[str, object] | None = None
    ) -> T:
        """Ask for a value of a type; raises the same."""
        found = await self.ask(command, arguments)
        if not isinstance(found, kind) or isinstance(found, bool):
            raise self.strange(f"no {kind.__name__} to '{command}'")
        return found

    async def ask_for_items(
        self, command: str, arguments: Mapping[str, object] | None = None
    ) -> list[dict[str, Any]]:
        """Ask for a list of objects; raises the same."""
        found = await self.ask_for(command, list, arguments)
        if not all(isinstance(item, dict) for item in found):
            raise self.strange(f"no objects to '{command}'")
        return found

    def field(self, data: Any, name: str, kind: type[T]) -> T:
        """A field of what was answered; raises ``ContactLost`` where it is not of its type."""
        found = data.get(name) if isinstance(data, dict) else None
        # A truth value counts as a number for Python, and for nobody else.
        if not isinstance(found, kind) or (isinstance(found, bool) and kind is not bool):
            raise self.strange(f"no '{name}' where one has to be")
        return found

    async def next_event(self, within: float) -> tuple[str, Mapping[str, Any]] | None:
        """The next event, its name and data; ``None`` where none comes in time.

        Raises ``ContactLost``.
        """
        from qemu.qmp import Runstate  # noqa: PLC0415

        waiting = asyncio.ensure_future(self._client.events.get())
        gone = asyncio.ensure_future(self._client.runstate_changed())
        try:
            await asyncio.wait(
                {waiting, gone}, timeout=max(0.0, within), return_when=asyncio.FIRST_COMPLETED
            )
            if waiting.done():
                return self._event(waiting.result())
            if gone.done() or self._client.runstate is not Runstate.RUNNING:
                raise self.lost("hung up while an answer was awaited")
            return None
        finally:
            waiting.cancel()
            gone.cancel()

    def forget_events(self) -> None:
        """Forget what came before what is asked next."""
        self._client.events.clear()

    def _event(self, message: Any) -> tuple[str, Mapping[str, Any]]:
        event = dict(message) if isinstance(message, Mapping) else None
        name = self.field(event, "event", str)
        # An event that has nothing to tell has no data either: RESUME.
        data: dict[str, Any] = self.field(event, "data", dict) if "data" in message else {}
        if name == "ACPI_DEVICE_OST":
            info = self.field(data, "info", dict)
            self.field(info, "source", int)
            self.field(info, "status", int)
        return name, data

    def strange(self, what: str) -> ContactLost:
        """The error of a conversation with somebody else."""
        return ContactLost(
            machine=self._machine,
            problem=f"is not to be understood: {self._speaker} says {what}",
            advice="look at the guest itself to see what was done",
        )

    def lost(self, problem: str) -> ContactLost:
        """The error of a conversation that has broken off."""
        return ContactLost(
            machine=self._machine,
            problem=f"is out of reach: {self._speaker} {problem}",
            advice="'memhp resume' finds out how it stands and goes on",
        )


@asynccontextmanager
async def connect_monitor(path: str, machine: str) -> AsyncIterator[Connection]:
    """Talk to QEMU's monitor.

    Raises ``NotSupported`` without the library, ``NoSuchMachine`` where nobody
    listens, ``MachineLocked`` where another client holds it.
    """
    client = _client(machine)
    await _connect(client, path, machine, "monitor")
    async with _closing(client):
        yield Connection(client, machine, "QEMU")


@asynccontextmanager
async def connect_agent(
    path: str, machine: str, connected: socket.socket | None = None
) -> AsyncIterator[Connection]:
    """Talk to a guest's agent, which greets nobody; whether one is there has to be asked.

    ``connected`` is a socket that is connected to it already.
    """
    client = _client(machine)
    client.await_greeting = False
    client.negotiate = False
    await _connect(client, path, machine, "agent's socket", connected)
    async with _closing(client):
        yield Connection(client, machine, "its guest agent")


async def _connect(
    client: "QMPClient",
    path: str,
    machine: str,
    what: str,
    connected: socket.socket | None = None,
) -> None:
    from qemu.qmp import ConnectError  # noqa: PLC0415

    try:
        await asyncio.wait_for(_negotiated(client, connected or path), CONNECT_SECONDS)
    except TimeoutError as err:
        raise MachineLocked(
            machine=machine,
            problem=f"does not answer at {path}: its {what} serves one client at a time, and "
            "another seems to hold it",
            advice="try again when that is done",
        ) from err
    except (*_LIBRARY_FAULTS, ConnectError) as err:
        cause = getattr(err, "exc", err)
        if not isinstance(cause, OSError):
            raise ContactLost(
                machine=machine, problem=f"has a {what} at {path} that does not greet as QEMU does"
            ) from err
        raise NoSuchMachine(
            machine=machine,
            problem=f"has no {what} at {path} ({_reason(cause)})",
            advice="give the path of the socket that QEMU listens on",
        ) from err


async def _negotiated(client: "QMPClient", where: str | socket.socket) -> None:
    """Connect; once more where an event came before the answer to the negotiation.

    QEMU sends events from the moment at which it takes the capabilities, before it
    has said so, and the library takes the first that comes for the answer.
    """
    from qemu.qmp import ConnectError  # noqa: PLC0415

    try:
        await client.connect(where)
    except ConnectError as err:
        told = getattr(err.exc, "exc", None)
        if not isinstance(told, AssertionError) or isinstance(where, socket.socket):
            raise
        await client.connect(where)


def _reason(err: OSError) -> str:
    return err.strerror or str(err)


@asynccontextmanager
async def _closing(client: "QMPClient") -> AsyncIterator[None]:
    try:
        yield
    finally:
        # What ended it has been told where it was noticed.
        with suppress(Exception):
            await client.disconnect()


def _client(machine: str) -> "QMPClient":
    try:
        from qemu.qmp import QMPClient  # noqa: PLC0415 - only this driver needs it
    except ImportError as err:
        raise NotSupported(
            machine=machine,
            operation="be reached without the package 'qemu.qmp'",
            advice="pip install 'memhp[qemu]'",
        ) from err
    logger = logging.getLogger("qemu.qmp")
    if not logger.handlers:
        # Its errors are told as ours; nothing is printed beside them.
        logger.addHandler(logging.NullHandler())
    return QMPClient(machine)
