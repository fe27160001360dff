"""Which release a kernel image is of, from the image itself.

The boot protocol's header (``Documentation/arch/x86/boot.rst``): ``HdrS`` at
0x202; 0x20e says, counted from 0x200, where the version's text begins.
"""

from pathlib import Path

from memhp.core.errors import MachineError

_MAGIC, _MAGIC_AT = b"HdrS", 0x202
_VERSION_AT, _COUNTED_FROM = 0x20E, 0x200
_HEAD_BYTES = 64 << 10


def image_release(image: Path) -> str:
    """The release, as ``uname -r`` prints it; raises ``MachineError`` for what is no image."""
    try:
        with image.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError as err:
        raise _no_kernel(image, f"cannot be read ({err.strerror})") from err
    if head[_MAGIC_AT : _MAGIC_AT + len(_MAGIC)] != _MAGIC:
        raise _no_kernel(image, "is no kernel image for x86 (a bzImage)")
    start = _COUNTED_FROM + int.from_bytes(head[_VERSION_AT : _VERSION_AT + 2], "little")
    words = head[start:].partition(b"\0")[0].decode("ascii", "replace").split()
    if not words or "/" in words[0]:
        raise _no_kernel(image, "does not say which release it is")
    return words[0]


def _no_kernel(image: Path, problem: str) -> MachineError:
    return MachineError(
        machine="lab:",
        problem=f"cannot boot {image}: it {problem}",
        advice="give a series, 6.12 or 6.1, or the path of a vmlinuz",
    )
