"""A Linux machine through its files: trees saved from real guests, odd ones, and this host."""

import os
from pathlib import Path

import pytest

from memhp.core.errors import MachineError, MemhpError, NotSupported
from memhp.core.geometry import GIB, KIB, MIB, BlockId, NodeId
from memhp.core.plan import OfflineBlock, Step
from memhp.core.ranges import PhysRange
from memhp.core.snapshot import Device, MemoryBlock, NodeInfo, Policy, Room, Want, ZoneInfo
from memhp.core.words import (
    BlockState,
    DeviceKind,
    MemmapOnMemory,
    OnlinePolicy,
    OnlineType,
    ZoneType,
)
from memhp.machines.linux.machine import LinuxMachine, open_linux
from memhp.machines.linux.root import MEMORY, NODES, Root
from saved_trees import SavedBlock, save_tree, unpack

TREES = Path(__file__).parent / "trees"


class Watched(Root):
    """A root that notes what is looked at."""

    def __init__(self, folder: str) -> None:
        super().__init__(folder, "linux:watched")
        self.seen: set[str] = set()

    def path(self, relative: str) -> str:
        self.seen.add(relative)
        return super().path(relative)


@pytest.fixture(params=["6.1", "6.12"])
def guest(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A guest with 1 GiB, a DIMM of 256 MiB, and 256 MiB from a virtio-mem device."""
    return unpack(TREES / f"guest-{request.param}.tar.gz", tmp_path)


def test_a_real_guest_in_every_part(guest: Path) -> None:
    snapshot = open_linux(str(guest)).snapshot()
    assert snapshot.block_size_bytes == 128 * MIB
    assert [block.block for block in snapshot.blocks] == [*range(8), 32, 33, 40, 41]
    assert snapshot.blocks[0] == MemoryBlock(
        block=BlockId(0),
        state=BlockState.ONLINE,
        zone=None,
        nodes=(NodeId(0),),
        valid_zones=("none",),
    )
    assert snapshot.blocks[-1] == MemoryBlock(
        block=BlockId(41),
        state=BlockState.ONLINE,
        zone=ZoneType.MOVABLE,
        nodes=(NodeId(1),),
        valid_zones=("Movable",),
        device="PNP0C80:00",
    )
    assert snapshot.blocks[-3].device == "virtio0"
    assert snapshot.nodes == (
        NodeInfo(
            node=NodeId(0),
            has_memory=True,
            has_normal_memory=True,
            has_cpu=True,
            distances=(10, 20),
        ),
        NodeInfo(
            node=NodeId(1),
            has_memory=True,
            has_normal_memory=False,
            has_cpu=False,
            distances=(20, 10),
        ),
    )
    assert [(zone.node, zone.zone.value) for zone in snapshot.zones] == [
        (0, "DMA"),
        (0, "DMA32"),
        (1, "Movable"),
    ]
    assert snapshot.zones[-1] == ZoneInfo(
        node=NodeId(1),
        zone=ZoneType.MOVABLE,
        start_pfn=snapshot.zones[-1].start_pfn,
        spanned=10 * 0x8000,
        present=4 * 0x8000,
        managed=4 * 0x8000,
    )
    assert snapshot.policy == Policy(
        auto_online_blocks=OnlineType.ONLINE_MOVABLE,
        online_policy=OnlinePolicy.CONTIG_ZONES,
        auto_movable_ratio=301,
        auto_movable_numa_aware=True,
        memmap_on_memory=MemmapOnMemory.OFF,
    )
    assert "memhp_default_state=online_movable" in snapshot.command_line
    assert snapshot.iomem[0].name == "Reserved"


def test_devices_of_a_real_guest(guest: Path) -> None:
    devices = open_linux(str(guest)).snapshot(Want.DEVICES).devices
    assert devices[0] == Device(
        name="PNP0C80:00",
        kind=DeviceKind.DIMM,
        size_bytes=256 * MIB,
        node=NodeId(1),
        present=True,
        ranges=(PhysRange.at(5 * GIB, 256 * MIB),),
    )
    assert [device.present for device in devices] == [True, *[False] * 31, True]
    assert devices[-1] == Device(
        name="virtio0",
        kind=DeviceKind.VIRTIO_MEM,
        size_bytes=GIB,
        node=NodeId(1),
        present=True,
        ranges=(PhysRange.at(4 * GIB, 256 * MIB),),
    )


@pytest.mark.parametrize(
    ("want", "folders"),
    [
        (Want.BLOCKS, {MEMORY, NODES}),
        (Want.ZONES, {"proc/zoneinfo"}),
        (Want.NODES, {NODES}),
        (Want.DEVICES, {"proc/iomem", MEMORY, "sys/bus", "sys/firmware/memory"}),
        (Want.IOMEM, {"proc/iomem"}),
        (Want.POLICY, {"proc/cmdline", MEMORY, "sys/module", "proc/sys/vm"}),
        (Want.ROOM, {"proc/meminfo"}),
    ],
)
def test_a_part_reads_only_that_part(guest: Path, want: Want, folders: set[str]) -> None:
    root = Watched(str(guest))
    snapshot = LinuxMachine(root).snapshot(want)
    always = {
        f"{MEMORY}/block_size_bytes",
        "etc/machine-id",
        "proc/sys/kernel/random/boot_id",
    }
    others = {
        path
        for path in root.seen - always
        if not any(path == folder or path.startswith(f"{folder}/") for folder in folders)
    }
    assert others == set()
    if want is not Want.BLOCKS:
        assert not any(path.endswith(("state", "valid_zones")) for path in root.seen)
        assert snapshot.blocks == ()


def test_dax_and_standby_memory(tmp_path: Path) -> None:
    root = save_tree(tmp_path, {n: SavedBlock() for n in (0, 1, 8, 9)})
    iomem = "40000000-4fffffff : dax0.0\n  40000000-4fffffff : System RAM (kmem)\n"
    (root / "proc").mkdir()
    (root / "proc/iomem").write_text(iomem)
    for name, driver in (("dax0.0", "kmem"), ("dax1.0", "device_dax")):
        folder = root / "sys/bus/dax/devices" / name
        folder.mkdir(parents=True)
        (folder / "size").write_text("268435456\n")
        (folder / "resource").write_text("0x40000000\n")
        (folder / "target_node").write_text("0\n")
        (folder / "driver").symlink_to(f"../../drivers/{driver}")
    for number, text in enumerate(("1", "1", "0")):
        folder = root / f"sys/firmware/memory/memory{number}"
        folder.mkdir(parents=True)
        (folder / "config").write_text(f"{text}\n")
    snapshot = open_linux(str(root)).snapshot(Want.DEVICES | Want.BLOCKS)
    found = [
        (d.name, d.kind.value, d.present, [str(r) for r in d.ranges]) for d in snapshot.devices
    ]
    assert found == [
        ("dax0.0", "dax", True, ["0x40000000-0x4fffffff"]),
        ("dax1.0", "dax", False, []),
        ("standby0", "standby", True, ["0x0-0xfffffff"]),
        ("standby2", "standby", False, []),
    ]
    owners = {block.block: block.device for block in snapshot.blocks}
    assert owners == {0: "standby0", 1: "standby0", 8: "dax0.0", 9: "dax0.0"}


def test_blocks_of_two_nodes_and_of_none(tmp_path: Path) -> None:
    blocks = {0: SavedBlock(nodes=(0, 1)), 1: SavedBlock(nodes=())}
    for name, node_folders in (("with", True), ("without", False)):
        root = save_tree(tmp_path / name, blocks, node_folders=node_folders)
        snapshot = open_linux(str(root)).snapshot(Want.BLOCKS)
        assert [block.nodes for block in snapshot.blocks] == [(0, 1), ()]


def test_a_kernel_that_has_less(tmp_path: Path) -> None:
    """No zones, no policy, no nodes: what is not there is not made up."""
    root = save_tree(tmp_path, {0: SavedBlock(valid_zones=None, removable=None, nodes=())})
    snapshot = open_linux(str(root)).snapshot()
    assert snapshot.blocks[0].valid_zones == ()
    assert (snapshot.zones, snapshot.nodes, snapshot.devices, snapshot.iomem) == ((), (), (), ())
    assert snapshot.policy == Policy()


def test_what_it_can_do_without(tmp_path: Path) -> None:
    root = save_tree(tmp_path, {0: SavedBlock()})
    assert open_linux(str(root)).snapshot(Want.ROOM).room == Room()
    (root / "proc").mkdir()
    (root / "proc/meminfo").write_text("MemFree:       810812 kB\nMemAvailable:  730408 kB\n")
    assert open_linux(str(root)).snapshot(Want.ROOM).room == Room(available_bytes=730408 * KIB)


def test_addresses_that_are_hidden_are_none(tmp_path: Path) -> None:
    root = save_tree(tmp_path, {0: SavedBlock()})
    (root / "proc").mkdir()
    (root / "proc/iomem").write_text(
        "00000000-00000000 : Reserved\n00000000-00000000 : System RAM\n"
    )
    assert open_linux(str(root)).snapshot(Want.IOMEM).iomem == ()


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (f"{MEMORY}/memory0/state", "perhaps\n"),
        (f"{MEMORY}/memory0/state", ""),
        (f"{MEMORY}/block_size_bytes", ""),
        (f"{MEMORY}/block_size_bytes", "0\n"),
        (f"{MEMORY}/block_size_bytes", "-8\n"),
    ],
)
def test_what_no_kernel_prints_is_one_sentence(path: str, text: str, tmp_path: Path) -> None:
    root = save_tree(tmp_path, {0: SavedBlock()})
    (root / path).write_text(text)
    with pytest.raises(MachineError) as caught:
        open_linux(str(root)).snapshot()
    assert "\n" not in str(caught.value)
    assert path.rsplit("/", maxsplit=1)[-1] in str(caught.value)


def sentence_of(root: Path) -> str:
    """What is said of a tree that cannot be read; empty where it can."""
    try:
        open_linux(str(root)).snapshot()
    except MemhpError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    "path",
    [
        "proc/zoneinfo", "proc/iomem", "proc/cmdline", f"{NODES}/online", f"{NODES}/node0/distance",
        f"{MEMORY}/auto_online_blocks", "sys/module/memory_hotplug/parameters/auto_movable_ratio",
        f"{MEMORY}/memory0/valid_zones", "sys/bus/acpi/devices/PNP0C80:00/status",
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    "text",
    [
        b"", b"\0\xff\n", b"9" * 5000, b"Node x, zone\n0-9\n", b"-5,3-\n",
        b"Node 0, zone Normal\n  spanned  " + b"9" * 5000,
        b"Node " + b"9" * 5000 + b", zone Normal\n  spanned  1\n",
    ],
)  # fmt: skip
def test_garbled_files_end_in_values_or_a_sentence(path: str, text: bytes, tmp_path: Path) -> None:
    root = save_tree(tmp_path, {0: SavedBlock()})
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_bytes(text)
    assert "\n" not in sentence_of(root)


@pytest.mark.parametrize("path", ["proc/iomem", f"{NODES}/online", f"{MEMORY}/memory0/valid_zones"])
def test_nobody_waits_for_a_fifo(path: str, tmp_path: Path) -> None:
    root = save_tree(tmp_path, {0: SavedBlock()})
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).unlink(missing_ok=True)
    os.mkfifo(root / path)
    snapshot = open_linux(str(root)).snapshot()
    assert [block.state for block in snapshot.blocks] == [BlockState.ONLINE]


def test_a_folder_where_a_file_should_be(tmp_path: Path) -> None:
    root = save_tree(tmp_path, {0: SavedBlock()})
    (root / "proc/zoneinfo").mkdir(parents=True)
    with pytest.raises(MachineError, match=r"does not let .*zoneinfo be read"):
        open_linux(str(root)).snapshot(Want.ZONES)


def test_a_file_that_cannot_be_opened(tmp_path: Path) -> None:
    root = save_tree(tmp_path, {0: SavedBlock()})
    (root / "proc").mkdir()
    (root / "proc/zoneinfo").symlink_to("zoneinfo")
    with pytest.raises(MachineError, match=r"zoneinfo be read \(Too many levels"):
        open_linux(str(root)).snapshot(Want.ZONES)


def test_it_is_only_looked_at(tmp_path: Path) -> None:
    machine = open_linux(str(save_tree(tmp_path, {0: SavedBlock()})))
    step = Step(machine=machine.name, action=OfflineBlock(block=BlockId(0)))
    with pytest.raises(NotSupported):
        machine.apply(step, until=None, tell=lambda _event: None)
    with pytest.raises(MachineError, match=r"has no .*kpageflags"):
        machine.census([BlockId(0)])
    assert machine.can == frozenset()
    assert (tmp_path / MEMORY / "memory0/state").read_text() == "online\n"


def test_identity_is_that_of_the_boot(tmp_path: Path) -> None:
    root = save_tree(tmp_path, {0: SavedBlock()})
    (root / "etc").mkdir()
    (root / "etc/machine-id").write_text("abc\n")
    boot_id = root / "proc/sys/kernel/random/boot_id"
    boot_id.parent.mkdir(parents=True)
    boot_id.write_text("1-2-3\n")
    assert open_linux(str(root)).identity == "saved:abc:1-2-3"


def test_this_host_can_be_read() -> None:
    """Reading is fine; what it has depends on where this runs."""
    machine = open_linux("")
    try:
        snapshot = machine.snapshot()
    except MachineError as error:
        pytest.skip(str(error))
    assert snapshot.blocks
    assert machine.identity.startswith("linux:")
