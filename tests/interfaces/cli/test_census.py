"""``memhp census`` as a person uses it."""

import json
from pathlib import Path

import numpy as np
import pytest

from memhp.core.geometry import MIB
from memhp.interfaces.cli.main import main
from saved_trees import SavedBlock, save_tree

PER_BLOCK = 128 * MIB // 4096


@pytest.fixture
def machine(tmp_path: Path) -> str:
    """Five blocks: three alike, one with a page of slab, one that is offline."""
    blocks = {n: SavedBlock(state="online" if n < 4 else "offline") for n in range(5)}
    root = save_tree(tmp_path, blocks)
    (root / "proc").mkdir()
    words = np.full(5 * PER_BLOCK, 0x5828, np.uint64)
    words[:10] = 0x400
    words[3 * PER_BLOCK] = 1 << 7
    words[4 * PER_BLOCK :] = 1 << 20
    (root / "proc/kpageflags").write_bytes(words.tobytes())
    (root / "proc/vmstat").write_text("nr_foll_pin_acquired 2\nnr_foll_pin_released 2\n")
    return f"linux:{root}"


def test_alike_neighbours_are_one_row(machine: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["census", "memory1-4", "-M", machine]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "BLOCKS     NODE  ZONE     FREE  MOVABLE  DEAR  UNMOVABLE  UNKNOWN",
        "memory1-2  0     Normal      0    65536     0          0        0",
        "memory3    0     Normal      0    32767     0          1        0",
        "memory4    0     offline     -        -     -          -        -",
        "total                        0    98303     0          1        0",
        "",
        "KIND       PAGES    MIB   SHARE",
        "anonymous  98303  384.0  100.0%",
        "slab           1    0.0    0.0%",
    ]


def test_every_block_has_its_own(machine: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["census", "--all", "-M", machine]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[:7]] == [
        "BLOCKS",
        *[f"memory{number}" for number in range(5)],
        "total",
    ]


def test_by_node_in_json(machine: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["census", "--by", "node", "--json", "-M", machine]) == 0
    pages = {"free": 10, "anonymous": 4 * PER_BLOCK - 11, "slab": 1}
    prospects = {
        "nothing": 10,
        "moves": 4 * PER_BLOCK - 11,
        "dear": 0,
        "stays": 1,
        "unknown": 0,
    }
    assert json.loads(capsys.readouterr().out) == {
        "machine": machine,
        "pages_per_block": PER_BLOCK,
        "rows": [
            {
                "blocks": [0, 1, 2, 3, 4],
                "node": 0,
                "zone": None,
                "state": None,
                "device": None,
                "pages": pages,
                "prospects": prospects,
            }
        ],
        "total": {"pages": pages, "prospects": prospects},
        "notes": [],
    }


def test_owners_are_looked_for(machine: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["census", "memory0", "--owners", "-M", machine]) == 0
    said = capsys.readouterr().out
    assert "OWNER  NAME  PAGES" in said
    assert "note: this kernel does not tell which cgroup a page is charged to" in said
    assert main(["census", "memory0", "--owners", "--json", "-M", machine]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["owners"] == []
    assert len(found["notes"]) == 2


def test_a_model_can_by_device(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["census", "--by", "device", "--json", "-M", "model:server"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert {row["device"] for row in rows} > {None}


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["4G"], 2, "memhp: '4G' means no block in particular: name blocks, addresses, a node"),
        (["memory9"], 2, "has no memory9: see 'memhp ls'"),
        (["node5"], 2, "has no memory block in node5"),
        (["dimm7"], 2, "has no device 'dimm7'"),
        (["--owners", "-M", "model:server"], 1, "machine 'model:server' cannot tell who holds"),
    ],
)
def test_one_sentence_says_what_is_wrong(
    machine: str, capsys: pytest.CaptureFixture[str], words: list[str], code: int, said: str
) -> None:
    assert main(["-M", machine, "census", *words]) == code
    told = capsys.readouterr()
    assert told.out == ""
    assert said in told.err
    assert told.err.count("\n") == 1


def test_a_tree_without_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = save_tree(tmp_path, {0: SavedBlock()})
    assert main(["census", "-M", f"linux:{root}"]) == 3
    assert "CONFIG_PROC_PAGE_MONITOR" in capsys.readouterr().err
