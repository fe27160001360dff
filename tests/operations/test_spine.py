"""Operations from the command line: plans, conditions, journal, locks, and every refusal."""

import fcntl
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from memhp.core.words import ExitCode
from memhp.interfaces.cli.main import main
from memhp.machines.model import ModelMachine
from memhp.machines.open import open_machine
from memhp.model.store import StateFile
from memhp.model.tree.tree import Tree
from memhp.operations.journal import Journals

TEXT = """
command_line = "memhp_default_state=online_movable"
[[node]]
memory = "2G"
[[dimm]]
size = "1G"
[[dimm]]
size = "256M"
waiting = true
[[failures.unmovable]]
blocks = "34"
what = "a pinned page"
"""
GIB_OF_DIMM = range(32, 40)


class Shell:
    """Runs commands on one machine that lasts."""

    def __init__(self, machine: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.machine = machine
        self._capsys = capsys

    def __call__(self, *words: str) -> tuple[int, str, str]:
        try:
            code = int(main([*words, "-M", f"model:{self.machine}"]))
        except SystemExit as stop:
            code = int(stop.code or 0)
        said = self._capsys.readouterr()
        return code, said.out, said.err

    def states(self) -> str:
        """The DIMM's blocks, a letter each: M movable, K kernel, - offline; empty without it."""
        blocks = open_machine(f"model:{self.machine}").snapshot().blocks
        return "".join(
            "-" if b.state.value == "offline" else ("M" if str(b.zone) == "Movable" else "K")
            for b in blocks
            if b.block in GIB_OF_DIMM
        )


@pytest.fixture
def memhp(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Shell:
    path = tmp_path / "m.machine"
    StateFile.create(path, TEXT).close()
    return Shell(path, capsys)


def journals() -> Journals:
    return Journals(Path(os.environ["MEMHP_STATE_DIR"]))


def test_a_block_that_refuses_is_left_and_the_others_are_tried(memhp: Shell) -> None:
    code, out, err = memhp("offline", "dimm0")
    assert (code, memhp.states()) == (64, "--M-----")
    assert out.count("done") == 7
    assert err == "7 of 8 steps done\n"


def test_all_or_nothing_puts_everything_back(memhp: Shell) -> None:
    memhp("offline", "33")
    memhp("online", "33", "--zone", "kernel")
    code, out, err = memhp("offline", "dimm0", "--all-or-nothing")
    assert (code, memhp.states()) == (1, "MKMMMMMM")
    assert "putting back what was done" in out
    assert err == "refused, and everything was put back\n"


def test_all_or_nothing_where_the_first_refuses_changes_nothing(memhp: Shell) -> None:
    code, _, err = memhp("offline", "34", "--all-or-nothing")
    assert (code, err) == (1, "")


def test_an_amount_is_taken_from_others_where_one_refuses(memhp: Shell) -> None:
    code, _, _ = memhp("offline", "896M")
    assert (code, memhp.states()) == (0, "--M-----")


@pytest.mark.parametrize(
    ("words", "code", "states"),
    [
        (["offline", "dimm0", "--at-least", "512M"], 0, "--M-----"),
        (["offline", "dimm0", "--at-least", "1G"], 64, "--M-----"),
        (["offline", "dimm0", "--at-least", "1G", "--all-or-nothing"], 1, "MMMMMMMM"),
        (["offline", "dimm0", "--at-least", "896M", "--all-or-nothing"], 0, "--M-----"),
        (["evacuate", "32-33"], 0, "--MMMMMM"),
        (["evacuate", "0,32"], 1, "MMMMMMMM"),
        (["evacuate", "0,32", "--at-least", "128M"], 0, "-MMMMMMM"),
        (["remove", "dimm0"], 1, "MMMMMMMM"),
        (["replace", "dimm0"], 1, "MMMMMMMM"),
        (["offline", "dimm0", "--deadline", "1h"], 64, "--M-----"),
    ],
)
def test_conditions(memhp: Shell, words: list[str], code: int, states: str) -> None:
    assert (memhp(*words)[0], memhp.states()) == (code, states)


def test_blocks_come_back_in_their_zones_after_a_replacement(memhp: Shell) -> None:
    memhp("offline", "32-33,35-39")
    memhp("online", "35", "--zone", "kernel")
    memhp("online", "36,37", "--zone", "movable")
    with StateFile.open(memhp.machine) as state, state.change("unpin") as kernel:
        kernel.unmovable.clear()
    assert memhp.states() == "--MKMM--"
    code, out, _ = memhp("replace", "dimm0")
    assert (code, memhp.states()) == (0, "--MKMM--")
    assert "remove dimm0: done, removed" in out
    code, _, err = memhp("undo")
    assert (code, err) == (0, "nothing to do: everything is so already\n")


def test_a_dry_run_is_exact_and_does_nothing(memhp: Shell) -> None:
    before = memhp.machine.read_bytes()
    code, out, _ = memhp("offline", "36-38", "--dry-run")
    assert (code, memhp.machine.read_bytes()) == (0, before)
    planned = [line.partition("   ")[0] for line in out.splitlines()]
    _, out, _ = memhp("offline", "36-38")
    assert [line.partition(":")[0] for line in out.splitlines()] == planned
    assert journals().names() == ["1"]


def test_a_saved_plan_is_carried_out(memhp: Shell, tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    plan.write_text(memhp("offline", "36-38", "--dry-run", "--json")[1])
    code, out, _ = memhp("apply", str(plan))
    assert (code, out.count("done"), memhp.states()) == (0, 3, "MMMM---M")
    assert memhp("undo")[0] == 0
    assert memhp.states() == "MMMMMMMM"


def test_a_stale_plan_is_refused_and_nothing_changed(memhp: Shell, tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    plan.write_text(memhp("offline", "36-38", "--dry-run", "--json")[1])
    memhp("offline", "37")
    code, out, err = memhp("apply", str(plan))
    assert (code, out, err.count("\n")) == (ExitCode.STALE, "", 1)
    assert "make the plan again" in err
    assert memhp.states() == "MMMMM-MM"


def test_a_plan_made_before_a_boot_is_stale(memhp: Shell, tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    plan.write_text(memhp("offline", "36", "--dry-run", "--json")[1])
    with StateFile.open(memhp.machine) as state:
        state.restart()
    assert memhp("apply", str(plan))[0] == ExitCode.STALE


def test_other_changes_do_not_make_a_plan_stale(memhp: Shell, tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    plan.write_text(memhp("offline", "36", "--dry-run", "--json")[1])
    memhp("offline", "39")
    assert memhp("apply", str(plan))[0] == 0


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "is no JSON"),
        ("[]", "is no Plan"),
        ('{"type": "Plan"}', "is no Plan"),
        ('{"type": "Plan", "request": 1, "marks": {}, "steps": []}', "is no"),
    ],
)
def test_plans_that_are_none(memhp: Shell, tmp_path: Path, text: str, told: str) -> None:
    plan = tmp_path / "plan.json"
    plan.write_text(text)
    code, out, err = memhp("apply", str(plan))
    assert (out, err.count("\n")) == ("", 1)
    assert code in {2, 3}
    assert told in err


def test_undo_of_each_kind(memhp: Shell) -> None:
    memhp("offline", "34")
    with StateFile.open(memhp.machine) as state, state.change("unpin") as kernel:
        kernel.unmovable.clear()
    for words in (["offline", "33,36"], ["remove", "dimm0"], ["add", "dimm1"], ["add", "1G"]):
        before = open_machine(f"model:{memhp.machine}").snapshot()
        assert memhp(*words)[0] == 0
        assert memhp("undo")[0] == 0
        after = open_machine(f"model:{memhp.machine}").snapshot()
        assert after.blocks == before.blocks


def test_a_machine_that_is_named_has_its_own_last_operation(memhp: Shell, tmp_path: Path) -> None:
    other = tmp_path / "other.machine"
    StateFile.create(other, TEXT).close()
    memhp("offline", "36")
    assert main(["offline", "37", "-M", f"model:{other}"]) == 0
    code, out, _ = memhp("undo")
    assert (code, out) == (0, "offline memory37: done\nonline_movable memory36: done, in Movable\n")
    code, _, err = memhp("undo", "2")
    assert code == ExitCode.USAGE
    assert "is not the machine of operation 2" in err


def test_undo_stops_where_somebody_has_changed_it_since(memhp: Shell) -> None:
    memhp("offline", "36")
    memhp("online", "36", "--zone", "kernel")
    code, out, err = memhp("undo", "1")
    assert (code, out) == (ExitCode.STALE, "")
    assert "memory36 is online in Normal, and it was not left so" in err
    assert memhp.states() == "MMMMKMMM"


def test_what_cannot_come_back_does_not_keep_the_others(memhp: Shell) -> None:
    """A 6.12 kernel never brings a block with a poisoned page online again."""
    with StateFile.open(memhp.machine) as state, state.change("poison") as kernel:
        memory = "/sys/devices/system/memory"
        Tree(kernel).write(f"{memory}/hard_offline_page", hex(36 << 27))
    assert memhp("offline", "35-38", "--accept", "poisoned")[0] == 0
    code, out, _ = memhp("undo")
    assert (code, memhp.states()) == (64, "MMMM-MMM")
    assert "online_movable memory36: refused: the block holds a poisoned page [EHWPOISON" in out
    assert memhp("offline", "34-35,37", "--all-or-nothing")[0] == 1
    assert memhp.states() == "MMMM-MMM"


@pytest.mark.parametrize("options", ["", "--json"])
@pytest.mark.parametrize("reader", ["| true", "| head -1", "> /dev/full"])
def test_an_operation_goes_on_though_nobody_reads(memhp: Shell, reader: str, options: str) -> None:
    command = f"{sys.executable} -m memhp offline 35-39 {options} -M model:{memhp.machine}"
    script = f"set -o pipefail; {command} {reader}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True)
    assert memhp.states() == "MMM-----"
    assert (done.returncode, "Traceback" in done.stderr) == (0, False)
    assert journals().read("1").finished is not None


def test_a_replacement_goes_on_though_nobody_reads(memhp: Shell) -> None:
    memhp("offline", "34")
    with StateFile.open(memhp.machine) as state, state.change("unpin") as kernel:
        kernel.unmovable.clear()
    command = f"{sys.executable} -m memhp replace dimm0 -M model:{memhp.machine} > /dev/full"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert done.returncode == 0
    last = journals().read("2")
    assert str(last.begun.request) == "replace dimm0"
    assert last.finished is not None


def test_undo_of_undo_is_doing_it_again(memhp: Shell) -> None:
    memhp("offline", "36")
    memhp("undo")
    assert memhp("undo")[0] == 0
    assert memhp.states() == "MMMM-MMM"


def interrupted(memhp: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin to take three blocks offline, and be killed before the second."""
    plain = ModelMachine.apply
    steps: list[Any] = []

    def apply(self: Any, step: Any, **options: Any) -> Any:
        if steps:
            raise KeyboardInterrupt
        steps.append(step)
        return plain(self, step, **options)

    with monkeypatch.context() as patch:
        patch.setattr(ModelMachine, "apply", apply)
        code, _, err = memhp("offline", "35-37")
    assert code == ExitCode.INTERRUPTED
    assert "memhp resume" in err


def test_resume_goes_on(memhp: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupted(memhp, monkeypatch)
    assert memhp.states() == "MMMMM-MM"
    code, out, _ = memhp("resume")
    assert (code, out.count("done"), memhp.states()) == (0, 2, "MMM---MM")
    code, _, err = memhp("resume")
    assert (code, err.count("\n")) == (2, 1)
    assert "is left for that" in err
    assert "has ended (done)" in memhp("resume", "1")[2]


def test_undo_goes_back_from_half_way(memhp: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupted(memhp, monkeypatch)
    assert memhp("undo")[0] == 0
    assert memhp.states() == "MMMMMMMM"
    assert "was undone by operation 2" in memhp("resume", "1")[2]


def test_resume_stops_at_what_nobody_described(
    memhp: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted(memhp, monkeypatch)
    with StateFile.open(memhp.machine) as state, state.change("somebody else") as kernel:
        memory = "/sys/devices/system/memory/memory35"
        Tree(kernel).write(f"{memory}/state", "offline")
        Tree(kernel).write(f"{memory}/state", "online_kernel")
    code, out, err = memhp("resume")
    assert (code, out, err.count("\n")) == (ExitCode.STALE, "", 1)
    assert "offline memory35 expects memory35: online, Movable" in err


def test_nothing_is_resumed_after_a_boot(memhp: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupted(memhp, monkeypatch)
    with StateFile.open(memhp.machine) as state:
        state.restart()
    for word in ("resume", "undo"):
        code, out, err = memhp(word)
        assert (code, out, err.count("\n")) == (ExitCode.STALE, "", 1)
        assert "has been booted since" in err


def test_a_journal_of_another_machine(memhp: Shell, tmp_path: Path) -> None:
    memhp("offline", "36")
    memhp.machine.unlink()
    StateFile.create(memhp.machine, TEXT).close()
    code, _, err = memhp("undo")
    assert (code, err.count("\n")) == (ExitCode.STALE, 1)
    assert "is another machine" in err
    memhp.machine.unlink()
    assert memhp("undo")[0] == ExitCode.MACHINE


def test_a_second_writer_is_told_who_is_at_it(memhp: Shell) -> None:
    memhp("offline", "36")
    [lock] = (journals().folder / "locks").iterdir()
    with lock.open("r+") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        handle.truncate(0)
        handle.write("process 4711 to evacuate node1")
        handle.flush()
        code, out, err = memhp("offline", "37")
    assert (code, out, err.count("\n")) == (ExitCode.LOCKED, "", 1)
    assert "is being changed by process 4711 to evacuate node1" in err
    assert memhp("offline", "37")[0] == 0


def test_a_full_disk_under_the_journal(memhp: Shell) -> None:
    """The line that does not fit is not begun, and the step is not asked for."""
    memhp("offline", "36")
    size = (journals().folder / "1.journal").stat().st_size
    before = memhp.states()
    for limit in (0, 100, size - 300, size - 100):
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
        try:
            code, out, err = memhp("offline", "37")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert (code, out) == (ExitCode.MACHINE, ""), limit
        assert "cannot be" in err
        assert err.count("\n") == 1
        assert memhp.states() == before


@pytest.mark.parametrize("damage", ["garbage", "deep", "type", "cut", "order", "empty"])
def test_a_damaged_journal_is_one_sentence(memhp: Shell, damage: str) -> None:
    memhp("offline", "36")
    path = journals().folder / "1.journal"
    lines = path.read_bytes().splitlines(keepends=True)
    match damage:
        case "garbage":
            path.write_bytes(b"\xff\xfe\n")
        case "deep":
            path.write_bytes(b"[" * 100_000 + b"\n")
        case "type":
            path.write_bytes(lines[0] + lines[1].replace(b'"type":"Planned"', b'"type":[1]'))
        case "cut":
            path.write_bytes(lines[0][:50] + b"\n")
        case "order":
            path.write_bytes(lines[0] + lines[2])
        case "empty":
            path.write_bytes(b"")
    for word in ("resume", "undo"):
        code, _, err = memhp(word, "1")
        assert (code, err.count("\n")) == (ExitCode.MACHINE, 1)
        assert "damaged journal" in err


def test_a_line_that_a_kill_has_cut_is_as_if_not_begun(
    memhp: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted(memhp, monkeypatch)
    path = journals().folder / "1.journal"
    whole = path.read_bytes()
    last = whole.splitlines(keepends=True)[-1]
    kept = memhp.machine.read_bytes()
    for cut in range(1, len(last), 7):
        path.write_bytes(whole[:-cut])
        memhp.machine.write_bytes(kept)
        assert memhp("resume")[0] == 0
        assert memhp.states() == "MMM---MM"


@pytest.mark.parametrize("words", [["log"], ["log", "1"]])
def test_the_log_of_what_no_terminal_shows(
    words: list[str], memhp: Shell, capsys: pytest.CaptureFixture[str]
) -> None:
    memhp("offline", "36")
    path = journals().folder / "1.journal"
    path.write_bytes(path.read_bytes().replace(b'"time":"2', b'"time":"\\ud800\\n2'))
    assert main(words) == 0
    assert r"\ud800\n2" in capsys.readouterr().out


def test_a_plan_that_is_nested_too_deep(memhp: Shell, tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    plan.write_text("[" * 100_000)
    code, _, err = memhp("apply", str(plan))
    assert (code, err.count("\n")) == (ExitCode.USAGE, 1)
    assert "is no JSON" in err


def test_the_log(memhp: Shell, capsys: pytest.CaptureFixture[str]) -> None:
    memhp("offline", "34,36")
    memhp("undo")
    assert main(["log"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.rpartition("machine  ")[2] for line in lines] == [
        "offline memory34,36: undone by 2",
        "undo 1: done",
    ]
    assert main(["log", "1"]) == 0
    assert "offline memory36: done" in capsys.readouterr().out
    assert main(["log", "--json"]) == 0
    assert [row["standing"] for row in json.loads(capsys.readouterr().out)] == [
        "undone by 2",
        "done",
    ]
    assert main(["log", "9"]) == 2
    assert "has no journal" in capsys.readouterr().err


def test_a_machine_that_does_not_last_leaves_no_journal(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["offline", "33", "-M", "model:server"]) == 0
    assert journals().names() == []


@pytest.mark.parametrize("time", ["", "x", "5d", "0s", "-1", "1.5"])
def test_wrong_deadlines(memhp: Shell, time: str) -> None:
    code, out, err = memhp("offline", "36", f"--deadline={time}")
    assert (code, out, err.count("\n")) == (2, "", 1)


def test_copies_of_a_machine_are_one_machine(memhp: Shell, tmp_path: Path) -> None:
    """A journal is bound to the machine's identity, and its file may have been moved."""
    memhp("offline", "36")
    moved = tmp_path / "moved.machine"
    shutil.move(memhp.machine, moved)
    code, _, err = memhp("undo")
    assert (code, err.count("\n")) == (ExitCode.MACHINE, 1)
