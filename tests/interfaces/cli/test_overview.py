"""``memhp`` alone: one screen, colour on a terminal and none in a pipe."""

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from memhp.core.words import ExitCode
from memhp.interfaces.cli.main import main
from memhp.interfaces.cli.parser import EPILOG
from saved_trees import SavedBlock, save_tree


def test_the_server_on_one_screen(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-M", "model:server"]) == 0
    said = capsys.readouterr().out
    assert said.startswith(
        "model:server: 64 blocks of 2G, 64 online (128 GiB), 64 GiB of it movable\n"
    )
    assert "\x1b" not in said
    assert said.count("\n") < 24


@pytest.mark.parametrize("machine", ["laptop", "rack16t", "host", "host/web"])
def test_every_shipped_machine_fits_a_screen(
    machine: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["-M", f"model:{machine}"]) == 0
    assert capsys.readouterr().out.count("\n") < 50


def test_many_devices_are_folded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    machine = tmp_path / "many.toml"
    dimms = '[[dimm]]\nsize = "128M"\nwaiting = true\n' * 30
    machine.write_text(f'[[node]]\nmemory = "1G"\n{dimms}')
    main(["-M", f"model:{machine}"])
    assert "and 18 more devices" in capsys.readouterr().out


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    main(["-M", "model:server", "--json"])
    assert json.loads(capsys.readouterr().out)["block_size_bytes"] == 2 << 30


@pytest.mark.parametrize(
    ("environment", "coloured"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)],
)
def test_colour_on_a_terminal(environment: dict[str, str], coloured: bool) -> None:
    reader, writer = pty.openpty()
    own = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    subprocess.run(
        [sys.executable, "-m", "memhp", "-M", "model:server"],
        stdout=writer,
        env=own | {"TERM": "xterm"} | environment,
        check=True,
    )
    said = os.read(reader, 1 << 16)
    os.close(reader)
    os.close(writer)
    assert (b"\x1b[" in said) is coloured


def test_help_on_a_console_that_does_not_know_its_width() -> None:
    reader, writer = pty.openpty()
    own = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    command = [sys.executable, "-m", "memhp", "-h"]
    subprocess.run(command, stdout=writer, env=own, check=True)
    os.close(writer)
    said = os.read(reader, 1 << 16).decode()
    os.close(reader)
    assert "usage: memhp [-h] [--version] [-M ADDRESS] [--json] COMMAND ...\r\n" in said


def test_help_names_every_exit_code() -> None:
    named = EPILOG.partition("exit codes:")[2]
    assert [int(word) for word in re.findall(r"\b\d+\b", named)] == list(ExitCode)


def test_a_container_without_sysfs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-M", f"linux:{tmp_path}"]) == 3
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert "does not support memory blocks" in said.err
    assert "a container may hide it" in said.err


def test_a_tree_with_blocks_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = save_tree(tmp_path, {0: SavedBlock()})
    assert main(["-M", f"linux:{root}"]) == 0
    assert "as somebody in user space decides" in capsys.readouterr().out


def test_the_machine_may_stand_before_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-M", "model:server", "ls", "-r", "-o", "BLOCK"]) == 0
    assert capsys.readouterr().out == "BLOCK\n0\n2-64\n"


def test_a_live_line_on_a_terminal(tmp_path: Path) -> None:
    """What is done stands in plain lines on stdout; the bar is on the terminal alone."""
    path = tmp_path / "m.machine"
    subprocess.run([sys.executable, "-m", "memhp", "model", "new", "server", path], check=True)
    reader, writer = pty.openpty()
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "memhp",
            "offline",
            "dimm1",
            "--accept",
            "poisoned",
            "-M",
            f"model:{path}",
        ],
        stdout=subprocess.PIPE,
        stderr=writer,
        text=True,
        check=True,
    )
    os.close(writer)
    said = b""
    while True:
        try:
            piece = os.read(reader, 1 << 16)
        except OSError:
            break
        said += piece
    os.close(reader)
    assert done.stdout.count("done") == 8
    assert "\x1b" not in done.stdout
    assert b"[############............] 4/8 offline memory44" in said
    assert said.decode().rstrip().endswith("8 of 8 steps done")
