"""``linux:`` on a mounted model reads the values that ``model:`` has of the same machine.

Four things cannot be equal, for no file of sysfs says them, on a real machine
either: the name under which the machine was opened; what a DIMM is called by
people (its ACPI name is compared instead) and how large it is while the kernel
has nothing of it; and virtio-mem devices, which the model's tree does not have
as devices (their memory is compared as blocks and iomem); and what only the
outside knows: free slots, what the host has left, whether an eject waits.
"""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from memhp.core.geometry import BlockId
from memhp.core.machine import Machine
from memhp.core.outcome import Done, Refused
from memhp.core.plan import OfflineBlock, OnlineBlock, Step
from memhp.core.snapshot import Device, Snapshot
from memhp.core.words import BlockState, DeviceKind, OnlineType
from memhp.machines.model import ModelMachine
from memhp.machines.open import open_machine
from memhp.model.shipped import shipped_machines, shipped_text
from memhp.model.store import StateFile
from mounts import Mount, mount

__all__ = ["mount"]
SMALL = tuple(name for name in shipped_machines() if not name.startswith("rack16t"))


def as_linux_sees_it(machine: ModelMachine, snapshot: Snapshot, mounted: Snapshot) -> Snapshot:
    """The model's own snapshot with what sysfs cannot say put as Linux puts it."""
    names = {}
    devices = tuple(each for each in snapshot.devices if each.kind is DeviceKind.DIMM)
    for place, device in enumerate(devices):
        names[device.name] = machine.tree().list("/sys/bus/acpi/devices")[place]
    return replace(
        snapshot,
        machine=mounted.machine,
        room=mounted.room,
        host=mounted.host,
        devices=tuple(sorted(renamed(devices, names), key=lambda each: each.name)),
        blocks=tuple(
            replace(block, device=names.get(block.device or "")) for block in snapshot.blocks
        ),
    )


def renamed(devices: Iterable[Device], names: dict[str, str]) -> Iterable[Device]:
    for device in devices:
        used = bool(device.ranges)
        yield replace(
            device,
            name=names[device.name],
            size_bytes=device.size_bytes if used else 0,
            node=device.node if used else None,
            pending=None,
        )


def some_that_are_not(word: OnlineType, snapshot: Snapshot) -> list[int]:
    """A dozen blocks to which the word is something new, as to those that a plan names."""
    wanted = BlockState.OFFLINE if word is OnlineType.OFFLINE else BlockState.ONLINE
    numbers = [block.block for block in snapshot.blocks if block.state is not wanted]
    return list(numbers[:: max(1, len(numbers) // 12)])


def made(machine: Machine, number: int, word: OnlineType) -> str:
    """Do the same to a machine, through its own door; returns how it ended."""
    offline = word is OnlineType.OFFLINE
    action = (
        OfflineBlock(block=BlockId(number))
        if offline
        else OnlineBlock(block=BlockId(number), online_type=word)
    )
    outcome = machine.apply(
        Step(machine=machine.name, action=action), until=None, tell=lambda _progress: None
    )
    if isinstance(outcome, Refused):
        return outcome.errno_name or outcome.reason
    assert isinstance(outcome, Done)
    return outcome.note


@pytest.mark.parametrize("name", SMALL)
def test_every_part_is_the_same_before_and_after_operations(
    name: str, mount: Mount, tmp_path: Path
) -> None:
    files = [tmp_path / "served.machine", tmp_path / "own.machine"]
    for file in files:
        StateFile.create(file, shipped_text(name)).close()
    served = open_machine(f"linux:{mount(str(files[0])).folder}")
    own = open_machine(f"model:{files[1]}")
    assert isinstance(own, ModelMachine)

    def compare() -> None:
        seen = served.snapshot()
        expected = as_linux_sees_it(own, own.snapshot(), seen)
        assert replace(seen, identity="") == replace(expected, identity="")

    compare()
    words = (OnlineType.OFFLINE, OnlineType.ONLINE_MOVABLE, OnlineType.OFFLINE, OnlineType.ONLINE)
    for word in words:
        for number in some_that_are_not(word, own.snapshot()):
            assert made(served, number, word) == made(own, number, word), (number, word)
        compare()


def test_a_mounted_machine_is_known_by_the_models_identity(mount: Mount, tmp_path: Path) -> None:
    path = tmp_path / "m.machine"
    StateFile.create(path, shipped_text("laptop")).close()
    own = open_machine(f"model:{path}").identity
    mounted = mount(str(path))
    machine = open_machine(f"linux:{mounted.folder}")
    assert (machine.identity, machine.lasts) == (own, True)
    assert machine.address == f"linux:{mounted.folder}"
    twins = [open_machine(f"linux:{mount('laptop').folder}").identity for _ in range(2)]
    assert twins[0] != twins[1]
