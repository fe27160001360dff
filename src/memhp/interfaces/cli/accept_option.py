"""``--accept``: risks are taken by name, or nothing is done."""

import sys
from argparse import ArgumentParser, Namespace

from memhp.core.errors import ArgumentError
from memhp.core.plan import Plan
from memhp.core.snapshot import Snapshots
from memhp.core.surroundings import Risk
from memhp.operations.risks import dangers_of


def add_accept_option(parser: ArgumentParser) -> None:
    """Add ``--accept``."""
    parser.add_argument(
        "--accept",
        metavar="RISK[,RISK]",
        help="go on in spite of these: bindings (tasks or cgroups are bound to a node that gets "
        "smaller), own-cpuset (memhp's own cpuset keeps pages from going where they must), "
        "crash-kernel (a loaded one is not told of the change), room (less of it elsewhere than "
        "must move), ratio (more movable memory than 15 to 1 of the kernel's), poisoned (a block "
        "with a poisoned page, which from 6.12 on never comes online again)",
    )


def accepted(args: Namespace) -> tuple[Risk, ...]:
    """The risks that were named; raises ``ArgumentError``."""
    words = [] if args.accept is None else args.accept.split(",")
    for word in words:
        if word not in set(Risk):
            known = ", ".join(Risk)
            raise ArgumentError(text=word, problem="is no risk", advice=f"there are: {known}")
    return tuple(dict.fromkeys(Risk(word) for word in words))


def tell_dangers(plan: Plan, snapshots: Snapshots, accept: tuple[Risk, ...]) -> None:
    """Say beforehand what would be refused, and what is accepted."""
    for danger in dangers_of(plan, snapshots):
        how = "accepted" if danger.risk in accept else f"refused without --accept {danger.risk}"
        print(f"note: {how}: {danger.why}", file=sys.stderr)
