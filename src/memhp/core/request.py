"""What was asked for, after the words of the command line are gone."""

from dataclasses import dataclass

from memhp.core.geometry import NodeId
from memhp.core.targets import Target, format_size
from memhp.core.words import OnlineType


@dataclass(frozen=True, slots=True, kw_only=True)
class Online:
    """Bring blocks online; ``online_type`` chooses the zone."""

    targets: tuple[Target, ...]
    online_type: OnlineType = OnlineType.ONLINE

    def __str__(self) -> str:
        return f"{self.online_type} {_listed(self.targets)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Offline:
    """Take blocks offline."""

    targets: tuple[Target, ...]

    def __str__(self) -> str:
        return f"offline {_listed(self.targets)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Add:
    """Hot-add a device that waits in a slot (``device``), or a new one of ``size_bytes``."""

    device: str | None = None
    size_bytes: int | None = None
    node: NodeId | None = None

    def __str__(self) -> str:
        what = self.device or format_size(self.size_bytes or 0)
        return f"add {what}" + ("" if self.node is None else f" to node{self.node}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Remove:
    """Hot-remove a device, through the eject request."""

    device: str

    def __str__(self) -> str:
        return f"remove {self.device}"


Request = Online | Offline | Add | Remove


def _listed(targets: tuple[Target, ...]) -> str:
    return " ".join(str(target) for target in targets)
