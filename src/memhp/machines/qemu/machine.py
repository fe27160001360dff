"""A QEMU guest behind the door that every machine has; each call opens what it needs and closes it.

asyncio stays on this side of the door.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from memhp.core.census import BlockCensus
from memhp.core.errors import MachineError, NotSupported
from memhp.core.geometry import BlockId
from memhp.core.listing import BlockFile, Listing
from memhp.core.machine import Tell
from memhp.core.outcome import Outcome
from memhp.core.plan import AddDevice, RemoveDevice, ResizeDevice, Step
from memhp.core.snapshot import Snapshot, Want
from memhp.core.words import Ability
from memhp.machines.linux.list_blocks import list_blocks
from memhp.machines.qemu.address import QemuAddress
from memhp.machines.qemu.agent import Agent
from memhp.machines.qemu.apply_physical import apply_physical
from memhp.machines.qemu.cautions import cautions_about
from memhp.machines.qemu.devices import read_account
from memhp.machines.qemu.host import read_budget
from memhp.machines.qemu.identity import identity_of
from memhp.machines.qemu.logical import apply_in_guest
from memhp.machines.qemu.read_guest import Named, joined, read_guest, with_tree
from memhp.machines.qemu.restart import restart_arguments
from memhp.machines.qemu.session import agent_of, open_session
from memhp.machines.qemu.settle import settle

_PHYSICAL: Final = frozenset({Ability.ADD_DEVICE, Ability.REMOVE_DEVICE, Ability.RESIZE_DEVICE})
_LOGICAL: Final = frozenset({Ability.ONLINE, Ability.OFFLINE})


class QemuMachine:
    """A running guest, from its host."""

    lasts = True

    def __init__(self, name: str, address: str, sockets: QemuAddress) -> None:
        self.name = name
        self.address = address
        self._sockets = sockets
        self._took: dict[type, float] = {}
        self.can = _PHYSICAL | (frozenset() if sockets.agent is None else _LOGICAL)

    @property
    def identity(self) -> str:
        """The VM's UUID and when its QEMU was started."""
        return asyncio.run(self._identity())

    def snapshot(self, want: Want = Want.ALL) -> Snapshot:
        """Read the parts asked for, from QEMU and from the guest; raises ``MachineError``."""
        return asyncio.run(self._snapshot(want))

    def list_blocks(self, want: BlockFile) -> Listing:
        """Read the wanted files of every block; raises ``NotSupported`` without an agent."""
        return asyncio.run(self._list_blocks(want))

    def census(self, blocks: Sequence[BlockId]) -> Mapping[BlockId, BlockCensus]:  # noqa: ARG002
        """Not from outside: raises ``NotSupported``."""
        raise NotSupported(machine=self.name, operation="count pages", advice="a model can")

    def apply(self, step: Step, *, until: float | None, tell: Tell) -> Outcome:
        """Carry out one step and read back what came of it.

        Raises ``ContactLost`` where a socket closes or a side falls silent on the way.
        """
        return asyncio.run(self._apply(step, until, tell))

    def cautions(self) -> tuple[str, ...]:
        """What cannot be known of this guest, or done to it, as its agent is; in sentences."""
        return asyncio.run(self._cautions())

    def restart_arguments(self) -> tuple[str, ...]:
        """QEMU's arguments that keep its memory devices as they are now over a restart."""
        return asyncio.run(self._restart_arguments())

    def settle(self) -> tuple[str, ...]:
        """Finish requests that were answered when nobody listened; returns what has gone."""
        return asyncio.run(self._settle())

    async def _identity(self) -> str:
        async with open_session(self._sockets, self.name) as session:
            return await identity_of(session.monitor, self._sockets.monitor, session.process)

    async def _snapshot(self, want: Want) -> Snapshot:
        async with open_session(self._sockets, self.name) as session:
            identity = await identity_of(session.monitor, self._sockets.monitor, session.process)
            named = Named(machine=self.name, identity=identity, want=want)
            async with agent_of(session, self._sockets, self.name) as agent:
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
            agent_of(session, self._sockets, self.name) as agent,
        ):
            if agent is None or not (agent.can_run or agent.can_read):
                raise self._needs_agent("be listed block by block")
            return await with_tree(agent, self.name, lambda root: list_blocks(root, want))

    async def _apply(self, step: Step, until: float | None, tell: Tell) -> Outcome:
        async with open_session(self._sockets, self.name, changing=True) as session:
            if isinstance(step.action, RemoveDevice | ResizeDevice):
                # What comes of it QEMU alone can tell, also of a guest that answers nothing.
                return await apply_physical(step, session, None, until, tell)
            async with agent_of(session, self._sockets, self.name) as agent:
                if isinstance(step.action, AddDevice):
                    return await apply_physical(step, session, agent, until, tell)
                if not session.runs:
                    raise MachineError(
                        machine=self.name,
                        problem=f"is {session.status}, and no program in it runs",
                        advice="let it run first",
                    )
                if agent is None:
                    raise self._needs_agent(str(step))
                return await self._in_guest(step, agent, until)

    async def _in_guest(self, step: Step, agent: Agent, until: float | None) -> Outcome:
        """A step of the logical phase; one like it, just before, tells how long it may take."""
        kind, start = type(step.action), time.monotonic()
        expected = self._took.get(kind, 0.0)
        outcome = await apply_in_guest(step, agent, self.name, until, expected)
        self._took = {kind: time.monotonic() - start}
        return outcome

    async def _cautions(self) -> tuple[str, ...]:
        async with (
            open_session(self._sockets, self.name) as session,
            agent_of(session, self._sockets, self.name) as agent,
        ):
            return cautions_about(session, agent)

    async def _restart_arguments(self) -> tuple[str, ...]:
        async with open_session(self._sockets, self.name) as session:
            return await restart_arguments(session.monitor)

    async def _settle(self) -> tuple[str, ...]:
        async with open_session(self._sockets, self.name, changing=True) as session:
            return await settle(session.monitor, runs=session.runs)

    def _needs_agent(self, operation: str) -> NotSupported:
        return NotSupported(
            machine=self.name,
            operation=f"{operation} without its guest agent",
            advice="give the agent's socket (qemu:QMP_SOCKET,agent=AGENT_SOCKET), and let one run",
        )
