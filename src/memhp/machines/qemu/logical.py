"""The logical phase in a guest: a word written to a block's ``state``, by what the agent allows.

Best is a program in the guest, which can be ended: a signal makes the kernel
give up and put the block back. Next is the agent's writing the file itself,
and last its own command for blocks, which knows no zone; both hold the agent
up for as long as the kernel takes.
"""

import errno
import time
from collections.abc import Mapping
from typing import Final

from memhp.core.errors import CommandDenied, ContactLost, NotSupported
from memhp.core.outcome import Outcome, Refused, Unanswered
from memhp.core.plan import ExpectBlock, OfflineBlock, OnlineBlock, Step
from memhp.core.words import BlockState, OnlineType
from memhp.machines.linux.apply import apply_logical
from memhp.machines.linux.root import MEMORY
from memhp.machines.qemu.agent import Agent
from memhp.machines.qemu.shell_errors import errno_name

_LONGEST_SECONDS: Final = 3600.0
"""How long the agent is waited for, or a write goes on after memhp has died, without a deadline."""
_GRACE_SECONDS: Final = 30
_SHOW: Final = 'read s < state; read z < valid_zones; echo "{when}|$s|$z"'
# The watch ends a write whose memhp has died: only while the block is still on its way.
_SCRIPT: Final = """export LC_ALL=C
cd /{folder} || exit 0
{before}
case "$s|$z" in {expected}) ;; *) exit 0;; esac
( sleep {seconds}; read s < state; [ "$s" = going-offline ] && kill -KILL $$ ) >/dev/null 2>&1 &
w=$!
echo {word} > state
c=$?
kill $w
echo "code|$c"
{after}
"""
_READ: Final = "cd /{folder} && " + _SHOW.format(when="after")


async def apply_in_guest(
    step: Step, agent: Agent, machine: str, until: float | None, expected: float = 0.0
) -> Outcome:
    """Carry out one step of the logical phase; raises ``NotSupported``, ``ContactLost``.

    ``expected`` is how many seconds it may take, for it is not asked about before.
    """
    action = step.action
    if not isinstance(action, OnlineBlock | OfflineBlock):
        raise NotSupported(machine=machine, operation=str(step), advice="it is no block")
    word = action.online_type if isinstance(action, OnlineBlock) else OnlineType.OFFLINE
    if agent.can_run:
        seen, error = await _by_program(step, agent, word, until, expected=expected)
    elif agent.can_write:
        return await _by_file(step, agent, machine, word, until)
    elif agent.can_set:
        return await _by_blocks(step, action, agent, word, until)
    else:
        raise NotSupported(
            machine=machine,
            operation="bring blocks online or offline, for its agent allows nothing that could",
            advice="let it run guest-exec",
        )
    return _judged(step, machine, seen, error)


async def _by_program(
    step: Step, agent: Agent, word: str, until: float | None, *, expected: float
) -> tuple[Mapping[str, tuple[str, str]], str | None]:
    """Check, write and read back in one go; what the block read before and after, and the errno."""
    folder = f"{MEMORY}/memory{_number(step)}"
    left = _LONGEST_SECONDS if until is None else max(0.0, until - time.monotonic())
    script = _SCRIPT.format(
        folder=folder,
        before=_SHOW.format(when="before"),
        expected=_pattern(step.expect),
        seconds=int(left) + _GRACE_SECONDS,
        word=word,
        after=_SHOW.format(when="after"),
    )
    ran = await agent.run(script, until, expected)
    text = ran.text
    if ran.code is None:
        # The block's state after the signal counts, not what the program got to say.
        text += (await agent.run(_READ.format(folder=folder))).text
    rows = [line.split("|") for line in text.splitlines()]
    seen = {row[0]: (row[1], row[2]) for row in rows if len(row) == 3}
    code = next((row[1] for row in rows if row[0] == "code" and len(row) == 2), None)
    if ran.code is None:
        return seen, "EINTR"
    return seen, None if code in {None, "0"} else errno_name(text)


def _judged(
    step: Step, machine: str, seen: Mapping[str, tuple[str, str]], error: str | None
) -> Outcome:
    """What came of it, by the rules for every Linux machine."""
    phase = ["before"]

    def read(path: str) -> str | None:
        state, zones = seen.get(phase[0], (None, None))
        return state if path.endswith("/state") else zones

    def write(_path: str, _word: str) -> str | None:
        phase[0] = "after"
        return error

    return apply_logical(step, machine=machine, read=read, write=write)


async def _by_file(
    step: Step, agent: Agent, machine: str, word: str, until: float | None
) -> Outcome:
    folder = f"{MEMORY}/memory{_number(step)}"
    seen = {"before": await _read_both(agent, folder)}
    changed = isinstance(step.expect, ExpectBlock) and not _as_expected(step.expect, seen["before"])
    error = None
    if not changed and seen["before"][0]:
        try:
            complaint = await agent.write_file(f"/{folder}/state", word, _seconds(until))
        except ContactLost:
            # The agent is still at it, and nobody can stop it.
            return Unanswered(asked=str(step))
        error = None if complaint is None else errno_name(complaint)
        seen["after"] = await _read_both(agent, folder)
    return _judged(step, machine, {when: pair for when, pair in seen.items() if pair[0]}, error)


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
    seen = {"before": (before, ""), "after": (state, "")}
    outcome = _judged(plain, step.machine, seen, error)
    if isinstance(outcome, Refused) and error == "EINVAL":
        return Refused(reason="it lies in two zones or has holes", errno_name=error)
    return outcome


async def _read_both(agent: Agent, folder: str) -> tuple[str, str]:
    """A block's state and zones; empty where it is not there."""
    pair = [await agent.read_file(f"/{folder}/{name}") or b"" for name in ("state", "valid_zones")]
    state, zones = (content.decode("utf-8", "replace").strip() for content in pair)
    return state, zones


def _pattern(expect: object) -> str:
    """A shell pattern for what a block has to read just before."""
    if not isinstance(expect, ExpectBlock):
        return "*"
    if expect.state is BlockState.OFFLINE:
        return "'offline|'*"
    return f"'{expect.state}|{expect.zone or 'none'}'"


def _as_expected(expect: ExpectBlock, seen: tuple[str, str]) -> bool:
    state, zones = seen
    if state == BlockState.OFFLINE:
        return expect.state is BlockState.OFFLINE
    return (state, zones) == (expect.state, expect.zone or "none")


def _number(step: Step) -> int:
    assert isinstance(step.action, OnlineBlock | OfflineBlock)  # noqa: S101 - checked by the caller
    return step.action.block


def _seconds(until: float | None) -> float:
    return _LONGEST_SECONDS if until is None else max(1.0, until - time.monotonic())
