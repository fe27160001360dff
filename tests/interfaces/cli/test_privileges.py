"""Without rights, and where files are hidden, as in a container: one sentence and an exit code.

The commands really run as somebody else, or in a mount namespace of their own.
They only read; should one write, the guard around the tests would refuse it.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from memhp.core.words import ExitCode
from saved_trees import SavedBlock, save_tree

MEMHP = Path(sys.executable).parent / "memhp"
MEMORY = "/sys/devices/system/memory"
NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
APART = ["unshare", "--mount", "--propagation", "private", "sh", "-ec"]


def run(command: list[str], state: Path) -> tuple[int, str, str]:
    environment = {**os.environ, "MEMHP_STATE_DIR": str(state), "MEMHP_NO_LIVE_WRITES": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    return done.returncode, done.stdout, done.stderr


def states() -> str:
    return "".join(path.read_text() for path in sorted(Path(MEMORY).glob("memory*/state")))


@pytest.fixture
def state(tmp_path: Path) -> Path:
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody else")
    if not Path(f"{MEMORY}/memory0").exists():
        pytest.skip("this machine shows no memory blocks")
    if shutil.which("setpriv") is None:
        pytest.skip("package util-linux is missing")
    if subprocess.run([*NOBODY, MEMHP, "--version"], capture_output=True, check=False).returncode:
        pytest.skip("nobody but root may read where memhp lies here")
    return tmp_path / "state"


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        ("census", ExitCode.MACHINE, "shows its pages (/proc/kpageflags) to root alone: run it as"),
        ("census 0", ExitCode.MACHINE, "(/proc/kpageflags) to root alone: run it as root"),
        ("explain 0", ExitCode.MACHINE, "(/proc/kpageflags) to root alone: run it as root"),
        ("explain pid:1", ExitCode.REFUSED, "run memhp as root on the machine itself"),
    ],
)
def test_who_is_not_root_is_told_so(state: Path, words: str, code: ExitCode, sentence: str) -> None:
    if not Path("/proc/kpageflags").exists():
        pytest.skip("this kernel has no /proc/kpageflags")
    before = states()
    exit_code, out, err = run([*NOBODY, str(MEMHP), *words.split()], state)
    [said] = err.splitlines()
    assert (exit_code, out, sentence in said) == (code, "", True), said
    assert states() == before


def test_who_is_not_root_may_list(state: Path) -> None:
    as_nobody = run([*NOBODY, str(MEMHP), "ls", "--all", "-o", "+ZONES"], state)
    assert as_nobody[::2] == (ExitCode.DONE, "")
    assert "online" in as_nobody[1]


@pytest.mark.parametrize(
    "words", ["ls", "census", "explain 0", "offline memory0 --dry-run -M linux:"]
)
def test_a_container_that_hides_the_blocks(state: Path, words: str) -> None:
    script = f'mount -t tmpfs none /sys; exec "{MEMHP}" {words}'
    if run([*APART, "mount -t tmpfs none /sys"], state)[0]:
        pytest.skip("no mount namespace can be made here")
    exit_code, out, err = run([*APART, script], state)
    [said] = err.splitlines()
    assert (exit_code, out) == (ExitCode.MACHINE, ""), said
    assert f"there is no {MEMORY}/block_size_bytes: a container may hide it" in said


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder into which everybody may look, as no folder of pytest's is."""
    with TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def test_policies_that_may_not_be_seen_are_counted(state: Path, open_folder: Path) -> None:
    root = save_tree(open_folder / "tree", {0: SavedBlock()})
    (root / "sys/devices/system/node/has_memory").write_text("0-1\n")
    for pid, mode in (("7", 0o444), ("8", 0o400), ("9", 0o400)):
        (root / "proc" / pid).mkdir(parents=True)
        (root / "proc" / pid / "numa_maps").write_text("")
        (root / "proc" / pid / "numa_maps").chmod(mode)
    count = (
        "import sys; from memhp.machines.linux.root import Root; "
        "from memhp.machines.linux.surroundings import count_unseen_bindings as count; "
        "print(count(Root(sys.argv[1], 'linux:x')))"
    )
    asked = [sys.executable, "-c", count, str(root)]
    assert run(asked, state) == (0, "0\n", "")
    assert run([*NOBODY, *asked], state) == (0, "2\n", "")
