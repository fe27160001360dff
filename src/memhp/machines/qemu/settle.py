"""Finishing what was answered when nobody listened, before anything else is done with a guest.

What waits for its answer goes on waiting. Some things only look so: a request
that memhp was killed just before sending; one that was refused again in the
same words, which changes nothing that QEMU shows; and one that a paused guest
was sent beside another, of which its firmware tells it one at a time.
"""

import asyncio
import time
from collections.abc import Iterator, Sequence
from typing import Final

from memhp.machines.qemu.agent import Agent
from memhp.machines.qemu.connection import Connection
from memhp.machines.qemu.devices import Account, MemoryDevice, read_account
from memhp.machines.qemu.guest_run import end_arguments
from memhp.machines.qemu.physical import ask_to_go, free
from memhp.machines.qemu.requests import Asked, forget_request, forget_run
from memhp.machines.qemu.words import EJECTION

_LATE_SECONDS: Final = 5.0
"""A guest that runs reacts to a request in milliseconds, if at all."""
_POLL_SECONDS: Final = 0.1


async def settle(monitor: Connection, *, runs: bool) -> tuple[str, ...]:
    """Free what has gone, forget what was answered; returns the devices that have gone.

    A guest that ``runs`` may be about to answer, so it is given a moment.
    """
    account = await _after_a_moment(monitor, _LATE_SECONDS if runs else 0.0)
    if not account.asked:
        return ()
    for device, asked in _waiting(account) if runs else ():
        if not asked.sent:
            await forget_request(monitor, device.name)
        elif asked.before[0] in EJECTION or device.verdict != asked.before:
            # QEMU takes the request twice, and this time its answer is heard.
            await ask_to_go(monitor, device, time.monotonic() + _LATE_SECONDS)
    account = await read_account(monitor)
    gone = [name for name in account.asked if account.device(name) is None]
    for name in gone:
        await free(monitor, account.asked[name].backend)
    waiting = {device.name for device, _ in _waiting(account)}
    for name in account.asked.keys() - waiting:
        await forget_request(monitor, name)
    return tuple(gone)


async def end_runs(tags: Sequence[str], monitor: Connection, agent: Agent | None) -> None:
    """End what memhp, killed, has left running in the guest; its last block is put back.

    Without an agent that runs programs nobody can: the notes stay.
    """
    if agent is None or not agent.can_run:
        return
    for tag in tags:
        await agent.run(end_arguments(tag))
        await forget_run(monitor, tag)


async def _after_a_moment(monitor: Connection, seconds: float) -> Account:
    """QEMU's account once nothing waits any more, or the moment is over."""
    account = await read_account(monitor)
    end = time.monotonic() + seconds
    while any(_waiting(account)) and time.monotonic() < end:
        await asyncio.sleep(_POLL_SECONDS)
        account = await read_account(monitor)
    return account


def _waiting(account: Account) -> Iterator[tuple[MemoryDevice, Asked]]:
    """The devices that were asked to go and have not answered."""
    for name, asked in account.asked.items():
        device = account.device(name)
        if device is not None and device.is_pending(asked):
            yield device, asked
