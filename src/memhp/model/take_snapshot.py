"""The modelled machine as a snapshot, the same values that a real one gives."""

from collections.abc import Iterator

from memhp.core.geometry import PAGE_SIZE_BYTES, BlockId, NodeId, Pfn
from memhp.core.ranges import PhysRange
from memhp.core.snapshot import (
    Device,
    IomemEntry,
    MemoryBlock,
    NodeInfo,
    Policy,
    Room,
    Snapshot,
    Want,
    ZoneInfo,
)
from memhp.core.surroundings import Surroundings, ZoneRoom
from memhp.core.words import BlockState, DeviceKind, OnlineType
from memhp.model.blocks import Block
from memhp.model.devices import VirtioMemDevice
from memhp.model.hardware import taken_addresses
from memhp.model.kernel import Kernel
from memhp.model.kernel_pages import distance
from memhp.model.watermarks import watermarks
from memhp.model.zone_choice import valid_zones


def take_snapshot(kernel: Kernel, *, machine: str, identity: str, want: Want) -> Snapshot:
    """Look at the parts of the machine that are wanted."""
    return Snapshot(
        machine=machine,
        identity=identity,
        want=want,
        block_size_bytes=kernel.block_size_bytes,
        blocks=tuple(_blocks(kernel)) if Want.BLOCKS in want else (),
        zones=tuple(_zones(kernel)) if Want.ZONES in want else (),
        nodes=tuple(_nodes(kernel)) if Want.NODES in want else (),
        devices=tuple(devices(kernel)) if Want.DEVICES in want else (),
        iomem=tuple(_iomem(kernel)) if Want.IOMEM in want else (),
        command_line=kernel.line.text if Want.POLICY in want else "",
        policy=_policy(kernel) if Want.POLICY in want else Policy(),
        room=_room(kernel) if Want.ROOM in want else Room(),
        surroundings=_surroundings(kernel, want),
    )


def _surroundings(kernel: Kernel, want: Want) -> Surroundings:
    return Surroundings(
        rooms=tuple(_rooms(kernel)) if Want.SURROUNDINGS in want else (),
        huge_pools=tuple(kernel.huge_pools()) if Want.HUGE_POOLS in want else (),
    )


def one_block(kernel: Kernel, number: int) -> MemoryBlock | None:
    """One block as a snapshot shows it; ``None`` where there is none."""
    block = kernel.blocks.get(number)
    if block is None:
        return None
    owner = next((name for name, numbers in _owners(kernel) if number in numbers), None)
    return _block(kernel, number, block, owner)


def devices(kernel: Kernel) -> Iterator[Device]:
    """DIMMs and virtio-mem devices, those that wait in a slot included."""
    for slot in kernel.slots.values():
        yield Device(
            name=slot.name,
            kind=DeviceKind.DIMM,
            size_bytes=slot.size_bytes,
            node=slot.node,
            present=slot.present,
            ranges=(slot.range,) if slot.enabled else (),
            pending=slot.waits is not None,
            verdict=slot.verdict,
        )
    for device in kernel.virtio_mem.values():
        yield Device(
            name=device.name,
            kind=DeviceKind.VIRTIO_MEM,
            size_bytes=device.region.size_bytes,
            node=device.node,
            present=True,
            ranges=tuple(_virtio_ranges(kernel, _blocks_of(kernel, device))),
            requested_bytes=device.requested_bytes,
            plugged_bytes=device.plugged_bytes,
            unit_bytes=device.unit_bytes,
        )


def _blocks_of(kernel: Kernel, device: VirtioMemDevice) -> list[int]:
    return [number for number in sorted(device.plugged) if number in kernel.blocks]


def _virtio_ranges(kernel: Kernel, numbers: list[int]) -> Iterator[PhysRange]:
    start = end = None
    for number in numbers:
        here = kernel.block_range(number)
        if end == here.start:
            end = here.end
            continue
        if start is not None and end is not None:
            yield PhysRange(start=start, end=end)
        start, end = here.start, here.end
    if start is not None and end is not None:
        yield PhysRange(start=start, end=end)


