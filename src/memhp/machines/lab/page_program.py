"""The programs that use up a guest's memory and tell what became of it: compiled when used."""

import shutil
import subprocess
import tempfile
from importlib import resources
from pathlib import Path

from memhp.core.errors import MachineError

LOADS = ("anon", "cache", "fork", "slab", "mixed")
"""What ``page_workload`` can do to memory, by name."""


def compile_page_program(name: str) -> bytes:
    """Compile a program of the lab without shared libraries; raises ``MachineError``."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        raise MachineError(
            machine="lab:",
            problem="needs a C compiler for the program that uses up its memory",
            advice="install packages gcc and libc6-dev",
        )
    sources = resources.files("memhp.machines.lab") / "programs"
    with tempfile.TemporaryDirectory() as folder, resources.as_file(sources) as beside:
        target = Path(folder) / name
        source = beside / f"{name}.c"
        command = [compiler, "-static", "-O2", "-s", "-o", str(target), str(source)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            why = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise MachineError(
                machine="lab:",
                problem=f"cannot compile {name}.c ({why})",
                advice="install package libc6-dev, and see what the compiler says",
            )
        return target.read_bytes()
