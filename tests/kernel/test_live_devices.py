"""memhp inside a real guest: a full DIMM is taken out, changed and put to use, and nothing is lost.

The DIMM goes by memhp's own hand, on the guest's own kernel; its hardware comes
and is seen going from outside, over QMP.
"""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from lab_guests import guest_of, need_guests
from memhp.core.geometry import GIB, MIB, NodeId
from memhp.core.guest_shape import GuestShape
from memhp.core.outcome import Done
from memhp.core.plan import AddDevice, Step
from memhp.machines.lab.guest import Guest
from memhp.machines.lab.inside import pinned
from memhp.machines.lab.kernels import KERNELS
from memhp.machines.lab.machine import LabMachine
from memhp.machines.lab.workload import Workload, carry_workload, start_workload

pytestmark = pytest.mark.kernel
NEWEST = KERNELS[0]
DIMM_BYTES, LOAD_BYTES, FILE_MIB = 256 * MIB, 200 * MIB, 32
SLOT = "PNP0C80:00"
SET_APART = "memmap=256M%0x30000000-1+0xefffffff"
"""The kernel leaves this much of its memory to a dax device, as firmware can ask it to."""
DAX_BLOCKS = (6, 7)
FILE = "/tmp/data"
WATCHED = "/tmp/watched"
TREE = "cd /sys/devices/system/memory; grep . memory*/state memory*/valid_zones"
MOVABLE_PAGES = "awk '/zone  *Movable/ {on=1} on && /nr_free_pages|pages free/ {print $NF; exit}'"
_SECONDS = 120.0


@dataclass(frozen=True)
class Inside:
    """A guest that runs memhp on itself."""

    guest: Guest

    def run(self, command: str) -> tuple[int, str]:
        """A command's exit code, and all that it said."""
        with self.guest.shell() as shell:
            return shell.run(command, _SECONDS)

    def memhp(self, words: str, *, before: str = "") -> tuple[int, str]:
        """The same of memhp, on the machine that it runs on."""
        unguarded = "unset MEMHP_NO_LIVE_WRITES; export MEMHP_STATE_DIR=/tmp/state"
        return self.run(f"{unguarded}; {before} host {words} -M linux: 2>&1")

    def text(self, command: str) -> str:
        code, text = self.run(command)
        assert code == 0, text
        return text.strip()

    def watch(self) -> None:
        """Begin to watch the blocks, with memhp in the guest."""
        self.text(
            f"(host timeout {int(_SECONDS)} memhp watch --json -M linux: "
            f"> {WATCHED} 2> {WATCHED}.err < /dev/null &)\n"
            f"while ! grep -q Ctrl-C {WATCHED}.err; do sleep 0.1; done"
        )

    def watched(self) -> list[list[object]]:
        """Each change since: the kernel's word, the block, and the state that was read then."""
        told = [json.loads(line) for line in self.text(f"cat {WATCHED}").splitlines()]
        return [[change[key] for key in ("action", "block", "state")] for change in told]

    def plug(self) -> None:
        """Put a DIMM in, from outside."""
        action = AddDevice(device="dimm0", size_bytes=DIMM_BYTES, node=NodeId(0))
        machine = LabMachine(self.guest)
        machine.settle()
        step = Step(machine=machine.name, action=action)
        assert isinstance(machine.apply(step, until=None, tell=lambda _: None), Done)

    def states(self) -> list[str]:
        """The state and zone of each of the DIMM's blocks."""
        return (
            self.text(
                f"for l in /sys/bus/acpi/devices/{SLOT}/physical_node*; do "
                "echo $(cat $l/state $l/valid_zones); done"
            )
            .strip()
            .splitlines()
        )


