"""The programs that use up a guest's memory and tell what became of it: compiled when used."""

from importlib import resources

from memhp.machines.lab.compile_c import compile_static

LOADS = ("anon", "cache", "fork", "slab", "mixed")
"""What ``page_workload`` can do to memory, by name."""


def compile_page_program(name: str) -> bytes:
    """Compile a program of the lab without shared libraries; raises ``MachineError``."""
    sources = resources.files("memhp.machines.lab") / "programs"
    with resources.as_file(sources) as beside:
        return compile_static(beside / f"{name}.c")
