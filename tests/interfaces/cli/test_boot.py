"""``memhp boot`` agrees with what real guests got, and says why a node is not movable."""

import json
import struct
from pathlib import Path
from typing import Any

import pytest

from memhp.core.acpi.srat import encode_srat, parse_srat, with_hotpluggable
from memhp.interfaces.cli.main import main
from memhp.model.trace.predict import boot_recorded
from memhp.model.trace.recording import parse_recording, read_recording
from saved_trees import SavedBlock, save_tree, unpack

TREES = Path(__file__).parents[2] / "machines/linux/trees"
RECORDINGS = Path(__file__).parents[2] / "model/trace/recordings"
# What guests with these saved trees' hardware showed in /proc/zoneinfo when
# they were booted so: pages present by node and zone.
REAL = {
    ("6.12", ""): "0 DMA 3998, 0 DMA32 251904, 1 DMA32 530400, 1 Normal 7168, 2 Normal 179200",
    ("6.12", "movable_node"): (
        "0 DMA 3998, 0 DMA32 251904, 1 DMA32 530400, 1 Normal 7168, 2 Normal 179200"
    ),
    ("6.12", "mem=2000M movablecore=300M"): (
        "0 DMA 3998, 0 DMA32 214016, 0 Movable 37888, 1 DMA32 218112, 1 Movable 37888"
    ),
    ("6.12", "kernelcore=mirror"): (
        "0 DMA 3998, 0 DMA32 251904, 1 DMA32 530400, 1 Normal 7168, 2 Normal 179200"
    ),
    ("6.1", ""): "0 DMA 3998, 0 DMA32 520192, 1 DMA32 262112, 1 Normal 505856",
    ("6.1", "mem=2000M movablecore=300M"): "0 DMA 3998, 0 DMA32 431104, 0 Movable 76800",
    ("6.1", "kernelcore=mirror"): "0 DMA 3998, 0 DMA32 520192, 1 DMA32 262112, 1 Movable 505856",
}


