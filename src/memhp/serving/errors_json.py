"""An error of memhp's as JSON and back, so that it can be told by one process to another."""

import inspect
from typing import Any

from memhp.core import errors
from memhp.core.errors import MachineError, MemhpError


def error_to_json(error: MemhpError) -> dict[str, Any]:
    """Name the error's class and its facts, which are its constructor's arguments."""
    names = inspect.signature(type(error).__init__).parameters
    facts = {name: getattr(error, name) for name in names if name != "self"}
    return {"error": type(error).__name__, "facts": facts}


def error_from_json(said: dict[str, Any]) -> MemhpError:
    """Make the error again; what is none that is known is told as it stands."""
    kind = getattr(errors, str(said.get("error")), None)
    try:
        if isinstance(kind, type) and issubclass(kind, MemhpError):
            return kind(**said["facts"])
    except (TypeError, KeyError):
        pass
    return MachineError(machine="served", problem=f"cannot be served ({said})")
