"""A QEMU guest behind the door that every machine has; each call opens what it needs and closes it.

asyncio stays on this side of the door.
"""

import asyncio
import itertools
import socket
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, contextmanager
from dataclasses import replace
from typing import Any, Final, TypeVar

from memhp.core.census import BlockCensus
from memhp.core.errors import MachineError, NotSupported
from memhp.core.geometry import BlockId
from memhp.core.listing import BlockFile, Listing
from memhp.core.machine import Tell
from memhp.core.outcome import Done, Outcome
from memhp.core.plan import AddDevice, OfflineBlock, OnlineBlock, Step
from memhp.core.snapshot import Snapshot, Want
from memhp.core.words import Ability
from memhp.machines.linux.list_blocks import list_blocks
from memhp.machines.qemu.address import QemuAddress
from memhp.machines.qemu.agent import Agent
from memhp.machines.qemu.apply_physical import apply_physical
from memhp.machines.qemu.cautions import cautions_about
from memhp.machines.qemu.connection import connect_monitor
from memhp.machines.qemu.devices import read_account
from memhp.machines.qemu.host import read_budget
from memhp.machines.qemu.identity import identity_of
from memhp.machines.qemu.logical import apply_by_agent
from memhp.machines.qemu.open_agent import AgentLine
from memhp.machines.qemu.read_guest import Named, joined, read_guest, with_tree
from memhp.machines.qemu.requests import forget_run, new_tag, note_run, runs_left
from memhp.machines.qemu.restart import restart_arguments
from memhp.machines.qemu.run_blocks import Ended, run_blocks
from memhp.machines.qemu.session import Session, agent_of, open_session, port_is_open
from memhp.machines.qemu.settle import end_runs, settle

_PHYSICAL: Final = frozenset({Ability.ADD_DEVICE, Ability.REMOVE_DEVICE, Ability.RESIZE_DEVICE})
_LOGICAL: Final = frozenset({Ability.ONLINE, Ability.OFFLINE})
_OF_BLOCKS: Final = (OnlineBlock, OfflineBlock)
_MOST_STEPS: Final = 1000
"""A program's arguments are limited to 128 KiB each and a quarter of its stack together."""
T = TypeVar("T")