@contextmanager
def seen_from_outside(guest: Guest) -> Iterator[list[str]]:
    """The devices that QEMU says are deleted meanwhile; complete at the end of the block."""
    gone: list[str] = []
    with socket.socket(socket.AF_UNIX) as monitor:
        monitor.settimeout(_SECONDS)
        monitor.connect(guest.monitor_path())
        lines = monitor.makefile("rw")
        lines.readline()
        lines.write('{"execute": "qmp_capabilities"}\n')
        lines.flush()
        lines.readline()
        yield gone
        for line in lines:
            said = json.loads(line)
            if said.get("event") == "DEVICE_DELETED" and "device" in said["data"]:
                gone.append(said["data"]["device"])
                return


@pytest.fixture(scope="module", params=KERNELS)
def inside(request: pytest.FixtureRequest) -> Iterator[Inside]:
    """A guest of 1 GiB with this host's files, one DIMM, and memory for a dax device."""
    need_guests(request.param)
    line = f"memhp_default_state=offline nokaslr {SET_APART}"
    nodes = (GIB + 256 * MIB,)
    shape = GuestShape(kernel=request.param, nodes=nodes, shares_root=True, command_line=line)
    with guest_of(shape, carry_workload()) as guest:
        found = Inside(guest)
        found.plug()
        yield found


def only(inside: Inside, kernel: str) -> None:
    if inside.guest.shape.kernel != kernel:
        pytest.skip(f"the main path is enough for kernel {inside.guest.shape.kernel}")


def test_what_cannot_be_done_is_said_and_changes_nothing(inside: Inside) -> None:
    only(inside, NEWEST)
    before = inside.text(TREE)
    enabled = "/sys/firmware/acpi/hotplug/memory/enabled"
    code, text = inside.memhp("memhp remove PNP0C80:05")
    assert (code, "PNP0C80:05 is not plugged in" in text) == (1, True), text
    nobody = "/usr/bin/setpriv --reuid 65534 --clear-groups"
    code, text = inside.memhp(f"{nobody} memhp remove {SLOT}")
    assert (code, "run it as root" in text) == (1, True), text
    code, text = inside.memhp(f"{nobody} memhp remove {SLOT} --dry-run")
    assert (code, "note: run it as root" in text, f"remove {SLOT}" in text) == (0, True, True), text
    code, text = inside.memhp(f"memhp remove {SLOT}", before=f"echo 0 > {enabled};")
    assert (code, f"write 1 to {enabled}" in text) == (1, True), text
    inside.text(f"echo 1 > {enabled}")
    assert inside.text(TREE) == before


def dax_stands(inside: Inside) -> list[str]:
    """The driver of the dax device, and how its blocks stand: none where they are gone."""
    blocks = " ".join(f"/sys/devices/system/memory/memory{n}" for n in DAX_BLOCKS)
    return inside.text(
        "basename $(readlink /sys/bus/dax/devices/dax0.0/driver || echo none); "
        f"for m in {blocks}; do [ -d $m ] && echo $(cat $m/state $m/valid_zones); done; true"
    ).splitlines()


def test_memory_of_a_dax_device_goes_and_comes_and_stays_where_a_page_does(inside: Inside) -> None:
    inside.text("load device_dax && load kmem && load dax_hmem")
    is_newest = inside.guest.shape.kernel == NEWEST
    if not is_newest:
        # Linux 6.1 leaves it to device_dax, until somebody asks for it as memory.
        assert dax_stands(inside) == ["device_dax"]
        code, text = inside.memhp("memhp add dax0.0")
        assert code == 0, text
    code, text = inside.memhp("memhp online dax0.0 --zone movable")
    assert code == 0, text
    online, gone = ["kmem", *["online Movable"] * len(DAX_BLOCKS)], ["none"]
    assert dax_stands(inside) == online
    if is_newest:
        with pinned(inside.guest):
            code, text = inside.memhp("memhp remove dax0.0 --stall 1s")
        assert (code, "refused, and everything was put back" in text) == (1, True), text
        assert dax_stands(inside) == online
    turns = (("remove dax0.0", gone), ("undo", online), ("remove dax0.0", gone))
    for word, after in turns if is_newest else turns[:1]:
        code, text = inside.memhp(f"memhp {word}")
        assert (code, dax_stands(inside)) == (0, after), text
    assert "cannot be hotremoved" not in inside.text("dmesg")


