"""A machine on one screen: nodes, zones, devices, and the policy that new memory meets."""

from collections.abc import Iterator

from memhp.core.geometry import bytes_of
from memhp.core.ranges import format_blocks
from memhp.core.snapshot import Device, HostBudget, NodeInfo, Snapshot, ZoneInfo
from memhp.core.targets import format_size
from memhp.core.words import BlockState, DeviceKind, OnlineType, ZoneType
from memhp.interfaces.cli.amounts import amount
from memhp.interfaces.cli.colour import Paint

_MOST_DEVICES = 12
_LONGEST_COMMAND_LINE = 120


def show_machine(snapshot: Snapshot, paint: Paint) -> None:
    """Print the machine."""
    print("\n".join(_lines(snapshot, paint)))


def _lines(snapshot: Snapshot, paint: Paint) -> Iterator[str]:
    online = [b for b in snapshot.blocks if b.state is not BlockState.OFFLINE]
    movable = [b for b in online if b.zone is ZoneType.MOVABLE]
    size = snapshot.block_size_bytes
    name = paint(snapshot.machine.rstrip(":"), "bold")
    if not snapshot.blocks:
        # Every machine has some; of a guest without an agent nobody knows how they stand.
        yield f"{name}: nobody tells how its memory blocks stand"
    else:
        yield (
            f"{name}: {len(snapshot.blocks)} blocks of {format_size(size)}, "
            f"{len(online)} online ({amount(len(online) * size)}), "
            f"{paint(amount(len(movable) * size), 'green')} of it movable"
        )
        if snapshot.command_line:
            yield f"command line: {_short(snapshot.command_line)}"
        yield f"new memory: {_policy(snapshot)}"
    for node in snapshot.nodes:
        yield ""
        yield from _node(snapshot, node, paint)
    if not snapshot.nodes and snapshot.zones:
        yield ""
        yield from (_zone(zone, paint) for zone in snapshot.zones)
    if snapshot.devices:
        yield ""
        yield from _devices(snapshot, paint)
    if snapshot.host is not None:
        yield ""
        yield _host(snapshot.host)


def _short(text: str) -> str:
    if len(text) <= _LONGEST_COMMAND_LINE:
        return text
    return f"{text[:_LONGEST_COMMAND_LINE]}…"


def _policy(snapshot: Snapshot) -> str:
    """What a person wants to know first, then the settings that make it so."""
    policy = snapshot.policy
    if policy.auto_online_blocks is None:
        return "comes online as somebody in user space decides"
    words = [f"auto_online_blocks={policy.auto_online_blocks}"]
    if policy.online_policy is not None:
        words.append(f"online_policy={policy.online_policy}")
    if policy.memmap_on_memory is not None:
        words.append(f"memmap_on_memory={policy.memmap_on_memory}")
    return f"{_MEANINGS[policy.auto_online_blocks]} ({', '.join(words)})"


_MEANINGS = {
    OnlineType.OFFLINE: "stays offline until somebody brings it online",
    OnlineType.ONLINE: "comes online by itself, in the zone that the kernel chooses",
    OnlineType.ONLINE_KERNEL: "comes online by itself, for kernel data too",
    OnlineType.ONLINE_MOVABLE: "comes online by itself, movable",
}


def _node(snapshot: Snapshot, node: NodeInfo, paint: Paint) -> Iterator[str]:
    blocks = [b.block for b in snapshot.blocks if node.node in b.nodes]
    cpus = "with processors" if node.has_cpu else "no processor"
    where = format_blocks(blocks) if blocks else "no memory"
    yield f"{paint(f'node{node.node}', 'bold')}  {cpus}, {where}"
    for zone in snapshot.zones:
        if zone.node == node.node:
            yield _zone(zone, paint)


def _zone(zone: ZoneInfo, paint: Paint) -> str:
    first = bytes_of(zone.start_pfn)
    last = bytes_of(zone.start_pfn + zone.spanned) - 1
    name = f"{zone.zone:<8}"
    shown = paint(name, "green" if zone.zone is ZoneType.MOVABLE else "yellow")
    return f"  {shown} {first:#014x}-{last:#014x}  {amount(bytes_of(zone.present)):>9} present"


def _devices(snapshot: Snapshot, paint: Paint) -> Iterator[str]:
    empty = [d.name for d in snapshot.devices if not d.present and not d.size_bytes]
    real = [d for d in snapshot.devices if d.name not in empty]
    yield from (_device(snapshot, device, paint) for device in real[:_MOST_DEVICES])
    if len(real) > _MOST_DEVICES:
        yield paint(f"and {len(real) - _MOST_DEVICES} more devices", "dim")
    if empty:
        names = empty[0] if len(empty) == 1 else f"{empty[0]} to {empty[-1]}"
        yield paint(f"{len(empty)} empty slot{'' if len(empty) == 1 else 's'}: {names}", "dim")


def _device(snapshot: Snapshot, device: Device, paint: Paint) -> str:
    where = ", ".join(str(part) for part in device.ranges) or "gives no memory"
    absent = "not used as memory" if device.kind is DeviceKind.DAX else "not plugged in"
    state = where if device.present else paint(absent, "dim")
    node = "" if device.node is None else f" node{device.node}"
    mine = [b for b in snapshot.blocks if b.device == device.name]
    online = sum(b.state is not BlockState.OFFLINE for b in mine)
    blocks = f"  {online} of {len(mine)} blocks online" if mine else ""
    name = paint(f"{device.name:<12}", "cyan")
    return f"{name}{node} {amount(device.size_bytes):>9}  {state}{blocks}{_asked(device)}"


def _asked(device: Device) -> str:
    """What a virtio-mem device has of what is asked of it, and what still waits for an answer."""
    if device.pending:
        return ", and an eject waits for its answer"
    if device.requested_bytes is None or device.plugged_bytes is None:
        return ""
    if device.plugged_bytes == device.requested_bytes:
        return f", {amount(device.plugged_bytes)} plugged"
    return f", {amount(device.plugged_bytes)} of {amount(device.requested_bytes)} plugged"


def _host(host: HostBudget) -> str:
    total = amount(host.total_bytes)
    if host.free_bytes < 0:
        return f"host         has {total}, and has promised {amount(-host.free_bytes)} too much"
    return f"host         has {total}, {amount(host.free_bytes)} of it left to give"
