"""What a person should know before a guest is changed, by what its agent allows. Pure."""

from memhp.machines.qemu.agent import Agent
from memhp.machines.qemu.session import Session

_NO_AGENT = (
    "no guest agent answers: in which zones the memory lies, and what becomes of it, cannot be "
    "known; the guest takes a device's memory offline by itself, and where it refuses, what was "
    "offline by then may come back in another zone"
)
_ONLY_WAITING = (
    "the guest's agent runs no programs (guest-exec is disabled): a deadline only ends the "
    "waiting, and what was asked of the guest goes on"
)
_NO_FILES = (
    "the guest's agent gives no access to files (guest-file-*): zones and nodes cannot be known, "
    "and no zone can be chosen"
)
_NOTHING = "the guest's agent allows nothing that brings memory online or takes it offline"


def cautions_about(session: Session, agent: Agent | None) -> tuple[str, ...]:
    """Sentences, none where everything can be known and done."""
    if not session.runs:
        return (f"the guest is {session.status}: it answers when it runs again",)
    if agent is None:
        return (_NO_AGENT,)
    if agent.can_run:
        return ()
    if agent.can_write:
        return (_ONLY_WAITING,)
    return (_ONLY_WAITING, _NO_FILES) if agent.can_set else (_NOTHING,)
