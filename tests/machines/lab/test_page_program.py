"""The lab's programs are compiled where they are used, or it is said what is missing."""

import os
import shutil
import struct
from pathlib import Path

import pytest

from memhp.core.errors import MachineError
from memhp.machines.lab.page_program import compile_page_program

PT_INTERP = 3


def segments(program: bytes) -> list[int]:
    """The kinds of an ELF file's segments; one that names a loader is loaded with libraries."""
    (at,) = struct.unpack_from("<Q", program, 32)
    size, count = struct.unpack_from("<HH", program, 54)
    return [struct.unpack_from("<I", program, at + size * index)[0] for index in range(count)]


needs_compiler = pytest.mark.skipif(
    shutil.which("gcc") is None and os.environ.get("MEMHP_REQUIRE_KERNEL") != "1",
    reason="package gcc is missing",
)


@needs_compiler
@pytest.mark.parametrize("name", ["page_workload", "page_fill"])
def test_a_program_is_compiled_without_shared_libraries(name: str) -> None:
    program = compile_page_program(name)
    assert program[:4] == b"\x7fELF"
    assert PT_INTERP not in segments(program)


def test_without_a_compiler_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MachineError, match="install packages gcc and libc6-dev"):
        compile_page_program("page_workload")


@needs_compiler
def test_a_program_that_does_not_compile_says_why(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broken = tmp_path / "gcc"
    broken.write_text("#!/bin/sh\necho 'stdlib.h: No such file' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(MachineError, match=r"cannot compile page_workload.c \(stdlib.h"):
        compile_page_program("page_workload")
