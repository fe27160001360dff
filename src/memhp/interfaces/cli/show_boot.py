"""Two states of a machine side by side: how it stands now, and how it would have booted."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from memhp.core.geometry import NodeId, bytes_of
from memhp.core.snapshot import Snapshot
from memhp.core.targets import format_size
from memhp.core.words import BlockState, ZoneType
from memhp.interfaces.cli.amounts import amount
from memhp.model.boot_inputs import BootInputs
from memhp.model.boot_report import bytes_to_take_out, why_not_movable
from memhp.model.kernel import Kernel

_WIDTH = 26


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoneAmount:
    """What is present in a zone of a node."""

    node: NodeId
    zone: ZoneType
    present_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BootedState:
    """What is compared: zones, and how much could be taken out, by node.

    ``not_movable`` says of hot-pluggable nodes why they are not movable.
    """

    command_line: str
    kernel: str
    block_size_bytes: int
    zones: tuple[ZoneAmount, ...]
    to_take_out_bytes: Mapping[NodeId, int]
    not_movable: Mapping[NodeId, str]


def state_of_kernel(kernel: Kernel) -> BootedState:
    """The state of a kernel that was booted in the model."""
    zones = sorted(kernel.populated_zones(), key=lambda zone: (zone.node, zone.zone.order))
    return BootedState(
        command_line=kernel.line.text,
        kernel=kernel.profile.name,
        block_size_bytes=kernel.block_size_bytes,
        zones=tuple(
            ZoneAmount(node=z.node, zone=z.zone, present_bytes=bytes_of(z.present)) for z in zones
        ),
        to_take_out_bytes=bytes_to_take_out(kernel),
        not_movable=why_not_movable(kernel),
    )


def state_of_snapshot(snapshot: Snapshot, inputs: BootInputs) -> BootedState:
    """The state of any machine as it stands; every online block of ZONE_MOVABLE counts."""
    out: dict[NodeId, int] = {}
    for block in snapshot.blocks:
        if block.state is BlockState.ONLINE and block.zone is ZoneType.MOVABLE:
            node = block.node or NodeId(0)
            out[node] = out.get(node, 0) + snapshot.block_size_bytes
    return BootedState(
        command_line=snapshot.command_line,
        kernel=inputs.profile.name,
        block_size_bytes=snapshot.block_size_bytes,
        zones=tuple(
            ZoneAmount(node=z.node, zone=z.zone, present_bytes=bytes_of(z.present))
            for z in snapshot.zones
            if z.present
        ),
        to_take_out_bytes=out,
        not_movable={},
    )


def show_boot(address: str, now: BootedState, then: BootedState, inputs: BootInputs) -> None:
    """Print both states, and below what a person should know."""
    print("\n".join(_lines(address, now, then, inputs)))


def _lines(address: str, now: BootedState, then: BootedState, inputs: BootInputs) -> Iterator[str]:
    yield _row(address, "now", "booted so")
    yield _row("kernel", now.kernel, then.kernel)
    yield _row(
        "memory block size", format_size(now.block_size_bytes), format_size(then.block_size_bytes)
    )
    yield from _zone_rows(now, then)
    yield _row("can be taken out", *(_sum(state) for state in (now, then)))
    yield ""
    yield f"now:       {now.command_line or '(no parameter)'}"
    yield f"booted so: {then.command_line or '(no parameter)'}"
    for node, reason in then.not_movable.items():
        yield f"node{node} is hot-pluggable and not movable: {reason}"
    for parameter in inputs.line.ignored:
        yield f"the kernel would ignore '{parameter}'"
    yield from (f"note: {note}" for note in inputs.notes)


def _zone_rows(now: BootedState, then: BootedState) -> Iterator[str]:
    tables = [{(z.node, z.zone): z.present_bytes for z in state.zones} for state in (now, then)]
    keys = sorted({key for table in tables for key in table}, key=lambda k: (k[0], k[1].order))
    last = None
    for node, zone in keys:
        name = f"node{node}" if node != last else ""
        cells = (_shown(table.get((node, zone), 0)) for table in tables)
        yield _row(f"{name:<7}{zone}", *cells)
        last = node


def _sum(state: BootedState) -> str:
    return _shown(sum(state.to_take_out_bytes.values()))


def _shown(size_bytes: int) -> str:
    return amount(size_bytes) if size_bytes else "-"


def _row(name: str, *cells: str) -> str:
    return f"{name:<{_WIDTH}}" + "  ".join(f"{cell:>14}" for cell in cells)
