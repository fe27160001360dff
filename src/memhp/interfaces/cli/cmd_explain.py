"""Say whether memory can go offline now, and what stands in the way.

WHAT is a block, a device, a node, addresses, one address (0x123456000) or a
process (pid:123). The answer is yes, no or unknown, block by block, each as if
the others stayed, with what you can do about it. Nothing is changed. Each answer
is kept, with what happens when memhp takes that block offline later: --history
shows both.

  memhp explain memory32 -M model:server
  memhp explain 0x140000000
  memhp explain pid:1234 --json
  memhp explain --history
"""

import re
import sys
from argparse import ArgumentParser, Namespace
from typing import Final

from memhp.core.errors import ArgumentError, JournalError, NotSupported
from memhp.core.evidence import LooksInside
from memhp.core.machine import Machine
from memhp.core.ranges import PhysRange
from memhp.core.snapshot import MemoryBlock, Snapshot, Want
from memhp.core.targets import Addresses, Amount, Target, parse_target
from memhp.core.words import ExitCode
from memhp.interfaces.cli.attempts import now
from memhp.interfaces.cli.options import LIVE, add_json_option, add_machine_option, address_of
from memhp.interfaces.cli.show import print_json
from memhp.interfaces.cli.show_explain import Explanation, print_explanation, print_history
from memhp.interfaces.cli.state_folder import state_folder
from memhp.machines.open import open_machine
from memhp.operations.hardware_unit import hardware_note
from memhp.operations.predict_offline import Prediction, predict_all
from memhp.operations.prediction_records import Judged, Predicted, estimate, judge
from memhp.operations.prediction_store import PredictionStore
from memhp.operations.resolve import blocks_meant

SUMMARY = "say whether memory can go offline now, or why not"
_ADDRESS: Final = re.compile(r"0x([0-9a-f]{1,16})", re.IGNORECASE | re.ASCII)
_PROCESS: Final = re.compile(r"pid:0*([0-9]{1,9})", re.ASCII)


def add_arguments(parser: ArgumentParser) -> None:
    """Describe the command's arguments."""
    parser.add_argument(
        "what",
        metavar="WHAT",
        nargs="*",
        help="blocks, a device, a node, addresses, one address (0x…) or a process (pid:N)",
    )
    parser.add_argument(
        "--history",
        action="store_true",
        help="show earlier answers with what then happened, and how often they were right",
    )
    add_machine_option(parser)
    add_json_option(parser)


def run(args: Namespace) -> ExitCode:
    """Explain what was asked for, or show what came of earlier answers."""
    store = PredictionStore(state_folder())
    if args.history:
        _show_history(store, args)
        return ExitCode.DONE
    machine = open_machine(address_of(args) or LIVE)
    explanation, records = explain(machine, args.what, _earlier(store))
    if args.json:
        print_json(explanation)
    else:
        print_explanation(explanation)
    try:
        store.append(records)
    except JournalError as error:
        print(f"note: the answer is not kept: {error}", file=sys.stderr)
    return ExitCode.DONE


def _show_history(store: PredictionStore, args: Namespace) -> None:
    if args.what:
        raise ArgumentError(
            text="--history", problem="stands beside a block", advice="it shows all answers"
        )
    judged = judge(store.records())
    if args.json:
        print_json(judged)
    else:
        print_history(judged)


def _earlier(store: PredictionStore) -> tuple[Judged, ...]:
    """What was measured before; an answer does not need it."""
    try:
        return judge(store.records())
    except JournalError:
        return ()


def explain(
    machine: Machine, words: list[str], judged: tuple[Judged, ...]
) -> tuple[Explanation, list[Predicted]]:
    """Look into what was named and judge it; gives what to keep, too."""
    if not words:
        raise ArgumentError(
            text="WHAT", problem="is missing", advice="name blocks, a node, a device or an address"
        )
    if not isinstance(machine, LooksInside):
        raise NotSupported(
            machine=machine.name,
            operation="look into its blocks from outside",
            advice="run 'memhp explain' in the guest itself",
        )
    snapshot = machine.snapshot(Want.BLOCKS | Want.DEVICES | Want.IOMEM)
    targets = [target for word in words for target in _targets(machine, word)]
    blocks = blocks_meant(targets, snapshot)
    evidence = machine.evidence([block.block for block in blocks])
    predictions = predict_all(evidence)
    explanation = Explanation(
        machine=machine.name,
        predictions=predictions,
        times=tuple(estimate(judged, machine.address, p.pages_to_move) for p in predictions),
        notes=(*evidence.notes, *hardware_note(targets, snapshot)),
    )
    return explanation, _to_keep(machine, snapshot, blocks, predictions)


def _targets(machine: LooksInside, word: str) -> list[Target]:
    if word.startswith("pid:") and not _PROCESS.fullmatch(word):
        raise ArgumentError(text=word, problem="names no process", advice="as in pid:1234")
    if match := _PROCESS.fullmatch(word):
        found = machine.ranges_of_task(int(match[1]))
        if not found:
            raise ArgumentError(
                text=word, problem="has no memory of its own", advice="name another process"
            )
        return [Addresses(range=part) for part in found]
    if match := _ADDRESS.fullmatch(word):
        address = int(match[1], 16)
        return [Addresses(range=PhysRange.inclusive(address, address))]
    target = parse_target(word)
    if isinstance(target, Amount):
        raise ArgumentError(
            text=word, problem="is an amount", advice="name blocks, a node, a device or an address"
        )
    return [target]


def _to_keep(
    machine: Machine,
    snapshot: Snapshot,
    blocks: tuple[MemoryBlock, ...],
    predictions: tuple[Prediction, ...],
) -> list[Predicted]:
    """What is worth keeping: of machines that last, and of blocks that are online."""
    if not machine.lasts:
        return []
    time = now()
    return [
        Predicted(
            time=time,
            machine=snapshot.identity,
            address=machine.address,
            block=prediction.block,
            zone=prediction.zone,
            answer=prediction.answer,
            pages_to_move=prediction.pages_to_move,
            because=prediction.obstacles[0].what if prediction.obstacles else "",
        )
        for block, prediction in zip(blocks, predictions, strict=True)
        if not prediction.is_offline and block.block == prediction.block
    ]
