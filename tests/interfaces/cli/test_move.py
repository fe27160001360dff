"""``memhp move``, and operations over two machines, from the command line."""

import json
from pathlib import Path

import pytest

from memhp.core.words import ExitCode
from memhp.interfaces.cli.main import main
from memhp.machines.model import ModelMachine
from two_guests import Pair


class Shell:
    """Runs commands where the pair's file is, by names that hold there alone."""

    def __init__(self, pair: Pair, capsys: pytest.CaptureFixture[str]) -> None:
        self.pair = pair
        self._capsys = capsys

    def __call__(self, *words: str) -> tuple[int, str, str]:
        try:
            code = int(main(words))
        except SystemExit as stop:
            code = int(stop.code or 0)
        said = self._capsys.readouterr()
        return code, said.out, said.err

    def move(self, size: str, *words: str) -> tuple[int, str, str]:
        guests = ("--from", "model:h.machine/web", "--to", "model:h.machine/db")
        return self("move", size, *guests, *words)


@pytest.fixture
def memhp(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Shell:
    monkeypatch.chdir(tmp_path)
    return Shell(Pair(tmp_path), capsys)


def test_each_line_names_its_machine(memhp: Shell) -> None:
    code, out, err = memhp.move("512M")
    assert code == ExitCode.DONE
    assert out.splitlines() == [
        "model:h.machine/web: resize virtio-mem0 to 512M: done, 512M plugged",
        "model:h.machine/db: resize virtio-mem0 to 1G: done, 1G plugged",
    ]
    assert err == "model:h.machine/web has 512M less, model:h.machine/db has 512M more\n"


def test_a_dry_run_is_exact(memhp: Shell) -> None:
    before = memhp.pair.file.read_bytes()
    code, out, err = memhp.move("1224M", "--dry-run")
    assert (code, err, memhp.pair.file.read_bytes()) == (ExitCode.DONE, "", before)
    planned = [line.partition("   ")[0] for line in out.splitlines()]
    follows = "then bring the blocks that come to model:h.machine/db online, with 'online'"
    assert planned[-1] == follows
    _, out, _ = memhp.move("1224M")
    assert [line.rpartition(": ")[0] for line in out.splitlines()] == planned[:-1]


def test_a_saved_plan_for_two_machines(memhp: Shell, tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    _, out, _ = memhp.move("512M", "--dry-run", "--json")
    plan.write_text(out)
    assert set(json.loads(out)["marks"]) == {"model:h.machine/web", "model:h.machine/db"}
    assert memhp("apply", str(plan), "-M", "model:h.machine/other")[0] == ExitCode.USAGE
    assert memhp("apply", str(plan))[0] == ExitCode.DONE
    assert memhp.pair.sizes("db") == {"virtio-mem0": 1024}
    assert memhp("apply", str(plan))[0] == ExitCode.STALE
    assert memhp("undo")[0] == ExitCode.DONE
    assert memhp.pair.sizes("db") == {"virtio-mem0": 512}


def test_events_for_a_program(memhp: Shell) -> None:
    _, out, err = memhp.move("512M", "--json")
    events = [json.loads(line) for line in out.splitlines()]
    assert err == ""
    assert [e["type"] for e in events[:2]] == ["PlanStarted", "StepStarted"]
    assert events[-1]["account"].endswith("has 512M more")


def test_undone_from_another_folder(
    memhp: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memhp.move("512M")
    monkeypatch.chdir(tmp_path.parent)
    assert memhp("undo")[0] == ExitCode.DONE
    assert memhp.pair.sizes("db") == {"virtio-mem0": 512}


def test_resumed_from_another_folder(
    memhp: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = ModelMachine.apply

    def apply(self: ModelMachine, step, **options):  # type: ignore[no-untyped-def]
        if self.name.endswith("db"):
            raise KeyboardInterrupt
        return plain(self, step, **options)

    with monkeypatch.context() as patch:
        patch.setattr(ModelMachine, "apply", apply)
        assert memhp.move("512M")[0] == ExitCode.INTERRUPTED
    monkeypatch.chdir(tmp_path.parent)
    assert memhp("resume")[0] == ExitCode.DONE
    assert memhp.pair.sizes("db") == {"virtio-mem0": 1024}


def test_the_log_names_both(memhp: Shell) -> None:
    memhp.move("512M")
    _, out, _ = memhp("log")
    folder = Path.cwd()
    both = f"model:{folder}/h.machine/web model:{folder}/h.machine/db"
    assert f"{both}  move 512M from model:h.machine/web to model:h.machine/db: done" in out


def test_one_of_both_is_put_back_alone(memhp: Shell) -> None:
    memhp.move("512M")
    code, out, _ = memhp("undo", "--only", "model:h.machine/db")
    assert code == ExitCode.DONE
    assert out.splitlines()[-1] == "resize virtio-mem0 to 512M: done, 512M plugged"
    assert memhp.pair.sizes("db") == {"virtio-mem0": 512}
    assert memhp.pair.sizes("web")["virtio-mem0"] == 512
    code, _, err = memhp("undo", "1", "--only", "model:h.machine")
    assert (code, err.count("\n")) == (ExitCode.USAGE, 1)


WRONG = {
    "to itself": (
        ["1G", "--from", "model:h.machine/web", "--to", "model:h.machine/web"],
        ExitCode.USAGE,
        "is the machine that gives, too",
    ),
    "no size": (
        ["dimm0", "--from", "model:h.machine/web", "--to", "model:h.machine/db"],
        ExitCode.USAGE,
        "is no size",
    ),
    "nowhere": (["1G", "--from", "model:h.machine/web"], ExitCode.USAGE, "--to"),
    "no such guest": (
        ["1G", "--from", "model:h.machine/nobody", "--to", "model:h.machine/db"],
        ExitCode.USAGE,
        "its guests are db, web",
    ),
    "with a machine": (
        ["1G", "--from", "model:h.machine/web", "--to", "model:h.machine/db"],
        ExitCode.USAGE,
        "name the machines with --from and --to",
    ),
    "one that does not last": (
        ["1G", "--from", "model:h.machine/web", "--to", "model:host/legacy"],
        ExitCode.USAGE,
        "does not last",
    ),
    "too much": (
        ["9G", "--from", "model:h.machine/web", "--to", "model:h.machine/db"],
        ExitCode.REFUSED,
        "has no addresses for the rest",
    ),
    "a wrong reserve": (
        ["1G", "--from", "model:h.machine/web", "--to", "model:h.machine/db", "--reserve", "x"],
        ExitCode.USAGE,
        "is no size",
    ),
}


@pytest.mark.parametrize(("words", "code", "told"), WRONG.values(), ids=WRONG.keys())
def test_what_is_wrong_is_one_sentence(
    memhp: Shell, words: list[str], code: ExitCode, told: str, request: pytest.FixtureRequest
) -> None:
    before = memhp.pair.file.read_bytes()
    first = ["-M", "model:server"] if "with a machine" in request.node.name else []
    got, out, err = memhp(*first, "move", *words)
    assert (got, out, err.count("\n"), told in err) == (code, "", 1, True), err
    assert memhp.pair.file.read_bytes() == before


def test_between_guests_that_do_not_last(memhp: Shell) -> None:
    guests = ("--from", "model:host/web", "--to", "model:host/database")
    code, out, err = memhp("move", "2G", *guests)
    assert (code, out.count("done")) == (ExitCode.DONE, 2)
    assert err.count("is booted for this command alone") == 2


def test_a_guest_tells_what_its_host_has_left(memhp: Shell) -> None:
    _, out, _ = memhp("-M", "model:h.machine/web")
    assert "8 of 8 blocks online, 1 GiB plugged" in out
    assert "of it left to give" in out.splitlines()[-1]
