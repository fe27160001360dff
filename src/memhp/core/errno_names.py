"""Names of errno as the kernel's headers spell them."""

import errno
from typing import Final

EHWPOISON: Final = 133
"""Linux's errno for a poisoned page; Python's ``errno`` does not know it."""


def errno_name(code: int) -> str | None:
    """The name of an errno: ``EBUSY``; ``None`` for a number that is none."""
    return "EHWPOISON" if code == EHWPOISON else errno.errorcode.get(code)
