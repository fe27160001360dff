"""Steps of the physical phase on a guest, each with what is checked just before and read after."""

import time
from collections.abc import Callable
from typing import Final

from memhp.core.events import StepProgress
from memhp.core.outcome import Done, Outcome, Partly, Refused, Unanswered
from memhp.core.plan import AddDevice, ExpectDevice, RemoveDevice, ResizeDevice, Step
from memhp.core.ranges import PhysRange
from memhp.core.targets import format_size
from memhp.machines.qemu.agent import Agent
from memhp.machines.qemu.devices import MemoryDevice, read_device
from memhp.machines.qemu.outcomes import added, removed
from memhp.machines.qemu.physical import Wanted, plug, resize, unplug
from memhp.machines.qemu.session import Session

_TAKE_BACK_SECONDS: Final = 30.0
_Tell = Callable[[StepProgress], None]


async def apply_physical(
    step: Step, session: Session, agent: Agent | None, until: float | None, tell: _Tell
) -> Outcome:
    """Carry out one step; raises ``ContactLost`` where nobody can tell what came of it."""
    changed = await _not_as_expected(step, session)
    if changed is not None:
        return Refused(reason=changed)
    asked = str(step) if session.runs else f"{step} (the guest is {session.status})"
    match step.action:
        case AddDevice() as action:
            return await _add(action, asked, session, agent, until)
        case RemoveDevice(device=name):
            return removed(await unplug(session.monitor, name, until), asked)
        case ResizeDevice() as action:
            return await _resize(step, action, session, until, tell)
    raise AssertionError(step)


async def _add(
    action: AddDevice, asked: str, session: Session, agent: Agent | None, until: float | None
) -> Outcome:
    """Add a DIMM; what the guest does not take is taken back whole."""
    if action.size_bytes is None:
        return Refused(reason=f"no {action.device} lies beside this guest: give a size")
    wanted = Wanted(
        name=action.device,
        size_bytes=action.size_bytes,
        node=int(action.node or 0),
        start=action.address,
    )
    if await read_device(session.monitor, wanted.name) is not None:
        return Refused(reason=f"the guest has a device {wanted.name} already")
    answer = await plug(session.monitor, wanted, until)
    outcome = added(answer, asked)
    if answer.error is not None or isinstance(outcome, Unanswered):
        return outcome
    return await _taken_or_back(outcome, wanted.name, session, agent)


async def _taken_or_back(
    outcome: Outcome, name: str, session: Session, agent: Agent | None
) -> Outcome:
    """Whether the guest has really taken what was just added; else out with it."""
    device = await read_device(session.monitor, name)
    if device is None:
        return outcome
    where = PhysRange.at(device.start, device.size_bytes)
    if isinstance(outcome, Done):
        why = None if agent is None else await _why_no_blocks(agent, where)
        if why is None:
            return Done(note=f"at {where}")
        # Linux reports success even where it has rejected the memory (acpi_memory_device_add()).
        outcome = Refused(reason=f"the guest's kernel did not take the memory at {where}{why}")
    back = await unplug(session.monitor, name, time.monotonic() + _TAKE_BACK_SECONDS)
    return outcome if back.removed else Unanswered(asked=f"take {name} back")


async def _why_no_blocks(agent: Agent, where: PhysRange) -> str | None:
    """Why the guest made no blocks of a range; ``None`` where it did, or the agent cannot tell."""
    if not agent.can_list:
        return None
    size = await agent.block_size()
    if where.start % size or where.end % size:
        return f", which is no multiple of its memory blocks of {format_size(size)}"
    made = set(await agent.blocks())
    return None if set(range(where.start // size, where.end // size)) <= made else ""


async def _resize(
    step: Step, action: ResizeDevice, session: Session, until: float | None, tell: _Tell
) -> Outcome:
    device = await read_device(session.monitor, action.device)
    if device is None or device.unit_bytes is None:
        return Refused(reason=f"{action.device} is no virtio-mem device of this guest")
    wanted = action.requested_bytes
    if wanted % device.unit_bytes:
        return Refused(reason=f"{device.name} gives multiples of {format_size(device.unit_bytes)}")
    if wanted > device.size_bytes:
        return Refused(reason=f"{device.name} can give {format_size(device.size_bytes)} at most")
    before = device.plugged_bytes or 0
    total = abs(wanted - before)

    def told(now: int) -> None:
        tell(StepProgress(step=step, done=abs(now - before), total=total, unit="bytes"))

    after = await resize(session.monitor, device, wanted, until, told)
    if isinstance(after, str):
        return Refused(reason=after)
    if after == wanted:
        return Done(note=f"{format_size(after)} plugged" if after else "nothing plugged")
    return Partly(
        done_bytes=max(0, abs(after - before)),
        wanted_bytes=total,
        reason=_why_not_all(device, session, after, wanted),
    )


def _why_not_all(device: MemoryDevice, session: Session, after: int, wanted: int) -> str:
    if not session.runs:
        return f"the guest is {session.status}"
    if after > wanted:
        return f"the guest keeps {format_size(after)}, for it could free no more of it"
    if after == device.plugged_bytes:
        return "the guest plugs nothing: it has no driver for it, or too much of it is offline"
    return "the guest plugs no more: bring online first what is offline of it"


async def _not_as_expected(step: Step, session: Session) -> str | None:
    if not isinstance(step.expect, ExpectDevice):
        return None
    found = await read_device(session.monitor, step.expect.device)
    wanted = step.expect.requested_bytes
    size = None if found is None or wanted is None else found.requested_bytes
    if (found is not None) == step.expect.present and size == wanted:
        return None
    if found is None and isinstance(step.action, RemoveDevice):
        # It has gone by itself after it was asked to: what it left is still to be freed.
        return None
    seen = ExpectDevice(device=step.expect.device, present=found is not None, requested_bytes=size)
    return f"expected {step.expect}, found {seen}"
