"""Which workload ``memhp model compare`` puts on a machine."""

from argparse import Namespace
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from memhp.core.errors import ArgumentError
from memhp.model.boot_inputs import BootInputs

if TYPE_CHECKING:  # numpy, which it needs, takes long to load
    from memhp.model.compare.load import Load

OWN: Final = "own"
MIXED: Final = "mixed"
LOADS: Final = (OWN, MIXED)
_FILL: Final = "40%"
_PEAK: Final = "90%"
_ONLY_MIXED: Final = ("fill", "peak", "dma", "name_all")
"""Options that say how "mixed" is done."""


def choose_load(args: Namespace, inputs: BootInputs) -> BootInputs:
    """Leave a machine its own workload, or take it away where "mixed" is to run.

    Raises ``ArgumentError`` where it has none and was to run its own, and for
    options that only "mixed" has.
    """
    if args.load == MIXED or (args.load is None and inputs.workload is None):
        return replace(inputs, workload=None)
    if inputs.workload is None:
        raise ArgumentError(
            text=f"--load {OWN}",
            problem="finds no [workload] in the machine's description",
            advice=f"write one, or leave it away to run '{MIXED}'",
        )
    for name in _ONLY_MIXED:
        if getattr(args, name):
            raise ArgumentError(
                text="--" + name.replace("_", "-"),
                problem="is not for a machine with a workload of its own",
                advice=f"leave it away, or give --load {MIXED}",
            )
    return inputs


def mixed_load(args: Namespace) -> "Load":
    """How "mixed" is done; raises ``ArgumentError``."""
    from memhp.model.compare.load import Load  # noqa: PLC0415 - imports numpy

    fill, peak = parse_percent(args.fill or _FILL) / 100, parse_percent(args.peak or _PEAK) / 100
    if args.peak and peak < fill:
        raise ArgumentError(
            text=f"--peak {args.peak}",
            problem="is less than what is left of it",
            advice=f"give {args.fill or _FILL} or more, or another --fill",
        )
    return Load(fill=fill, peak=max(fill, peak), name_all=args.name_all)


def parse_percent(text: str, most: int = 99) -> int:
    """Read a percentage, with or without its sign; raises ``ArgumentError``."""
    number = text.strip().removesuffix("%")
    if not number.isdecimal() or int(number) > most:
        raise ArgumentError(
            text=text, problem="is no percentage for this", advice=f"give 0 to {most}"
        )
    return int(number)
