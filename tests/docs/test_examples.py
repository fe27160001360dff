"""What the documents show is what memhp prints: every console example is run.

In a block that is marked ``console``, ``$ memhp …`` is run and the lines after
it are compared with what it prints; a line ``...`` stands for any lines. The
examples of a document run in one folder, in order.
"""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
_BLOCK = re.compile(r"^```(console|toml)(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ")
_LINK = re.compile(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)")


class Example(NamedTuple):
    command: str
    expected: list[str]


def examples(text: str, folder: Path) -> Iterator[Example]:
    """The commands of a document; a TOML block with a file's name becomes that file."""
    for kind, name, body in _BLOCK.findall(text):
        if kind == "toml" and name:
            (folder / name).write_text(body)
        elif kind == "console":
            for part in re.split(r"^\$ ", body, flags=re.MULTILINE)[1:]:
                command, *expected = part.rstrip("\n").split("\n")
                yield Example(command, expected)


def run(command: str, folder: Path) -> list[str]:
    words = shlex.split(command)
    environment = {**os.environ, "COLUMNS": "100", "MEMHP_STATE_DIR": str(folder / "journal")}
    while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
        name, _, value = words.pop(0).partition("=")
        environment[name] = value
    assert words.pop(0) == "memhp", f"only memhp is run here: {command}"
    done = subprocess.run(
        [sys.executable, "-m", "memhp", *words],
        cwd=folder,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    return _TIME.sub("TIME", done.stdout).splitlines()


def agrees(expected: list[str], printed: list[str]) -> bool:
    pattern = "".join(
        "(?:.*\n)*?" if line == "..." else re.escape(_TIME.sub("TIME", line)) + "\n"
        for line in expected
    )
    return re.fullmatch(pattern, "".join(f"{line}\n" for line in printed)) is not None


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_examples(path: Path, tmp_path: Path) -> None:
    for example in examples(path.read_text(), tmp_path):
        printed = run(example.command, tmp_path)
        assert agrees(example.expected, printed), f"$ {example.command}\n" + "\n".join(printed)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    for target in _LINK.findall(path.read_text()):
        assert (path.parent / target).exists(), target


def test_every_document_can_be_found() -> None:
    linked = {ROOT / "README.md"}
    for path in DOCUMENTS:
        linked |= {(path.parent / target).resolve() for target in _LINK.findall(path.read_text())}
    assert [path for path in DOCUMENTS if path not in linked] == []
