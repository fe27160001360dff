"""A real kernel's page allocator, recorded here and now, and the model held against it."""

import os
import secrets
import shutil
from collections.abc import Iterator

import pytest

from lab_guests import why_no_guests
from memhp.machines.lab.guest import Guest
from memhp.machines.lab.record_pages import KERNEL, PageLoad, record_allocations
from memhp.model.allocations.judge import judge
from memhp.model.allocations.replay import replay

pytestmark = pytest.mark.kernel


@pytest.fixture
def guest(monkeypatch: pytest.MonkeyPatch) -> Iterator[Guest]:
    reason = why_no_guests(KERNEL)
    if reason is None and (shutil.which("gcc") or shutil.which("cc")) is None:
        reason = "package gcc is missing"
    if reason is not None:
        if os.environ.get("MEMHP_REQUIRE_KERNEL") == "1":
            pytest.fail(f"a real kernel is required: {reason}")
        pytest.skip(reason)
    folder = f"/tmp/memhp-test-{os.getpid()}-{secrets.token_hex(2)}"
    monkeypatch.setenv("MEMHP_LAB_DIR", folder)
    yield Guest("pages")
    shutil.rmtree(folder, ignore_errors=True)


def test_a_fresh_recording_agrees(guest: Guest) -> None:
    load = PageLoad(name="fork", seed=7, memory_mib=512)
    recording = record_allocations(load, guest)
    judged = judge(recording, replay(recording))
    assert recording.overlaps == 0
    assert recording.untraced < len(recording.events) / 50
    assert judged.within
    assert guest.pid is None
