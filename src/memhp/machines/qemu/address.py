"""What follows ``qemu:`` in an address: sockets, or the name of a guest of the lab. Pure."""

import os
from dataclasses import dataclass

from memhp.core.errors import NoSuchMachine

_AGENT = "agent="


@dataclass(frozen=True, slots=True, kw_only=True)
class QemuAddress:
    """Where a guest's monitor listens, and its agent, if it has one."""

    monitor: str
    agent: str | None = None

    @property
    def absolute(self) -> str:
        """The same from any folder."""
        agent = "" if self.agent is None else f",{_AGENT}{os.path.abspath(self.agent)}"
        return f"qemu:{os.path.abspath(self.monitor)}{agent}"


def parse_address(rest: str) -> QemuAddress | str:
    """Read what follows ``qemu:``: sockets, or the name of a guest of the lab, without a slash.

    Raises ``NoSuchMachine`` for what is neither.
    """
    monitor, *options = rest.split(",")
    if not monitor or any(not option.startswith(_AGENT) for option in options) or len(options) > 1:
        raise NoSuchMachine(
            machine=f"qemu:{rest}",
            problem="is no address of a guest",
            advice="give qemu:QMP_SOCKET, qemu:QMP_SOCKET,agent=AGENT_SOCKET or qemu:NAME",
        )
    if "/" not in monitor and not options:
        return monitor
    agent = options[0].removeprefix(_AGENT) if options else None
    return QemuAddress(monitor=monitor, agent=agent or None)
