"""A run of blocks carried out in the guest: one program started, heard of as it goes, ended."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

from memhp.core.outcome import Done, Outcome
from memhp.core.plan import OfflineBlock, OnlineBlock, Step
from memhp.machines.qemu.agent import Agent, Ran
from memhp.machines.qemu.guest_run import (
    BlockLine,
    end_arguments,
    interrupted,
    judged,
    lines_of,
    look_arguments,
    outcome_of,
    run_arguments,
)
from memhp.machines.qemu.pace import next_pause

T = TypeVar("T")
Ended = Callable[[Outcome], None]
Attached = Callable[[], Awaitable[bool]]
"""Asks QEMU whether the agent still holds its port."""
_LONGEST_SECONDS: Final = 3600
"""How long a program goes on after memhp has died, where there is no deadline."""
_GRACE_SECONDS: Final = 30
_SHIFT_SECONDS: Final = 10
_SILENT_SHIFT_SECONDS: Final = 2
"""A shift is what one program does; of one whose file cannot be read, nothing is heard before."""
_FIRST_LOOK_SECONDS: Final = 0.3
_WONDER_SECONDS: Final = 2.0


async def run_blocks(
    steps: Sequence[Step],
    agent: Agent,
    tag: str,
    *,
    until: float | None,
    ended: Ended,
    attached: Attached,
) -> None:
    """Carry steps out in turn, until one is not done or the deadline has passed.

    Raises ``ContactLost``; ``tag`` names what then may go on in the guest for a while.
    """
    left = list(steps)
    while left:
        shift = _Shift(agent, left, tag, ended, attached)
        await shift.go(until)
        if not shift.went_well or (until is not None and time.monotonic() >= until):
            return
        left = left[shift.count :]


class _Shift:
    """One program in the guest, and what it has told so far."""

    def __init__(
        self, agent: Agent, steps: Sequence[Step], tag: str, ended: Ended, attached: Attached
    ) -> None:
        self._agent = agent
        self._steps = steps
        self._tag = tag
        self._ended = ended
        self._attached = attached
        self._began = time.monotonic()
        self._file: int | None = None
        self._deaf = not agent.can_read
        self._heard = ""
        self._times: list[float] = []
        self._offset: float | None = None
        self.count = 0
        self.went_well = True

    async def go(self, until: float | None) -> None:
        """Start it, hear of it, and end it at the deadline, or when interrupted."""
        left = _LONGEST_SECONDS if until is None else max(0, int(until - time.monotonic()))
        arguments = run_arguments(
            self._steps,
            self._tag,
            watch_seconds=left + _GRACE_SECONDS,
            shift_seconds=_SHIFT_SECONDS if self._agent.can_read else _SILENT_SHIFT_SECONDS,
        )
        pid = await self._unless_gone(self._agent.start(arguments))
        try:
            ran = await self._awaited(pid, until)
        except asyncio.CancelledError:
            await self._end(pid)
            raise
        if ran is None:
            ran = await self._end(pid)
        await self._conclude(ran)

    async def _awaited(self, pid: int, until: float | None) -> Ran | None:
        """How it ended; ``None`` where it goes on at the deadline."""
        while True:
            ran = await self._unless_gone(self._agent.how_ended(pid))
            now = time.monotonic()
            if ran is not None or (until is not None and now >= until):
                return ran
            if not self._deaf and now - self._began >= _FIRST_LOOK_SECONDS:
                await self._unless_gone(self._listen())
            await asyncio.sleep(self._pause(until))

    def _pause(self, until: float | None) -> float:
        now = time.monotonic()
        guest = None if self._offset is None else now - self._offset
        pause = next_pause(now - self._began, self._times, len(self._steps) - self.count, guest)
        return pause if until is None else max(0.0, min(pause, until - now))

    async def _listen(self) -> None:
        """Read what it has told in its file; where there is none, that is heard at the end."""
        if self._file is None and not self._deaf:
            self._file = await self._agent.open_to_read(f"/tmp/{self._tag}")  # noqa: S108
            self._deaf = self._file is None
        if self._file is not None:
            self._heard += await self._agent.read_on(self._file)
            self._take(self._heard, None)

    def _take(self, text: str, said: str | None) -> None:
        """Tell what is new; why a write failed is ``said`` only at the end."""
        for line in list(lines_of(text))[self.count :]:
            if not self.went_well or self.count == len(self._steps):
                return
            step = self._steps[self.count]
            if line.block != _block(step) or (said is None and line.code):
                return
            self._clock(line)
            self._tell(outcome_of(step, line, said or ""))

    def _clock(self, line: BlockLine) -> None:
        self._times.append(line.uptime_seconds)
        offset = time.monotonic() - line.uptime_seconds
        self._offset = offset if self._offset is None else min(offset, self._offset)

    def _tell(self, outcome: Outcome) -> None:
        self.count += 1
        self.went_well = isinstance(outcome, Done)
        self._ended(outcome)

    async def _conclude(self, ran: Ran) -> None:
        if self._file is not None:
            await self._agent.close(self._file)
        self._take(ran.text, ran.text)
        if not self.went_well or self.count == len(self._steps):
            return
        step = self._steps[self.count]
        if ran.code is None:
            seen = await self._agent.run(look_arguments(_block(step)))
            self._tell(interrupted(step, seen.text))
        elif not self.count:
            # It has found no folder of blocks, or no shell as others are.
            self._tell(judged(step, None, None, None))

    async def _end(self, pid: int) -> Ran:
        await self._agent.run(end_arguments(self._tag))
        return await self._agent.end_of(pid)

    async def _unless_gone(self, question: Awaitable[T]) -> T:
        """Ask; an agent that has let its port go meanwhile is not waited for."""
        asked = asyncio.ensure_future(question)
        try:
            while not (await asyncio.wait({asked}, timeout=_WONDER_SECONDS))[0]:
                if not await self._attached():
                    raise self._agent.lost("has gone in the midst of it")
        finally:
            asked.cancel()
        return asked.result()


def _block(step: Step) -> int:
    assert isinstance(step.action, OnlineBlock | OfflineBlock)  # noqa: S101 - checked by the caller
    return step.action.block