def _owners(kernel: Kernel) -> list[tuple[str, range]]:
    return [
        (device.name, kernel.blocks_of(part))
        for device in devices(kernel)
        for part in device.ranges
    ]


def _blocks(kernel: Kernel) -> Iterator[MemoryBlock]:
    """Every block; ``valid_zones`` is worked out once where it cannot differ."""
    owners = {number: name for name, numbers in _owners(kernel) for number in numbers}
    for run in kernel.blocks:
        for number in range(run.start, run.end):
            yield _block(kernel, number, run.value, owners.get(number))


def _block(kernel: Kernel, number: int, block: Block, owner: str | None) -> MemoryBlock:
    return MemoryBlock(
        block=BlockId(number),
        state=block.state,
        zone=block.zone if block.state is not BlockState.OFFLINE else None,
        nodes=block.links,
        valid_zones=valid_zones(kernel, number, block),
        device=owner,
    )


def _zones(kernel: Kernel) -> Iterator[ZoneInfo]:
    for node in sorted(kernel.online_nodes):
        for zone in kernel.node_zones(node):
            if zone.spanned or zone.present:
                yield ZoneInfo(
                    node=zone.node,
                    zone=zone.zone,
                    start_pfn=Pfn(zone.start_pfn),
                    spanned=zone.spanned,
                    present=zone.present,
                    managed=zone.managed,
                )


def _nodes(kernel: Kernel) -> Iterator[NodeInfo]:
    online = sorted(kernel.online_nodes)
    for node in online:
        yield NodeInfo(
            node=NodeId(node),
            has_memory=kernel.node_present(node) > 0,
            has_normal_memory=kernel.node_present(node, kernel_only=True) > 0,
            has_cpu=node in kernel.firmware.cpu_nodes,
            distances=tuple(distance(kernel, node, other) for other in online),
        )


def _iomem(kernel: Kernel) -> Iterator[IomemEntry]:
    for resource in kernel.iomem:
        yield IomemEntry(range=resource.range, name=resource.name, depth=resource.depth)


def _room(kernel: Kernel) -> Room:
    """Slots and addresses for more devices.

    Model: how much memory is in use nobody knows, so ``available_bytes`` is not told.
    """
    slots, window = kernel.firmware.nr_slots, kernel.firmware.hotplug_window
    taken = sum(part.size_bytes for part in taken_addresses(kernel))
    return Room(
        slots=slots,
        free_slots=None if slots is None else slots - len(kernel.slots),
        free_bytes=None if window is None else window.size_bytes - taken,
    )


def _rooms(kernel: Kernel) -> Iterator[ZoneRoom]:
    for node in sorted(kernel.online_nodes):
        for zone in kernel.node_zones(node):
            if zone.populated:
                numbers = kernel.numbers(zone)
                yield ZoneRoom(
                    node=zone.node,
                    zone=zone.zone,
                    free_bytes=numbers.free * PAGE_SIZE_BYTES,
                    min_bytes=watermarks(kernel, zone).minimum * PAGE_SIZE_BYTES,
                    cache_bytes=numbers.of("FILE") * PAGE_SIZE_BYTES,
                )


def _policy(kernel: Kernel) -> Policy:
    settings, has = kernel.settings, kernel.profile
    return Policy(
        auto_online_blocks=settings.auto_online if has.auto_online_file else OnlineType.OFFLINE,
        online_policy=settings.online_policy if has.module_parameters else None,
        auto_movable_ratio=settings.auto_movable_ratio if has.module_parameters else None,
        auto_movable_numa_aware=settings.auto_movable_numa_aware if has.module_parameters else None,
        memmap_on_memory=settings.memmap_on_memory if has.module_parameters else None,
        movable_node=settings.movable_node,
        hotadd_memory_treat_as_movable=settings.treat_as_movable,
    )
