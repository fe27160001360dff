"""``memhp model compare``: one workload under several policies, in figures."""

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memhp.core.errors import ArgumentError, NotSupported
from memhp.core.words import ExitCode
from memhp.interfaces.cli.cmd_boot import Bootable
from memhp.interfaces.cli.compare_load import LOADS, choose_load, mixed_load, parse_percent
from memhp.interfaces.cli.compare_plot import validate_plot, write_plots
from memhp.interfaces.cli.options import add_json_option
from memhp.interfaces.cli.show import print_json
from memhp.machines.open import open_machine
from memhp.model.compare.costs import Costs, read_costs
from memhp.model.compare.policies import MEMMAPS, VMALLOC, combinations, parse_policy

if TYPE_CHECKING:  # numpy, which they need, takes long to load
    from collections.abc import Mapping

    from memhp.model.boot_inputs import BootInputs
    from memhp.model.compare.comparison import Comparison
    from memhp.model.compare.facts import Combination
    from memhp.model.compare.figures import Latencies
    from memhp.model.compare.run_one import Run
    from memhp.model.compare.sensitivity import Runs

_POLICIES = ("normal", "movable-node", "auto-movable", "migrate-kernel")
_DESCRIPTION = """\
Put the same workload on a machine under several policies, take out what can be
taken out, and compare what comes of it and what it costs.

policies: normal, movable-node, auto-movable[=RATIO], movablecore=AMOUNT,
kernelcore=AMOUNT, migrate-kernel; several joined by '+'. With migrate-kernel
kernel memory moves too, which no Linux can do: its figures are upper bounds.
"""


def add_compare_arguments(actions: Any) -> None:
    """Describe the action."""
    compare = actions.add_parser("compare", description=_DESCRIPTION)
    compare.add_argument(
        "sources", metavar="MACHINE", nargs="+", help="a shipped machine, or any address"
    )
    compare.add_argument(
        "--policy",
        action="append",
        metavar="POLICY",
        help="what to compare; again for more (normal, movable-node, auto-movable, migrate-kernel)",
    )
    compare.add_argument(
        "--memmap",
        default="ordinary",
        metavar="LIST",
        help="where memory maps of added memory lie: ordinary,block,node (ordinary)",
    )
    compare.add_argument(
        "--migrate-vmalloc", choices=VMALLOC, default="no", help="whether vmalloc data moves (no)"
    )
    compare.add_argument(
        "--dma",
        metavar="LIST",
        help="percent of kernel pages that devices hold, as 0,25,50,75 (0); swept where "
        "kernel memory moves",
    )
    _add_run_options(compare)
    _add_cost_options(compare)
    compare.add_argument("--plot", metavar="FILE", help="draw the result into an SVG or PNG file")
    add_json_option(compare)


def _add_run_options(compare: ArgumentParser) -> None:
    compare.add_argument(
        "--load",
        choices=LOADS,
        help="the workload of the machine's description (where it has one), or 'mixed'",
    )
    compare.add_argument("--fill", metavar="P%", help="of memory in use with 'mixed' (40%%)")
    compare.add_argument(
        "--peak", metavar="P%", help="of memory that was in use once with 'mixed' (90%%)"
    )
    compare.add_argument(
        "--name-all",
        action="store_true",
        help="take kernel pages that no counter names for slab, which can be moved",
    )
    compare.add_argument("--seeds", type=int, default=10, metavar="N", help="runs of each (10)")
    compare.add_argument("--jobs", type=int, default=1, metavar="N", help="at the same time (1)")


def _add_cost_options(compare: ArgumentParser) -> None:
    compare.add_argument("--costs", type=Path, metavar="TOML", help="a file of cost parameters")
    compare.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="set one cost parameter; --show-costs lists them",
    )
    compare.add_argument("--show-costs", action="store_true", help="print them, and stop")
    compare.add_argument(
        "--hmat", type=Path, metavar="FILE", help="take latencies from an HMAT in its binary form"
    )
    compare.add_argument(
        "--tlb-entries", type=int, default=1536, metavar="N", help="entries of the TLB (1536)"
    )


