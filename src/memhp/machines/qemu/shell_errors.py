"""The errno behind what a shell says: ``sh: write error: Device or resource busy``."""

import errno
import os
import re

from memhp.core.errno_names import EHWPOISON

_SENTENCES = {
    os.strerror(code): name
    for code, name in {**errno.errorcode, EHWPOISON: "EHWPOISON"}.items()
    if name not in {"ENOTSUP", "EDEADLOCK"}
} | {"nonexistent directory": "ENOENT"}
_UNKNOWN = re.compile(r"Unknown error (\d+)")


def errno_name(text: str) -> str:
    """Name the errno in a shell's complaint; EIO where it names none."""
    unknown = _UNKNOWN.search(text)
    if unknown:
        return f"errno {unknown[1]}"
    # "No such device" is also the beginning of "No such device or address".
    found = max((s for s in _SENTENCES if s in text), key=len, default=None)
    return "EIO" if found is None else _SENTENCES[found]
