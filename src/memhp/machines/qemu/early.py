"""A socket connected early: an agent wakes up while what talks to it is being imported."""

import socket


def connect_early(path: str | None) -> socket.socket | None:
    """A socket that is connected, if that can be had at once."""
    if path is None:
        return None
    early = socket.socket(socket.AF_UNIX)
    early.settimeout(0)
    try:
        early.connect(path)
    except OSError:
        early.close()
        return None
    return early
