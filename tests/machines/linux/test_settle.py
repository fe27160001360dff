"""Before anything is done, blocks that the kernel is about to put back are waited for."""

from pathlib import Path

import pytest

from memhp.machines.linux.machine import LinuxMachine
from memhp.machines.linux.root import MEMORY, Root
from memhp.machines.linux.sight import wait_for_blocks_on_their_way
from saved_trees import SavedBlock, save_tree


class LettingGo(Root):
    """A root in which somebody plays the kernel, that lets go of memory1 at a look."""

    is_writable = True

    def __init__(self, folder: str, at_look: int | None) -> None:
        super().__init__(folder, "linux:played")
        self.looks, self._at_look = 0, at_look

    def names(self, relative: str) -> list[str]:
        if relative == MEMORY:
            self.looks += 1
            if self.looks == self._at_look:
                Path(self.path(f"{MEMORY}/memory1/state")).write_text("online\n")
        return super().names(relative)

    def state(self) -> str | None:
        return self.text_if_there(f"{MEMORY}/memory1/state")


def played(folder: Path, at_look: int | None) -> LettingGo:
    blocks = {0: SavedBlock(), 1: SavedBlock(state="going-offline")}
    return LettingGo(str(save_tree(folder, blocks)), at_look)


def test_what_the_kernel_puts_back_is_waited_for(tmp_path: Path) -> None:
    root = played(tmp_path, 3)
    assert LinuxMachine(root).settle() == ()
    assert (root.state(), root.looks) == ("online", 3)


def test_where_nothing_is_on_its_way_nobody_waits(tmp_path: Path) -> None:
    root = played(tmp_path, 1)
    assert LinuxMachine(root).settle() == ()
    assert root.looks == 1


def test_what_it_holds_on_to_stays_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("memhp.machines.linux.machine.GRACE", 0.0)
    root = played(tmp_path, None)
    assert LinuxMachine(root).settle() == ()
    assert (root.state(), wait_for_blocks_on_their_way(root, 0)) == ("going-offline", False)


def test_a_saved_tree_is_not_waited_for(tmp_path: Path) -> None:
    root = played(tmp_path, None)
    saved = Root(root.folder, "linux:saved")
    assert LinuxMachine(saved).settle() == ()
