"""QEMU's guest agent: programs run in the guest, files read and written, blocks set.

What an agent allows is asked (``guest-info``): many distributions leave out
``guest-exec`` and ``guest-file-*``. Only a program that it runs can be ended at
a deadline; its other commands hold the whole agent up and cannot be cancelled.
"""

import asyncio
import base64
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from memhp.core.errors import CommandDenied, ContactLost
from memhp.machines.qemu.connection import Connection

_END_SECONDS: Final = 30.0
_FIRST_POLL, _LAST_POLL = 0.01, 0.1
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

    async def run(self, arguments: Sequence[str]) -> Ran:
        """Run the guest's shell with these arguments to its end; when interrupted, end it.

        Raises ``ContactLost`` where it does not even end then.
        """
        pid = await self.start(arguments)
        try:
            ran = await self._ended(pid, None)
        except asyncio.CancelledError:
            await self.end(pid)
            raise
        return ran if ran is not None else await self.end(pid)

    async def start(self, arguments: Sequence[str]) -> int:
        """Start the guest's shell with these arguments; returns its process."""
        words = {"path": "/bin/sh", "arg": list(arguments), "capture-output": True}
        answer = await self._connection.ask("guest-exec", words)
        return self._connection.field(answer, "pid", int)

    async def how_ended(self, pid: int) -> Ran | None:
        """How what was started has ended; ``None`` while it goes on. To be asked until it has."""
        try:
            status = await self._connection.ask("guest-exec-status", {"pid": pid})
        except CommandDenied as err:
            raise self.lost("was started anew, and knows nothing of what it ran") from err
        return self._ran(status) if self._connection.field(status, "exited", bool) else None

    async def end(self, pid: int) -> Ran:
        """End what was started; raises ``ContactLost`` where that does not help."""
        await self.start(["-c", f"kill -KILL {pid}"])
        return await self.end_of(pid)

    async def end_of(self, pid: int) -> Ran:
        """How what was just ended has ended; raises ``ContactLost`` where it goes on."""
        ran = await self._ended(pid, time.monotonic() + _END_SECONDS)
        if ran is None:
            raise self._connection.lost("cannot end what it runs in the guest")
        return ran

    async def open_to_read(self, path: str) -> int | None:
        """Open a file of the guest; ``None`` where it cannot be opened."""
        try:
            return await self._connection.ask_for(
                "guest-file-open", int, {"path": path, "mode": "r"}
            )
        except CommandDenied:
            return None

    async def read_on(self, file: int) -> str:
        """What has come to an open file since it was read last."""
        piece = await self._connection.ask("guest-file-read", {"handle": file, "count": _CHUNK})
        text = self._connection.field(piece, "buf-b64", str) if "buf-b64" in piece else ""
        return self._decoded(text).decode("utf-8", "replace")

    async def close(self, file: int) -> None:
        """Close an open file."""
        await self._close(file)

    def lost(self, problem: str) -> ContactLost:
        """The error of an agent that answers no more."""
        return self._connection.lost(problem)

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
            ran = await self.how_ended(pid)
            if ran is not None:
                return ran
            if until is not None and time.monotonic() >= until:
                return None
            await asyncio.sleep(pause)
            pause = min(_LAST_POLL, pause * 1.5)

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
