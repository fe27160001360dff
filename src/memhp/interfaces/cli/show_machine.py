"""A machine on one screen: nodes, zones, devices, and the policy that new memory meets."""

from collections.abc import Iterator

from memhp.core.geometry import bytes_of
from memhp.core.ranges import format_blocks
from memhp.core.snapshot import Device, NodeInfo, Snapshot
from memhp.core.targets import format_size
from memhp.core.words import BlockState, ZoneType
from memhp.interfaces.cli.amounts import amount


def show_machine(snapshot: Snapshot) -> None:
    """Print the machine."""
    print("\n".join(_lines(snapshot)))


def _lines(snapshot: Snapshot) -> Iterator[str]:
    online = [b for b in snapshot.blocks if b.state is not BlockState.OFFLINE]
    movable = [b for b in online if b.zone is ZoneType.MOVABLE]
    size = snapshot.block_size_bytes
    yield (
        f"{snapshot.machine}: {len(snapshot.blocks)} blocks of {format_size(size)}, "
        f"{len(online)} online ({amount(len(online) * size)}), "
        f"{amount(len(movable) * size)} of it movable"
    )
    if snapshot.command_line:
        yield f"command line: {snapshot.command_line}"
    yield f"new memory: {_policy(snapshot)}"
    for node in snapshot.nodes:
        yield ""
        yield from _node(snapshot, node)
    if snapshot.devices:
        yield ""
        empty = [d.name for d in snapshot.devices if not d.present and not d.size_bytes]
        yield from (_device(snapshot, d) for d in snapshot.devices if d.name not in empty)
        if empty:
            names = empty[0] if len(empty) == 1 else f"{empty[0]} to {empty[-1]}"
            yield f"{len(empty)} empty slot{'' if len(empty) == 1 else 's'}: {names}"


def _policy(snapshot: Snapshot) -> str:
    policy = snapshot.policy
    if policy.auto_online_blocks is None:
        return "unknown"
    words = [f"auto_online_blocks={policy.auto_online_blocks}"]
    if policy.online_policy is not None:
        words.append(f"online_policy={policy.online_policy}")
    if policy.memmap_on_memory is not None:
        words.append(f"memmap_on_memory={policy.memmap_on_memory}")
    return ", ".join(words)


def _node(snapshot: Snapshot, node: NodeInfo) -> Iterator[str]:
    blocks = [b.block for b in snapshot.blocks if node.node in b.nodes]
    cpus = "with processors" if node.has_cpu else "no processor"
    yield f"node{node.node}  {cpus}, {format_blocks(blocks) if blocks else 'no memory'}"
    for zone in snapshot.zones:
        if zone.node == node.node:
            first = bytes_of(zone.start_pfn)
            last = bytes_of(zone.start_pfn + zone.spanned) - 1
            yield (
                f"  {zone.zone:<8} {first:#014x}-{last:#014x}  "
                f"{amount(bytes_of(zone.present)):>9} present"
            )


def _device(snapshot: Snapshot, device: Device) -> str:
    where = ", ".join(str(part) for part in device.ranges) or "gives no memory"
    state = where if device.present else "not plugged in"
    node = "" if device.node is None else f" node{device.node}"
    mine = [b for b in snapshot.blocks if b.device == device.name]
    online = sum(b.state is not BlockState.OFFLINE for b in mine)
    blocks = f"  {online} of {len(mine)} blocks online" if mine else ""
    return f"{device.name:<12}{node} {amount(device.size_bytes):>9}  {state}{blocks}"
