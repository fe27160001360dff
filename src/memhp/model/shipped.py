"""The machines that come with memhp, and descriptions read from files."""

import os
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from memhp.core.errors import DescriptionError, NoSuchMachine
from memhp.model.description import Description, parse_description

_SUFFIX = ".toml"


def shipped_machines() -> tuple[str, ...]:
    """Name the machines that come with the package, in alphabetical order."""
    names = (entry.name for entry in _folder().iterdir())
    return tuple(sorted(name.removesuffix(_SUFFIX) for name in names if name.endswith(_SUFFIX)))


def load_shipped(name: str) -> Description:
    """Read a machine that comes with the package; raises ``NoSuchMachine``."""
    return parse_description(shipped_text(name), f"{name}{_SUFFIX}")


def shipped_text(name: str) -> str:
    """The TOML of a machine that comes with the package; raises ``NoSuchMachine``."""
    if name not in shipped_machines():
        raise NoSuchMachine(
            machine=name,
            problem="does not come with memhp",
            advice=f"there are {', '.join(shipped_machines())}; or give a TOML file",
        )
    return _folder().joinpath(name + _SUFFIX).read_text(encoding="utf-8")


def load_description(path_or_name: str) -> Description:
    """Read a description: a shipped machine by its name, anything else as a file.

    Raises ``NoSuchMachine`` or ``DescriptionError``.
    """
    text, file = description_text(path_or_name)
    return parse_description(text, file)


def description_text(path_or_name: str) -> tuple[str, str]:
    """The TOML of a description and the name of its file; raises as ``load_description()``."""
    if path_or_name in shipped_machines():
        return shipped_text(path_or_name), path_or_name + _SUFFIX
    path = Path(path_or_name)
    # Unlike Path.exists() this is no error for a name that is too long.
    if not path_or_name.endswith(_SUFFIX) and not os.path.lexists(path_or_name):
        return shipped_text(path_or_name), path_or_name
    try:
        return path.read_text(encoding="utf-8"), path_or_name
    except FileNotFoundError as err:
        raise NoSuchMachine(
            machine=path_or_name,
            problem="is no file",
            advice=f"machines that come with memhp are {', '.join(shipped_machines())}",
        ) from err
    except (OSError, ValueError) as err:
        reason = err.strerror if isinstance(err, OSError) else "it is no UTF-8 text"
        raise DescriptionError(
            file=path_or_name,
            line=None,
            key=None,
            problem=f"cannot be read ({reason})",
            allowed="give a TOML file",
        ) from err


def _folder() -> Traversable:
    return files("memhp.model").joinpath("machines")
