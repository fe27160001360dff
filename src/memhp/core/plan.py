"""Steps, what each expects of its target, and the plan that they make."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from memhp.core.geometry import BlockId, NodeId
from memhp.core.request import Request
from memhp.core.snapshot import Device, MemoryBlock, Snapshot, Snapshots
from memhp.core.targets import format_size
from memhp.core.words import BlockState, OnlineType, ZoneType


def huge_pages(count: int, size_bytes: int) -> str:
    """So many huge pages of a size, in words."""
    return f"{count} huge page{'' if count == 1 else 's'} of {format_size(size_bytes)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectBlock:
    """How a block must stand just before its step."""

    block: BlockId
    state: BlockState
    zone: ZoneType | None

    def __str__(self) -> str:
        zone = "" if self.zone is None else f", {self.zone}"
        return f"memory{self.block}: {self.state}{zone}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectDevice:
    """How a device must stand just before its step.

    ``requested_bytes`` is what was asked of a virtio-mem device so far; ``None``
    where that does not matter.
    """

    device: str
    present: bool
    requested_bytes: int | None = None

    def __str__(self) -> str:
        size = (
            "" if self.requested_bytes is None else f", {format_size(self.requested_bytes)} asked"
        )
        return f"{self.device}: {'present' if self.present else 'absent'}{size}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectHugePages:
    """How many huge pages of a size a node must hold just before a step."""

    node: NodeId
    size_bytes: int
    count: int

    def __str__(self) -> str:
        return f"node{self.node}: {huge_pages(self.count, self.size_bytes)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class OnlineBlock:
    """Write ``online_type`` to the block's ``state``."""

    block: BlockId
    online_type: OnlineType

    def __str__(self) -> str:
        return f"{self.online_type} memory{self.block}"


@dataclass(frozen=True, slots=True, kw_only=True)
class OfflineBlock:
    """Write ``offline`` to the block's ``state``."""

    block: BlockId

    def __str__(self) -> str:
        return f"offline memory{self.block}"


@dataclass(frozen=True, slots=True, kw_only=True)
class AddDevice:
    """Hot-add a device: one that waits in a slot, or a new one of ``size_bytes``.

    A new one is put at ``address`` where one is given, as for the place of one
    that was taken out; else the machine chooses.
    """

    device: str
    size_bytes: int | None = None
    node: NodeId | None = None
    address: int | None = None

    def __str__(self) -> str:
        size = "" if self.size_bytes is None else f" of {format_size(self.size_bytes)}"
        return f"add {self.device}{size}" + ("" if self.node is None else f" to node{self.node}")


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveDevice:
    """Ask for a device's eject and take the verdict."""

    device: str

    def __str__(self) -> str:
        return f"remove {self.device}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ResizeDevice:
    """Ask a virtio-mem device for a size in all, and wait for the guest until the deadline.

    ``Done``: exactly so much is plugged. ``Partly``: the guest did so much of
    the change and no more; what was asked for stands until another size is.
    Asking for the size that stands already is asking again.
    """

    device: str
    requested_bytes: int

    def __str__(self) -> str:
        return f"resize {self.device} to {format_size(self.requested_bytes)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class AwaitDevice:
    """Wait for the device that a person puts in the place of ``device``, for days.

    No machine is asked for it: it is answered once a device has come
    (``come_in_place_of()``). ``size_bytes``, ``node`` and ``address`` are those of
    the old one; ``others`` were there when the waiting began.
    """

    device: str
    size_bytes: int
    node: NodeId | None = None
    address: int | None = None
    others: tuple[str, ...] = ()

    def __str__(self) -> str:
        size = f" of {format_size(self.size_bytes)}" if self.size_bytes else ""
        return f"wait for a device{size} in place of {self.device}"


@dataclass(frozen=True, slots=True, kw_only=True)
class DropCaches:
    """Have the kernel forget what it could read again: clean page cache, dentries, inodes."""

    def __str__(self) -> str:
        return "drop caches"


@dataclass(frozen=True, slots=True, kw_only=True)
class CompactNode:
    """Have the kernel move pages of a node together, so that large ones find room there."""

    node: NodeId

    def __str__(self) -> str:
        return f"compact node{self.node}"


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldHugePages:
    """Have a node hold so many huge pages of a size (``nr_hugepages``).

    ``Done``: exactly so many are held. ``Partly``: there was no room for all of
    them. Where fewer are to be held than are in use, those in use go back to
    the kernel one by one, as nobody uses them any more.
    """

    node: NodeId
    size_bytes: int
    count: int

    def __str__(self) -> str:
        return f"hold {huge_pages(self.count, self.size_bytes)} on node{self.node}"


Preparing = DropCaches | CompactNode | HoldHugePages
"""What is done before blocks go offline, so that they do."""
Action = (
    OnlineBlock
    | OfflineBlock
    | AddDevice
    | RemoveDevice
    | ResizeDevice
    | AwaitDevice
    | DropCaches
    | CompactNode
    | HoldHugePages
)
Expectation = ExpectBlock | ExpectDevice | ExpectHugePages


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One call to one machine."""

    machine: str
    action: Action
    expect: Expectation | None = None

    def __str__(self) -> str:
        return str(self.action)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What will be done, in order, and what it rests on.

    ``marks`` holds one mark a machine, over its identity and the objects that
    the plan touches; ``check_marks()`` refuses a saved plan whose mark no longer fits.
    """

    request: Request
    marks: Mapping[str, str]
    steps: tuple[Step, ...]


def mark_of(identity: str, objects: Iterable[MemoryBlock | Device]) -> str:
    """Sum up the structure of what a plan touches; page counts are no part of it."""
    digest = hashlib.sha256(identity.encode(errors="surrogatepass"))
    for item in objects:
        digest.update(repr(item).encode())
    return digest.hexdigest()[:16]


def touched_by(steps: Iterable[Step], snapshot: Snapshot) -> tuple[MemoryBlock | Device, ...]:
    """What steps are about, as a snapshot has it: blocks, devices, and devices' blocks."""
    blocks: set[int] = set()
    devices: set[str] = set()
    for step in steps:
        match step.action:
            case OnlineBlock(block=number) | OfflineBlock(block=number):
                blocks.add(number)
            case AddDevice(device=name) | RemoveDevice(device=name) | ResizeDevice(device=name):
                devices.add(name)
            case AwaitDevice(device=name):
                devices.add(name)
            case DropCaches() | CompactNode() | HoldHugePages():
                # A pool is looked at by its step, and is no part of the structure.
                pass
    found: list[MemoryBlock | Device] = [
        block for block in snapshot.blocks if block.block in blocks or block.device in devices
    ]
    return (*found, *(device for device in snapshot.devices if device.name in devices))


def plan_of(request: Request, snapshot: Snapshot, steps: tuple[Step, ...]) -> Plan:
    """Make a plan for one machine, marked with what it rests on."""
    mark = mark_of(snapshot.identity, touched_by(steps, snapshot))
    return Plan(request=request, marks={snapshot.machine: mark}, steps=steps)


def plan_over(request: Request, snapshots: Snapshots, steps: tuple[Step, ...]) -> Plan:
    """Make a plan for several machines, with a mark for each that a step is about."""
    marks = {}
    for name, snapshot in snapshots.items():
        mine = tuple(step for step in steps if step.machine == name)
        if mine:
            marks[name] = mark_of(snapshot.identity, touched_by(mine, snapshot))
    return Plan(request=request, marks=marks, steps=steps)
