"""Plans of the way back: everything touched as it was, in the zone that it had.

One plan may not be enough (a device has to be there before its blocks can come
online, and a block has to go offline before it can change its zone): plan
again from fresh snapshots until nothing is left to do.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from memhp.core.plan import Plan, Step, plan_over
from memhp.core.request import Request
from memhp.core.snapshot import Device, MemoryBlock, Snapshot, Snapshots
from memhp.core.surroundings import HugePool
from memhp.core.words import BlockState, DeviceKind
from memhp.operations.make_steps import (
    hold_step,
    offline_step,
    online_step,
    put_in_step,
    remove_step,
    resize_step,
    zone_word,
)
from memhp.operations.operation import Key, Thing, Things, key_of, things_of


def plan_restore(
    request: Request,
    before: Things,
    snapshots: Snapshots,
    *,
    without: frozenset[Key] = frozenset(),
) -> Plan:
    """Plan the next leg of the way back; a plan without steps where all is as it was.

    ``without`` names blocks and devices that refused: the others go on. In
    order, each on all machines before the next, so that a host never has to
    find memory twice: what was not there goes and what grew shrinks; what
    shrank grows and what was there comes; blocks in another zone go offline;
    blocks come online in the zone that they had. Pools of huge pages come last,
    first those that shrank: then none is missing that is promised to somebody.
    """
    pasts = [
        _Past.of(snapshots[machine], things, without)
        for machine, things in before.items()
        if machine in snapshots
    ]
    phases: tuple[Callable[[_Past], Iterator[Step]], ...] = (
        _out,
        _smaller,
        _larger,
        _in,
        _offline,
        _online,
        _more_huge,
        _less_huge,
    )
    steps = tuple(step for phase in phases for past in pasts for step in phase(past))
    return plan_over(request, snapshots, steps)


def is_restored(request: Request, before: Things, snapshots: Snapshots) -> bool:
    """Whether everything is as it was, as far as can be told of what a guest decides.

    Of a virtio-mem device the guest's driver gives what it wants: it has to have
    as much as before, and as many blocks in zones of the kernel.
    """
    if plan_restore(request, before, snapshots).steps:
        return False
    if any(
        _gives_nothing(thing, snapshots[m]) for m in before if m in snapshots for thing in before[m]
    ):
        return False
    return all(
        _as_plugged(things, thing, snapshots[machine])
        for machine, things in before.items()
        if machine in snapshots
        for thing in things
        if isinstance(thing, Device) and thing.kind is DeviceKind.VIRTIO_MEM
    )


def _gives_nothing(was: Thing, snapshot: Snapshot) -> bool:
    """Whether a device is there, and the memory that it gave is not."""
    if not isinstance(was, Device) or was.kind is DeviceKind.VIRTIO_MEM or not was.ranges:
        return False
    now = things_of(snapshot).get(was.name)
    return was.present and isinstance(now, Device) and now.present and not now.ranges


def _as_plugged(things: Iterable[Thing], was: Device, snapshot: Snapshot) -> bool:
    now = things_of(snapshot).get(was.name)
    settled = was.plugged_bytes == was.requested_bytes
    if settled and not (isinstance(now, Device) and now.plugged_bytes == was.plugged_bytes):
        return False
    blocks = (thing for thing in things if isinstance(thing, MemoryBlock))
    return _in_kernel_zones(blocks, was.name) == _in_kernel_zones(snapshot.blocks, was.name)


def _in_kernel_zones(blocks: Iterable[MemoryBlock], device: str) -> int:
    return sum(
        block.device == device and block.zone is not None and block.zone.holds_kernel_memory
        for block in blocks
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Past:
    """A machine as it is, and what was touched of it as it was."""

    snapshot: Snapshot
    blocks: Mapping[int, MemoryBlock]
    pools: tuple[HugePool, ...]
    devices: tuple[Device, ...]
    now: Mapping[str, Thing]
    leaving: frozenset[str]
    without: frozenset[Key]

    @classmethod
    def of(cls, snapshot: Snapshot, was: tuple[Thing, ...], without: frozenset[Key]) -> "_Past":
        things = [thing for thing in was if (snapshot.machine, key_of(thing)) not in without]
        devices = tuple(thing for thing in things if isinstance(thing, Device))
        now = things_of(snapshot)
        return cls(
            snapshot=snapshot,
            blocks={thing.block: thing for thing in things if isinstance(thing, MemoryBlock)},
            pools=tuple(thing for thing in things if isinstance(thing, HugePool)),
            devices=devices,
            now=now,
            leaving=frozenset(d.name for d in devices if not d.present and _there(now, d)),
            without=without,
        )

    def may_try(self, key: str) -> bool:
        return (self.snapshot.machine, key) not in self.without

    def block(self, number: int) -> MemoryBlock | None:
        found = self.now.get(f"memory{number}")
        return found if isinstance(found, MemoryBlock) else None

    def resized(self) -> Iterator[tuple[Device, int, int]]:
        """virtio-mem devices that are asked for another size: now, and what each was asked for."""
        for was in self.devices:
            now = self.now.get(was.name)
            if was.kind is not DeviceKind.VIRTIO_MEM or not isinstance(now, Device):
                continue
            if was.requested_bytes is not None and now.requested_bytes is not None:
                yield now, now.requested_bytes, was.requested_bytes


def _there(now: Mapping[str, Thing], device: Device) -> bool:
    found = now.get(device.name)
    return isinstance(found, Device) and found.present


def _out(past: _Past) -> Iterator[Step]:
    """What was not there: its blocks offline, then the device out."""
    for block in sorted(past.snapshot.blocks, key=lambda block: -block.block):
        if block.device in past.leaving and block.state is not BlockState.OFFLINE:
            yield offline_step(past.snapshot, block)
    yield from (
        remove_step(past.snapshot, device.name)
        for device in past.devices
        if device.name in past.leaving
    )


def _smaller(past: _Past) -> Iterator[Step]:
    """What grew: its new blocks offline, which the guest's driver gives back first, then less."""
    for device, now, was in past.resized():
        if now > was:
            mine = [b for b in past.snapshot.blocks if b.device == device.name]
            new = [b for b in mine if b.block not in past.blocks and b.can_be_tried]
            free = [b for b in reversed(new) if past.may_try(f"memory{b.block}")]
            yield from (offline_step(past.snapshot, block) for block in free)
            yield resize_step(past.snapshot, device, was)


