"""The logical phase by an agent that runs no programs: a word written to a block's ``state``.

The agent writes the file itself, or, where it may not, has a command of its own
for blocks, which knows no zone. Both hold the agent up for as long as the
kernel takes, and nobody can end them. (``run_blocks.py`` is for one that runs programs.)
"""

import errno
import time
from typing import Final

from memhp.core.errors import CommandDenied, ContactLost, NotSupported
from memhp.core.outcome import Outcome, Refused, Unanswered
from memhp.core.plan import ExpectBlock, OfflineBlock, OnlineBlock, Step
from memhp.core.words import BlockState, OnlineType
from memhp.machines.linux.root import MEMORY
from memhp.machines.qemu.agent import Agent
from memhp.machines.qemu.guest_run import judged
from memhp.machines.qemu.shell_errors import errno_name

_LONGEST_SECONDS: Final = 3600.0
"""How long the agent is waited for without a deadline."""


async def apply_by_agent(step: Step, agent: Agent, machine: str, until: float | None) -> Outcome:
    """Carry out one step with an agent that runs no programs.

    Raises ``NotSupported``, ``ContactLost``.
    """
    action = step.action
    if not isinstance(action, OnlineBlock | OfflineBlock):
        raise NotSupported(machine=machine, operation=str(step), advice="it is no block")
    word = action.online_type if isinstance(action, OnlineBlock) else OnlineType.OFFLINE
    if agent.can_write:
        return await _by_file(step, agent, word, until)
    if agent.can_set:
        return await _by_blocks(step, action, agent, word, until)
    raise NotSupported(
        machine=machine,
        operation="bring blocks online or offline, for its agent allows nothing that could",
        advice="let it run guest-exec",
    )


async def _by_file(step: Step, agent: Agent, word: str, until: float | None) -> Outcome:
    folder = f"{MEMORY}/memory{_number(step)}"
    before, after, error = await _read_both(agent, folder), None, None
    changed = isinstance(step.expect, ExpectBlock) and not _as_expected(step.expect, before)
    if not changed and before is not None:
        try:
            complaint = await agent.write_file(f"/{folder}/state", word, _seconds(until))
        except ContactLost:
            # The agent is still at it, and nobody can stop it.
            return Unanswered(asked=str(step))
        error = None if complaint is None else errno_name(complaint)
        after = await _read_both(agent, folder)
    return judged(step, before, after, error)


async def _by_blocks(
    step: Step,
    action: OnlineBlock | OfflineBlock,
    agent: Agent,
    word: OnlineType,
    until: float | None,
) -> Outcome:
    """By the agent's own command; what it cannot tell from others, a zone, is refused."""
    if word in {OnlineType.ONLINE_KERNEL, OnlineType.ONLINE_MOVABLE}:
        return Refused(reason="the guest's agent knows no zones: let it run guest-exec")
    blocks = await agent.blocks()
    online = isinstance(action, OnlineBlock)
    if action.block not in blocks or blocks[action.block] == online:
        found = "is gone" if action.block not in blocks else "is so already"
        return Refused(reason=f"memory{action.block} {found}")
    try:
        answer = await agent.set_block(action.block, _seconds(until), online=online)
    except ContactLost:
        return Unanswered(asked=str(step))
    except CommandDenied as err:
        return Refused(reason=err.answer)
    state = "online" if (await agent.blocks()).get(action.block) else "offline"
    before = "offline" if online else "online"
    code = answer.get("error-code")
    error = None if code is None else errno.errorcode.get(int(code), "EIO")
    plain = Step(machine=step.machine, action=action)
    outcome = judged(plain, (before, ""), (state, ""), error)
    if isinstance(outcome, Refused) and error == "EINVAL":
        return Refused(reason="it lies in two zones or has holes", errno_name=error)
    return outcome


async def _read_both(agent: Agent, folder: str) -> tuple[str, str] | None:
    """A block's state and zones; ``None`` where it is not there."""
    pair = [await agent.read_file(f"/{folder}/{name}") or b"" for name in ("state", "valid_zones")]
    state, zones = (content.decode("utf-8", "replace").strip() for content in pair)
    return (state, zones) if state else None


def _as_expected(expect: ExpectBlock, seen: tuple[str, str] | None) -> bool:
    if seen is None:
        return False
    state, zones = seen
    if state == BlockState.OFFLINE:
        return expect.state is BlockState.OFFLINE
    return (state, zones) == (expect.state, expect.zone or "none")


def _number(step: Step) -> int:
    assert isinstance(step.action, OnlineBlock | OfflineBlock)  # noqa: S101 - checked by the caller
    return step.action.block


def _seconds(until: float | None) -> float:
    return _LONGEST_SECONDS if until is None else max(1.0, until - time.monotonic())
