"""What was asked for, after the words of the command line are gone."""

from dataclasses import dataclass

from memhp.core.geometry import BlockId, NodeId
from memhp.core.surroundings import Risk
from memhp.core.targets import Target, format_change, format_size
from memhp.core.words import OnlineType, Preparation


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
class Evacuate:
    """Take every block of a node or a device offline, or blocks of some size, all of them."""

    targets: tuple[Target, ...]

    def __str__(self) -> str:
        return f"evacuate {_listed(self.targets)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Add:
    """Hot-add a device that waits in a slot (``device``), or a new one of ``size_bytes``.

    ``zone`` is the word that brings its blocks online; ``None`` leaves them to
    the machine's policy.
    """

    device: str | None = None
    size_bytes: int | None = None
    node: NodeId | None = None
    zone: OnlineType | None = None

    def __str__(self) -> str:
        what = self.device or format_size(self.size_bytes or 0)
        return f"add {what}" + ("" if self.node is None else f" to node{self.node}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Remove:
    """Take a device's blocks offline and hot-remove it."""

    device: str

    def __str__(self) -> str:
        return f"remove {self.device}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Resize:
    """Ask a virtio-mem device for another size.

    Either ``size_bytes`` in all is given, or ``by_bytes`` more, or less. What
    comes is brought online by ``zone``; ``None`` leaves it to the machine's policy.
    """

    device: str
    size_bytes: int | None = None
    by_bytes: int | None = None
    zone: OnlineType | None = None

    def __str__(self) -> str:
        if self.by_bytes is None:
            return f"resize {self.device} to {format_size(self.size_bytes or 0)}"
        return f"resize {self.device} by {format_change(self.by_bytes)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Replace:
    """Take a device out, put another in its place, and bring its blocks back as they were.

    The device is named, or found by a physical ``address`` or a ``block`` in it.
    ``add_first``: the new device comes before the old one goes. ``by_hand``: a
    person puts it in, and until then the operation waits.
    """

    device: str | None = None
    address: int | None = None
    block: BlockId | None = None
    add_first: bool = False
    by_hand: bool = False

    def __str__(self) -> str:
        what = self.device
        if what is None:
            what = f"memory{self.block}" if self.address is None else f"{self.address:#x}"
        return f"replace {what}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """Take memory from one machine and give it to another, which brings it online by ``zone``.

    ``giver`` and ``taker`` are names of machines. ``reserve_bytes`` is what the
    giver must keep; ``None`` leaves that to the planner.
    """

    size_bytes: int
    giver: str
    taker: str
    zone: OnlineType = OnlineType.ONLINE
    reserve_bytes: int | None = None

    def __str__(self) -> str:
        return f"move {format_size(self.size_bytes)} from {self.giver} to {self.taker}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Undo:
    """Put back what an operation of the journal has changed, or ``only`` on one of its machines."""

    operation: str
    only: str | None = None

    def __str__(self) -> str:
        return f"undo {self.operation}" + ("" if self.only is None else f" on {self.only} only")


@dataclass(frozen=True, slots=True, kw_only=True)
class Apply:
    """Carry out a saved plan, those steps and no others; ``asked`` is what it was made for."""

    asked: str

    def __str__(self) -> str:
        return f"apply the plan to {self.asked}"


Request = Online | Offline | Evacuate | Add | Remove | Resize | Replace | Move | Undo | Apply


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """How a request is to be carried out.

    ``all_or_nothing``: where it cannot be done, everything is put back in the
    zone that it had. ``at_least_bytes`` is enough where it is less than all.
    ``accept`` names the risks that are taken, ``prepare`` what is done before
    blocks go offline.
    """

    all_or_nothing: bool = False
    at_least_bytes: int | None = None
    accept: tuple[Risk, ...] = ()
    prepare: tuple[Preparation, ...] = ()


def _listed(targets: tuple[Target, ...]) -> str:
    return " ".join(str(target) for target in targets)
