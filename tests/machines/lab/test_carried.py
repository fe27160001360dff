"""Programs that a guest carries come with what they load."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from memhp.core.errors import MachineError
from memhp.machines.lab.carried import Carried, put_carried


def test_a_program_runs_from_what_was_put_there(tmp_path: Path) -> None:
    put_carried(Carried(programs=("sh",), files={"/etc/a/b": b"words\n"}), tmp_path)
    found = shutil.which("sh")
    assert found is not None
    assert (tmp_path / found[1:]).read_bytes() == Path(found).read_bytes()
    assert (tmp_path / "etc/a/b").read_bytes() == b"words\n"
    shown = subprocess.run(["ldd", found], capture_output=True, text=True).stdout
    libraries = re.findall(r"(/\S+) \(0x", shown)
    assert libraries
    assert all((tmp_path / library[1:]).is_file() for library in libraries)


def test_an_applet_gives_way_to_the_program(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/busybox").write_text("busybox")
    (tmp_path / "bin/mount").symlink_to("busybox")
    put_carried(Carried(files={"/bin/mount": b"the real one"}), tmp_path)
    assert (tmp_path / "bin/mount").read_text() == "the real one"
    assert (tmp_path / "bin/busybox").read_text() == "busybox"


def test_a_script_is_taken_as_it_is(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    root = tmp_path / "root"
    put_carried(Carried(programs=(str(script),)), root)
    assert [path for path in root.rglob("*") if path.is_file()] == [root / str(script)[1:]]


def test_a_script_may_be_named_from_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    put_carried(Carried(programs=("./script",)), tmp_path / "root")
    assert (tmp_path / "root" / str(script)[1:]).read_text() == "#!/bin/sh\n"


def test_what_is_not_installed_is_said(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match="cannot give a guest the program no-such-program"):
        put_carried(Carried(programs=("no-such-program",)), tmp_path)
