"""The kernel's debug messages: on for the attempt, as before afterwards, whoever is killed."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from memhp.core.errors import NotSupported
from memhp.machines.linux import dynamic_debug
from memhp.machines.linux.dynamic_debug import DynamicDebug, holder_of, sites_without
from memhp.machines.linux.root import Root

CONTROL = """\
# filename:lineno [module]function flags format
mm/memory_hotplug.c:303 [memory_hotplug]register_memory_resource =_ "Unable to reserve"
mm/memory_hotplug.c:2087 [memory_hotplug]offline_pages ={first} "Offlined Pages %ld\\n"
mm/memory_hotplug.c:2137 [memory_hotplug]offline_pages ={second} "memory offlining"
"""


class FakeControl:
    """A control file that takes commands as the kernel's does, one a write."""

    def __init__(self, tree: Path, **flags: str) -> None:
        self.root = SettledRoot(tree, self)
        self._file = tree / "proc/dynamic_debug/control"
        self._file.parent.mkdir(parents=True)
        self._file.write_text(CONTROL.format(**flags))
        self.commands: list[str] = []
        self._pipe: tuple[int, int] | None = None

    def open(self, root: Root, relative: str) -> int:
        """In place of the guarded door: the writing end of a pipe."""
        assert (root, relative) == (self.root, "proc/dynamic_debug/control")
        self.settle()
        self._pipe = os.pipe()
        return self._pipe[1]

    def settle(self) -> None:
        """Do what was written."""
        if self._pipe is None:
            return
        command = os.read(self._pipe[0], 4096).decode()
        os.close(self._pipe[0])
        self._pipe = None
        if not command:
            return
        self.commands.append(command)
        _, _, _, line, flag = command.split()
        self._file.write_text(
            "".join(
                _switched(row, flag) if f".c:{line} " in row else row
                for row in self._file.read_text().splitlines(keepends=True)
            )
        )

    def text(self) -> str:
        self.settle()
        return self._file.read_text()


class SettledRoot(Root):
    """A tree in which what was written to the control file is done before it is read."""

    def __init__(self, tree: Path, control: FakeControl) -> None:
        super().__init__(str(tree), f"linux:{tree}")
        self._control = control

    def text_if_there(self, relative: str) -> str | None:
        self._control.settle()
        return super().text_if_there(relative)


def _switched(row: str, flag: str) -> str:
    before, after = ("=_ ", "=p ") if flag == "+p" else ("=p ", "=_ ")
    return row.replace(before, after)


@pytest.fixture
def control(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeControl]:
    fake = FakeControl(tmp_path / "tree", first="_", second="_")
    monkeypatch.setattr(dynamic_debug, "open_for_writing", fake.open)
    yield fake
    fake.settle()


@pytest.fixture
def debug(control: FakeControl, tmp_path: Path) -> DynamicDebug:
    return DynamicDebug(control.root, str(tmp_path / "run"))


def test_it_is_on_for_the_attempt_and_as_before_afterwards(
    control: FakeControl, debug: DynamicDebug, tmp_path: Path
) -> None:
    before = control.text()
    with debug.on() as problem:
        assert problem is None
        assert sites_without(control.text()) == []
        assert control.text().splitlines()[1] == before.splitlines()[1]
    assert control.text() == before
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["lock"]


def test_what_was_on_already_stays_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeControl(tmp_path / "tree", first="p", second="_")
    monkeypatch.setattr(dynamic_debug, "open_for_writing", fake.open)
    before = fake.text()
    with DynamicDebug(fake.root, str(tmp_path / "run")).on():
        assert sites_without(fake.text()) == []
    assert fake.text() == before
    assert fake.commands == [
        "file mm/memory_hotplug.c line 2137 +p\n",
        "file mm/memory_hotplug.c line 2137 -p\n",
    ]


def test_the_last_of_two_switches_it_off(
    control: FakeControl, debug: DynamicDebug, tmp_path: Path
) -> None:
    before = control.text()
    other = subprocess.Popen(["sleep", "60"])
    try:
        with debug.on():
            record = tmp_path / "run/dynamic-debug.json"
            kept = json.loads(record.read_text())
            kept["holders"].append(holder_of(other.pid))
            record.write_text(json.dumps(kept))
        assert sites_without(control.text()) == []
    finally:
        other.kill()
        other.wait()
    with debug.on():
        pass
    assert control.text() == before


def left_on(debug: DynamicDebug, folder: Path) -> Path:
    """Have it on for somebody who was killed; returns the record."""
    assert debug.switch_on() is None
    record = folder / "run/dynamic-debug.json"
    killed = json.loads(record.read_text()) | {"holders": [[os.getpid(), 1]]}
    record.write_text(json.dumps(killed))
    return record


def test_after_a_kill_the_next_attempt_puts_it_back(
    control: FakeControl, debug: DynamicDebug, tmp_path: Path
) -> None:
    before = control.text()
    record = left_on(debug, tmp_path)
    with debug.on():
        assert sites_without(control.text()) == []
    assert control.text() == before
    assert not record.exists()


def test_after_a_kill_it_can_be_put_back_without_another_attempt(
    control: FakeControl, debug: DynamicDebug, tmp_path: Path
) -> None:
    debug.put_back()
    assert not (tmp_path / "run").exists()
    before = control.text()
    record = left_on(debug, tmp_path)
    debug.put_back()
    assert control.text() == before
    assert not record.exists()


@pytest.mark.parametrize("text", ["", "[", "{}", '{"lines": ["x"], "holders": []}', "[" * 9999])
def test_a_damaged_record_is_no_fault(
    control: FakeControl, debug: DynamicDebug, tmp_path: Path, text: str
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run/dynamic-debug.json").write_text(text)
    before = control.text()
    with debug.on() as problem:
        assert problem is None
    assert control.text() == before


def test_a_kernel_without_it_says_so(tmp_path: Path) -> None:
    root = Root(str(tmp_path), f"linux:{tmp_path}")
    with DynamicDebug(root, str(tmp_path / "run")).on() as problem:
        assert problem == "the kernel has no dynamic debug"


def test_the_guard_holds(
    control: FakeControl, debug: DynamicDebug, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuse(root: Root, relative: str) -> int:
        raise NotSupported(machine=root.name, operation=f"write {relative}", advice="no")

    monkeypatch.setattr(dynamic_debug, "open_for_writing", refuse)
    before = control.text()
    with debug.on() as problem:
        assert problem == "memhp may not switch it on here"
    assert control.text() == before
    assert not (tmp_path / "run").exists()
