"""The command line as a person meets it: results, refusals, exit codes, and what is wrong words."""

import json
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from memhp.core.words import ExitCode
from memhp.interfaces.cli.commands import NAMES, command
from memhp.interfaces.cli.main import main

RECORDING = Path(__file__).parents[2] / "model/trace/recordings/6.12/memmap-on-memory.json"


class Said(NamedTuple):
    code: int
    out: str
    err: str


class Shell:
    """Runs commands in the process, as ``memhp`` would."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *words: str) -> Said:
        try:
            code = main(words)
        except SystemExit as stop:
            code = int(stop.code or 0)
        captured = self._capsys.readouterr()
        return Said(code, captured.out, captured.err)


@pytest.fixture
def memhp(capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(capsys)


@pytest.fixture
def server(memhp: Shell, tmp_path: Path) -> str:
    path = tmp_path / "server.machine"
    assert memhp("model", "new", "server", str(path)).code == 0
    return f"model:{path}"


def test_a_dimm_is_replaced(memhp: Shell, server: str) -> None:
    offline = memhp("offline", "dimm1", "-M", server, "--accept", "poisoned")
    assert offline.code == ExitCode.DONE
    assert offline.out.splitlines() == [f"offline memory{n}: done" for n in range(48, 40, -1)]
    assert offline.err == "8 of 8 steps done\n"
    assert memhp("remove", "dimm1", "-M", server).out == "remove dimm1: done, removed\n"
    assert memhp("offline", "dimm1", "-M", server).code != ExitCode.DONE
    added = memhp("add", "dimm1", "-M", server)
    assert added == (0, "add dimm1: done, at 0x1480000000-0x187fffffff\n", "")


def test_a_refusal_says_what_the_kernel_says_and_what_it_means(memhp: Shell, server: str) -> None:
    said = memhp("offline", "memory0", "-M", server)
    assert said.code == ExitCode.REFUSED
    assert said.out == (
        "offline memory0: refused: multizone range [EINVAL]: the block lies in two zones or on "
        "two nodes, and Linux never takes such a block offline\n"
    )


def test_partly_done_has_its_own_exit_code(memhp: Shell, server: str) -> None:
    # From the highest down: 5 to 3 go; block 0 does not.
    said = memhp("offline", "0,3-5", "-M", server)
    assert said.code == 64
    assert said.err == "3 of 4 steps done\n"


def test_nothing_to_do_is_done(memhp: Shell, server: str) -> None:
    said = memhp("online", "memory2", "-M", server)
    assert said == (0, "", "nothing to do: everything is so already\n")


@pytest.mark.parametrize(
    ("words", "blocks"),
    [
        (["memory40"], [40]),
        (["40-42"], [42, 41, 40]),
        (["40,64"], [64, 40]),
        (["4G"], [64, 63]),
        (["0x1080000000-0x10ffffffff"], [33]),
        (["dimm3"], list(range(64, 56, -1))),
        (["dimm3", "memory33"], [*range(64, 56, -1), 33]),
    ],
)
def test_what_can_be_pointed_at(
    memhp: Shell, server: str, words: list[str], blocks: list[int]
) -> None:
    said = memhp("offline", *words, "-M", server, "--accept", "poisoned")
    assert said.out.splitlines() == [f"offline memory{n}: done" for n in blocks]


def test_zones_by_word(memhp: Shell, server: str) -> None:
    memhp("offline", "33,34", "-M", server)
    said = memhp("online", "34", "--zone", "kernel", "-M", server)
    assert said.out == "online_kernel memory34: done, in Normal\n"
    said = memhp("online", "33", "--zone", "movable", "-M", server)
    assert said.out == "online_movable memory33: done, in Movable\n"


def test_a_block_in_another_zone_is_not_moved_behind_your_back(memhp: Shell, server: str) -> None:
    said = memhp("online", "34", "--zone", "kernel", "-M", server)
    assert said.code == ExitCode.REFUSED
    assert "memory34 is online in Movable already; take it offline first" in said.err


WRONG = [
    pytest.param(["offline", "nod1"], 2, "has no device 'nod1'", id="device"),
    pytest.param(["offline", "1"], 2, "has no memory1", id="block"),
    pytest.param(["offline", "node7"], 2, "has no memory block in node7", id="node"),
    pytest.param(["offline", "5-3"], 2, "counts backwards", id="backwards"),
    pytest.param(["offline", "999999999999"], 2, "a size needs its unit", id="number"),
    pytest.param(["offline", "!"], 2, "is no target", id="grammar"),
    pytest.param(["offline", "900T"], 1, "could be tried", id="too much"),
    pytest.param(["online", "33", "--zone", "up"], 2, "invalid choice: 'up'", id="zone"),
    pytest.param(["add", "4G", "--node", "x"], 2, "", id="node word"),
    pytest.param(["add", "dimm0"], 1, "is plugged in already", id="present"),
    pytest.param(["add", "memory3"], 2, "cannot be added", id="add a block"),
    pytest.param(["add", "dimm0", "--node", "1"], 2, "is for a new device", id="node of a device"),
    pytest.param(["remove", "4G"], 2, "is no device", id="remove a size"),
    pytest.param(["remove", "dimm9"], 2, "has no device 'dimm9'", id="remove"),
    pytest.param(
        ["offline", "34", "--prepare", "compact,caches"],
        2,
        "'caches' is no preparation: there are: compact, drop-caches, hugepages",
        id="preparation",
    ),
    pytest.param(
        ["evacuate", "node1", "--accept", "poisoned", "--prepare", "drop-caches"],
        1,
        "cannot drop caches: only a Linux machine that runs can",
        id="not of a model",
    ),
    pytest.param(
        ["remove", "dimm3", "--prepare", "hugepages"],
        1,
        "shows no pools of huge pages; leave 'hugepages' out of --prepare",
        id="no pools",
    ),
    pytest.param(["online", "34", "--prepare", "compact"], 2, "unrecognized", id="only out"),
    pytest.param(["offline"], 2, "the following arguments are required: TARGET", id="nothing"),
]


@pytest.mark.parametrize(("words", "code", "told"), WRONG)
def test_wrong_words_get_one_sentence(
    memhp: Shell, server: str, words: list[str], code: int, told: str
) -> None:
    said = memhp(*words, "-M", server)
    assert said.code == code
    assert said.out == ""
    assert told in said.err
    assert said.err.startswith("memhp: ")
    assert said.err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["offline", "1"], 2, "'-M' is missing"),
        (["offline", "1", "-M", "foo"], 3, "is no address"),
        (["offline", "1", "-M", "vax:11"], 3, "of no known kind 'vax'"),
        (["offline", "1", "-M", "model:nix"], 3, "does not come with memhp"),
        (["model", "log", "nix"], 3, "does not exist"),
        (["model", "new", "nix", "x"], 3, "does not come with memhp"),
        (["model", "new", "server", "no/such/folder/x"], 3, "no/such/folder"),
        (["model", "tree", "-M", "model:server", "/sys/nothing"], 1, "ENOENT"),
        (["trace", "replay", "nothing.json"], 3, "nothing.json"),
        (["frob"], 2, "invalid choice: 'frob'"),
        (["model"], 2, "required: ACTION"),
        (["completion", "fish"], 2, "invalid choice: 'fish'"),
    ],
)
def test_machines_and_files_that_are_not_there(
    memhp: Shell, words: list[str], code: int, told: str
) -> None:
    said = memhp(*words)
    assert (said.code, said.err.count("\n")) == (code, 1)
    assert told in said.err


def test_the_machine_may_come_from_the_environment(
    memhp: Shell, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEMHP_MACHINE", server)
    assert memhp("offline", "33").code == ExitCode.DONE


def test_events_as_json_lines(memhp: Shell, server: str) -> None:
    said = memhp("offline", "33", "--json", "-M", server)
    events = [json.loads(line) for line in said.out.splitlines()]
    kinds = [event["type"] for event in events]
    assert (kinds[0], kinds[-1]) == ("PlanStarted", "OperationEnded")
    ended = next(event for event in events if event["type"] == "StepEnded")
    assert ended["outcome"] == {"type": "Done", "note": ""}
    assert ended["step"]["action"] == {"type": "OfflineBlock", "block": 33}


def test_results_as_json(memhp: Shell, server: str) -> None:
    shown = json.loads(memhp("model", "show", "--json", "-M", server).out)
    assert shown["block_size_bytes"] == 2 << 30
    assert [device["name"] for device in shown["devices"]] == ["dimm0", "dimm1", "dimm2", "dimm3"]
    listed = json.loads(memhp("model", "list", "--json").out)
    assert "server" in [machine["name"] for machine in listed]
    memhp("offline", "33", "-M", server)
    log = json.loads(memhp("model", "log", "--json", server.removeprefix("model:")).out)
    assert [row["asked"] for row in log] == ["boot", "offline memory33"]
    replayed = json.loads(memhp("trace", "replay", "--json", str(RECORDING)).out)
    assert replayed == [{"file": str(RECORDING), "differences": []}]


def test_every_action_on_model_machines_speaks_json(memhp: Shell, tmp_path: Path) -> None:
    path = str(tmp_path / "h.machine")
    made = json.loads(memhp("model", "new", "host", path, "--json").out)
    assert made["machine"] == f"model:{path}"
    assert f"model:{path}/web" in made["guests"]
    again = json.loads(memhp("model", "restart", path, "--json").out)
    assert again["identity"].endswith(":2")
    folder = json.loads(memhp("model", "tree", "/proc", "--json", "-M", f"model:{path}").out)
    assert {"name": "cmdline", "is": "file", "writable": False} in folder
    file = json.loads(memhp("model", "tree", "/proc/cmdline", "--json", "-M", "model:server").out)
    assert file == {"path": "/proc/cmdline", "text": "movable_node\n"}


def test_a_person_is_told_what_does_not_last(memhp: Shell) -> None:
    said = memhp("offline", "33", "-M", "model:server")
    assert said.code == ExitCode.DONE
    assert "is booted for this command alone" in said.err
    assert memhp("offline", "33", "--json", "-M", "model:server").err == ""


def test_replay_tells_each_file(memhp: Shell, tmp_path: Path) -> None:
    assert memhp("trace", "replay", str(RECORDING)).out.endswith(": no difference\n")
    document = json.loads(RECORDING.read_text())
    document["machine"]["block_size"] = 1
    wrong = tmp_path / "wrong.json"
    wrong.write_text(json.dumps(document))
    said = memhp("trace", "replay", str(wrong), str(RECORDING))
    assert said.code == ExitCode.DIFFERENT
    assert said.out.splitlines()[0].startswith("  boot, machine.block_size: recorded 1, modelled")


def test_predict_needs_no_answers(memhp: Shell, tmp_path: Path) -> None:
    stripped = tmp_path / "stripped.json"
    stripped.write_text(memhp("trace", "strip", str(RECORDING)).out)
    predicted = memhp("trace", "predict", str(stripped))
    assert predicted.code == ExitCode.DONE
    assert predicted.out == memhp("trace", "predict", str(RECORDING)).out


def test_the_tree_reads_lists_and_writes(memhp: Shell, server: str) -> None:
    memory = "/sys/devices/system/memory"
    assert memhp("model", "tree", f"{memory}/memory33/state", "-M", server).out == "online\n"
    assert (
        "state (can be written)" in memhp("model", "tree", f"{memory}/memory33", "-M", server).out
    )
    wrote = memhp("model", "tree", f"{memory}/memory33/state", "--write", "offline", "-M", server)
    assert wrote.code == ExitCode.DONE
    again = memhp("model", "tree", f"{memory}/memory33/state", "--write", "offline", "-M", server)
    assert (again.code, again.err.count("\n")) == (ExitCode.REFUSED, 1)


def test_a_restart_brings_the_machine_back_as_described(memhp: Shell, server: str) -> None:
    file = server.removeprefix("model:")
    before = memhp("model", "show", "-M", server).out
    memhp("remove", "dimm0", "-M", server)
    assert memhp("model", "show", "-M", server).out != before
    assert memhp("model", "restart", file).code == ExitCode.DONE
    assert memhp("model", "show", "-M", server).out == before


def test_guests_have_addresses(memhp: Shell, tmp_path: Path) -> None:
    path = tmp_path / "host.machine"
    said = memhp("model", "new", "host", str(path))
    assert f"model:{path}/web" in said.err
    assert memhp("offline", "40", "-M", f"model:{path}/web").code == ExitCode.DONE
    assert (
        memhp("model", "log", str(path))
        .out.splitlines()[-1]
        .endswith("[web]  offline memory40: done")
    )


@pytest.mark.parametrize("name", NAMES)
def test_every_command_explains_itself(memhp: Shell, name: str) -> None:
    said = memhp(name, "--help")
    assert said.code == ExitCode.DONE
    assert (command(name).__doc__ or "").strip().splitlines()[0] in said.out
    assert command(name).SUMMARY in memhp("--help").out


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_completion(memhp: Shell, shell: str, tmp_path: Path) -> None:
    said = memhp("completion", shell)
    assert "offline" in said.out
    if shell == "bash":
        script = tmp_path / "completion"
        script.write_text(said.out)
        assert subprocess.run(["bash", "-n", script]).returncode == 0


def test_the_manual_page_names_every_command_and_exit_code(memhp: Shell) -> None:
    page = memhp("man").out
    assert page.startswith(".TH MEMHP 8")
    for name in NAMES:
        assert f".SS memhp {name}" in page
    assert "64 partly done" in page


def test_a_reader_that_goes_away_is_no_error() -> None:
    script = f"{sys.executable} -m memhp model tree /proc/zoneinfo -M model:rack16t | head -1"
    said = subprocess.run(["bash", "-o", "pipefail", "-c", script], capture_output=True, text=True)
    assert (said.returncode, said.stdout.count("\n"), said.stderr) == (0, 1, "")


@pytest.mark.parametrize(
    ("where", "problem"),
    [(">/dev/full", "No space left on device"), (">&-", "standard output is closed")],
)
@pytest.mark.parametrize("words", ["model list", "ls -a -M model:rack16t", "offline nothing"])
def test_output_that_cannot_be_written_is_one_sentence(
    where: str, problem: str, words: str
) -> None:
    script = f"{sys.executable} -m memhp {words} {where}"
    said = subprocess.run(["bash", "-c", script], capture_output=True, text=True)
    if words.startswith("offline") and where != ">&-":
        assert (said.returncode, said.stderr.count("\n")) == (ExitCode.USAGE, 1)
        return
    assert (said.returncode, said.stderr) == (
        ExitCode.MACHINE,
        f"memhp: the output cannot be written: {problem}\n",
    )


def test_ctrl_c_ends_with_its_own_code(memhp: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_args: object) -> ExitCode:
        raise KeyboardInterrupt

    monkeypatch.setattr("memhp.interfaces.cli.cmd_man.run", interrupted)
    assert memhp("man") == (ExitCode.INTERRUPTED, "", "memhp: interrupted\n")


def test_heavy_imports_stay_out() -> None:
    """Starting costs: nothing is imported that the command does not use."""
    script = (
        "import sys; from memhp.interfaces.cli.main import main; "
        "main(['offline', '33', '-M', 'model:nix']); "
        "print([m for m in ('numpy', 'rich', 'shtab', 'sqlite3', 'asyncio', 'hypothesis') "
        "if m in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert said.stdout == "[]\n"
