"""Small C programs for guests that have nothing but a busybox: compiled here, statically."""

import shutil
import subprocess
import tempfile
from pathlib import Path

from memhp.core.errors import MachineError
from memhp.machines.lab.carried import Carried


def compile_static(source: Path) -> bytes:
    """Compile a program without shared libraries; raises ``MachineError``."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        raise MachineError(
            machine="lab:",
            problem="needs a C compiler for the program that uses up its memory",
            advice="install packages gcc and libc6-dev",
        )
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / source.stem
        command = [compiler, "-static", "-O2", "-s", "-o", str(target), str(source)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            why = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise MachineError(
                machine="lab:",
                problem=f"cannot compile {source.name} ({why})",
                advice="install package libc6-dev, and see what the compiler says",
            )
        return target.read_bytes()


def carry_compiled(source: Path, place: str, carried: Carried) -> Carried:
    """Carry a program at a place in the guest, too; raises ``MachineError``."""
    return Carried(
        programs=carried.programs,
        files={**carried.files, place: compile_static(source)},
        executable=carried.executable | {place},
    )
