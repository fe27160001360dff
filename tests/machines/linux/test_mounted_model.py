"""Which folders are written to: a mounted model's, and only while it is that very one."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from memhp.core.errors import MachineError, NotSupported
from memhp.core.events import StepEnded
from memhp.core.geometry import BlockId
from memhp.core.request import Conditions, Offline
from memhp.core.snapshot import Want
from memhp.core.targets import Blocks
from memhp.core.words import Ending, Preparation
from memhp.machines.linux.lister import open_root
from memhp.machines.linux.live_write import open_for_writing, write_live
from memhp.machines.linux.mounted_model import is_fuse
from memhp.machines.linux.root import MEMORY, Root
from memhp.machines.open import open_machine
from memhp.operations.conduct import Conductor
from memhp.operations.operation import Operation
from mounts import Mount, mount
from pool_machines import HUGE_PAGES_GO_ROUND

__all__ = ["mount"]
STATE = f"{MEMORY}/memory40/state"


def test_a_mounted_model_is_written_though_the_host_may_not_be(mount: Mount) -> None:
    assert os.environ["MEMHP_NO_LIVE_WRITES"]
    root = open_root(str(mount("server").folder))
    assert (root.is_live, root.is_writable) == (False, True)
    assert write_live(root, STATE, "offline", None) is None
    assert root.text_if_there(STATE) == "offline"
    assert write_live(root, STATE, "offline", None) == "EINVAL"


def test_an_errno_that_python_does_not_name(mount: Mount) -> None:
    root = open_root(str(mount("server").folder))
    assert write_live(root, f"{MEMORY}/memory41/state", "offline", None) is None
    assert write_live(root, f"{MEMORY}/memory41/state", "online", None) == "EHWPOISON"


def test_after_the_unmount_nothing_is_written(mount: Mount) -> None:
    mounted = mount("server")
    root = open_root(str(mounted.folder))
    mounted.close()
    state = mounted.folder / STATE
    state.parent.mkdir(parents=True)
    state.write_text("online\n")
    with pytest.raises(MachineError, match=r"is not what .* belongs to.*nothing was written"):
        open_for_writing(root, STATE)
    assert state.read_text() == "online\n"
    assert open_root(str(mounted.folder)).mounted is None


def test_another_model_in_the_same_place_is_not_written(mount: Mount) -> None:
    first, second = mount("server"), mount("server")
    root = open_root(str(first.folder))
    moved = Root(str(second.folder), root.name, root.mounted)
    with pytest.raises(MachineError, match="nothing was written"):
        write_live(moved, STATE, "offline", None)
    assert (second.folder / STATE).read_text() == "online\n"


def test_a_device_number_alone_proves_nothing(tmp_path: Path, mount: Mount) -> None:
    """A file of another kind of file system is refused even where its device number agrees."""
    root = open_root(str(mount("server").folder))
    assert root.mounted is not None
    state = tmp_path / "tree" / STATE
    state.parent.mkdir(parents=True)
    state.write_text("online\n")
    forged = replace(root.mounted, device=state.stat().st_dev)
    with pytest.raises(MachineError):
        open_for_writing(Root(str(tmp_path / "tree"), "linux:x", forged), STATE)


def test_a_note_in_a_plain_folder_proves_nothing(tmp_path: Path, mount: Mount) -> None:
    note = mount("server").folder / ".memhp"
    (tmp_path / ".memhp").write_bytes(note.read_bytes())
    root = open_root(str(tmp_path))
    assert (root.mounted, root.is_writable) == (None, False)
    with pytest.raises(NotSupported, match="it is a saved tree"):
        open_for_writing(root, STATE)


def test_this_hosts_files_are_no_mounted_model() -> None:
    handle = os.open("/proc/self/mountinfo", os.O_RDONLY)
    assert not is_fuse(handle)
    os.close(handle)
    assert open_root("").mounted is None
    assert open_root("/").mounted is None


def test_a_pool_of_huge_pages_is_out_of_the_way_and_put_back(mount: Mount, tmp_path: Path) -> None:
    """The files of the model are the kernel's, so what is done to a host is done to them."""
    machine = tmp_path / "m.toml"
    machine.write_text(HUGE_PAGES_GO_ROUND)
    folder = str(mount(str(machine)).folder)
    opened = open_machine(f"linux:{folder}")
    told: list[str] = []

    def listen(event: object) -> None:
        if isinstance(event, StepEnded):
            told.append(f"{event.step}: {type(event.outcome).__name__}")

    conductor = Conductor(machines={opened.name: opened}, folder=tmp_path / "j", listener=listen)
    operation = Operation(
        request=Offline(targets=(Blocks(blocks=(BlockId(1),)),)),
        conditions=Conditions(prepare=(Preparation.HUGEPAGES,)),
    )
    assert conductor.begin(operation) is Ending.DONE
    assert told == [
        "hold 65 huge pages of 2M on node0: Done",
        "offline memory1: Done",
        "hold 67 huge pages of 2M on node0: Done",
    ]
    [_, pool] = opened.snapshot(Want.HUGE_POOLS).surroundings.huge_pools
    assert (pool.total, pool.free, pool.surplus) == (67, 2, 0)
