"""``memhp explain``: answers in words and JSON, kept with what then happened."""

import json
from pathlib import Path

import pytest

from memhp.core.words import ExitCode
from memhp.interfaces.cli.main import main

TEXT = """
[[node]]
memory = "1G"
[[node]]
hotpluggable = true
[[dimm]]
size = "512M"
node = 1
[[failures.unmovable]]
blocks = 5
what = "a driver's buffer"
[workload]
step = [{ process = "a", grow = "anonymous", size = "64M", node = 1 }]
"""


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A machine that lasts, and a folder for what is kept."""
    monkeypatch.setenv("MEMHP_STATE_DIR", str(tmp_path / "state"))
    description = tmp_path / "m.toml"
    description.write_text(TEXT)
    assert main(["model", "new", str(description), str(tmp_path / "m.machine")]) == ExitCode.DONE
    return f"model:{tmp_path / 'm.machine'}"


def told(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    capsys.readouterr()
    assert main(["explain", *words]) == ExitCode.DONE
    return capsys.readouterr().out


def test_a_block_that_stays_and_what_can_be_done(
    machine: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = told(capsys, "memory5", "-M", machine)
    assert out.splitlines()[0] == "memory5 (DMA32): no, it cannot go offline now"
    assert "  in the way: a driver's buffer" in out.splitlines()
    assert out.splitlines()[-1].startswith("0 yes, 1 no, 0 unknown; ")


def test_answers_are_kept_with_what_then_happened(
    machine: str, capsys: pytest.CaptureFixture[str]
) -> None:
    told(capsys, "memory4-5", "-M", machine)
    main(["offline", "memory4", "-M", machine])
    main(["offline", "memory5", "-M", machine])
    lines = told(capsys, "--history").splitlines()
    assert [line.split(" said ")[1].split(" ")[0] for line in lines[:-1]] == ["yes;", "no"]
    assert lines[0].endswith("went: right")
    assert "stayed: failure to isolate range [EBUSY]" in lines[1]
    assert lines[1].endswith(": right")
    assert lines[2] == "yes: 1 of 1 right; no: 1 of 1 right; 0 unknown; 0 not tried"
    kept = json.loads(told(capsys, "--history", "--json"))
    assert [one["tried"]["went"] for one in kept] == [True, False]


def test_many_blocks_are_a_table_and_the_same_values_as_json(
    machine: str, capsys: pytest.CaptureFixture[str]
) -> None:
    table = told(capsys, "node0", "-M", machine).splitlines()
    assert table[0].split() == ["BLOCK", "ZONE", "ANSWER", "TO", "MOVE", "IN", "THE", "WAY"]
    found = json.loads(told(capsys, "node0", "-M", machine, "--json"))
    rows = {row.split()[0]: row.split()[2] for row in table[1:-1]}
    assert rows == {f"memory{p['block']}": p["answer"] for p in found["predictions"]}
    assert found["times"] == [None] * len(rows)


def test_an_address_says_what_can_be_replaced(
    machine: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = told(capsys, "0x10000000", "-M", machine)
    assert out.startswith("memory2 ")
    assert "one DIMM lies in nearly every block of its socket" in out
    assert "dimm0 is removed whole" in told(capsys, "dimm0", "-M", machine)


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        ([], ExitCode.USAGE, "'WHAT' is missing"),
        (["4G"], ExitCode.USAGE, "'4G' is an amount"),
        (["memory99"], ExitCode.USAGE, "has no memory99"),
        (["pid:1"], ExitCode.REFUSED, "cannot find process 1"),
        (["pid:x"], ExitCode.USAGE, "'pid:x' names no process: as in pid:1234"),
        (["--history", "memory1"], ExitCode.USAGE, "'--history' stands beside a block"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_what_cannot_be_explained_is_one_sentence(
    machine: str,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    code: ExitCode,
    sentence: str,
) -> None:
    capsys.readouterr()
    assert main(["explain", *words, "-M", machine]) == code
    said = capsys.readouterr()
    assert sentence in said.err
    assert said.err.count("\n") == 1
    assert said.out == ""


def test_an_answer_that_cannot_be_kept_is_given(
    machine: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MEMHP_STATE_DIR", str(tmp_path / "file"))
    capsys.readouterr()
    assert main(["explain", "memory5", "-M", machine]) == ExitCode.DONE
    said = capsys.readouterr()
    assert said.out.startswith("memory5 (DMA32): no, ")
    assert said.err.startswith("note: the answer is not kept: ")
    assert said.err.count("\n") == 1


def test_a_saved_tree_has_no_pages_to_look_at(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEMHP_STATE_DIR", str(tmp_path / "state"))
    memory = tmp_path / "tree/sys/devices/system/memory"
    (memory / "memory0").mkdir(parents=True)
    (memory / "block_size_bytes").write_text("8000000\n")
    (memory / "memory0/state").write_text("online\n")
    assert main(["explain", "memory0", "-M", f"linux:{tmp_path}/tree"]) == ExitCode.REFUSED
    assert "cannot show its pages" in capsys.readouterr().err
