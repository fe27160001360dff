"""Getting through to a guest's agent, once or for as long as an operation lasts.

The agent of a guest wakes up only every tenth of a second while nobody is
connected to its port (``channel_event_cb()`` of QEMU's ``qga/main.c``), so each
new connection takes about half of that before anything is answered.
"""

import secrets
import socket
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Final

from memhp.core.errors import CommandDenied, ContactLost, MachineLocked, NoSuchMachine
from memhp.machines.qemu.agent import Agent
from memhp.machines.qemu.connection import Connection, connect_agent
from memhp.machines.qemu.early import connect_early

_SYNC_SECONDS: Final = 10.0
_TRIES: Final = 2
"""The first may meet what somebody else left in the agent's input."""
_TURN_SECONDS: Final = 10.0
"""After so long another client, if one waits, gets its turn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Opened:
    """An open conversation with an agent, and since when it is open."""

    way: AbstractAsyncContextManager[Connection]
    connection: Connection
    agent: Agent
    since: float


class AgentLine:
    """A way to an agent that is kept open between questions, until it is closed.

    It is connected at once, so that the agent wakes up while others are asked.
    """

    def __init__(self, path: str, machine: str, early: socket.socket | None = None) -> None:
        self._path = path
        self._machine = machine
        self._opened: _Opened | None = None
        self._early = early or connect_early(path)

    async def agent(self) -> Agent | None:
        """The agent that answers now; ``None`` where none does."""
        if self._opened is not None:
            agent = await self._again(self._opened)
            if agent is not None:
                return agent
            await self.close()
        early, self._early = self._early, None
        self._opened = await _open(self._path, self._machine, early)
        return None if self._opened is None else self._opened.agent

    async def close(self) -> None:
        """Let others have the agent."""
        early, opened = self._early, self._opened
        self._early = self._opened = None
        if early is not None:
            early.close()
        if opened is not None:
            await opened.way.__aexit__(None, None, None)

    async def _again(self, opened: _Opened) -> Agent | None:
        if time.monotonic() - opened.since > _TURN_SECONDS:
            return None
        try:
            return await _informed(opened.connection)
        except (ContactLost, CommandDenied):
            return None


@asynccontextmanager
async def agent_at(path: str | None, machine: str) -> AsyncIterator[Agent | None]:
    """The agent that answers behind a socket; ``None`` where none does."""
    opened = None if path is None else await _open(path, machine)
    if opened is None:
        yield None
        return
    try:
        yield opened.agent
    finally:
        await opened.way.__aexit__(None, None, None)


async def _open(path: str, machine: str, early: socket.socket | None = None) -> _Opened | None:
    for connected in (early, *(None,) * (_TRIES - 1)):
        opened = await _try(path, machine, connected)
        if opened is not None:
            return opened
    return None


async def _try(path: str, machine: str, connected: socket.socket | None) -> _Opened | None:
    way = connect_agent(path, machine, connected)
    try:
        connection = await way.__aenter__()
    except (NoSuchMachine, MachineLocked):
        return None
    try:
        sync = {"id": secrets.randbelow(1 << 30)}
        await connection.ask("guest-sync", sync, within=_SYNC_SECONDS)
        agent = await _informed(connection)
    except (ContactLost, CommandDenied):
        await way.__aexit__(None, None, None)
        return None
    return _Opened(way=way, connection=connection, agent=agent, since=time.monotonic())


async def _informed(connection: Connection) -> Agent:
    """The agent with what it allows now: one that was started anew may allow less."""
    info = await connection.ask("guest-info", within=_SYNC_SECONDS)
    commands = connection.field(info, "supported_commands", list)
    enabled = [c for c in commands if isinstance(c, dict) and c.get("enabled")]
    names = [connection.field(command, "name", str) for command in enabled]
    return Agent(connection, frozenset(names))
