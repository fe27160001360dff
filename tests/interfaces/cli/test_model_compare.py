"""``memhp model compare``: tables, JSON, a plot, and what is wrong words."""

import json
import os
import re
import shutil
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree as ET

import pytest

from memhp.core.acpi.hmat import Hmat, LatencyBandwidth, encode_hmat
from memhp.core.words import ExitCode
from memhp.interfaces.cli.main import main

MACHINE = """
[[node]]
memory = "1G"
cpus = 2
[[node]]
cpus = 2
hotpluggable = true
[[dimm]]
name = "dimm0"
size = "1G"
node = 1
"""


class Said(NamedTuple):
    code: int
    out: str
    err: str


class Shell:
    """Runs commands in the process, as ``memhp`` would."""

    def __init__(self, capsys: pytest.CaptureFixture[str], machine: str) -> None:
        self._capsys = capsys
        self._machine = machine

    def compare(self, *words: str, beside: tuple[str, ...] = ()) -> Said:
        """Compare on the machine, and on others beside it."""
        try:
            code = main(["model", "compare", self._machine, *beside, "--seeds", "1", *words])
        except SystemExit as stop:
            code = int(stop.code or 0)
        captured = self._capsys.readouterr()
        return Said(code, captured.out, captured.err)


@pytest.fixture
def shell(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Shell:
    file = tmp_path / "pair.toml"
    file.write_text(MACHINE)
    return Shell(capsys, f"model:{file}")


TWO = ("--policy", "normal", "--policy", "movable-node")


def test_a_movable_node_comes_out_whole_and_is_slower(shell: Shell) -> None:
    said = shell.compare(*TWO, "--json")
    assert said.code == ExitCode.DONE
    normal, movable = json.loads(said.out)[0]["comparison"]["rows"]
    assert movable["out"]["mean"] == 1
    assert normal["out"]["mean"] < 1
    assert normal["latency"]["mean"] == 1
    assert movable["latency"]["low"] > 1
    assert movable["local"]["page walks"] < 1
    assert movable["stuck_free_bytes"] > normal["stuck_free_bytes"]


def test_as_many_processes_as_one_likes_give_the_same(shell: Shell) -> None:
    one, two = (
        shell.compare("--policy", "normal", "--seeds", "2", "--json", "--jobs", number)
        for number in ("1", "2")
    )
    assert one.out == two.out
    assert "2 of 2 runs done" in two.err


def test_several_machines_are_compared_apart(shell: Shell, tmp_path: Path) -> None:
    other = tmp_path / "other.toml"
    other.write_text(MACHINE.replace("1G", "2G", 1))
    plot = tmp_path / "plot.svg"
    words = ("--policy", "normal", "--plot", str(plot))
    said = shell.compare(*words, beside=(f"model:{other}",))
    heads = [line for line in said.out.splitlines() if line.endswith(".toml:")]
    assert [head.rpartition("/")[2] for head in heads] == ["pair.toml:", "other.toml:"]
    assert (tmp_path / "plot-1.svg").exists()
    assert (tmp_path / "plot-2.svg").exists()


def test_the_tables_say_what_the_json_says(shell: Shell) -> None:
    said = shell.compare(*TWO)
    lines = said.out.splitlines()
    assert lines[0] == "1 GiB meant to come out, 1 seeds"
    movable = next(line for line in lines if line.startswith("movable-node"))
    assert movable.split()[1] == "100.0%"
    assert any(line.startswith("anchor: page tables remote, data local: 1.") for line in lines)


def test_a_plot_is_a_picture_with_every_combination(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "plot.svg"
    assert shell.compare(*TWO, "--plot", str(file)).code == ExitCode.DONE
    picture = ET.parse(file).getroot()
    names = [text.text for text in picture.iter("{http://www.w3.org/2000/svg}text")]
    assert len(list(picture.iter("{http://www.w3.org/2000/svg}circle"))) == 2
    assert "1  normal, memmap ordinary" in names


def test_an_hmat_gives_the_latencies(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "hmat"
    matrix = LatencyBandwidth(
        data_type=0,
        base_unit=1000,
        initiators=(0, 1),
        targets=(0, 1),
        values=((100, 300), (300, 100)),
    )
    file.write_bytes(encode_hmat(Hmat(entries=(matrix,))))
    with_table, with_hmat = (
        json.loads(shell.compare(*TWO, "--json", *words).out)[0]["comparison"]["rows"][1]["latency"]
        for words in ((), ("--hmat", str(file)))
    )
    assert with_hmat["mean"] > with_table["mean"]


def test_every_parameter_is_shown_with_its_source(shell: Shell) -> None:
    said = shell.compare("--show-costs", "--set", "local_ns=90")
    assert said.out.splitlines()[0] == "local_ns = 90 ns"
    assert "Mitosis" not in said.out
    assert "LATR" in said.out


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("--policy", "best"), "'best' is no policy"),
        (("--policy", "movablecore=200%"), "'movablecore=200%' has no amount that memory"),
        (("--policy", "kernelcore=much"), "'kernelcore=much' has no amount that memory"),
        (("--fill", "50%", "--peak", "40%"), "'--peak 40%' is less than what is left of it"),
        (("--plot", "plot.pdf"), "'plot.pdf' is no name for a plot: let it end in .svg or .png"),
        (("--plot", "/tmp"), "'/tmp' is no name for a plot"),
        (("--memmap", "ordinary,here"), "names no place for memory maps"),
        (("--dma", "80"), "'80' is no percentage for this: give 0 to 75"),
        (("--fill", "half"), "'half' is no percentage for this"),
        (("--seeds", "0"), "'--seeds 0' is too few"),
        (("--jobs", "-1"), "'--jobs -1' is too few"),
        (("--set", "x=1"), "'x' is no parameter of the cost model"),
        (("--costs", "/nowhere"), "'/nowhere' cannot be read"),
        (("--hmat", "/nowhere"), "'/nowhere' cannot be read"),
    ],
)
def test_wrong_words_are_one_sentence(shell: Shell, words: tuple[str, ...], problem: str) -> None:
    said = shell.compare(*words)
    assert said.code == ExitCode.USAGE
    assert problem in said.err
    assert said.err.count("\n") == 1


