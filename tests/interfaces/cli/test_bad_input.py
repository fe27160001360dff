"""Bad input on a Linux machine: one clear sentence, an exit code, and nothing is changed."""

import shutil
from pathlib import Path

import pytest

from memhp.core.words import ExitCode
from memhp.interfaces.cli.main import main
from saved_trees import unpack

TREES = Path(__file__).parents[2] / "machines/linux/trees"
MEMORY = "sys/devices/system/memory"


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MEMHP_STATE_DIR", str(tmp_path / "state"))
    return unpack(TREES / "guest-6.12.tar.gz", tmp_path)


def ask(tree: Path, words: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Run a command on the tree; returns its exit code and its one sentence."""
    code = main([*words.split(), "-M", f"linux:{tree}"])
    said = capsys.readouterr()
    assert said.out == ""
    [sentence] = said.err.splitlines()
    return code, sentence


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        ("offline memory999", ExitCode.USAGE, "has no memory999: see 'memhp ls'"),
        ("offline 0-999", ExitCode.USAGE, "see 'memhp ls' for the blocks that it has"),
        ("offline 0x90000000-0x9fffffff", ExitCode.USAGE, "has no memory block in 0x90000000"),
        ("offline 900T", ExitCode.REFUSED, "in use, or is the reserve of 64M; ask for less"),
        ("offline node7", ExitCode.USAGE, "has no memory block in node7"),
        ("offline dimm77", ExitCode.USAGE, "has no device 'dimm77'"),
        ("offline memory1 --accept fire", ExitCode.USAGE, "'fire' is no risk: there are: bindings"),
        ("offline memory1 --brake much", ExitCode.USAGE, "'much' is no percentage: give 1 to 99"),
        ("offline memory1 --brake 0", ExitCode.USAGE, "'0' is no percentage: give 1 to 99"),
        ("offline memory1 --stall soon", ExitCode.USAGE, "'soon' is no time: give one as 90s"),
    ],
)
def test_bad_words(
    tree: Path, words: str, code: ExitCode, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    exit_code, said = ask(tree, words, capsys)
    assert (exit_code, sentence in said) == (code, True), said
    assert not (tree.parent / "state").exists()


def test_without_sysfs_as_in_a_container(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(tree / "sys")
    code, said = ask(tree, "offline memory1", capsys)
    assert code == ExitCode.MACHINE
    assert "does not support memory blocks:" in said
    assert "a container may hide it; a kernel without memory hotplug has none" in said


def test_a_kernel_without_hotplug_has_no_blocks(
    tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(tree / MEMORY)
    code, said = ask(tree, "offline memory1", capsys)
    assert code == ExitCode.MACHINE
    assert "does not support memory blocks:" in said
    assert "a container may hide it; a kernel without memory hotplug has none" in said