def _larger(past: _Past) -> Iterator[Step]:
    for device, now, was in past.resized():
        if now < was:
            yield resize_step(past.snapshot, device, was)


def _in(past: _Past) -> Iterator[Step]:
    for device in past.devices:
        if device.present and not _there(past.now, device):
            yield put_in_step(past.snapshot, device)


def _offline(past: _Past) -> Iterator[Step]:
    for number in sorted(past.blocks, reverse=True):
        block, was = past.block(number), past.blocks[number]
        if block is None or block.state is BlockState.OFFLINE or block.device in past.leaving:
            continue
        if was.state is BlockState.OFFLINE or block.zone is not was.zone:
            yield offline_step(past.snapshot, block)


def _online(past: _Past) -> Iterator[Step]:
    for number in sorted(past.blocks):
        block, was = past.block(number), past.blocks[number]
        if block is None or block.state is not BlockState.OFFLINE:
            continue
        if was.state is not BlockState.OFFLINE:
            yield online_step(past.snapshot, block, zone_word(was.zone))


def _less_huge(past: _Past) -> Iterator[Step]:
    """Those in use stay with whoever has them, and are given back after that by the kernel."""
    return (step for step, more in _pools(past) if more < 0)


def _more_huge(past: _Past) -> Iterator[Step]:
    return (step for step, more in _pools(past) if more > 0)


def _pools(past: _Past) -> Iterator[tuple[Step, int]]:
    """Pools that hold another number than before, and how many more there were."""
    for was in past.pools:
        now = past.now.get(was.name)
        if isinstance(now, HugePool) and now.held != was.held:
            yield hold_step(past.snapshot.machine, now, was.held), was.held - now.held