OWN = """
[workload]
[[workload.step]]
process = "near"
grow = "anonymous"
size = "200M"
[[workload.step]]
process = "far"
grow = "anonymous"
size = "200M"
node = 1
[[workload.step]]
kernel = "slab"
size = "8M"
node = 1
"""


@pytest.fixture
def own(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Shell:
    """A machine with a workload of its own."""
    file = tmp_path / "own.toml"
    file.write_text(MACHINE + OWN)
    return Shell(capsys, f"model:{file}")


def test_a_machine_with_a_workload_runs_that(own: Shell, tmp_path: Path) -> None:
    said = own.compare(*TWO)
    lines = said.out.splitlines()
    assert lines[0] == "1 GiB meant to come out, 1 seeds, with the machine's own workload"
    normal = next(line for line in lines if line.startswith("normal"))
    assert normal.split(maxsplit=3)[1:] == ["75.0%", "75%-75%", "1 slab, 1 kernel stack"]


def test_a_state_file_runs_what_its_description_says(
    own: Shell, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "own.machine"
    assert main(["model", "new", str(tmp_path / "own.toml"), str(file)]) == ExitCode.DONE
    capsys.readouterr()
    kept = Shell(capsys, f"model:{file}").compare(*TWO)
    assert kept.out == own.compare(*TWO).out


def test_mixed_can_be_had_all_the_same(own: Shell, shell: Shell) -> None:
    assert own.compare(*TWO, "--load", "mixed").out == shell.compare(*TWO).out


def test_what_a_workload_did_not_get_is_said(own: Shell, tmp_path: Path) -> None:
    text = (tmp_path / "own.toml").read_text()
    (tmp_path / "own.toml").write_text(text.replace("200M", "1200M"))
    lines = own.compare("--policy", "normal").out.splitlines()
    [missing] = [line for line in lines if "the workload lacks" in line]
    assert missing.startswith("normal, memmap ordinary: the workload lacks ")


@pytest.mark.parametrize(
    "words", [("--fill", "20%"), ("--peak", "80%"), ("--dma", "0,25"), ("--name-all",)]
)
def test_options_of_mixed_are_refused_with_a_workload(own: Shell, words: tuple[str, ...]) -> None:
    said = own.compare(*words)
    assert (said.code, said.out) == (ExitCode.USAGE, "")
    assert f"'{words[0]}' is not for a machine with a workload of its own" in said.err
    assert own.compare("--policy", "normal", "--load", "mixed", *words).code == ExitCode.DONE


def test_there_has_to_be_a_workload_to_run_it(shell: Shell) -> None:
    said = shell.compare("--load", "own")
    assert said.code == ExitCode.USAGE
    assert "'--load own' finds no [workload] in the machine's description" in said.err


def test_half_an_hmat_is_refused(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "hmat"
    file.write_bytes(encode_hmat(Hmat()))
    said = shell.compare("--hmat", str(file))
    assert (said.code, said.out) == (ExitCode.USAGE, "")
    assert "has no latency for every pair of nodes" in said.err


def test_an_axis_says_something_else_at_every_mark(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "plot.svg"
    shell.compare("--policy", "normal", "--plot", str(file))
    texts = [text.text or "" for text in ET.parse(file).iter("{http://www.w3.org/2000/svg}text")]
    marks = [text for text in texts if re.fullmatch(r"\d\.\d{3}", text)]
    assert len(marks) == len(set(marks)) > 2


def test_a_plot_that_cannot_be_written_is_said(shell: Shell) -> None:
    said = shell.compare("--policy", "normal", "--plot", "/nowhere/plot.svg")
    assert said.code == ExitCode.USAGE
    # Before anything is run.
    assert said.err == (
        "memhp: '/nowhere/plot.svg' cannot be written (No such file or directory): "
        "name another file\n"
    )


def test_a_plot_can_be_a_png(shell: Shell, tmp_path: Path) -> None:
    if shutil.which("rsvg-convert") is None:
        assert os.environ.get("MEMHP_REQUIRE_KERNEL") != "1", "install package librsvg2-bin"
        pytest.skip("there is no rsvg-convert")
    file = tmp_path / "plot.png"
    assert shell.compare("--policy", "normal", "--plot", str(file)).code == ExitCode.DONE
    assert file.read_bytes().startswith(b"\x89PNG\r\n")


def test_a_png_needs_a_program(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    said = shell.compare("--policy", "normal", "--plot", str(tmp_path / "plot.png"))
    assert said.code == ExitCode.USAGE
    assert "cannot be drawn without rsvg-convert: install package librsvg2-bin" in said.err