class QemuMachine:
    """A running guest, from its host."""

    lasts = True
    changes_by_itself = True

    def __init__(
        self,
        name: str,
        address: str,
        sockets: QemuAddress,
        early: socket.socket | None = None,
    ) -> None:
        self.name = name
        self.address = address
        self._sockets = sockets
        self._early = early
        self._runner: asyncio.Runner | None = None
        self._line: AgentLine | None = None
        self.can = _PHYSICAL | (frozenset() if sockets.agent is None else _LOGICAL)

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Keep the way to the agent open meanwhile."""
        if self._runner is not None or self._sockets.agent is None:
            yield
            return
        early, self._early = self._early, None
        line = AgentLine(self._sockets.agent, self.name, early)
        with asyncio.Runner() as runner:
            self._runner, self._line = runner, line
            try:
                yield
            finally:
                runner.run(line.close())
                self._runner = self._line = None

    @property
    def identity(self) -> str:
        """The VM's UUID and when its QEMU was started."""
        return self._run(self._identity())

    def snapshot(self, want: Want = Want.ALL) -> Snapshot:
        """Read the parts asked for, from QEMU and from the guest; raises ``MachineError``."""
        return self._run(self._snapshot(want))

    def list_blocks(self, want: BlockFile) -> Listing:
        """Read the wanted files of every block; raises ``NotSupported`` without an agent."""
        return self._run(self._list_blocks(want))

    def census(self, blocks: Sequence[BlockId]) -> Mapping[BlockId, BlockCensus]:  # noqa: ARG002
        """Not from outside: raises ``NotSupported``."""
        raise NotSupported(
            machine=self.name,
            operation="count pages",
            advice="run 'memhp census' inside the guest, as root",
        )

    def apply(self, step: Step, *, until: float | None, tell: Tell) -> Outcome:
        """Carry out one step and read back what came of it.

        Raises ``ContactLost`` where a socket closes or a side falls silent on the way.
        """
        return self._run(self._apply(step, until, tell))

    def run_of(self, steps: Sequence[Step]) -> int:
        """So many steps as are of the logical phase, and of the same kind."""
        kind = type(steps[0].action)
        if kind not in _OF_BLOCKS:
            return 1
        alike = itertools.takewhile(
            lambda s: type(s.action) is kind and s.machine == steps[0].machine, steps
        )
        return sum(1 for _ in itertools.islice(alike, _MOST_STEPS))

    def apply_run(
        self,
        steps: Sequence[Step],
        *,
        until: float | None,
        tell: Tell,  # noqa: ARG002 - a block has no parts
        ended: Callable[[Outcome], None],
    ) -> None:
        """Carry steps of the logical phase out in turn, by one program in the guest."""
        self._run(self._apply_run(steps, until, ended))

    def cautions(self) -> tuple[str, ...]:
        """What cannot be known of this guest, or done to it, as its agent is; in sentences."""
        return self._run(self._cautions())

    def restart_arguments(self) -> tuple[str, ...]:
        """QEMU's arguments that keep its memory devices as they are now over a restart."""
        return self._run(self._restart_arguments())

    def settle(self) -> tuple[str, ...]:
        """Finish requests that were answered when nobody listened; returns what has gone."""
        return self._run(self._settle())

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run(work) if self._runner is None else self._runner.run(work)

    def _agent(self, session: Session) -> AbstractAsyncContextManager[Agent | None]:
        if self._early is not None:
            # It serves one client at a time.
            self._early.close()
            self._early = None
        return agent_of(session, self._sockets, self.name, self._line)

    async def _identity(self) -> str:
        async with open_session(self._sockets, self.name) as session:
            return await identity_of(session.monitor, self._sockets.monitor, session.process)

    async def _snapshot(self, want: Want) -> Snapshot:
        async with open_session(self._sockets, self.name) as session:
            identity = await identity_of(session.monitor, self._sockets.monitor, session.process)
            named = Named(machine=self.name, identity=identity, want=want)
            async with self._agent(session) as agent:
                guest, available = await read_guest(agent, named)
            account = await read_account(session.monitor)
        found = joined(guest, available, account, session.process)
        if Want.HOST not in want:
            return found
        pid = None if session.process is None else session.process.pid
        return replace(found, host=read_budget(account.promised_bytes, pid))

    async def _list_blocks(self, want: BlockFile) -> Listing:
        async with (
            open_session(self._sockets, self.name) as session,
            self._agent(session) as agent,
        ):
            if agent is None or not (agent.can_run or agent.can_read):
                raise self._needs_agent("be listed block by block")
            return await with_tree(
                agent, self.name, lambda root: list_blocks(root, want), removable=True
            )

    async def _apply(self, step: Step, until: float | None, tell: Tell) -> Outcome:
        if isinstance(step.action, OnlineBlock | OfflineBlock):
            outcomes: list[Outcome] = []
            await self._apply_run([step], until, outcomes.append)
            return outcomes[0]
        async with open_session(self._sockets, self.name, changing=True) as session:
            if not isinstance(step.action, AddDevice):
                # What comes of it QEMU alone can tell, also of a guest that answers nothing.
                return await apply_physical(step, session, None, until, tell)
            async with self._agent(session) as agent:
                return await apply_physical(step, session, agent, until, tell)

    async def _apply_run(self, steps: Sequence[Step], until: float | None, ended: Ended) -> None:
        """The monitor is free for others while blocks come or go; a note tells that they do."""
        tag = new_tag()
        async with AsyncExitStack() as stack:
            async with open_session(self._sockets, self.name, changing=True) as session:
                agent = await stack.enter_async_context(self._agent(session))
                runner = self._checked(agent, session, steps[0])
                if runner.can_run:
                    await note_run(session.monitor, tag)
            if not runner.can_run:
                await self._one_by_one(steps, runner, until, ended)
                return
            await run_blocks(
                steps, runner, tag, until=until, ended=ended, attached=self._is_attached
            )
        async with open_session(self._sockets, self.name) as session:
            await forget_run(session.monitor, tag)

    async def _one_by_one(
        self, steps: Sequence[Step], agent: Agent, until: float | None, ended: Ended
    ) -> None:
        for index, step in enumerate(steps):
            if index and until is not None and time.monotonic() >= until:
                return
            outcome = await apply_by_agent(step, agent, self.name, until)
            ended(outcome)
            if not isinstance(outcome, Done):
                return

    def _checked(self, agent: Agent | None, session: Session, step: Step) -> Agent:
        """The agent; raises where none can do what a step asks."""
        if not session.runs:
            raise MachineError(
                machine=self.name,
                problem=f"is {session.status}, and no program in it runs",
                advice="let it run first",
            )
        if agent is None:
            raise self._needs_agent(str(step))
        return agent

    async def _is_attached(self) -> bool:
        async with connect_monitor(self._sockets.monitor, self.name) as monitor:
            return await port_is_open(monitor, self._sockets.agent or "")

    async def _cautions(self) -> tuple[str, ...]:
        async with (
            open_session(self._sockets, self.name) as session,
            self._agent(session) as agent,
        ):
            return cautions_about(session, agent)

    async def _restart_arguments(self) -> tuple[str, ...]:
        async with open_session(self._sockets, self.name) as session:
            return await restart_arguments(session.monitor)

    async def _settle(self) -> tuple[str, ...]:
        async with open_session(self._sockets, self.name, changing=True) as session:
            tags = await runs_left(session.monitor)
            if tags:
                async with self._agent(session) as agent:
                    await end_runs(tags, session.monitor, agent)
            return await settle(session.monitor, runs=session.runs)

    def _needs_agent(self, operation: str) -> NotSupported:
        return NotSupported(
            machine=self.name,
            operation=f"{operation} without its guest agent",
            advice="give the agent's socket (qemu:QMP_SOCKET,agent=AGENT_SOCKET), and let one run",
        )
