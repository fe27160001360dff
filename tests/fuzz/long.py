"""Fuzz for minutes: ``python tests/fuzz/long.py --minutes 10 [TARGET…]``, or try one saved input.

Every target gets its share of the time, in turns, so that a run that is ended
has tried them all. What is found is saved; the exit code is 1 where anything was.
"""

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from fuzz.instrument import instrumented

with instrumented() as GUIDED:
    from fuzz.batch import Amount, own_inputs
    from fuzz.guided import guided_inputs
    from fuzz.run import Inputs, fuzz, keep
    from fuzz.target import Result, Target
    from fuzz.targets import TARGETS

FOUND = Path(".fuzz") / "found"
_TURN_SECONDS = 20.0


def main(words: Sequence[str] | None = None) -> int:
    """Fuzz, print what was tried, and save what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(TARGETS))
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().getrandbits(32))
    parser.add_argument("--again", type=Path, metavar="FILE", help="try one saved input")
    parser.add_argument("--unguided", action="store_true", help="without atheris, as the tests do")
    args = parser.parse_args(words)
    unknown = set(args.targets) - TARGETS.keys()
    if unknown:
        parser.error(f"no such target: {', '.join(sorted(unknown))}")
    chosen = [TARGETS[name] for name in args.targets or TARGETS]
    if args.again is not None:
        return _again(chosen, args.again)
    guided = GUIDED and not args.unguided
    inputs = guided_inputs if guided else own_inputs
    print(f"seed {args.seed}{', guided by coverage' if guided else ''}", flush=True)
    results = _turns(chosen, args.minutes * 60, args.seed, inputs)
    print(f"{sum(result.tried for result in results.values()):,} inputs tried")
    return int(any(result.failures for result in results.values()))


def _turns(
    targets: Sequence[Target], seconds: float, seed: int, inputs: Inputs
) -> dict[str, Result]:
    """Give each target turns of equal length until the time is over."""
    turns = max(1, round(seconds / len(targets) / _TURN_SECONDS))
    results: dict[str, Result] = {}
    for turn in range(turns):
        for target in targets:
            amount = Amount(
                inputs=target.inputs,
                seconds=seconds / turns / len(targets),
                seed=seed + turn,
                shrink_seconds=30,
                # libFuzzer keeps every input that reached something new.
                own_bytes=(1 << 30) if inputs is guided_inputs else 0,
            )
            result = fuzz(target, amount, inputs)
            _tell(result)
            results[target.name] = _joined(results.get(target.name), result)
    return results


def _joined(before: Result | None, result: Result) -> Result:
    if before is None:
        return result
    return replace(
        result,
        tried=before.tried + result.tried,
        accepted=before.accepted + result.accepted,
        failures=before.failures + result.failures,
    )


def _tell(result: Result) -> None:
    at = time.strftime("%H:%M:%S")
    print(f"{at} {result.target}: {result.tried:,} tried, {result.accepted:,} read", flush=True)
    for failure in result.failures:
        path = keep(FOUND, result.target, failure)
        print(f"  {failure.kind} at {failure.place}: {path}", flush=True)


def _again(chosen: Sequence[Target], file: Path) -> int:
    """Try one input in this process: a traceback, or what it was refused with."""
    [target] = chosen
    data = file.read_bytes()
    with tempfile.TemporaryDirectory() as folder:
        attempt = target.prepare(Path(folder))
        try:
            print(f"read: {attempt(data)!r}")
        except target.allowed as error:
            print(f"refused: {error}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
