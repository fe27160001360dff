"""Devices that are added, resized and replaced, from the command line, on a machine that lasts."""

import json
from pathlib import Path
from typing import Any

import pytest

from memhp.core.words import BlockState, ExitCode, OnlineType
from memhp.interfaces.cli.main import main
from memhp.machines.open import open_machine
from memhp.model.kernel import Kernel
from memhp.model.store import StateFile

MIB = 1 << 20
TEXT = """
command_line = "memhp_default_state=online_movable"
dimm_slots = 3
[[node]]
memory = "2G"
[[dimm]]
size = "512M"
[[virtio_mem]]
size = "4G"
requested = "1G"
"""
DIMM, VIRTIO = "dimm0", "virtio-mem0"


class Shell:
    """Runs commands on one machine that lasts."""

    def __init__(self, machine: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.machine = machine
        self._capsys = capsys

    def __call__(self, *words: str) -> tuple[int, str, str]:
        try:
            code = int(main([*words, "-M", f"model:{self.machine}"]))
        except SystemExit as stop:
            code = int(stop.code or 0)
        said = self._capsys.readouterr()
        return code, said.out, said.err

    def letters(self, device: str) -> str:
        """A device's blocks, a letter each: M movable, K kernel, - offline."""
        return "".join(
            "-" if b.state is BlockState.OFFLINE else ("M" if str(b.zone) == "Movable" else "K")
            for b in open_machine(f"model:{self.machine}").snapshot().blocks
            if b.device == device
        )

    def size(self) -> tuple[int | None, int | None]:
        """What is asked of the virtio-mem device and what it has, in MiB."""
        devices = open_machine(f"model:{self.machine}").snapshot().devices
        [found] = [device for device in devices if device.name == VIRTIO]
        return (found.requested_bytes or 0) // MIB, (found.plugged_bytes or 0) // MIB

    def change(self, what: Any) -> None:
        with StateFile.open(self.machine) as state, state.change("test") as kernel:
            what(kernel)


@pytest.fixture
def memhp(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Shell:
    path = tmp_path / "m.machine"
    StateFile.create(path, TEXT).close()
    return Shell(path, capsys)


SIZES = {
    "in all": (["2G"], 2048),
    "more": (["+512M"], 1536),
    "less": (["-512M"], 512),
    "less, with its unit in full": (["-512MiB"], 512),
    "in sub-blocks": (["1026M"], 1026),
    "nothing": (["0"], 0),
    "as it is": (["1G"], 1024),
    "all there is": (["4G"], 4096),
}


@pytest.mark.parametrize(("words", "expected"), SIZES.values(), ids=SIZES.keys())
def test_sizes(memhp: Shell, words: list[str], expected: int) -> None:
    assert memhp("resize", VIRTIO, *words)[0] == ExitCode.DONE
    assert memhp.size() == (expected, expected)


WRONG = {
    "too much": (["5G"], ExitCode.REFUSED, "it gives 4G at most, and 1G are asked for now"),
    "less than nothing": (["-2G"], ExitCode.REFUSED, "less than nothing"),
    "no unit": (["-512"], ExitCode.USAGE, "memhp"),
    "no multiple": (["1025M"], ExitCode.REFUSED, "is no multiple of 2M"),
    "no size": (["many"], ExitCode.USAGE, "is no size"),
    "a sign alone": (["+"], ExitCode.USAGE, "is no size"),
}


@pytest.mark.parametrize(("words", "code", "told"), WRONG.values(), ids=WRONG.keys())
def test_sizes_that_cannot_be(memhp: Shell, words: list[str], code: ExitCode, told: str) -> None:
    got, out, err = memhp("resize", VIRTIO, *words)
    assert (got, out, err.count("\n"), told in err) == (code, "", 1, True)
    assert memhp.size() == (1024, 1024)


def test_a_dimm_has_no_size_to_choose(memhp: Shell) -> None:
    code, _, err = memhp("resize", DIMM, "1G")
    assert (code, "whose size nobody can choose" in err) == (ExitCode.REFUSED, True)


def hold(kernel: Kernel, *places: int) -> None:
    """Something in these blocks of the virtio-mem device cannot move."""
    device = kernel.virtio_mem[VIRTIO]
    numbers = sorted(device.plugged)
    device.held |= {numbers[place]: (1 << 64) - 1 for place in places}


def test_a_shrink_in_part_is_told_and_the_rest_withdrawn(memhp: Shell) -> None:
    memhp.change(lambda kernel: hold(kernel, 0, 1, 2))
    code, out, err = memhp("resize", VIRTIO, "0")
    assert code == ExitCode.PARTLY
    assert out.splitlines() == [
        "resize virtio-mem0 to 0B: partly: 640M of 1G, the guest can free no more of it",
        "resize virtio-mem0 to 384M: done, 384M plugged",
    ]
    assert err == "partly done: virtio-mem0 has 384M, 640M less than before\n"
    assert memhp.size() == (384, 384)


def test_a_shrink_that_frees_nothing_is_refused(memhp: Shell) -> None:
    memhp.change(lambda kernel: hold(kernel, *range(8)))
    code, _, err = memhp("resize", VIRTIO, "-1G")
    assert (code, memhp.size()) == (ExitCode.REFUSED, (1024, 1024))
    assert err == "refused: virtio-mem0 has 1G, as before\n"


CONDITIONS = {
    "enough": (["--at-least", "640M"], ExitCode.DONE, 384),
    "not enough": (["--at-least", "642M"], ExitCode.PARTLY, 384),
    "all or nothing": (["--all-or-nothing"], ExitCode.REFUSED, 1024),
    "enough of all or nothing": (
        ["--all-or-nothing", "--at-least", "640M"],
        ExitCode.DONE,
        384,
    ),
}


@pytest.mark.parametrize(("words", "code", "size"), CONDITIONS.values(), ids=CONDITIONS.keys())
def test_conditions_of_a_shrink(memhp: Shell, words: list[str], code: int, size: int) -> None:
    memhp.change(lambda kernel: hold(kernel, 0, 1, 2))
    assert (memhp("resize", VIRTIO, "0", *words)[0], memhp.size()) == (code, (size, size))
    assert set(memhp.letters(VIRTIO)) <= {"M"}


def test_growing_past_what_may_be_offline(memhp: Shell) -> None:
    """The driver stops at 1 GiB offline; brought online, it goes on."""
    memhp.change(lambda kernel: setattr(kernel.settings, "auto_online", OnlineType.OFFLINE))
    code, out, err = memhp("resize", VIRTIO, "4G")
    assert (code, memhp.size()) == (ExitCode.PARTLY, (2048, 2048))
    assert "too much of the device is offline" in out
    assert err == "partly done: virtio-mem0 has 2G, 1G more than before\n"
    code, _, _ = memhp("resize", VIRTIO, "4G", "--zone", "kernel")
    assert (code, memhp.size()) == (ExitCode.REFUSED, (2048, 2048))
    memhp("online", VIRTIO)
    assert memhp("resize", VIRTIO, "4G", "--zone", "kernel")[0] == ExitCode.DONE


def test_growing_into_a_zone(memhp: Shell) -> None:
    """Whatever the machine's policy is, and however often the driver has to be waited for."""
    memhp.change(lambda kernel: setattr(kernel.settings, "auto_online", OnlineType.OFFLINE))
    assert memhp("resize", VIRTIO, "4G", "--zone", "movable")[0] == ExitCode.DONE
    assert (memhp.size(), memhp.letters(VIRTIO)) == ((4096, 4096), "M" * 32)
    assert memhp("undo")[0] == ExitCode.DONE
    assert (memhp.size(), memhp.letters(VIRTIO)) == ((1024, 1024), "M" * 8)


def test_what_became_the_kernels_is_not_given_back(memhp: Shell) -> None:
    """Page structures of the later blocks lie in an earlier one: another goes in its place.

    The size is as before, and the zones are not, which is told.
    """
    memhp.change(lambda kernel: setattr(kernel.settings, "auto_online", OnlineType.OFFLINE))
    assert memhp("resize", VIRTIO, "4G", "--zone", "kernel")[0] == ExitCode.DONE
    assert (memhp.size(), memhp.letters(VIRTIO)) == ((4096, 4096), "M" * 8 + "K" * 24)
    code, out, _ = memhp("undo")
    assert code == ExitCode.PARTLY
    assert "refused: failure to isolate range [EBUSY]" in out
    assert (memhp.size(), memhp.letters(VIRTIO)) == ((1024, 1024), "M" * 7 + "K")


def test_undoing_a_shrink(memhp: Shell) -> None:
    memhp("offline", VIRTIO)
    memhp("online", "48-51", "--zone", "kernel")
    before = open_machine(f"model:{memhp.machine}").snapshot().blocks
    assert memhp("resize", VIRTIO, "0")[0] == ExitCode.DONE
    assert memhp("undo")[0] == ExitCode.DONE
    assert open_machine(f"model:{memhp.machine}").snapshot().blocks == before


ZONES = {"default": "M", "kernel": "K", "movable": "M"}


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("policy", ["offline", "online", "online_kernel", "online_movable"])
def test_adding_into_a_zone(memhp: Shell, zone: str, policy: str) -> None:
    """Blocks that policy has put elsewhere go offline and come again."""
    memhp.change(lambda kernel: setattr(kernel.settings, "auto_online", OnlineType(policy)))
    assert memhp("add", "256M", "--zone", zone)[0] == ExitCode.DONE
    wanted = ZONES[zone] if zone != "default" else "MK"
    assert set(memhp.letters("dimm1")) <= set(wanted)
    assert len(memhp.letters("dimm1")) == 2
    assert memhp("undo")[0] == ExitCode.DONE
    assert memhp.letters("dimm1") == ""


def test_adding_a_waiting_device_into_a_zone(memhp: Shell) -> None:
    memhp("remove", DIMM)
    assert memhp("add", DIMM, "--zone", "kernel")[0] == ExitCode.DONE
    assert memhp.letters(DIMM) == "KKKK"


FOUND = {
    "its name": [DIMM],
    "a block": ["memory34"],
    "a bare block": ["34"],
    "its first address": ["--address", "0x100000000"],
    "an address in it": ["--address", "0x11fffffff"],
}


@pytest.mark.parametrize("words", FOUND.values(), ids=FOUND.keys())
def test_the_device_is_found(memhp: Shell, words: list[str]) -> None:
    memhp("offline", "33")
    memhp("offline", "35")
    memhp("online", "35", "--zone", "kernel")
    code, out, _ = memhp("replace", *words)
    assert (code, memhp.letters(DIMM)) == (ExitCode.DONE, "M-MK")
    assert "remove dimm0: done" in out


NOT_FOUND = {
    "boot memory": (["memory3"], "no device with memory3"),
    "an address behind everything": (["--address", "0xfffffffff"], "no device with 0xfffffffff"),
    "boot memory's address": (["--address", "0x1000"], "no device with 0x1000"),
    "no address": (["--address", "4096"], "is no address"),
    "two names": ([DIMM, "--address", "0x100000000"], "is named twice"),
    "no name": ([], "needs to know what"),
    "many blocks": (["32-33"], "is no device"),
    "no such device": (["dimm7"], "no device 'dimm7'"),
}


@pytest.mark.parametrize(("words", "told"), NOT_FOUND.values(), ids=NOT_FOUND.keys())
def test_what_is_not_found_is_one_sentence(memhp: Shell, words: list[str], told: str) -> None:
    before = memhp.machine.read_bytes()
    code, out, err = memhp("replace", *words)
    assert (code, out, err.count("\n"), told in err) == (ExitCode.USAGE, "", 1, True)
    assert memhp.machine.read_bytes() == before


def test_the_new_device_comes_first(memhp: Shell) -> None:
    memhp("offline", "33")
    code, out, _ = memhp("replace", DIMM, "--add-first")
    assert (code, memhp.letters(DIMM), memhp.letters("dimm1")) == (ExitCode.DONE, "", "M-MM")
    assert out.index("add dimm1") < out.index("offline memory34: done")
    assert memhp("undo")[0] == ExitCode.DONE
    assert (memhp.letters(DIMM), memhp.letters("dimm1")) == ("M-MM", "")


def test_the_new_device_takes_the_old_ones_kernel_zone(memhp: Shell) -> None:
    """Its page structures go where kernel data may lie: into the old one, which then stays."""
    memhp("offline", "35")
    memhp("online", "35", "--zone", "kernel")
    code, out, _ = memhp("replace", DIMM, "--add-first")
    assert (code, memhp.letters(DIMM), memhp.letters("dimm1")) == (ExitCode.REFUSED, "MMMK", "")
    assert "pages of the kernel" in out
    assert memhp("replace", DIMM)[0] == ExitCode.DONE
    assert memhp.letters(DIMM) == "MMMK"


def test_first_needs_a_slot(memhp: Shell) -> None:
    memhp("add", "128M")
    memhp("add", "128M")
    code, _, err = memhp("replace", DIMM, "--add-first")
    assert (code, "no DIMM slot" in err) == (ExitCode.REFUSED, True)


@pytest.mark.parametrize("first", [[], ["--add-first"]])
def test_what_cannot_be_emptied_is_told_and_all_is_put_back(memhp: Shell, first: list[str]) -> None:
    memhp.change(lambda kernel: kernel.unmovable.update({33: "a pinned page"}))
    before = memhp.letters(DIMM)
    code, out, err = memhp("replace", DIMM, *first)
    assert (code, memhp.letters(DIMM), memhp.letters("dimm1")) == (ExitCode.REFUSED, before, "")
    assert "offline memory33: refused: failure to isolate range [EBUSY]" in out
    assert "(a pinned page)" in out
    assert err.endswith("refused, and everything was put back\n")


def test_a_poisoned_block_is_left_offline_and_told(memhp: Shell) -> None:
    """Where it cannot be put back, the others are; the warning comes before anything is done."""
    memhp.change(lambda kernel: kernel.poisoned.add(35 << 15))
    memhp.change(lambda kernel: kernel.unmovable.update({32: "a pinned page"}))
    code, out, err = memhp("replace", DIMM)
    assert (code, memhp.letters(DIMM)) == (ExitCode.PARTLY, "MMM-")
    assert err.startswith("note: memory35 has poisoned pages")
    assert "online_movable memory35: refused: the block holds a poisoned page" in out


def test_a_replacement_heals_a_poisoned_block(memhp: Shell) -> None:
    memhp.change(lambda kernel: kernel.poisoned.add(35 << 15))
    assert memhp("replace", DIMM)[0] == ExitCode.DONE
    assert memhp.letters(DIMM) == "MMMM"


def test_a_dry_run_does_nothing_and_says_what_follows(memhp: Shell) -> None:
    before = memhp.machine.read_bytes()
    code, out, _ = memhp("replace", DIMM, "--dry-run")
    assert code == ExitCode.DONE
    assert out.splitlines()[-3:] == [
        "remove dimm0   (now dimm0: present)",
        "then add dimm0",
        "then bring its blocks online in the zones that they have now",
    ]
    code, out, _ = memhp("resize", VIRTIO, "-512M", "--dry-run")
    assert out == "resize virtio-mem0 to 512M   (now virtio-mem0: present, 1G asked)\n"
    code, out, _ = memhp("resize", VIRTIO, "-512M", "--dry-run", "--json")
    assert json.loads(out)["steps"][0]["action"] == {
        "type": "ResizeDevice",
        "device": VIRTIO,
        "requested_bytes": 512 * MIB,
    }
    assert memhp.machine.read_bytes() == before


def test_a_saved_plan_of_another_size_is_stale_once_it_has_one(
    memhp: Shell, tmp_path: Path
) -> None:
    plan = tmp_path / "plan.json"
    plan.write_text(memhp("resize", VIRTIO, "-512M", "--dry-run", "--json")[1])
    memhp("resize", VIRTIO, "-2M")
    assert memhp("apply", str(plan))[0] == ExitCode.STALE
    memhp("resize", VIRTIO, "+2M")
    assert memhp("apply", str(plan))[0] == ExitCode.DONE
    assert memhp.size() == (512, 512)


@pytest.mark.parametrize("name", [VIRTIO])
@pytest.mark.parametrize("command", ["remove", "replace"])
def test_a_virtio_mem_device_is_resized_and_not_removed(
    memhp: Shell, command: str, name: str
) -> None:
    code, out, err = memhp(command, name)
    assert (code, out) == (ExitCode.REFUSED, "")
    assert "take its memory back with 'memhp resize virtio-mem0 0'" in err
