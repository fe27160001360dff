"""A device is replaced by hand: out at once, in use again when a person has put the new one in."""

from pathlib import Path

import pytest

from memhp.core.geometry import GIB, MIB, NodeId
from memhp.core.plan import AwaitDevice
from memhp.core.ranges import PhysRange
from memhp.core.snapshot import Device
from memhp.core.words import BlockState, DeviceKind
from memhp.interfaces.cli.main import main
from memhp.machines.open import open_machine
from memhp.model.store import StateFile
from memhp.operations.come_in_place import come_in_place_of

TEXT = """
command_line = "memhp_default_state=offline"
[[node]]
memory = "2G"
[[dimm]]
size = "512M"
[[dimm]]
size = "512M"
"""


class Shell:
    """Runs commands on one machine that lasts."""

    def __init__(self, machine: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.machine = machine
        self._capsys = capsys

    def __call__(self, *words: str) -> tuple[int, str]:
        code = int(main([*words, "-M", f"model:{self.machine}"]))
        said = self._capsys.readouterr()
        return code, said.out + said.err

    def log(self) -> str:
        """The journal."""
        assert main(["log"]) == 0
        return self._capsys.readouterr().out

    def letters(self, device: str) -> str:
        """A device's blocks, a letter each: M movable, K kernel, - offline."""
        return "".join(
            "-" if b.state is BlockState.OFFLINE else ("M" if str(b.zone) == "Movable" else "K")
            for b in open_machine(f"model:{self.machine}").snapshot().blocks
            if b.device == device
        )


@pytest.fixture
def memhp(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Shell:
    path = tmp_path / "m.machine"
    StateFile.create(path, TEXT).close()
    shell = Shell(path, capsys)
    assert shell("online", "dimm0", "--zone", "movable")[0] == 0
    assert shell("offline", "memory34")[0] == 0
    return shell


def test_it_waits_for_days_and_then_brings_everything_back(memhp: Shell) -> None:
    code, text = memhp("replace", "dimm0", "--by-hand")
    assert (code, "go on with 'memhp resume'" in text) == (7, True)
    assert memhp.letters("dimm0") == ""
    code, text = memhp("resume")
    assert (code, "put the new device in its place" in text) == (7, True)
    assert "has to wait for a device of 512M in place of dimm0" in memhp.log()
    assert memhp("add", "dimm0")[0] == 0
    code, text = memhp("resume")
    assert (code, "done, dimm0 has come" in text) == (0, True)
    assert memhp.letters("dimm0") == "MM-M"


def test_what_waits_for_a_person_keeps_nobody_from_anything(memhp: Shell) -> None:
    assert memhp("replace", "dimm0", "--by-hand")[0] == 7
    assert memhp("online", "dimm1")[0] == 0
    assert memhp("add", "dimm0", "--zone", "kernel")[0] == 0
    assert memhp.letters("dimm0") == "KKKK"
    assert memhp("resume", "3")[0] == 0
    assert memhp.letters("dimm0") == "MM-M"


def test_undoing_it_while_it_waits(memhp: Shell) -> None:
    assert memhp("replace", "dimm0", "--by-hand")[0] == 7
    assert memhp("undo")[0] == 0
    assert memhp.letters("dimm0") == "MM-M"
    assert memhp("resume")[0] == 2


def test_a_boot_ends_the_waiting(memhp: Shell) -> None:
    assert memhp("replace", "dimm0", "--by-hand")[0] == 7
    assert main(["model", "restart", str(memhp.machine)]) == 0
    code, text = memhp("resume")
    assert (code, "has been booted since" in text) == (4, True)


def test_a_block_that_refuses_keeps_the_device(memhp: Shell) -> None:
    with StateFile.open(memhp.machine) as state, state.change("test") as kernel:
        kernel.pinned[33] = "an O_DIRECT buffer"
    assert memhp("replace", "dimm0", "--by-hand")[0] == 1
    assert memhp.letters("dimm0") == "MM-M"


def test_the_dry_run_says_what_follows(memhp: Shell) -> None:
    text = memhp("replace", "dimm0", "--by-hand", "--dry-run")[1]
    assert "then wait until a person has put the new device in the place of dimm0" in text
    assert memhp("replace", "dimm0", "--by-hand", "--add-first")[0] == 2


def device(name: str, start: int, size: int, node: int, *, present: bool = True) -> Device:
    return Device(
        name=name,
        kind=DeviceKind.DIMM,
        size_bytes=size,
        node=NodeId(node),
        present=present,
        ranges=(PhysRange.at(start, size),) if present else (),
    )


SAME_SLOT = device("PNP0C80:00", 9 * GIB, GIB, 1)
SAME_PLACE = device("PNP0C80:07", 4 * GIB, GIB, 1)
ALIKE = device("PNP0C80:08", 8 * GIB, 512 * MIB, 0)
UNLIKE = device("PNP0C80:09", 8 * GIB, GIB, 0)
KNOWN = device("PNP0C80:01", 6 * GIB, 512 * MIB, 0)
EMPTY = device("PNP0C80:00", 0, 0, 0, present=False)


@pytest.mark.parametrize(
    ("devices", "come"),
    [
        ((UNLIKE, ALIKE, SAME_PLACE, SAME_SLOT), SAME_SLOT),
        ((UNLIKE, ALIKE, SAME_PLACE, EMPTY), SAME_PLACE),
        ((UNLIKE, ALIKE, EMPTY), ALIKE),
        ((UNLIKE, KNOWN, EMPTY), None),
        ((), None),
    ],
    ids=["the slot", "the address", "size and node", "somebody else's", "nothing"],
)
def test_what_has_come(devices: tuple[Device, ...], come: Device | None) -> None:
    action = AwaitDevice(
        device="PNP0C80:00",
        size_bytes=512 * MIB,
        node=NodeId(0),
        address=4 * GIB,
        others=("PNP0C80:01",),
    )
    assert come_in_place_of(action, devices) == come
