"""libfuse 3 through mfusepy, and what is missing where it cannot be had."""

import os
import shutil
from types import ModuleType
from typing import Any, Final

from memhp.core.errors import NotSupported

DEVICE: Final = "/dev/fuse"
UNMOUNTER: Final = "fusermount3"
_LIBRARY_VARIABLE: Final = "FUSE_LIBRARY_NAME"
_MAJOR: Final = 3


def load_fuse(machine: str) -> ModuleType:
    """Import mfusepy with libfuse 3; raises ``NotSupported`` with what has to be installed.

    mfusepy takes libfuse 2 where it finds both, unless it is told otherwise in
    the environment before it is imported.
    """
    os.environ[_LIBRARY_VARIABLE] = "fuse3"
    try:
        import mfusepy  # noqa: PLC0415
    except ImportError as err:
        raise _missing(machine, "mfusepy is not installed", "pip install 'memhp[serve]'") from err
    except (OSError, AttributeError) as err:
        raise _missing(machine, "libfuse 3 is not installed", "apt install fuse3") from err
    if mfusepy.fuse_version_major != _MAJOR:
        raise _missing(machine, "libfuse 3 is not installed", "apt install fuse3")
    module: ModuleType = mfusepy
    return module


def check_device(machine: str) -> None:
    """See that this process may mount at all; raises ``NotSupported``."""
    if os.geteuid() != 0 and shutil.which(UNMOUNTER) is None:
        raise _missing(machine, f"{UNMOUNTER} is not installed", "apt install fuse3")
    try:
        os.close(os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC))
    except FileNotFoundError as err:
        raise _missing(
            machine,
            f"there is no {DEVICE}",
            "load the kernel's module fuse, or give the container that device",
        ) from err
    except OSError as err:
        raise _missing(
            machine, f"{DEVICE} cannot be opened ({err.strerror})", "ask for the right to use FUSE"
        ) from err


def writer_interrupted(fuse: ModuleType) -> Any:
    """The function of libfuse that says whether the caller of this thread was signalled."""
    return fuse._libfuse.fuse_interrupted  # noqa: SLF001 - mfusepy has no name of its own for it


def _missing(machine: str, problem: str, advice: str) -> NotSupported:
    return NotSupported(machine=machine, operation=f"be mounted, for {problem}", advice=advice)
