"""``memhp trace record``, ``random``, ``fuzz``, with a kernel that is the model or has a fault."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from memhp.core.errors import ContactLost
from memhp.core.words import ExitCode
from memhp.interfaces.cli.main import main
from memhp.machines.lab import judge
from memhp.machines.lab.guest import Guest
from memhp.model.trace.predict import predict
from memhp.model.trace.recording import parse_recording, read_recording
from memhp.model.trace.scenario import Scenario, guest_json

RECORDED = Path(__file__).parents[2] / "model/trace/recordings/6.12/zone-choice-by-hand.json"
Json = dict[str, Any]
Kernel = Callable[[Scenario], Json]


def model_as_kernel(scenario: Scenario) -> Json:
    """What a kernel that is just as the model would show, on one and the same machine."""
    # Devices may be gone when their turn comes; a real recorder then leaves the step out.
    steps = [step for step in scenario.steps if step["op"] != "remove"]
    base = read_recording(RECORDED) | {"steps": steps}
    document = predict(parse_recording(base, "a fake")).document
    machine = base["machine"] | document["machine"]
    return document | {"machine": machine, "guest": guest_json(scenario.guest)}


def with_a_fault(scenario: Scenario) -> Json:
    """A kernel that, once ``online_kernel`` was asked for, takes no policy any more."""
    document = model_as_kernel(scenario)
    asked = False
    for step in document["steps"]:
        asked = asked or step.get("value") == "online_kernel"
        if asked and step.get("value") == "contig-zones":
            step["errno"] = "EIO"
    return document


def lost(scenario: Scenario) -> Json:
    """A guest that never answers."""
    raise ContactLost(machine="lab:g", problem="says nothing more", advice="look at it")


@pytest.fixture
def memhp(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    def run(*words: str, kernel: Kernel = model_as_kernel) -> tuple[int, str, str]:
        def record(scenario: Scenario, guest: Guest, tell: object) -> Json:
            return kernel(scenario)

        monkeypatch.setattr(judge, "record", record)
        try:
            code = main(["trace", *words])
        except SystemExit as stop:
            code = int(stop.code or 0)
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


Memhp = Callable[..., tuple[int, str, str]]
FUZZ = ("fuzz", "--theme", "DIMMs and policies", "--kernel", "6.12", "--seed", "0")


def test_where_nothing_differs_every_scenario_is_tried(memhp: Memhp, tmp_path: Path) -> None:
    code, out, err = memhp(*FUZZ, "--scenarios", "6", "--steps", "5", "--keep", f"{tmp_path}/kept")
    assert code == ExitCode.DONE
    assert out == ("6 scenarios (6 on 6.12), 29 steps: 0 differ, 0 could not be recorded\n")
    assert err.count("no difference") == 6
    kept = sorted(path.name for path in (tmp_path / "kept").iterdir())
    assert kept == [f"6.12-{seed}.json" for seed in range(6)]


def test_a_difference_is_found_and_shrunk_to_what_makes_it(memhp: Memhp, tmp_path: Path) -> None:
    file = tmp_path / "found.json"
    code, out, err = memhp(
        *FUZZ, "--scenarios", "60", "--steps", "25", "-o", str(file), kernel=with_a_fault
    )
    assert code == ExitCode.DIFFERENT
    assert "1 differs" in out
    assert "errno: recorded 'EIO', modelled None" in err
    found = json.loads(file.read_text())
    assert [step["value"] for step in found["steps"]] == ["online_kernel", "contig-zones"]
    assert found["guest"]["command_line"] == ""
    # What was written is a recording that replays, and differs.
    assert main(["trace", "replay", str(file)]) == ExitCode.DIFFERENT


def test_with_go_on_all_that_differ_are_counted(memhp: Memhp) -> None:
    code, out, _ = memhp(
        *FUZZ, "--scenarios", "60", "--steps", "25", "--go-on", "--json", kernel=with_a_fault
    )
    assert code == ExitCode.DIFFERENT
    summary = json.loads(out)
    assert summary["seeds"] == {"6.12": list(range(60))}
    assert summary["steps"] > 60 * 15
    assert len(summary["different"]) > 1


def test_a_model_that_fails_is_a_difference(
    memhp: Memhp, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(*_arguments: object) -> None:
        raise KeyError("zone")

    kernel = model_as_kernel
    monkeypatch.setattr(judge, "predict", fail)
    code, _, err = memhp(*FUZZ, "--scenarios", "1", "-o", str(tmp_path / "f.json"), kernel=kernel)
    assert code == ExitCode.DIFFERENT
    assert "the model fails: recorded None, modelled \"KeyError('zone')\"" in err


def test_guests_that_are_lost_are_counted_and_three_in_a_row_end_it(memhp: Memhp) -> None:
    code, out, err = memhp(*FUZZ, "--scenarios", "2", kernel=lost)
    assert (code, out) == (
        ExitCode.DONE,
        "0 scenarios (none), 0 steps: 0 differ, 2 could not be recorded\n",
    )
    code, _, err = memhp(*FUZZ, "--scenarios", "9", kernel=lost)
    assert code == ExitCode.UNKNOWN_OUTCOME
    assert err.count("not recorded") == 3


def test_kernels_take_turns(memhp: Memhp) -> None:
    _, out, _ = memhp("fuzz", "--theme", "DIMMs", "--scenarios", "3", "--steps", "2", "--json")
    assert json.loads(out)["seeds"] == {"6.12": [0, 2], "6.1": [1]}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("random", "--steps", "0"), "'0' is no number of steps"),
        (("random", "-o", "/proc/none/x"), "'/proc/none/x' cannot be written"),
        (("fuzz", "-o", "/proc/none/x"), "'/proc/none/x' cannot be written"),
        (("record", "-o", "/proc/none/x", "/dev/null"), "'/proc/none/x' cannot be written"),
        (("fuzz", "--minutes", "0"), "is no time to look in"),
        (("fuzz", "--minutes", "nan"), "is no time to look in"),
        (("fuzz", "--scenarios", "0"), "'0' is no number of scenarios"),
        (("fuzz", "--keep", "/proc/none"), "is no folder to keep recordings in"),
        (("fuzz", "--theme", "cats"), "invalid choice: 'cats'"),
        (("record", "/no/such"), "recording /no/such: 'file' cannot be read"),
        (("record", "/dev/null"), "'file' is no JSON"),
        (("record", str(RECORDED)), "'guest' is missing"),
    ],
)
def test_wrong_words_are_told_in_one_sentence(
    memhp: Memhp, words: tuple[str, ...], told: str
) -> None:
    code, out, err = memhp(*words)
    assert code in {ExitCode.USAGE, ExitCode.MACHINE}
    assert out == ""
    assert told in err
    assert len(err.splitlines()) == 1


def test_chance_writes_a_scenario_that_can_be_recorded(memhp: Memhp, tmp_path: Path) -> None:
    file = tmp_path / "scenario.json"
    assert memhp("random", "--seed", "3", "--steps", "4", "-o", str(file))[0] == ExitCode.DONE
    assert len(json.loads(file.read_text())["steps"]) == 4
    _, out, _ = memhp("random", "--seed", "3", "--steps", "4")
    assert out == file.read_text()
