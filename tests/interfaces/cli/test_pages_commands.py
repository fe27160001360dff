"""``memhp trace pages`` and the words of ``memhp lab pages``."""

import json
import shutil
from pathlib import Path

import pytest

from memhp.core.words import ExitCode
from memhp.interfaces.cli.main import main

RECORDINGS = Path(__file__).parents[2] / "model/allocations/recordings/6.12"


def test_a_recording_is_judged(capsys: pytest.CaptureFixture[str]) -> None:
    file = str(RECORDINGS / "slab-1.json.xz")
    assert main(["trace", "pages", file]) == ExitCode.DONE
    assert capsys.readouterr().out == (
        f"{file}: 104 pageblocks with an unmovable page, 105 in the model: 1.0% off, within 10%\n"
    )


def test_one_that_cannot_be_read_does_not_stop_the_others(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    bad = tmp_path / "bad.json.xz"
    bad.write_bytes(b"no recording")
    good = tmp_path / "good.json.xz"
    shutil.copy(RECORDINGS / "slab-2.json.xz", good)
    assert main(["trace", "pages", "--json", str(bad), str(good)]) == ExitCode.MACHINE
    said = capsys.readouterr()
    [judged] = json.loads(said.out)
    assert judged["file"] == str(good)
    assert judged["judgement"]["recorded"] == 103
    assert said.err == f"memhp: recording {bad}: 'file' is no JSON compressed with xz\n"


@pytest.mark.parametrize("words", [["--size", "x"], ["--memory", "64M"], ["--size", "1000K"]])
def test_sizes_are_checked_before_a_guest_boots(
    capsys: pytest.CaptureFixture[str], words: list[str], tmp_path: Path
) -> None:
    assert main(["lab", "pages", "slab", str(tmp_path / "a"), *words]) == ExitCode.USAGE
    assert capsys.readouterr().err.count("\n") == 1
