"""The program that loads a guest's memory and tells what became of it: compiled where it is used."""

import shutil
import subprocess
import tempfile
from importlib import resources
from pathlib import Path

from memhp.core.errors import MachineError

LOADS = ("anon", "cache", "fork", "slab", "mixed")
"""What it can do to memory, by name."""
_SOURCE = "page_workload.c"


def compile_page_program() -> bytes:
    """Compile the program without shared libraries; raises ``MachineError``."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        raise MachineError(
            machine="lab:",
            problem="needs a C compiler for the program that loads its memory",
            advice="install packages gcc and libc6-dev",
        )
    source = resources.files("memhp.machines.lab") / "programs" / _SOURCE
    with tempfile.TemporaryDirectory() as folder, resources.as_file(source) as file:
        target = Path(folder) / "page_workload"
        command = [compiler, "-static", "-O2", "-s", "-o", str(target), str(file)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            why = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise MachineError(
                machine="lab:",
                problem=f"cannot compile {_SOURCE} ({why})",
                advice="install package libc6-dev, and see what the compiler says",
            )
        return target.read_bytes()
