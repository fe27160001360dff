"""Fuzzing one target in a process of its own, which is watched, and keeping what it found."""

import base64
import json
import os
import select
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import IO, Any

from fuzz.batch import Amount, Batch, Scratch, bound_memory, own_inputs
from fuzz.target import Failure, Result, Target

Tell = Callable[[Failure | None], None]
Inputs = Callable[[Batch, Target, Amount], None]
_SILENT_SECONDS = 180.0
"""A process that says nothing for so long hangs where no signal reaches it."""


def fuzz(target: Target, amount: Amount, inputs: Inputs = own_inputs) -> Result:
    """Try inputs in a new process; whatever becomes of it, what it tried and found is known."""
    scratch = Scratch()

    def work(folder: Path, tell: Tell, stop: Callable[[], None]) -> None:
        attempt = target.prepare(folder)
        bound_memory(target.memory_bytes + amount.own_bytes)
        batch = Batch(
            target, attempt, scratch, tell, shrink_seconds=amount.shrink_seconds, stop=stop
        )
        inputs(batch, target, amount)

    with tempfile.TemporaryDirectory(prefix="memhp-fuzz-") as folder:
        receive, send = os.pipe()
        sys.stdout.flush()
        pid = os.fork()
        if pid == 0:
            os.close(receive)
            _live(work, Path(folder), send)
        os.close(send)
        try:
            failures, ended = _watched(receive)
        finally:
            os.kill(pid, signal.SIGKILL)
            _, status = os.waitpid(pid, 0)
    tried, accepted, last = scratch.read()
    if not ended:
        failures.append(_death(status, last))
    return Result(target=target.name, tried=tried, accepted=accepted, failures=tuple(failures))


def keep(folder: Path, target: str, failure: Failure) -> Path:
    """Save the input of a failure, and beside it what came of it; returns its path."""
    name = sha256(f"{failure.kind} {failure.place}".encode()).hexdigest()[:8]
    path = folder / target / f"{failure.kind}-{name}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(failure.data)
    path.with_name(f"{path.name}.txt").write_text(failure.told, errors="backslashreplace")
    return path


def _live(work: Callable[[Path, Tell, Callable[[], None]], None], folder: Path, send: int) -> None:
    """The whole life of the process that tries."""

    def stop() -> None:
        _write(send, b'"end"\n')
        os._exit(0)

    try:
        sys.settrace(None)
        _silence()
        os.chdir(folder)
        os.environ |= {
            "MEMHP_NO_LIVE_WRITES": "1",
            "MEMHP_STATE_DIR": str(folder / "journals"),
            "MEMHP_LAB_DIR": str(folder / "lab"),
            "MEMHP_DEBUG": "1",
        }
        work(folder, lambda failure: _write(send, _line(failure)), stop)
        stop()
    except BaseException as fault:
        told = "".join(traceback.format_exception(fault))
        _write(send, _line(Failure(kind="Fuzzer", place="anywhere", told=told, data=b"")))
    finally:
        os._exit(0)


def _write(pipe: int, data: bytes) -> None:
    while data:
        data = data[os.write(pipe, data) :]


def _silence() -> None:
    """What commands print while they are fuzzed, nobody reads."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nowhere, number)
    sys.stdout = os.fdopen(1, "w", encoding="utf-8")
    sys.stderr = os.fdopen(2, "w", encoding="utf-8", errors="backslashreplace")


def _line(failure: Failure | None) -> bytes:
    if failure is None:
        return b"null\n"
    told: dict[str, Any] = asdict(failure) | {"data": base64.b64encode(failure.data).decode()}
    return json.dumps(told).encode() + b"\n"


def _watched(receive: int) -> tuple[list[Failure], bool]:
    """What the process tells, and whether it came to its end."""
    failures: list[Failure] = []
    with os.fdopen(receive, "rb", buffering=0) as pipe:
        while select.select([pipe], [], [], _SILENT_SECONDS)[0]:
            told = json.loads(_read_line(pipe) or b'"dead"')
            if isinstance(told, str):
                return failures, told == "end"
            if told is not None:
                failures.append(Failure(**told | {"data": base64.b64decode(told["data"])}))
    return failures, False


def _read_line(pipe: IO[bytes]) -> bytes:
    return pipe.readline()


def _death(status: int, data: bytes) -> Failure:
    how = f"signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else "by itself"
    return Failure(kind="Died", place="anywhere", told=f"the process ended: {how}", data=data)
