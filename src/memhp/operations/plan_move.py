"""Which memory moves from one machine to another: chosen at the giver, placed at the taker.

Pure functions of snapshots. Amounts of virtio-mem devices are cut to their unit;
DIMMs go whole.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from memhp.core.errors import CannotPlan
from memhp.core.geometry import MIB, NodeId, round_down, round_up
from memhp.core.plan import Step
from memhp.core.request import Move
from memhp.core.snapshot import Device, Snapshot
from memhp.core.targets import format_size
from memhp.core.words import BlockState, DeviceKind, ZoneType
from memhp.operations.make_steps import resize_step
from memhp.operations.plan_physical import never_goes, new_dimm_step, take_out_steps
from memhp.operations.plan_zones import blocks_of_device

_LEAST_RESERVE_BYTES = 512 * MIB
_RESERVE_PART = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Take:
    """What is taken from the giver: steps, and the bytes that they free where all are done.

    ``in_use_bytes`` is how much of that is online by now.
    """

    steps: tuple[Step, ...]
    size_bytes: int
    in_use_bytes: int


def plan_take(
    request: Move, giver: Snapshot, size_bytes: int, without: frozenset[str]
) -> Take | None:
    """Choose what makes up so much, with the least that is too much; ``None`` for too little.

    virtio-mem devices first, which give exactly what is wanted; DIMMs only where
    those do not suffice, as few as leave the least over, movable ones first.
    ``without`` names devices that have given all they could.
    """
    soft = [d for d in giver.devices if _gives(d) and d.name not in without]
    there = sum(_most(device) for device in soft)
    hard = _removable(giver, without) if there < size_bytes else []
    dimms = _least_over(hard, size_bytes - there)
    if dimms is None:
        return None
    taken = sum(d.size_bytes for d in dimms)
    shrinks = list(_shares(soft, max(0, size_bytes - taken)))
    steps = [resize_step(giver, d, (d.plugged_bytes or 0) - share) for d, share in shrinks]
    for dimm in dimms:
        steps += take_out_steps(request, giver, dimm)
    shrunk = sum(share for _, share in shrinks)
    online = sum(_online(giver, dimm) for dimm in dimms) * giver.block_size_bytes
    return Take(steps=tuple(steps), size_bytes=taken + shrunk, in_use_bytes=online + shrunk)


def could_take(giver: Snapshot, without: frozenset[str]) -> int:
    """The most that the giver's devices could give."""
    soft = sum(_most(d) for d in giver.devices if _gives(d) and d.name not in without)
    return soft + sum(d.size_bytes for d in _removable(giver, without))


def plan_give(request: Move, taker: Snapshot, size_bytes: int) -> tuple[Step, ...]:
    """Place so much at the taker: in virtio-mem devices, and what is left in a new DIMM.

    Raises ``CannotPlan`` where it has no place.
    """
    steps: list[Step] = []
    left = size_bytes
    devices = [d for d in taker.devices if d.kind is DeviceKind.VIRTIO_MEM and _room(d)]
    for device in sorted(devices, key=lambda d: -_room(d)):
        share = min(_room(device), round_down(left, device.unit_bytes or 1))
        if share:
            steps.append(resize_step(taker, device, _asked(device) + share))
            left -= share
    if left:
        _check_new_dimm(request, taker, left, size_bytes - left)
        steps.append(new_dimm_step(taker, left, NodeId(0)))
    return tuple(steps)


def check_giver(request: Move, giver: Snapshot, take: Take) -> None:
    """Raise ``CannotPlan`` where the giver would keep too little, or needs what it would give."""
    keeps, reserve = online_bytes(giver) - take.in_use_bytes, reserve_bytes(request, giver)
    if keeps < reserve:
        raise _cannot(
            request,
            f"'{giver.machine}' would keep {format_size(max(0, keeps))} online, and its reserve "
            f"is {format_size(reserve)}",
            "move less, or set --reserve",
        )
    available = giver.room.available_bytes
    if available is not None and available < take.in_use_bytes:
        raise _cannot(
            request,
            f"'{giver.machine}' can do without {format_size(available)}, the rest is in use",
            "move less, or stop something there",
        )


