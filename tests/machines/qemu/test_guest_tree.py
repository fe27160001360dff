"""Files that a guest sends are not trusted: known paths alone become a tree."""

from pathlib import Path

import pytest

from memhp.core.errors import ContactLost
from memhp.machines.qemu.guest_tree import plant

SENT = """sys/devices/system/memory/block_size_bytes:8000000
/sys/devices/system/node/node1/memory32
sys/devices/system/memory/memory32/state:online
sys/devices/system/node/node1/distance:20 10
proc/cmdline:a:
proc/cmdline:
proc/cmdline:b
.
"""
HOSTILE = """../../etc/passwd:x
/etc/passwd:x
sys/devices/system/memory/memory32/../../../../../etc/x:x
sys/devices/system/memory/memory32/valid_zones/x:x
/sys/devices/system/node/node1/../../../../../tmp/x
/etc
sys/devices/system/memory/memory33
sys/devices/system/memory/memory12345678901/state:x
sys/devices/system/memory/memory32/state
without a path
.
"""


def files(folder: Path) -> dict[str, str | None]:
    return {
        str(path.relative_to(folder)): path.read_text() if path.is_file() else None
        for path in folder.rglob("*")
        if path.is_file() or not any(path.iterdir())
    }


def test_what_was_sent_is_the_tree(tmp_path: Path) -> None:
    plant(SENT, tmp_path, "qemu:g")
    assert files(tmp_path) == {
        "sys/devices/system/memory/block_size_bytes": "8000000\n",
        "sys/devices/system/node/node1/memory32": None,
        "sys/devices/system/memory/memory32/state": "online\n",
        "sys/devices/system/node/node1/distance": "20 10\n",
        "proc/cmdline": "a:\n\nb\n",
    }


def test_what_a_guest_makes_up_is_left_out(tmp_path: Path) -> None:
    plant(HOSTILE, tmp_path / "tree", "qemu:g")
    assert list(tmp_path.rglob("*")) == []


@pytest.mark.parametrize("text", ["", "proc/cmdline:a\n", SENT.removesuffix(".\n")])
def test_what_was_cut_short_is_no_tree(tmp_path: Path, text: str) -> None:
    with pytest.raises(ContactLost, match="cut short"):
        plant(text, tmp_path, "qemu:g")
