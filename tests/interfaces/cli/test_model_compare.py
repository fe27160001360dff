"""``memhp model compare``: tables, JSON, a plot, and what is wrong words."""

import json
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


def test_half_an_hmat_is_refused(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "hmat"
    file.write_bytes(encode_hmat(Hmat()))
    said = shell.compare("--hmat", str(file))
    assert (said.code, said.out) == (ExitCode.USAGE, "")
    assert "has no latency for every pair of nodes" in said.err


def test_a_plot_that_cannot_be_written_is_said(shell: Shell) -> None:
    said = shell.compare("--policy", "normal", "--plot", "/nowhere/plot.svg")
    assert said.code == ExitCode.USAGE
    assert "'/nowhere/plot.svg' cannot be written" in said.err
