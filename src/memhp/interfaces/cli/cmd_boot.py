"""Show which zones a machine gets from a command line and an SRAT.

The machine is booted in the model, side by side with how it stands now. Where
a node was meant to be movable and is not, it says why.

  memhp boot server --cmdline 'movable_node'
  memhp boot linux: --cmdline 'kernelcore=8G'
  memhp boot linux: --cmdline movable_node --hotpluggable 1
"""

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Protocol, runtime_checkable

from memhp.core.acpi.srat import parse_srat
from memhp.core.errors import ArgumentError, NotSupported
from memhp.core.geometry import NodeId
from memhp.core.ranges import parse_list
from memhp.core.words import ExitCode
from memhp.interfaces.cli.options import add_json_option
from memhp.interfaces.cli.show import print_json
from memhp.interfaces.cli.show_boot import show_boot, state_of_kernel, state_of_snapshot
from memhp.machines.open import open_machine
from memhp.model.boot_inputs import BootInputs
from memhp.model.profile import PROFILES

SUMMARY = "show which zones a command line would give a machine"


@runtime_checkable
class Bootable(Protocol):
    """A machine of which it is known what it was booted from."""

    def boot_inputs(self) -> BootInputs:
        """Hardware, firmware, kernel and command line; raises ``MachineError``."""


def add_arguments(parser: ArgumentParser) -> None:
    """Describe the command's arguments and options."""
    parser.add_argument(
        "machine", metavar="MACHINE", help="a shipped model machine, or any address as for -M"
    )
    parser.add_argument("--cmdline", metavar="TEXT", help="the kernel's command line (its own)")
    parser.add_argument("--kernel", choices=PROFILES, help="the kernel to boot (its own)")
    parser.add_argument("--srat", metavar="FILE", help="an SRAT to boot with, in its binary form")
    parser.add_argument(
        "--hotpluggable", metavar="NODES", help="nodes that the SRAT calls hot-pluggable, as 1-3"
    )
    add_json_option(parser)


def run(args: Namespace) -> ExitCode:
    """Boot the model and print both states."""
    address = args.machine if ":" in args.machine else f"model:{args.machine}"
    machine = open_machine(address)
    if not isinstance(machine, Bootable):
        raise NotSupported(
            machine=address, operation="be booted", advice="this is for model: and linux: machines"
        )
    inputs = _changed(args, machine.boot_inputs())
    now = state_of_snapshot(machine.snapshot(), machine.boot_inputs())
    then = state_of_kernel(inputs.boot())
    if args.json:
        print_json({"now": now, "then": then, "notes": inputs.notes})
    else:
        show_boot(address, now, then, inputs)
    return ExitCode.DONE


def _changed(args: Namespace, inputs: BootInputs) -> BootInputs:
    """The machine's own inputs with what the options change."""
    if args.kernel is not None:
        inputs = inputs.with_profile(PROFILES[args.kernel])
    if args.cmdline is not None:
        inputs = inputs.with_command_line(args.cmdline)
    if args.srat is not None:
        from memhp.machines.linux.boot_inputs import affinities_of  # noqa: PLC0415

        inputs = inputs.with_affinities(affinities_of(parse_srat(_read(args.srat))))
    if args.hotpluggable is not None:
        inputs = inputs.with_hotpluggable(_nodes(args.hotpluggable, inputs))
    return inputs


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as err:
        raise ArgumentError(
            text=path, problem=f"cannot be read ({err.strerror})", advice="give an SRAT's file"
        ) from err


def _nodes(text: str, inputs: BootInputs) -> frozenset[NodeId]:
    try:
        nodes = frozenset(NodeId(number) for number in parse_list(text.replace("node", "")))
    except ValueError as err:
        raise ArgumentError(
            text=text, problem="is no list of nodes", advice="give their numbers, as 1-3"
        ) from err
    known = {entry.node for entry in inputs.firmware.affinities}
    if not nodes <= known:
        listed = ", ".join(str(node) for node in sorted(known)) or "none"
        raise ArgumentError(
            text=text, problem="names a node that the SRAT does not", advice=f"it names {listed}"
        )
    return nodes