@dataclass(frozen=True)
class Data:
    """What must not be lost: a process's memory, and a file in the page cache."""

    workload: Workload
    sums: str

    def check(self, inside: Inside) -> None:
        found = self.workload.check()
        assert (found.pages, found.bad) == (LOAD_BYTES // 4096, 0)
        assert inside.text(f"sha256sum {FILE}") == self.sums


@pytest.fixture(scope="module")
def data(inside: Inside) -> Data:
    """It fills the DIMM, all of which is movable."""
    code, text = inside.memhp(f"memhp online {SLOT} --zone movable")
    assert code == 0, text
    inside.text(f"dd if=/dev/urandom of={FILE} bs=1M count={FILE_MIB} 2>/dev/null")
    workload = start_workload(inside.guest, LOAD_BYTES, 7, 0)
    return Data(workload=workload, sums=inside.text(f"sha256sum {FILE}"))


def test_a_full_dimm_goes_and_comes_back(inside: Inside, data: Data) -> None:
    only(inside, NEWEST)
    assert inside.states() == ["online Movable"] * 2
    free = int(inside.text(f"{MOVABLE_PAGES} /proc/zoneinfo"))
    assert free < DIMM_BYTES // 4096 // 4
    with seen_from_outside(inside.guest) as gone:
        code, text = inside.memhp(f"memhp remove {SLOT}")
        assert code == 0, text
    assert gone == ["dimm0"]
    assert "and then 'memhp undo' brings its blocks online" in text
    assert inside.text("cat /proc/iomem | grep -c 100000000- || true") == "0"
    data.check(inside)
    code, text = inside.memhp("memhp undo")
    assert (code, "once PNP0C80:00 is there" in text) == (1, True), text
    inside.plug()
    code, text = inside.memhp("memhp undo")
    assert code == 0, text
    assert inside.states() == ["online Movable"] * 2
    data.check(inside)


def test_a_full_dimm_is_replaced_by_hand(inside: Inside, data: Data) -> None:
    inside.watch()
    with seen_from_outside(inside.guest) as gone:
        code, text = inside.memhp(f"memhp replace {SLOT}")
        assert (code, "go on with 'memhp resume'" in text) == (7, True), text
    assert gone == ["dimm0"]
    code, text = inside.memhp("memhp resume")
    assert (code, "put the new device in its place" in text) == (7, True), text
    inside.plug()
    code, text = inside.memhp("memhp resume")
    assert (code, f"{SLOT} has come" in text) == (0, True), text
    assert inside.states() == ["online Movable"] * 2
    data.check(inside)
    assert inside.watched() == [
        ["offline", 33, "offline"],
        ["offline", 32, "offline"],
        ["remove", 32, None],
        ["remove", 33, None],
        ["add", 32, "offline"],
        ["add", 33, "offline"],
        ["online", 32, "online"],
        ["online", 33, "online"],
    ]
    assert "BUG:" not in inside.text("dmesg")


def test_a_dimm_with_kernel_memory_stays_as_it_was(inside: Inside) -> None:
    """Zone Normal is the DIMM's alone here, so kernel memory comes to it first."""
    only(inside, NEWEST)
    inside.text("killall workload")
    assert inside.memhp(f"memhp offline {SLOT}")[0] == 0
    code, text = inside.memhp(f"memhp online {SLOT} --zone kernel")
    assert code == 0, text
    inside.text("for i in $(seq 60); do sleep 1000 & done; true")
    before = inside.text(TREE)
    code, text = inside.memhp("memhp offline memory32")
    assert (code, "[EBUSY" in text) == (1, True), text
    assert inside.text(TREE) == before
    code, text = inside.memhp(f"memhp remove {SLOT}")
    assert (code, "refused, and everything was put back" in text) == (1, True), text
    assert inside.text(TREE) == before
