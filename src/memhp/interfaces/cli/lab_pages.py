"""``memhp lab pages``: record what a real kernel's page allocator does under a load."""

import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

from memhp.core.errors import ArgumentError
from memhp.core.geometry import MIB
from memhp.core.targets import parse_size
from memhp.core.words import ExitCode
from memhp.interfaces.cli.options import add_json_option
from memhp.interfaces.cli.show import print_json
from memhp.machines.lab.guest import Guest
from memhp.machines.lab.kernels import KERNELS
from memhp.machines.lab.page_program import LOADS

_LEAST_MIB = 256


def add_pages_arguments(actions: Any) -> None:
    """Describe the action."""
    pages = actions.add_parser(
        "pages",
        description="Boot a guest, put a load on its memory, and record every page that its "
        "kernel gives out and gets back; 'memhp trace pages' holds the model against it.",
    )
    pages.add_argument("load", choices=LOADS, help="what is done to memory")
    pages.add_argument("file", metavar="FILE", help="the recording to write (.json.xz)")
    pages.add_argument("--seed", type=int, default=1, metavar="S", help="the load's chance (1)")
    pages.add_argument("--size", default="550M", help="about what the load holds (550M)")
    pages.add_argument("--memory", default="1G", help="what the guest has (1G)")
    pages.add_argument("--kernel", choices=KERNELS, default=KERNELS[0], help="which kernel to boot")
    add_json_option(pages)


def run_pages(args: Namespace) -> ExitCode:
    """Record one load; the guest is put down."""
    from memhp.machines.lab.record_pages import PageLoad, record_allocations  # noqa: PLC0415
    from memhp.model.allocations.recording import write_allocations  # noqa: PLC0415

    load = PageLoad(
        name=args.load,
        seed=args.seed,
        size_mib=_mib(args.size),
        memory_mib=_mib(args.memory, _LEAST_MIB),
        kernel=args.kernel,
    )
    recording = record_allocations(load, Guest(f"pages-{args.load}-{args.seed}"), _tell)
    write_allocations(recording, Path(args.file))
    counts = {
        "file": args.file,
        "kernel": recording.kernel,
        "events": len(recording.events),
        "untraced": recording.untraced,
        "overlaps": recording.overlaps,
    }
    if args.json:
        print_json(counts)
    else:
        print(
            f"{args.file}: {recording.kernel}, {len(recording.events)} events, "
            f"{recording.untraced} of them deduced"
        )
    return ExitCode.DONE


def _mib(text: str, least: int = 1) -> int:
    size = parse_size(text)
    if size < least * MIB or size % MIB:
        raise ArgumentError(
            text=text, problem="is no size for this", advice=f"give MiB, {least} at least"
        )
    return size // MIB


def _tell(what: str) -> None:
    print(f"memhp: {what}", file=sys.stderr)
