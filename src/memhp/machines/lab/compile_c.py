"""Small C programs for guests that have nothing but a busybox: compiled here, statically."""

import shutil
import subprocess
import tempfile
from pathlib import Path

from memhp.core.errors import MachineError
from memhp.machines.lab.carried import Carried


def carry_compiled(source: Path, place: str, carried: Carried) -> Carried:
    """Carry a program at a place in the guest, too; raises ``MachineError`` without a compiler."""
    return Carried(
        programs=carried.programs,
        files={**carried.files, place: _compiled(source)},
        executable=carried.executable | {place},
    )


def _compiled(source: Path) -> bytes:
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        raise MachineError(
            machine="lab:", problem="needs a C compiler", advice="install packages gcc, libc6-dev"
        )
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "program"
        command = [compiler, "-O2", "-static", "-o", str(program), str(source)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            why = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise MachineError(machine="lab:", problem=f"cannot compile {source.name} ({why})")
        return program.read_bytes()
