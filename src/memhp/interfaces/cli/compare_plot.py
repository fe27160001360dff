"""The plot of ``memhp model compare``, as a file: SVG, or PNG where a program can make one."""

import errno
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from memhp.core.errors import ArgumentError

if TYPE_CHECKING:  # numpy, which it needs, takes long to load
    from memhp.model.compare.comparison import Comparison

_PNG: Final = ".png"
_SUFFIXES: Final = (".svg", _PNG)
_CONVERTER: Final = "rsvg-convert"


def validate_plot(name: str) -> None:
    """Raise ``ArgumentError`` where no plot can be written, before hours are spent on it."""
    path = Path(name)
    if path.suffix not in _SUFFIXES:
        raise ArgumentError(
            text=name,
            problem="is no name for a plot",
            advice=f"let it end in {' or '.join(_SUFFIXES)}",
        )
    if path.suffix == _PNG and shutil.which(_CONVERTER) is None:
        raise ArgumentError(
            text=name,
            problem=f"cannot be drawn without {_CONVERTER}",
            advice="install package librsvg2-bin, or let the name end in .svg",
        )
    if path.is_dir():
        raise _unwritable(name, errno.EISDIR)
    if not path.parent.is_dir():
        raise _unwritable(name, errno.ENOENT)
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise _unwritable(name, errno.EACCES)


def write_plots(name: str, results: "Mapping[str, Comparison]") -> None:
    """Draw each machine's result; where there are several, into files that bear their numbers."""
    from memhp.interfaces.cli.plot_compare import plot_comparison  # noqa: PLC0415

    for number, result in enumerate(results.values(), 1):
        path = Path(name)
        numbered = path.with_name(f"{path.stem}-{number}{path.suffix}")
        _write(path if len(results) == 1 else numbered, plot_comparison(result))


def _write(path: Path, picture: str) -> None:
    try:
        path.write_bytes(_png(picture) if path.suffix == _PNG else picture.encode())
    except OSError as err:
        raise _unwritable(str(path), err.errno or 0) from err


def _png(picture: str) -> bytes:
    """Turn an SVG into pixels, on white; raises ``ArgumentError``."""
    command = [_CONVERTER, "--zoom", "2", "--background-color", "white", "--format", "png"]
    done = subprocess.run(command, input=picture.encode(), capture_output=True, check=False)  # noqa: S603 - its words are fixed
    if done.returncode:
        why = (done.stderr.decode(errors="replace").strip().splitlines() or ["no reason given"])[-1]
        raise ArgumentError(
            text=_CONVERTER,
            problem=f"made no picture ({why})",
            advice="let the plot's name end in .svg",
        )
    return done.stdout


def _unwritable(name: str, code: int) -> ArgumentError:
    return ArgumentError(
        text=name, problem=f"cannot be written ({os.strerror(code)})", advice="name another file"
    )
