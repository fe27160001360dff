"""Memory of a dax device goes and comes, on trees in which somebody plays the kernel."""

import shutil
from pathlib import Path

import pytest

from memhp.core.outcome import Done, Refused
from memhp.core.plan import AddDevice, RemoveDevice
from memhp.core.ranges import PhysRange
from memhp.core.snapshot import IomemEntry
from memhp.machines.linux.dax import bind, unbind
from memhp.machines.linux.devices import read_devices
from memhp.machines.linux.physical import why_not
from memhp.machines.linux.root import Root

MIB = 1 << 20
DEVICE = "sys/bus/dax/devices/dax0.0"
DRIVERS = "sys/bus/dax/drivers"
MEMORY = "sys/devices/system/memory"


class Kernel:
    """The dax bus and its drivers: what is written to them, and what becomes of the device."""

    def __init__(self, folder: Path, driver: str | None, *, stays: bool = False) -> None:
        self.folder = folder
        self.root = Root(str(folder), "linux:")
        self.written: list[str] = []
        self._stays = stays
        self._known = driver == "kmem"
        self._put(f"{MEMORY}/block_size_bytes", f"{128 * MIB:x}")
        self._put(f"{DEVICE}/size", str(300 * MIB))
        self._put(f"{DEVICE}/target_node", "1")
        self._put(f"{DEVICE}/mapping0/start", hex(64 * MIB))
        self._put(f"{DEVICE}/mapping0/end", hex(64 * MIB + 448 * MIB - 1))
        for name in ("kmem", "device_dax"):
            (folder / DRIVERS / name).mkdir(parents=True)
            for file in ("bind", "unbind", "new_id"):
                self._put(f"{DRIVERS}/{name}/{file}", "")
        if driver is not None:
            self._bind(driver)

    def write(self, root: Root, relative: str, word: str, until: float | None) -> str | None:
        assert root is self.root
        assert until is None
        driver, what = relative.removeprefix(f"{DRIVERS}/").split("/")
        self.written.append(f"{driver}/{what} {word}")
        if what == "unbind":
            (self.folder / DEVICE / "driver").unlink()
            if driver == "kmem" and not self._stays:
                for number in (1, 2, 3):
                    shutil.rmtree(self.folder / MEMORY / f"memory{number}")
        elif what == "new_id" or self._known:
            self._bind(driver)
        else:
            return "ENODEV"
        return None

    def online(self, number: int) -> None:
        self._put(f"{MEMORY}/memory{number}/state", "online")

    def _bind(self, driver: str) -> None:
        (self.folder / DEVICE / "driver").symlink_to(f"../../drivers/{driver}")
        for number in (1, 2, 3) if driver == "kmem" else ():
            self._put(f"{MEMORY}/memory{number}/state", "offline")

    def _put(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")


def test_its_memory_goes_once_every_block_is_offline(tmp_path: Path) -> None:
    kernel = Kernel(tmp_path, "kmem")
    kernel.online(2)
    refused = unbind(kernel.root, "dax0.0", None, write=kernel.write)
    assert refused == Refused(reason="memory2 of it is online, and would stay until a boot")
    assert kernel.written == []
    kernel = Kernel(tmp_path / "other", "kmem")
    assert isinstance(unbind(kernel.root, "dax0.0", None, write=kernel.write), Done)
    assert kernel.written == ["kmem/unbind dax0.0"]
    again = unbind(kernel.root, "dax0.0", None, write=kernel.write)
    assert again == Refused(reason="expected dax0.0: present, and its driver is not kmem")


def test_memory_that_stays_is_told(tmp_path: Path) -> None:
    kernel = Kernel(tmp_path, "kmem", stays=True)
    outcome = unbind(kernel.root, "dax0.0", None, write=kernel.write)
    assert outcome == Refused(
        reason="unbound, and its memory stays until the next boot (memory1 stays)"
    )


@pytest.mark.parametrize(
    ("driver", "written"),
    [
        (None, ["kmem/bind dax0.0", "kmem/new_id dax0.0"]),
        (
            "device_dax",
            ["device_dax/unbind dax0.0", "kmem/bind dax0.0", "kmem/new_id dax0.0"],
        ),
    ],
    ids=["no driver", "another driver"],
)
def test_it_is_given_to_the_kernel(tmp_path: Path, driver: str | None, written: list[str]) -> None:
    kernel = Kernel(tmp_path, driver)
    outcome = bind(kernel.root, "dax0.0", None, write=kernel.write)
    assert outcome == Done(note="3 blocks have come")
    assert kernel.written == written


def test_it_serves_as_memory_while_kmem_has_it(tmp_path: Path) -> None:
    ram = IomemEntry(range=PhysRange.at(128 * MIB, 384 * MIB), name="System RAM (kmem)")
    for driver, present in (("kmem", True), ("device_dax", False)):
        kernel = Kernel(tmp_path / driver, driver)
        [device] = read_devices(kernel.root, 128 * MIB, (ram,))
        assert (device.present, device.ranges) == (present, (ram.range,) if present else ())


def test_a_driver_that_is_not_loaded_is_named(tmp_path: Path) -> None:
    kernel = Kernel(tmp_path, "kmem")
    for action in (RemoveDevice(device="dax0.0"), AddDevice(device="dax0.0")):
        assert why_not(kernel.root, action) is None
    shutil.rmtree(tmp_path / DRIVERS / "kmem")
    assert "modprobe kmem" in (why_not(kernel.root, AddDevice(device="dax0.0")) or "")


class Hiding(Root):
    """What a user sees who is not root: addresses are for root alone (mode 0400)."""

    def read_if_there(self, relative: str) -> bytes | None:
        if relative.startswith(f"{DEVICE}/mapping"):
            raise self.unreadable(relative, PermissionError(13, "Permission denied"))
        return super().read_if_there(relative)


def test_who_may_not_see_its_addresses_sees_it_and_cannot_plan_for_its_blocks(
    tmp_path: Path,
) -> None:
    root = Hiding(str(Kernel(tmp_path, "kmem").folder), "linux:")
    [device] = read_devices(root, 128 * MIB, ())
    assert (device.present, device.ranges) == (True, ())
    reason = why_not(root, RemoveDevice(device="dax0.0"))
    assert reason == "which blocks are those of dax0.0 cannot be seen: run it as root"
    assert why_not(root, AddDevice(device="dax0.0")) is None