def run_compare(args: Namespace) -> ExitCode:
    """Run all combinations, and print tables or JSON."""
    costs = read_costs(args.costs, args.set)
    if args.show_costs:
        _show_costs(args, costs)
        return ExitCode.DONE
    if args.plot is not None:
        validate_plot(args.plot)
    asked = _combinations(args)
    inputs = {source: choose_load(args, _inputs(source)) for source in args.sources}
    latencies = {source: _latencies(args.hmat, each) for source, each in inputs.items()}
    from memhp.model.compare.comparison import compare  # noqa: PLC0415 - imports numpy
    from memhp.model.compare.run_all import run_all  # noqa: PLC0415

    entries = _positive(args.tlb_entries, "--tlb-entries")
    runs = run_all(_jobs(args, asked, inputs), _positive(args.jobs, "--jobs"), _tell)
    results = {
        source: compare(
            of_it,
            asked,
            costs,
            latencies=latencies[source],
            tlb_entries=entries,
            own_workload=inputs[source].workload is not None,
        )
        for source, of_it in runs.items()
    }
    if args.json:
        print_json([_json(source, result, runs[source]) for source, result in results.items()])
    else:
        _print(results, entries)
    if args.plot is not None:
        write_plots(args.plot, results)
    return ExitCode.DONE


def _json(source: str, result: "Comparison", runs: "Runs") -> dict[str, object]:
    every = [facts for of_it in runs.values() for facts in of_it]
    return {"machine": source, "comparison": result, "runs": every}


def _print(results: "Mapping[str, Comparison]", entries: int) -> None:
    from memhp.interfaces.cli.show_compare import compare_lines  # noqa: PLC0415 - imports numpy

    for source, result in results.items():
        if len(results) > 1:
            print(f"{source}:")
        print("\n".join(compare_lines(result, tlb_entries=entries)))


def _show_costs(args: Namespace, costs: Costs) -> None:
    if args.json:
        print_json(list(costs))
        return
    for parameter in costs:
        print(f"{parameter.name} = {parameter.value:g} {parameter.unit}\n    {parameter.source}")


def _combinations(args: Namespace) -> "tuple[Combination, ...]":
    policies = [parse_policy(text) for text in args.policy or _POLICIES]
    memmaps = args.memmap.split(",")
    for memmap in memmaps:
        if memmap not in MEMMAPS:
            raise ArgumentError(
                text=args.memmap,
                problem="names no place for memory maps",
                advice=f"give {', '.join(MEMMAPS)}, or some of them with commas between",
            )
    percents = [parse_percent(text, most=75) for text in (args.dma or "0").split(",")]
    return tuple(
        dict.fromkeys(combinations(policies, memmaps, VMALLOC[args.migrate_vmalloc], percents))
    )


def _inputs(source: str) -> "BootInputs":
    machine = open_machine(source if ":" in source else f"model:{source}")
    if not isinstance(machine, Bootable):
        raise NotSupported(
            machine=source, operation="be booted", advice="this is for model: and linux: machines"
        )
    return machine.boot_inputs()


def _latencies(file: Path | None, inputs: "BootInputs") -> "Latencies | None":
    """The HMAT's latencies, where one was given; raises ``ArgumentError`` for half a table."""
    if file is None:
        return None
    from memhp.core.acpi.hmat import parse_hmat  # noqa: PLC0415
    from memhp.model.compare.latencies import are_complete, latencies_of  # noqa: PLC0415

    try:
        data = file.read_bytes()
    except OSError as err:
        raise ArgumentError(
            text=str(file), problem=f"cannot be read ({err.strerror})", advice="give an HMAT's file"
        ) from err
    found = latencies_of(parse_hmat(data))
    if not are_complete(found, inputs.firmware.cpu_nodes):
        raise ArgumentError(
            text=str(file),
            problem="has no latency for every pair of nodes with processors",
            advice="leave --hmat away to use the table of the cost model",
        )
    return found


def _jobs(
    args: Namespace, asked: "tuple[Combination, ...]", inputs: "Mapping[str, BootInputs]"
) -> "list[Run]":
    from memhp.model.compare.comparison import UNRESTRICTED  # noqa: PLC0415
    from memhp.model.compare.run_one import Run  # noqa: PLC0415

    load = mixed_load(args)
    return [
        Run(
            machine=source,
            inputs=each,
            combination=combination,
            load=load,
            seed=seed,
            workload=each.workload,
        )
        for source, each in inputs.items()
        for combination in dict.fromkeys((UNRESTRICTED, *asked))
        for seed in range(1, _positive(args.seeds, "--seeds") + 1)
    ]


def _positive(number: int, option: str) -> int:
    if number < 1:
        raise ArgumentError(
            text=f"{option} {number}", problem="is too few", advice="give 1 or more"
        )
    return number


def _tell(done: int, total: int, job: "Run") -> None:
    """Progress: a live line on a terminal, else a line for every tenth part."""
    if sys.stderr.isatty():
        end = "\n" if done == total else ""
        print(
            f"\r\x1b[K{done}/{total} {job.combination}, seed {job.seed}", end=end, file=sys.stderr
        )
        sys.stderr.flush()
    elif done * 10 // total > (done - 1) * 10 // total:
        print(f"memhp: {done} of {total} runs done", file=sys.stderr)
