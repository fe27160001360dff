"""Where journals and locks are kept."""

import os
from pathlib import Path

VARIABLE = "MEMHP_STATE_DIR"


def state_folder() -> Path:
    """``$MEMHP_STATE_DIR``; else ``/var/lib/memhp`` for root, and the user's state folder."""
    given = os.environ.get(VARIABLE)
    if given:
        return Path(given)
    if os.geteuid() == 0:
        return Path("/var/lib/memhp")
    home = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(home).expanduser() / "memhp"
