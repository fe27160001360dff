"""numpy is loaded where a page is touched, and nowhere else: every command would pay for it."""

import subprocess
import sys
from pathlib import Path

import pytest

CHECK = """
import sys
from memhp.interfaces.cli.main import main
code = main({arguments})
assert code == 0, code
print("numpy" in sys.modules, file=sys.stderr)
"""
TEXT = '[[node]]\nmemory = "1G"\n[workload]\nmixed = 1\n'


def loads_numpy(*arguments: str) -> bool:
    code = CHECK.format(arguments=list(arguments))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stderr.split()[-1] == "True"


@pytest.mark.parametrize(
    "command",
    [
        ("ls", "-M", "model:server"),
        ("model", "tree", "-M", "model:server", "/proc/meminfo"),
        ("offline", "memory40", "-M", "model:server"),
    ],
)
def test_a_machine_without_a_workload_needs_no_numpy(command: tuple[str, ...]) -> None:
    assert not loads_numpy(*command)


def test_a_workload_does(tmp_path: Path) -> None:
    file = tmp_path / "m.toml"
    file.write_text(TEXT)
    assert loads_numpy("ls", "-M", f"model:{file}")
