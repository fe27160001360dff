"""Real guests for tests: booted once for each kernel, put down at the end."""

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from memhp.core.errors import MachineError
from memhp.core.geometry import GIB
from memhp.core.guest_shape import GuestShape
from memhp.machines.lab.carried import Carried
from memhp.machines.lab.guest import Guest
from memhp.machines.lab.kernels import KERNELS, find_kernel

NOTHING = Carried()
NEEDED = {"qemu-system-x86_64": "qemu-system-x86", "busybox": "busybox-static", "cpio": "cpio"}


def why_no_guests(kernel: str) -> str | None:
    """Why no guest with this kernel can be booted here; ``None`` where one can."""
    missing = [package for program, package in NEEDED.items() if shutil.which(program) is None]
    if missing:
        return f"packages {', '.join(missing)} are missing"
    try:
        find_kernel(kernel)
    except MachineError as error:
        return str(error)
    return None


def need_guests(kernel: str) -> None:
    """Skip where no guest can be booted, or fail where one must be."""
    reason = why_no_guests(kernel)
    if reason is None:
        return
    if os.environ.get("MEMHP_REQUIRE_KERNEL") == "1":
        pytest.fail(f"a real kernel is required: {reason}")
    pytest.skip(reason)


@contextmanager
def lab_folder_of_its_own() -> Iterator[None]:
    """A folder for guests that no other run of the tests uses."""
    with pytest.MonkeyPatch.context() as patch:
        # A Unix socket's path may have 107 bytes.
        folder = f"/tmp/memhp-test-{os.getpid()}-{secrets.token_hex(2)}"
        patch.setenv("MEMHP_LAB_DIR", folder)
        try:
            yield
        finally:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def booted_guest(kernel: str) -> Iterator[Guest]:
    """A guest of one GiB with a second node that has nothing yet."""
    line = "memhp_default_state=offline nokaslr"
    with guest_of(GuestShape(kernel=kernel, nodes=(GIB, 0), command_line=line)) as guest:
        yield guest


@contextmanager
def guest_of(shape: GuestShape, carried: Carried = NOTHING) -> Iterator[Guest]:
    """A guest of any shape, with what it carries; where none can be booted, the test is skipped."""
    need_guests(shape.kernel)
    with lab_folder_of_its_own():
        guest = Guest(f"t{shape.kernel.replace('.', '-')}", bound=True)
        guest.up(shape, carried)
        try:
            yield guest
        finally:
            guest.down()


@pytest.fixture(scope="module", params=KERNELS)
def guest(request: pytest.FixtureRequest) -> Iterator[Guest]:
    """A guest with each kernel."""
    with booted_guest(request.param) as booted:
        yield booted
