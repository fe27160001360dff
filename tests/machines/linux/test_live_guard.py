"""Nothing writes to this host's memory files: not by mistake, and not in a test."""

import ast
import errno
import os
import time
from pathlib import Path

import pytest

from memhp.core.errors import NotSupported
from memhp.core.geometry import BlockId
from memhp.core.plan import OfflineBlock, Step
from memhp.interfaces.cli.main import main
from memhp.machines.linux.live_write import open_for_writing, write_live
from memhp.machines.linux.machine import open_linux
from memhp.machines.linux.root import MEMORY, Root

SOURCE = Path(__file__).parents[3] / "src/memhp"


class LiveRoot(Root):
    """A folder that counts as the live host."""

    @property
    def is_live(self) -> bool:
        return True

    def path(self, relative: str) -> str:
        return f"{self.folder}/{relative}"


@pytest.fixture
def live(tmp_path: Path) -> LiveRoot:
    state = tmp_path / MEMORY / "memory1/state"
    state.parent.mkdir(parents=True)
    state.write_text("online\n")
    return LiveRoot(str(tmp_path), "linux:")


def test_the_guard_holds_wherever_a_test_runs(live: LiveRoot) -> None:
    assert os.environ["MEMHP_NO_LIVE_WRITES"]
    with pytest.raises(NotSupported, match="MEMHP_NO_LIVE_WRITES is set"):
        open_for_writing(live, f"{MEMORY}/memory1/state")
    with pytest.raises(NotSupported, match="MEMHP_NO_LIVE_WRITES is set"):
        write_live(live, f"{MEMORY}/memory1/state", "offline", None)


def test_the_live_driver_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = open_linux("")
    step = Step(machine="linux:", action=OfflineBlock(block=BlockId(1)))
    with pytest.raises(NotSupported, match="MEMHP_NO_LIVE_WRITES"):
        machine.apply(step, until=None, tell=lambda _event: None)


def test_a_saved_tree_is_never_written(live: LiveRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MEMHP_NO_LIVE_WRITES")
    with pytest.raises(NotSupported, match="it is a saved tree"):
        open_for_writing(Root(live.folder, "linux:x"), f"{MEMORY}/memory1/state")


def test_one_function_opens_files_for_writing() -> None:
    """Below machines/linux nothing else opens a file to write, but for a record of our own."""
    found = []
    for path in sorted((SOURCE / "machines/linux").glob("*.py")):
        for function in ast.walk(ast.parse(path.read_text())):
            if isinstance(function, ast.FunctionDef):
                text = ast.unparse(function)
                if any(word in text for word in ("O_WRONLY", "O_RDWR", "write_text", "'w'")):
                    found.append(f"{path.name}:{function.name}")
    own = ["dynamic_debug.py:_record", "dynamic_debug.py:_save"]
    assert found == [*own, "live_write.py:open_for_writing"]


def test_nothing_poisons_a_page_of_a_machine_that_lasts() -> None:
    """It could never be taken back. The lab's guests are thrown away, and a model has no memory."""
    words = ("soft_offline_page", "hard_offline_page", "corrupt-pfn", "MADV_HWPOISON")
    others = [
        path.relative_to(SOURCE)
        for path in sorted(SOURCE.rglob("*"))
        if path.suffix in {".py", ".c"} and path.parts[len(SOURCE.parts)] != "model"
    ]
    assert len(others) > 200
    found = [str(path) for path in others if any(w in (SOURCE / path).read_text() for w in words)]
    assert [path for path in found if not path.startswith("machines/lab/")] == []


def test_a_write_goes_through_and_is_ended_at_its_deadline(
    live: LiveRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MEMHP_NO_LIVE_WRITES")
    relative = f"{MEMORY}/memory1/state"
    assert write_live(live, relative, "offline", None) is None
    assert Path(live.path(relative)).read_text().startswith("offline")
    assert write_live(live, f"{MEMORY}/memory9/state", "offline", None) == "ENOENT"
    # A pipe that nobody empties blocks a writer, as a kernel does that migrates for ever.
    pipe = Path(live.path(relative))
    pipe.unlink()
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    filler = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
    try:
        while True:
            os.write(filler, b"x" * 4096)
    except BlockingIOError as err:
        assert err.errno == errno.EAGAIN  # noqa: PT017
    began = time.monotonic()
    assert write_live(live, relative, "offline", began + 0.2) == "EINTR"
    assert time.monotonic() - began < 10
    os.close(reader)
    os.close(filler)


@pytest.mark.parametrize(
    "words",
    [
        ["offline", "1"],
        ["online", "1"],
        ["evacuate", "node0"],
        ["offline", "1", "-M", "linux:"],
    ],
)
def test_the_command_line_refuses_before_it_looks(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MEMHP_MACHINE", "linux:")
    assert main(words) == 1
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert "MEMHP_NO_LIVE_WRITES is set" in said.err


def test_a_host_named_by_the_environment_alone_has_to_be_confirmed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The variable is taken away for the command line's own check; the files stay read-only."""
    if os.environ.get("MEMHP_GUARDED") != "namespace":
        pytest.skip("only where this host's files are read-only: under 'make test' as root")
    monkeypatch.delenv("MEMHP_NO_LIVE_WRITES")
    monkeypatch.setenv("MEMHP_MACHINE", "linux:")
    assert main(["offline", "1"]) == 1
    assert "named by the environment alone" in capsys.readouterr().err
