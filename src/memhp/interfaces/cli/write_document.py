"""Writing JSON to a file or to standard output: all of it or nothing."""

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from memhp.core.errors import ArgumentError


def write_document(document: Any, output: str) -> None:
    """Write JSON to a file, ``-`` for standard output; raises ``ArgumentError``."""
    text = json.dumps(document, indent=1) + "\n"
    if output == "-":
        print(text, end="")
        return
    try:
        _write(Path(output), text)
    except OSError as err:
        raise _unwritable(output, err) from err


def check_output(output: str) -> None:
    """See that there is a place for what takes long to make; raises ``ArgumentError``."""
    if output == "-":
        return
    try:
        with tempfile.TemporaryFile(dir=Path(output).parent):
            pass
    except OSError as err:
        # A device or a pipe may stand where nothing else can be made.
        if not os.access(output, os.W_OK):
            raise _unwritable(output, err) from err


def _unwritable(output: str, err: OSError) -> ArgumentError:
    return ArgumentError(
        text=output,
        problem=f"cannot be written ({err.strerror})",
        advice="name a file in a folder that is there",
    )


def _write(target: Path, text: str) -> None:
    if target.exists() and not target.is_file():
        # A pipe or a terminal: there is nothing to put in its place.
        target.write_text(text, encoding="utf-8")
        return
    beside = target.with_name(f".{target.name}-{os.getpid()}")
    beside.write_text(text, encoding="utf-8")
    beside.replace(target)