@pytest.fixture
def tree(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    release: str = getattr(request, "param", "6.12")
    return unpack(TREES / f"boot-{release}.tar.gz", tmp_path)


def booted(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    assert main(["boot", *words, "--json"]) == 0
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return document


def pages(state: dict[str, Any]) -> str:
    return ", ".join(f"{z['node']} {z['zone']} {z['present_bytes'] >> 12}" for z in state["zones"])


@pytest.mark.parametrize(("tree", "line"), REAL, indirect=["tree"])
def test_real_guests_got_the_same(
    tree: Path, line: str, capsys: pytest.CaptureFixture[str], request: pytest.FixtureRequest
) -> None:
    release = request.node.callspec.params["tree"]
    document = booted(capsys, f"linux:{tree}", "--cmdline", line)
    assert pages(document["then"]) == REAL[release, line]
    assert pages(document["now"]) == REAL[release, ""]


LINES = ("kernelcore", "movablecore", "movable_node")
BOOTS = [
    path
    for path in sorted(RECORDINGS.rglob("*.json"))
    if any(word in json.loads(path.read_text())["machine"]["command_line"] for word in LINES)
]


@pytest.mark.parametrize("path", BOOTS, ids=lambda path: path.stem)
def test_recorded_boots_got_the_same(path: Path) -> None:
    """The zones that a recording shows after the boot, but for devices that came later."""
    document = read_recording(path)
    recording = parse_recording(document, path.name)
    kernel = boot_recorded(recording)
    found = {(z.node, z.zone.value): z.present for z in kernel.zones.values() if z.present}
    shown = document["boot"]["zones"]
    assert found == {(z["node"], z["zone"]): z["present"] for z in shown if z["present"]}


def test_there_are_recorded_boots_of_each_parameter() -> None:
    lines = [json.loads(path.read_text())["machine"]["command_line"] for path in BOOTS]
    for word in LINES:
        assert sum(word in line for line in lines) >= 3


def test_side_by_side(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["boot", "server", "--cmdline", "movablecore=10%"]) == 0
    said = capsys.readouterr().out
    assert "node1  Normal                          -          64 GiB" in said
    assert "booted so: movablecore=10%" in said


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--cmdline", "", "--hotpluggable", "1"], "'movable_node' is not on the command line"),
        (
            ["--cmdline", "movablecore=acpi", "--hotpluggable", "1"],
            "this kernel does not know 'movablecore=acpi'",
        ),
        (["--cmdline", "movable_node", "--hotpluggable", "0"], "the kernel itself lies there"),
    ],
)
def test_why_a_node_is_not_movable(
    words: list[str], reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    machine = tmp_path / "two.toml"
    machine.write_text('[[node]]\nmemory = "3G"\n[[node]]\nmemory = "2G"\n')
    then = booted(capsys, f"model:{machine}", *words)["then"]
    [(node, told)] = then["not_movable"].items()
    assert node == words[-1]
    assert reason in told
    assert then["to_take_out_bytes"] == {}


def test_a_movable_node_can_be_taken_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    machine = tmp_path / "two.toml"
    machine.write_text('[[node]]\nmemory = "3G"\n[[node]]\nmemory = "2G"\n')
    words = ("--cmdline", "movable_node", "--hotpluggable", "1")
    then = booted(capsys, f"model:{machine}", *words)["then"]
    assert then["to_take_out_bytes"] == {"1": 2 << 30}
    assert then["not_movable"] == {}


def test_another_srat(tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = (tree / "sys/firmware/acpi/tables/SRAT").read_bytes()
    other = tmp_path / "other.srat"
    other.write_bytes(encode_srat(with_hotpluggable(parse_srat(own), 2)))
    words = (f"linux:{tree}", "--cmdline", "movable_node", "--srat", str(other))
    then = booted(capsys, *words)["then"]
    # In this guest address randomisation had put the kernel on node 2.
    assert then["not_movable"] == {"2": "the kernel itself lies there, at 0x102000000-0x104bfffff"}
    iomem = tree / "proc/iomem"
    iomem.write_text(iomem.read_text().replace("  10", "  00").replace("-10", "-00"))
    assert pages(booted(capsys, *words)["then"]).endswith("2 Movable 179200")


def test_another_kernel(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("server", "--cmdline", "kernelcore=mirror")
    assert "Movable" not in pages(booted(capsys, *words)["then"])
    assert "0 Movable" in pages(booted(capsys, *words, "--kernel", "6.1")["then"])


def test_what_the_kernel_would_ignore_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    main(["boot", "laptop", "--cmdline", "kernelcore=lots quiet"])
    assert "the kernel would ignore 'kernelcore=lots'" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["nix"], 3, "does not come with memhp"),
        (["linux:/nowhere"], 3, "is no folder"),
        (["server", "--srat", "/nowhere"], 2, "cannot be read"),
        (["server", "--srat", "/dev/null"], 3, "SRAT"),
        (["server", "--hotpluggable", "x"], 2, "is no list of nodes"),
        (["server", "--hotpluggable", "7"], 2, "names a node that the SRAT does not"),
        (["server", "--kernel", "7.0"], 2, "invalid choice"),
        (["laptop", "--cmdline", "mem=1K"], 1, "too little memory"),
        (["laptop", "--cmdline", "mem=20M"], 1, "too little memory"),
    ],
)
def test_wrong_words(
    words: list[str], code: int, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        found = main(["boot", *words])
    except SystemExit as stop:
        found = int(stop.code or 0)
    said = capsys.readouterr()
    assert (found, said.out, said.err.count("\n")) == (code, "", 1)
    assert told in said.err


def test_a_tree_without_a_memory_map(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = save_tree(tmp_path, {0: SavedBlock()})
    assert main(["boot", f"linux:{root}"]) == 3
    assert "has no memory map" in capsys.readouterr().err


@pytest.mark.parametrize("damage", ["short", "zero", "odd"])
def test_the_other_map_is_used_where_the_first_is_damaged(
    tree: Path, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """/sys/firmware/memmap says the same; only the initrd is not known then."""
    page = tree / "sys/kernel/boot_params/data"
    data = bytearray(page.read_bytes())
    match damage:
        case "short":
            data = data[:0x100]
        case "zero":
            data[0x1E8] = 0
        case "odd":
            struct.pack_into("<B", data, 0x1E8, 255)
    page.write_bytes(bytes(data))
    assert pages(booted(capsys, f"linux:{tree}", "--cmdline", "")["then"]) == REAL["6.12", ""]
