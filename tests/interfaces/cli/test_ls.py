"""``memhp ls`` prints what ``lsmem`` prints, to the byte, on trees of many shapes."""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from booted import booted, write
from memhp.interfaces.cli.ls_columns import human_size
from memhp.interfaces.cli.main import main
from memhp.model.description import start
from memhp.model.shipped import load_shipped
from saved_trees import MEMORY, NODES, SavedBlock, save_model, save_tree

if shutil.which("lsmem") is None:  # pragma: no cover - depends on the machine
    if os.environ.get("MEMHP_REQUIRE_KERNEL") == "1":
        pytest.fail("lsmem is missing: install package util-linux", pytrace=False)
    pytest.skip("lsmem is missing: install package util-linux", allow_module_level=True)

VERSION = subprocess.run(["lsmem", "--version"], capture_output=True, text=True).stdout
if "2.38" not in VERSION:  # pragma: no cover - depends on the machine
    pytest.skip(f"made to equal lsmem 2.38, and this is {VERSION}", allow_module_level=True)

B = SavedBlock
OFFLINE = B(state="offline", valid_zones="Normal Movable")
SHAPES = {
    "one block": {0: B()},
    "one block that is not the first": {7: B()},
    "first block is 8192": {8192: B(), 8193: B(), 8195: B()},
    "gaps": {n: B() for n in (0, 1, 5, 6, 10)},
    "states": {0: B(), 1: OFFLINE, 2: B(state="going-offline"), 3: B(state="?!"), 4: B(state=None)},
    "removable": {0: B(), 1: B(removable="0"), 2: B(removable=None), 3: B(removable="")},
    "no node": {n: B(nodes=()) for n in range(3)},
    "first without a node": {0: B(nodes=()), 1: B(nodes=(1,))},
    "some without a node": {0: B(), 1: B(nodes=()), 2: B(nodes=(1,)), 3: B(nodes=(11,))},
    "zones": {
        n: B(valid_zones=words)
        for n, words in enumerate(
            ["none", "DMA", "DMA32", "Normal", "Movable", "Device", "HighMem"]
        )
    },
    "zone orders of s390": {
        0: B(valid_zones="Normal"),
        1: B(state="offline", valid_zones="Movable Normal"),
        2: B(state="offline", valid_zones="Normal Movable"),
        3: B(state="offline", valid_zones="Movable"),
    },
    "unknown zones": {0: B(), 1: B(valid_zones="New"), 2: B(valid_zones="New"), 3: B()},
    "no valid_zones": {n: B(valid_zones=None) for n in range(3)},
    "valid_zones missing in the first": {0: B(valid_zones=None), 1: B()},
    "empty files": {0: B(), 1: B(state="", removable="", valid_zones="")},
    "words that end early": {
        0: B(),
        1: B(state="online\0more", valid_zones="Normal\0Movable"),
        2: B(state="online ", removable="1 0", valid_zones=" Normal  Movable "),
        3: B(state="online\n", removable="1x", valid_zones="Normal\tMovable"),
        4: B(state="Online", removable="+01", valid_zones="NORMAL"),
        5: B(removable="11", valid_zones=" ".join(["DMA"] * 9)),
        6: B(removable="0x1", valid_zones="x" * 300),
        7: B(state="online" * 99, removable=" 1"),
    },
    "many": {
        n: B(nodes=(n // 40,), valid_zones="Movable" if n > 60 else "Normal") for n in range(99)
    },
}
OPTIONS = [
    [], ["-a"], ["-b"], ["-n"], ["-J"], ["-P"], ["-r"], ["--output-all"],
    ["-J", "--output-all"], ["-P", "--output-all"], ["-r", "--output-all"],
    ["-a", "-J", "--output-all", "-b"], ["-a", "-r", "-n"], ["-o", "RANGE"], ["-o", "SIZE,RANGE"],
    ["-o", "+NODE,ZONES"], ["-o", "zones,block,state"], ["-o", "BLOCK,BLOCK"],
    ["-o", "+STATE", "--output-all"], ["-S", "none"], ["-S", "ZONES,NODE"], ["-S", "STATE"],
    ["-S", "RANGE", "-o", "BLOCK"], ["-S", "removable", "-J"], ["--summary"], ["--summary=never"],
    ["-J", "--summary=always"], ["--summary=always", "-J"], ["--summary=always", "--summary=only"],
    ["-P", "--summary=never", "--summary=always"], ["--summary=never", "--summary=always"],
    ["-r", "--summary=always", "--summary"], ["-o", "STATE", "-o", "+NODE"], ["-S", "+STATE"],
    ["--summary=always", "-o", "BLOCK"], ["--summary=only", "-b"], ["-n", "-o", "ZONES"],
]  # fmt: skip


def both(root: Path, options: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[str, str]:
    theirs = subprocess.run(["lsmem", "--sysroot", root, *options], capture_output=True, text=True)
    assert theirs.returncode == 0, theirs.stderr
    capsys.readouterr()
    assert main(["ls", "--sysroot", str(root), *options]) == 0
    return theirs.stdout, capsys.readouterr().out


@pytest.mark.parametrize("options", OPTIONS, ids=" ".join)
@pytest.mark.parametrize("shape", SHAPES)
def test_equal_to_the_byte(
    shape: str, options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    theirs, ours = both(save_tree(tmp_path, SHAPES[shape]), options, capsys)
    assert ours == theirs


@pytest.mark.parametrize("node_folders", [True, False])
def test_blocks_of_two_nodes(
    node_folders: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    blocks = {0: B(), 1: B(nodes=(0, 1)), 2: B(nodes=(1,))}
    root = save_tree(tmp_path, blocks, node_folders=node_folders)
    theirs, ours = both(root, ["--output-all"], capsys)
    assert ours == theirs


blocks = st.builds(
    SavedBlock,
    state=st.sampled_from(["online", "online", "offline", "going-offline", "odd", "", None]),
    removable=st.sampled_from(["1", "1", "0", "01", "1x", None]),
    valid_zones=st.sampled_from(
        ["Normal", "Movable", "none", "Normal Movable", "Normal\tMovable", "New", "", None]
    ),
    nodes=st.sampled_from([(0,), (0,), (1,), (), (0, 1)]),
)


@given(
    st.dictionaries(st.integers(0, 20), blocks, min_size=1, max_size=12),
    st.sampled_from(["8000000", "80000000", "100000", "18000000", "7fffffff"]),
    st.sampled_from(OPTIONS),
    st.booleans(),
)
@settings(max_examples=60)
def test_any_tree(
    tmp_path_factory: pytest.TempPathFactory,
    found: dict[int, SavedBlock],
    block_size: str,
    options: list[str],
    node_folders: bool,
) -> None:
    folder = tmp_path_factory.mktemp("tree")
    root = save_tree(folder, found, block_size=block_size, node_folders=node_folders)
    theirs = subprocess.run(["lsmem", "-s", root, *options], capture_output=True, text=True)
    command = [sys.executable, "-m", "memhp", "ls", "-s", str(root), *options]
    ours = subprocess.run(command, capture_output=True, text=True)
    assert ours.stdout == theirs.stdout


@pytest.mark.parametrize("machine", ["laptop", "server", "host"])
@pytest.mark.parametrize("options", [[], ["--output-all"], ["-J", "-a", "--output-all"]])
def test_a_model_lists_as_its_own_files(
    machine: str, options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kernel = start(load_shipped(machine))
    theirs, ours = both(save_model(tmp_path, kernel), options, capsys)
    assert ours == theirs
    assert main(["ls", "-M", f"model:{machine}", *options]) == 0
    assert capsys.readouterr().out == theirs


def test_a_changed_model_lists_as_its_own_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (
        'command_line = "memhp_default_state=offline"\n'
        '[[node]]\nmemory = "2G"\n[[node]]\n[[dimm]]\nsize = "1G"\nnode = 1\n'
    )
    kernel = booted(text)
    for number, word in ((34, "online_movable"), (36, "online_kernel"), (39, "online_movable")):
        write(kernel, number, word)
    theirs, ours = both(save_model(tmp_path, kernel), ["--output-all"], capsys)
    assert ours == theirs


def on_terminal(command: list[str], columns: int) -> bytes:
    """What a command prints on a terminal of that width."""
    shell = f"stty cols {columns}; exec {shlex.join(command)}"
    done = subprocess.run(["script", "-qec", shell, "/dev/null"], capture_output=True, check=True)
    return done.stdout


@pytest.mark.skipif(shutil.which("script") is None, reason="script is missing: bsdutils has it")
@pytest.mark.parametrize("columns", [20, 60, 80, 200])
@pytest.mark.parametrize("options", [[], ["--output-all"], ["-o", "SIZE,RANGE"]], ids=" ".join)
def test_terminals_of_any_width(columns: int, options: list[str], tmp_path: Path) -> None:
    root = str(save_tree(tmp_path, SHAPES["many"]))
    theirs = on_terminal(["lsmem", "-s", root, *options], columns)
    ours = on_terminal([sys.executable, "-m", "memhp", "ls", "-s", root, *options], columns)
    assert ours == theirs


def test_a_tree_comes_before_the_machine_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MEMHP_MACHINE", "model:server")
    theirs, ours = both(save_tree(tmp_path, {0: B()}), [], capsys)
    assert ours == theirs


def test_names_that_are_no_blocks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = save_tree(tmp_path, {0: B(), 1: B(nodes=(2,))})
    for name in ("memory", "memoryx", "memory-2", "memory3x", "power"):
        (root / MEMORY / name).mkdir()
    (root / MEMORY / "memory0/nodex").mkdir()
    (root / NODES / "node0/memoryx").mkdir()
    theirs, ours = both(root, ["--output-all"], capsys)
    assert ours == theirs


def test_a_size_without_its_newline_counts_in_full(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No kernel prints it so; lsmem 2.38 would lose the last digit."""
    root = save_tree(tmp_path, {0: B()})
    (root / MEMORY / "block_size_bytes").write_text("8000000")
    assert main(["ls", "-s", str(root), "--summary"]) == 0
    assert "Memory block size:       128M\n" in capsys.readouterr().out


def test_this_host(capsys: pytest.CaptureFixture[str]) -> None:
    theirs = subprocess.run(["lsmem"], capture_output=True, text=True)
    if theirs.returncode != 0:
        pytest.skip(f"lsmem itself cannot list this host: {theirs.stderr.strip()}")
    assert main(["ls"]) == 0
    assert capsys.readouterr().out == theirs.stdout


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        (0, "0B"), (1, "1B"), (1023, "1023B"), (1024, "1K"), (1536, "1.5K"), (1 << 20, "1M"),
        ((1 << 30) - 1, "1024M"), (3 << 29, "1.5G"), (5 << 40, "5T"), ((1 << 30) + (1 << 20), "1G"),
        ((1 << 30) + (96 << 20), "1.1G"), (1 << 60, "1E"),
    ],
)  # fmt: skip
def test_sizes_for_people(size: int, shown: str) -> None:
    assert human_size(size) == shown


@pytest.mark.parametrize("name", ["CONFIGURED", "MEMMAP-ON-MEMORY"])
def test_newer_columns_can_be_asked_for(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = save_tree(tmp_path, {n: B() for n in range(3)})
    file = {"CONFIGURED": "config", "MEMMAP-ON-MEMORY": "memmap_on_memory"}[name]
    for number, text in enumerate(("1", "1", "0")):
        folder = root / f"sys/firmware/memory/memory{number}"
        folder.mkdir(parents=True)
        (folder / file).write_text(f"{text}\n")
    assert main(["ls", "-s", str(root), "-r", "-o", f"BLOCK,{name}"]) == 0
    assert capsys.readouterr().out == f"BLOCK {name}\n0-1 yes\n2 no\n"
    main(["ls", "-s", str(root), "--output-all"])
    assert name not in capsys.readouterr().out


WRONG = [
    (["-o", "FOO"], 2, "'FOO' is no column"),
    (["-o", ""], 2, "is no column"),
    (["-S", "FOO"], 2, "'FOO' is no column"),
    (["--summary=never,always"], 2, "invalid choice"),
    (["--summary", "-J"], 2, "goes with none of"),
    (["--summary=always", "-P", "--summary=only"], 2, "goes with none of"),
    (["--summary=never", "--summary"], 2, "goes with none of"),
    (["-a", "-S", "STATE"], 2, "not allowed with"),
    (["-a", "-S", "none"], 2, "not allowed with"),
    (["-J", "-r"], 2, "not allowed with"),
    (["-M", "model:server"], 2, "stands beside a machine"),
]


@pytest.mark.parametrize(("options", "code", "told"), WRONG)
def test_wrong_options(
    options: list[str], code: int, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = save_tree(tmp_path, {0: B()})
    try:
        found = main(["ls", "-s", str(root), *options])
    except SystemExit as stop:
        found = int(stop.code or 0)
    said = capsys.readouterr()
    assert (found, said.out, said.err.count("\n")) == (code, "", 1)
    assert told in said.err


def test_trees_that_are_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    no_blocks = save_tree(tmp_path / "no blocks", {})
    odd_size = save_tree(tmp_path / "odd size", {0: B()}, block_size="many")
    for root, told in (
        (tmp_path / "nowhere", "is no folder"),
        (tmp_path / "empty", "does not support memory blocks"),
        (no_blocks, "has no memory block"),
        (odd_size, "a hexadecimal number was expected"),
    ):
        assert main(["ls", "-s", str(root)]) == 3
        said = capsys.readouterr()
        assert (said.out, said.err.count("\n")) == ("", 1)
        assert told in said.err
        assert str(root) in said.err
