"""Getting through to a guest: its monitor, once it is known who owns it and how it stands."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from memhp.core.errors import MachineError
from memhp.machines.qemu.address import QemuAddress
from memhp.machines.qemu.agent import Agent
from memhp.machines.qemu.connection import Connection, connect_monitor
from memhp.machines.qemu.open_agent import AgentLine, agent_at
from memhp.machines.qemu.owner import Emulator, check_owner, emulator_behind

_MIGRATING: Final = frozenset(
    {
        "setup",
        "cancelling",
        "active",
        "postcopy-active",
        "postcopy-paused",
        "postcopy-recover",
        "pre-switchover",
        "device",
        "colo",
        "wait-unplug",
    }
)
"""``MigrationStatus`` of ``qapi/migration.json``, those in which a migration goes on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """An open monitor, the process behind it, and what state the guest is in (``running``)."""

    monitor: Connection
    process: Emulator | None
    status: str

    @property
    def runs(self) -> bool:
        """Whether the guest can answer at all."""
        return self.status == "running"


@asynccontextmanager
async def open_session(
    address: QemuAddress, machine: str, *, changing: bool = False
) -> AsyncIterator[Session]:
    """Open a guest's monitor.

    Raises ``NotSupported`` for one that another manager owns, ``MachineError``
    for one that migrates and is to be changed, and what ``connect_monitor()`` does.
    """
    check_owner(machine, address.monitor)
    process = emulator_behind(address.monitor)
    check_owner(machine, address.monitor, process)
    async with connect_monitor(address.monitor, machine) as monitor:
        if changing:
            await _check_migration(monitor, machine)
        status = monitor.field(await monitor.ask("query-status"), "status", str)
        yield Session(monitor=monitor, process=process, status=status)


@asynccontextmanager
async def agent_of(
    session: Session, address: QemuAddress, machine: str, line: AgentLine | None = None
) -> AsyncIterator[Agent | None]:
    """The agent of a guest that runs; ``None`` where none can answer, told without waiting.

    By the ``line`` that is held, if one is.
    """
    there = address.agent is not None and session.runs
    if there and not await port_is_open(session.monitor, address.agent or ""):
        there = False
    if there and line is not None:
        yield await line.agent()
        return
    async with agent_at(address.agent if there else None, machine) as agent:
        yield agent


async def _check_migration(monitor: Connection, machine: str) -> None:
    status = (await monitor.ask_for("query-migrate", dict)).get("status")
    if status in _MIGRATING:
        raise MachineError(
            machine=machine,
            problem=f"is migrating to another host ({status}), and its memory may not change now",
            advice="wait until that has ended",
        )


async def port_is_open(monitor: Connection, path: str) -> bool:
    """Whether a program in the guest holds the other end; what QEMU does not know may be so."""
    place = path.rpartition("/")[2]
    for port in await monitor.ask_for_items("query-chardev"):
        filename = monitor.field(port, "filename", str)
        if place and f"/{place}," in f"{filename},":
            return bool(port.get("frontend-open", True))
    return True
