"""What runs on a Linux machine and would feel a change, and who else changes it: from its files."""

from pathlib import Path

import pytest

from memhp.core.geometry import KIB, MIB, PAGE_SIZE_BYTES, NodeId
from memhp.core.snapshot import Want
from memhp.core.surroundings import Binding, HugePool, Swap, ZoneRoom
from memhp.core.words import ZoneType
from memhp.machines.linux.pages_left import read_pages_left, read_pages_migrated
from memhp.machines.linux.pressure import read_pressure
from memhp.machines.linux.rivals import read_rivals
from memhp.machines.linux.root import Root
from memhp.machines.linux.surroundings import read_surroundings
from memhp.machines.open import open_machine
from saved_trees import unpack

NODE = "sys/devices/system/node"
MEMORY = "sys/devices/system/memory"
ZONEINFO = """\
Node 0, zone   Normal
  per-node stats
      nr_inactive_file 5
  pages free     1000
        min      10
        managed  5000
      nr_zone_inactive_file 20
      nr_zone_active_file 30
Node 1, zone  Movable
  pages free     0
        min      0
        managed  0
"""


@pytest.fixture
def root(tmp_path: Path) -> Root:
    return Root(str(tmp_path), "linux:saved")


def put(root: Root, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = Path(root.path(name))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_huge_pages_by_node_and_size(root: Root) -> None:
    pool = f"{NODE}/node1/hugepages/hugepages-2048kB"
    put(
        root,
        {f"{pool}/{n}_hugepages": f"{c}\n" for n, c in (("nr", 8), ("free", 3), ("surplus", 1))},
    )
    assert read_surroundings(root).huge_pools == (
        HugePool(node=NodeId(1), size_bytes=2 * MIB, total=8, free=3, surplus=1),
    )


def test_swap_and_the_room_of_zones(root: Root) -> None:
    put(
        root,
        {
            "proc/meminfo": "SwapTotal:  100 kB\nSwapFree:    40 kB\n",
            "proc/zoneinfo": ZONEINFO,
        },
    )
    found = read_surroundings(root)
    assert found.swap == Swap(total_bytes=100 * KIB, free_bytes=40 * KIB)
    assert found.rooms == (
        ZoneRoom(
            node=NodeId(0),
            zone=ZoneType.NORMAL,
            free_bytes=1000 * PAGE_SIZE_BYTES,
            min_bytes=10 * PAGE_SIZE_BYTES,
            cache_bytes=50 * PAGE_SIZE_BYTES,
        ),
    )


@pytest.mark.parametrize(
    ("files", "stays_behind"),
    [
        ({}, False),
        ({"sys/kernel/kexec_crash_loaded": "0\n"}, False),
        ({"sys/kernel/kexec_crash_loaded": "1\n"}, True),
        ({"sys/kernel/kexec_crash_loaded": "1\n", f"{MEMORY}/crash_hotplug": "0\n"}, True),
        ({"sys/kernel/kexec_crash_loaded": "1\n", f"{MEMORY}/crash_hotplug": "1\n"}, False),
    ],
)
def test_a_crash_kernel(root: Root, files: dict[str, str], *, stays_behind: bool) -> None:
    put(root, files)
    assert read_surroundings(root).crash_kernel_stays_behind == stays_behind


TASKS = {
    "proc/7/comm": "postgres\n",
    "proc/7/status": "Name:\tpostgres\nMems_allowed_list:\t0-1\n",
    "proc/7/numa_maps": "5600 default file=/bin/x\n7f00 bind:1 anon=9 N1=9\n7f10 bind:1 anon=1\n",
    "proc/8/comm": "qemu\n",
    "proc/8/status": "Mems_allowed_list:\t0-1\n",
    "proc/8/numa_maps": "7f00 prefer (many):1 anon=9\n7f10 bind=static:0-1 N0=1\n",
    "proc/9/comm": "job\n",
    "proc/9/status": "Mems_allowed_list:\t0\n",
    "proc/10/comm": "other\n",
    "proc/10/status": "Mems_allowed_list:\t1\n",
    "sys/fs/cgroup/batch/jobs/cpuset.mems": "0\n",
    "sys/fs/cgroup/free/cpuset.mems": "\n",
    "sys/fs/cgroup/all/cpuset.mems": "0-1\n",
}


def test_who_is_bound(root: Root) -> None:
    """A task that may use what its cgroup says is told of once, with the cgroup."""
    put(root, TASKS | {f"{NODE}/has_memory": "0-1\n"})
    assert read_surroundings(root).bindings == (
        Binding(who="cgroup /batch/jobs", nodes=(NodeId(0),)),
        Binding(who="postgres (7)", nodes=(NodeId(1),)),
        Binding(who="qemu (8)", nodes=(NodeId(1),)),
        Binding(who="other (10)", nodes=(NodeId(1),)),
    )


def test_with_memory_on_one_node_no_process_is_looked_at(root: Root) -> None:
    put(root, TASKS | {f"{NODE}/has_memory": "0\n"})
    assert read_surroundings(root).bindings == ()


RULE = 'SUBSYSTEM=="memory", ACTION=="add", ATTR{state}=="offline", ATTR{state}="online"\n'


@pytest.mark.parametrize(
    ("files", "rivals"),
    [
        ({}, ()),
        ({f"{MEMORY}/auto_online_blocks": "offline\n"}, ()),
        (
            {f"{MEMORY}/auto_online_blocks": "online\n"},
            ("the kernel (auto_online_blocks: 'online')",),
        ),
        (
            {
                f"{MEMORY}/auto_online_blocks": "online_movable\n",
                "proc/cmdline": "quiet memhp_default_state=online_movable\n",
            },
            ("the kernel (auto_online_blocks, from memhp_default_state: 'online_movable')",),
        ),
        ({"usr/lib/udev/rules.d/40.rules": RULE}, ("udev (/usr/lib/udev/rules.d/40.rules)",)),
        ({"usr/lib/udev/rules.d/40.rules": f"# {RULE}"}, ()),
        ({"usr/lib/udev/rules.d/40.rules": RULE, "etc/udev/rules.d/40.rules": ""}, ()),
        ({"etc/udev/rules.d/9.rules": RULE.replace('}="online"', '}=="online"')}, ()),
        (
            {"etc/daxctl.conf.d/a.conf": "[reconfigure-device x]\nmode = system-ram\n"},
            ("daxctl (/etc/daxctl.conf.d/a.conf)",),
        ),
        ({"sys/bus/virtio/drivers/virtio_mem/virtio3/x": ""}, ("the driver virtio-mem",)),
        ({"sys/bus/virtio/drivers/virtio_mem/bind": ""}, ()),
        ({"sys/bus/vmbus/drivers/hv_balloon/bind": ""}, ("the driver hv_balloon",)),
    ],
)
def test_who_else_onlines_memory(
    root: Root, files: dict[str, str], rivals: tuple[str, ...]
) -> None:
    put(root, files)
    assert read_rivals(root) == rivals


def test_pressure_is_read_where_it_is_measured(root: Root) -> None:
    assert read_pressure(root) is None
    text = "some avg10=7.00 avg60=1.00 avg300=0.00 total=9\nfull avg10=3.25 avg60=1.00 total=9\n"
    put(root, {"proc/pressure/memory": text})
    assert read_pressure(root) == 3.25


def test_pages_that_are_not_free_are_left(root: Root) -> None:
    """Two blocks of four pages; of the second one page is free (``KPF_BUDDY``, bit 10)."""
    words = [0x400] * 4 + [0x400, 0, 0x28, 0x80000]
    path = Path(root.path("proc/kpageflags"))
    path.parent.mkdir(parents=True)
    path.write_bytes(b"".join(word.to_bytes(8, "little") for word in words))
    size = 4 * PAGE_SIZE_BYTES
    assert [read_pages_left(root, block, size) for block in (0, 1, 2)] == [0, 3, None]


def test_pages_moved_are_the_kernels_count(root: Root) -> None:
    assert read_pages_migrated(root) is None
    put(root, {"proc/vmstat": "nr_free_pages 5\npgmigrate_success 77\n"})
    assert read_pages_migrated(root) == 77


def test_a_real_machines_tree_has_room_and_no_rival_that_is_not_there(tmp_path: Path) -> None:
    tree = unpack(Path(__file__).parent / "trees/guest-6.12.tar.gz", tmp_path)
    snapshot = open_machine(f"linux:{tree}").snapshot(Want.SURROUNDINGS)
    assert {room.node for room in snapshot.surroundings.rooms} >= {NodeId(0)}
    assert all(room.free_bytes > 0 for room in snapshot.surroundings.rooms)