def reserve_bytes(request: Move, giver: Snapshot) -> int:
    """What the giver must keep online: an eighth of what it has, and 512 MiB at least."""
    if request.reserve_bytes is not None:
        return request.reserve_bytes
    part = round_up(online_bytes(giver) // _RESERVE_PART, MIB)
    return max(_LEAST_RESERVE_BYTES, part)


def online_bytes(snapshot: Snapshot) -> int:
    """What a machine uses: its blocks that are online, less what a device has not plugged there."""
    online = [b for b in snapshot.blocks if b.state is not BlockState.OFFLINE]
    total = len(online) * snapshot.block_size_bytes
    for device in snapshot.devices:
        if device.plugged_bytes is not None:
            mine = [b for b in online if b.device == device.name]
            total -= max(0, len(mine) * snapshot.block_size_bytes - device.plugged_bytes)
    return total


def check_hosts(request: Move, giver: Snapshot, taker: Snapshot) -> None:
    """Raise ``CannotPlan`` where the hosts do not allow it."""
    if giver.identity == taker.identity:
        raise _cannot(request, "both are the same machine", "name two")
    if giver.host is None or taker.host is None:
        return
    if giver.host.host != taker.host.host:
        raise _cannot(request, "they run on different hosts", "name two guests of one host")
    if taker.host.free_bytes < 0:
        raise _cannot(
            request,
            f"the host has promised {format_size(-taker.host.free_bytes)} more than it has",
            "take memory from a guest first",
        )


def _online(giver: Snapshot, device: Device) -> int:
    mine = blocks_of_device(giver, device.name)
    return sum(block.state is not BlockState.OFFLINE for block in mine)


def _gives(device: Device) -> bool:
    """Whether a virtio-mem device tells its size and can be asked for a smaller one."""
    known = None not in {device.plugged_bytes, device.requested_bytes}
    return device.kind is DeviceKind.VIRTIO_MEM and known and _most(device) > 0


def _most(device: Device) -> int:
    return round_down(device.plugged_bytes or 0, device.unit_bytes or 1)


def _asked(device: Device) -> int:
    return max(device.requested_bytes or 0, device.plugged_bytes or 0)


def _room(device: Device) -> int:
    if device.requested_bytes is None:
        return 0
    return round_down(max(0, device.size_bytes - _asked(device)), device.unit_bytes or 1)


def _shares(devices: Sequence[Device], size_bytes: int) -> Iterator[tuple[Device, int]]:
    """Cut an amount to devices, the one that has most first; the last share is rounded up."""
    left = size_bytes
    for device in sorted(devices, key=lambda d: (-_most(d), d.name)):
        share = min(_most(device), round_up(left, device.unit_bytes or 1))
        if share > 0:
            yield device, share
            left -= share


def _removable(giver: Snapshot, without: frozenset[str]) -> list[Device]:
    """DIMMs that may go, the surest first: all movable, then the highest addresses."""

    def sure(device: Device) -> tuple[int, int]:
        mine = blocks_of_device(giver, device.name)
        kernel = sum(b.zone is not None and b.zone is not ZoneType.MOVABLE for b in mine)
        return kernel, -max(part.start for part in device.ranges)

    found = [
        device
        for device in giver.devices
        if device.kind is DeviceKind.DIMM
        and device.present
        and device.ranges
        and not device.pending
        and device.name not in without
        and not any(map(never_goes, blocks_of_device(giver, device.name)))
    ]
    return sorted(found, key=sure)


def _least_over(dimms: Sequence[Device], size_bytes: int) -> tuple[Device, ...] | None:
    """The DIMMs whose sum is the least that suffices, as few as make that sum.

    Sums are built up DIMM by DIMM, the surest first; of two ways to a sum the
    one with fewer is kept, and of two with as many the one that was first.
    """
    if size_bytes <= 0:
        return ()
    sums: dict[int, tuple[Device, ...]] = {0: ()}
    for dimm in dimms:
        for total, chosen in list(sums.items()):
            more = total + dimm.size_bytes
            known = sums.get(more)
            if total < size_bytes and (known is None or len(known) > len(chosen) + 1):
                sums[more] = (*chosen, dimm)
    enough = [total for total in sums if total >= size_bytes]
    return sums[min(enough)] if enough else None


def _check_new_dimm(request: Move, taker: Snapshot, left: int, placed: int) -> None:
    room = taker.room
    fits = left % taker.block_size_bytes == 0
    slot = room.free_slots != 0
    space = room.free_bytes is None or room.free_bytes >= left
    if fits and slot and space:
        return
    if fits and not slot:
        why = "it has no free DIMM slot for the rest"
    elif fits:
        why = "it has no addresses for the rest"
    else:
        why = f"the rest is no multiple of {format_size(taker.block_size_bytes)}"
    raise _cannot(
        request,
        f"'{taker.machine}' has room for {format_size(placed) if placed else 'nothing'} in its "
        f"virtio-mem devices, and {why}",
        "move less",
    )


def _cannot(request: Move, problem: str, advice: str) -> CannotPlan:
    return CannotPlan(request=str(request), problem=problem, advice=advice)
