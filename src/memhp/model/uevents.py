"""Uevents as the kernel sends them to user space."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Uevent:
    """One uevent; memory's carry no key besides these (``kobject_uevent_env()``)."""

    action: str
    devpath: str
    subsystem: str
    seqnum: int

    def message(self) -> bytes:
        """The netlink message: a head line and the keys, each ended by a zero byte."""
        lines = (
            f"{self.action}@{self.devpath}",
            f"ACTION={self.action}",
            f"DEVPATH={self.devpath}",
            f"SUBSYSTEM={self.subsystem}",
            f"SEQNUM={self.seqnum}",
        )
        return b"".join(line.encode() + b"\0" for line in lines)
