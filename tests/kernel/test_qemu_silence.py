"""A guest that nobody can ask: its kernel knows no ACPI, and so no requests to let memory go."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from lab_guests import guest_of
from memhp.core.errors import AnswerPending
from memhp.core.geometry import GIB, NodeId
from memhp.core.guest_shape import BootDimm, GuestShape
from memhp.core.request import Remove
from memhp.core.words import Ending
from memhp.machines.lab.kernels import KERNELS
from memhp.operations.conduct import Conductor
from qemu_guests import DIMM, Lab, ask

pytestmark = pytest.mark.kernel


@pytest.fixture(scope="module", params=KERNELS)
def deaf(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """A guest with a DIMM that it does not know of."""
    shape = GuestShape(
        kernel=request.param,
        nodes=(GIB, 0),
        command_line="acpi=off",
        dimms=(BootDimm(size_bytes=DIMM, node=NodeId(1)),),
    )
    with guest_of(shape) as guest:
        yield Lab(guest)


def test_a_guest_that_ignores_the_request(
    deaf: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The device is untouchable from then on; resume and undo find that nothing has changed."""
    monkeypatch.setattr("memhp.machines.qemu.physical.PATIENCE_SECONDS", 1.0)
    monkeypatch.setattr("memhp.machines.qemu.settle._LATE_SECONDS", 0.5)
    objects = deaf.objects()
    assert ask(tmp_path, {"d": deaf}, Remove(device="b0")) is Ending.UNKNOWN
    [device] = deaf.machine.snapshot().devices
    assert (device.present, device.pending) == (True, True)
    with pytest.raises(AnswerPending):
        ask(tmp_path, {"d": deaf}, Remove(device="b0"))
    worker = Conductor(
        machines={deaf.name: deaf.machine}, folder=tmp_path, listener=lambda _event: None
    )
    assert worker.resume("1") is Ending.UNKNOWN
    assert worker.undo("1") is Ending.UNKNOWN
    assert deaf.devices() == {"b0": DIMM}
    assert deaf.objects() == objects | {"memhp-asked-b0", "memhp-sent-b0"}
