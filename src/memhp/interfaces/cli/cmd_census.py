"""Count what lies in memory blocks, by what it would mean to take them offline.

Every page of a block is free, moves, moves at a price, stays, or is unknown;
below the rows stands how many there are of each kind. Neighbours that are
much alike are one row. Without WHAT it is the whole machine, without -M this
host, where it takes root.

  memhp census
  memhp census node1 --all
  memhp census memory32-39 --owners
  memhp census --by node --json -M model:server
"""

from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence

from memhp.core.census import BlockCensus, total
from memhp.core.errors import ArgumentError, NotSupported
from memhp.core.geometry import BlockId, pages_of
from memhp.core.machine import Machine
from memhp.core.owners import KnowsMore, LooksTwice, Owners, ShowsOwners
from memhp.core.snapshot import MemoryBlock, Snapshot, Want
from memhp.core.targets import Amount, DeviceTarget, Target, parse_target
from memhp.core.words import BlockState, ExitCode
from memhp.interfaces.cli.census_rows import By, Row, rows_of
from memhp.interfaces.cli.options import LIVE, add_json_option, add_machine_option, address_of
from memhp.interfaces.cli.show import print_json
from memhp.interfaces.cli.show_census import CensusResult, as_json, print_census
from memhp.machines.open import open_machine
from memhp.operations.resolve import blocks_meant

SUMMARY = "count what lies in memory blocks"


def add_arguments(parser: ArgumentParser) -> None:
    """Describe the command's arguments and options."""
    parser.add_argument(
        "targets", nargs="*", metavar="WHAT", help="blocks, addresses, node or device"
    )
    parser.add_argument(
        "--by",
        choices=tuple(By),
        type=By,
        default=By.BLOCK,
        help="what a row is about: block (neighbours that are alike in one), node or device",
    )
    parser.add_argument("-a", "--all", action="store_true", help="give every block its own row")
    parser.add_argument(
        "--owners", action="store_true", help="look for the processes and cgroups that hold pages"
    )
    add_json_option(parser)
    add_machine_option(parser)


def run(args: Namespace) -> ExitCode:
    """Count, and print it."""
    targets = [_target(word) for word in args.targets]
    machine = open_machine(address_of(args) or LIVE)
    snapshot = machine.snapshot(_want(targets, args.by))
    blocks = blocks_meant(targets, snapshot) if targets else snapshot.blocks
    result = _result(machine, snapshot, blocks, args)
    if getattr(args, "json", False):
        print_json(as_json(result))
    else:
        print_census(result, by=args.by)
    return ExitCode.DONE


def _target(word: str) -> Target:
    target = parse_target(word)
    if isinstance(target, Amount):
        raise ArgumentError(
            text=word,
            problem="means no block in particular",
            advice="name blocks, addresses, a node or a device",
        )
    return target


def _want(targets: Sequence[Target], by: By) -> Want:
    """The parts of a snapshot that are needed; devices take longest to read."""
    devices = by is By.DEVICE or any(isinstance(target, DeviceTarget) for target in targets)
    return Want.BLOCKS | Want.DEVICES if devices else Want.BLOCKS


def _result(
    machine: Machine, snapshot: Snapshot, blocks: Sequence[MemoryBlock], args: Namespace
) -> CensusResult:
    shown = [block for block in blocks if block.state is not BlockState.OFFLINE]
    counted, told = _counted(machine, [block.block for block in shown], named=bool(args.targets))
    rows: list[Row] = rows_of(blocks, counted, by=args.by, every=args.all)
    notes = machine.census_notes(counted.values()) if isinstance(machine, KnowsMore) else ()
    return CensusResult(
        machine=snapshot.machine,
        pages_per_block=pages_of(snapshot.block_size_bytes),
        rows=tuple(rows),
        total=total(counted.values()),
        notes=(*told, *notes),
        owners=_owners(machine, shown) if args.owners else None,
    )


def _counted(
    machine: Machine, blocks: Sequence[BlockId], *, named: bool
) -> tuple[Mapping[BlockId, BlockCensus], tuple[str, ...]]:
    """Count; what was asked for by name is worth a second look."""
    if named and isinstance(machine, LooksTwice):
        found = machine.census_twice(blocks)
        return found.counted, found.notes
    return machine.census(blocks), ()


def _owners(machine: Machine, blocks: Sequence[MemoryBlock]) -> Owners:
    if not isinstance(machine, ShowsOwners):
        raise NotSupported(
            machine=machine.name,
            operation="tell who holds pages",
            advice="leave --owners away, or run memhp inside the machine itself",
        )
    return machine.owners([block.block for block in blocks])
