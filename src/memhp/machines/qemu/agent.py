"""QEMU's guest agent: programs run in the guest, files read and written, blocks set.

What an agent allows is asked (``guest-info``): many distributions leave out
``guest-exec`` and ``guest-file-*``. Only a program that it runs can be ended at
a deadline; its other commands hold the whole agent up and cannot be cancelled.
"""

import asyncio
import base64
import math
import secrets
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from memhp.core.errors import CommandDenied, ContactLost, MachineLocked, NoSuchMachine
from memhp.machines.qemu.connection import Connection, connect_agent

_SYNC_SECONDS: Final = 10.0
_TRIES: Final = 2
"""The first may meet what somebody else left in the agent's input."""
_END_SECONDS: Final = 30.0
_FIRST_POLL, _LAST_POLL = 0.02, 0.1
_PART = 0.5
_CHUNK: Final = 1 << 16
_MOST_BYTES: Final = 1 << 24
_RUN = frozenset({"guest-exec", "guest-exec-status"})
_READ = frozenset({"guest-file-open", "guest-file-read", "guest-file-close"})
_WRITE = _READ | {"guest-file-write", "guest-file-flush"}
_LIST = frozenset({"guest-get-memory-blocks", "guest-get-memory-block-info"})
_SET = _LIST | {"guest-set-memory-blocks"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """How a program ended: ``code`` is ``None`` where a signal ended it, ours at the deadline."""

    code: int | None
    text: str


class Agent:
    """A guest's agent that answers. ``allowed`` are the commands that it takes."""

    def __init__(self, connection: Connection, allowed: frozenset[str]) -> None:
        self._connection = connection
        self._allowed = allowed

    @property
    def can_run(self) -> bool:
        """Whether it runs programs."""
        return self._allowed >= _RUN

    @property
    def can_read(self) -> bool:
        """Whether it reads files."""
        return self._allowed >= _READ

    @property
    def can_write(self) -> bool:
        """Whether it writes files, and tells what came of it."""
        return self._allowed >= _WRITE

    @property
    def can_list(self) -> bool:
        """Whether it lists memory blocks."""
        return self._allowed >= _LIST

    @property
    def can_set(self) -> bool:
        """Whether it brings blocks online and takes them offline, in whatever zone."""
        return self._allowed >= _SET

    async def run(self, script: str, until: float | None = None, expected: float = 0.0) -> Ran:
        """Run a shell script in the guest; at the deadline, or when interrupted, end it.

        It is not asked about before most of the ``expected`` seconds are over: each
        question takes time from what it does. Raises ``ContactLost`` where it
        does not even end then.
        """
        arguments = {"path": "/bin/sh", "arg": ["-c", script], "capture-output": True}
        answer = await self._connection.ask("guest-exec", arguments)
        pid = self._connection.field(answer, "pid", int)
        try:
            await asyncio.sleep(min(expected * _PART, _left(until)))
            ran = await self._ended(pid, until)
        except asyncio.CancelledError:
            await self._end(pid)
            raise
        return ran if ran is not None else await self._end(pid)

    async def read_file(self, path: str) -> bytes | None:
        """Read a file of the guest; ``None`` where it cannot be opened."""
        try:
            file = await self._connection.ask("guest-file-open", {"path": path, "mode": "r"})
        except CommandDenied:
            return None
        try:
            return await self._read_all(file)
        except CommandDenied:
            return None
        finally:
            await self._connection.ask("guest-file-close", {"handle": file})

    async def write_file(self, path: str, word: str, within: float) -> str | None:
        """Write a word to a file; returns the complaint, or ``None`` where it went well.

        The agent reports success for the write itself: what the kernel says comes
        with the flush.
        """
        data = base64.b64encode(word.encode()).decode()
        try:
            file = await self._connection.ask("guest-file-open", {"path": path, "mode": "w"})
        except CommandDenied as err:
            return err.answer
        try:
            await self._connection.ask("guest-file-write", {"handle": file, "buf-b64": data})
            await self._connection.ask("guest-file-flush", {"handle": file}, within=within)
        except CommandDenied as err:
            return err.answer
        finally:
            await self._close(file)
        return None

    async def block_size(self) -> int:
        """The size of a memory block in bytes."""
        answer = await self._connection.ask("guest-get-memory-block-info")
        return self._connection.field(answer, "size", int)

    async def blocks(self) -> Mapping[int, bool]:
        """Each memory block, and whether it is online."""
        field = self._connection.field
        found = await self._connection.ask_for_items("guest-get-memory-blocks")
        return {field(b, "phys-index", int): field(b, "online", bool) for b in found}

    async def set_block(self, block: int, within: float, *, online: bool) -> Mapping[str, Any]:
        """Bring a block online, in whatever zone, or take it offline; returns its answer."""
        wanted = [{"phys-index": block, "online": online, "can-offline": True}]
        found = await self._connection.ask(
            "guest-set-memory-blocks", {"mem-blks": wanted}, within=within
        )
        if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
            raise self._connection.strange("no list of blocks")
        return found[0] if found else {"response": "not-found"}

    async def _ended(self, pid: int, until: float | None) -> Ran | None:
        """Wait for a program; ``None`` where it has not ended at the deadline."""
        pause = _FIRST_POLL
        while True:
            status = await self._connection.ask("guest-exec-status", {"pid": pid})
            if self._connection.field(status, "exited", bool):
                return self._ran(status)
            if until is not None and time.monotonic() >= until:
                return None
            await asyncio.sleep(pause)
            pause = min(_LAST_POLL, pause * 1.5)

    async def _end(self, pid: int) -> Ran:
        arguments = {"path": "/bin/sh", "arg": ["-c", f"kill -KILL {pid}"]}
        await self._connection.ask("guest-exec", arguments)
        ran = await self._ended(pid, time.monotonic() + _END_SECONDS)
        if ran is None:
            raise self._connection.lost("cannot end what it runs in the guest")
        return ran

    async def _read_all(self, file: int) -> bytes:
        found = b""
        while True:
            piece = await self._connection.ask("guest-file-read", {"handle": file, "count": _CHUNK})
            found += self._decoded(self._connection.field(piece, "buf-b64", str))
            if len(found) > _MOST_BYTES:
                raise self._connection.strange("more than a file of sysfs holds")
            if self._connection.field(piece, "eof", bool) or not piece.get("count"):
                return found

    def _ran(self, status: Mapping[str, Any]) -> Ran:
        streams = (status.get(name, "") for name in ("out-data", "err-data"))
        text = "".join(self._decoded(data).decode("utf-8", "replace") for data in streams)
        code = self._connection.field(status, "exitcode", int) if "exitcode" in status else None
        return Ran(code=code, text=text)

    def _decoded(self, data: Any) -> bytes:
        try:
            return base64.b64decode(data, validate=True)
        except (ValueError, TypeError) as err:
            raise self._connection.strange("no base64 where some has to be") from err

    async def _close(self, file: int) -> None:
        try:
            await self._connection.ask("guest-file-close", {"handle": file})
        except CommandDenied:
            # What could not be flushed cannot be closed well either, and is closed.
            return


@asynccontextmanager
async def agent_at(path: str | None, machine: str) -> AsyncIterator[Agent | None]:
    """The agent that answers behind a socket; ``None`` where none does."""
    for last in (False,) * (_TRIES - 1) + (True,):
        opened = None if path is None else await _try(path, machine)
        if opened is not None or path is None or last:
            break
    if opened is None:
        yield None
        return
    stack, agent = opened
    try:
        yield agent
    finally:
        await stack.__aexit__(None, None, None)


def _left(until: float | None) -> float:
    return math.inf if until is None else max(0.0, until - time.monotonic())


async def _try(path: str, machine: str) -> tuple[Any, Agent] | None:
    stack = connect_agent(path, machine)
    try:
        connection = await stack.__aenter__()
    except (NoSuchMachine, MachineLocked):
        return None
    try:
        return stack, await _greeted(connection)
    except (ContactLost, CommandDenied):
        await stack.__aexit__(None, None, None)
        return None


async def _greeted(connection: Connection) -> Agent:
    await connection.ask("guest-sync", {"id": secrets.randbelow(1 << 30)}, within=_SYNC_SECONDS)
    info = await connection.ask("guest-info", within=_SYNC_SECONDS)
    commands = connection.field(info, "supported_commands", list)
    enabled = [c for c in commands if isinstance(c, dict) and c.get("enabled")]
    names = [connection.field(command, "name", str) for command in enabled]
    return Agent(connection, frozenset(names))
