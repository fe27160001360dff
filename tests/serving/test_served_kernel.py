"""A live kernel, many threads: who waits for whom, who sees what, what is kept."""

import errno
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from booted import booted
from kernel_rules import broken_rules
from memhp.core.errors import StateFileError
from memhp.model.kernel import Kernel
from memhp.model.persist import encode_kernel
from memhp.model.steps import KernelRefusal
from memhp.model.uevents import Uevent
from memhp.serving.served_kernel import Change, ServedKernel
from mounts import PINNED

MEMORY = "/sys/devices/system/memory"


def never() -> bool:
    return False


@dataclass
class Kept:
    """Notes what is kept, and whether another change was half way."""

    changes: list[tuple[str, str, bool]] = field(default_factory=list)
    states: list[dict[str, str]] = field(default_factory=list)

    def keep(self, kernel: Kernel, change: Change, *, alone: bool) -> None:
        self.changes.append((change.asked, change.outcome, alone))
        self.states.append(encode_kernel(kernel))


class Full:
    """A disk that is full."""

    def keep(self, kernel: Kernel, change: Change, *, alone: bool) -> None:
        raise StateFileError(machine="m", problem="cannot be written")


class Writer(threading.Thread):
    """Writes in a thread of its own until it is done, refused, or signalled."""

    def __init__(self, served: ServedKernel, block: int, word: str) -> None:
        super().__init__(daemon=True)
        self.signalled = threading.Event()
        self.polled = threading.Event()
        self.errno_name: str | None = None
        self._write: Callable[[], None] = lambda: served.write(
            f"{MEMORY}/memory{block}/state", word, self._interrupted
        )

    def _interrupted(self) -> bool:
        self.polled.set()
        return self.signalled.is_set()

    def run(self) -> None:
        try:
            self._write()
            self.errno_name = ""
        except KernelRefusal as refusal:
            self.errno_name = refusal.errno_name

    def began(self) -> "Writer":
        """Start, and wait until it is stopped somewhere."""
        self.start()
        assert self.polled.wait(10)
        return self

    def signal(self) -> str | None:
        self.signalled.set()
        return self.end()

    def end(self) -> str | None:
        self.join(10)
        return self.errno_name


@pytest.fixture
def kernel() -> Kernel:
    kernel = booted(PINNED)
    kernel.uevents.clear()
    return kernel


def state(served: ServedKernel, block: int) -> str:
    return served.look(lambda tree: tree.read(f"{MEMORY}/memory{block}/state"))


def test_a_blocked_offline_is_in_nobodys_way_and_ends_by_a_signal(kernel: Kernel) -> None:
    served = ServedKernel(kernel, Kept(), lambda _uevent: None)
    writer = Writer(served, 34, "offline").began()
    assert state(served, 34) == "going-offline\n"
    served.write(f"{MEMORY}/auto_online_blocks", "offline", never)
    assert writer.is_alive()
    assert writer.signal() == "EINTR"
    assert state(served, 34) == "online\n"
    assert broken_rules(kernel) == []
    assert not kernel.hotplug_lock


def test_a_second_writer_waits_and_then_goes_on(kernel: Kernel) -> None:
    served = ServedKernel(kernel, Kept(), lambda _uevent: None)
    first = Writer(served, 34, "offline").began()
    second = Writer(served, 35, "offline").began()
    assert (state(served, 35), second.is_alive()) == ("online\n", True)
    first.signal()
    assert second.end() == ""
    assert state(served, 35) == "offline\n"


def test_a_writer_that_waits_for_the_lock_can_be_signalled(kernel: Kernel) -> None:
    served = ServedKernel(kernel, Kept(), lambda _uevent: None)
    first = Writer(served, 34, "offline").began()
    second = Writer(served, 35, "offline").began()
    assert second.signal() == "EINTR"
    assert first.is_alive()
    assert state(served, 35) == "online\n"
    first.signal()


def test_the_end_interrupts_whoever_waits_and_lets_nobody_begin(kernel: Kernel) -> None:
    served = ServedKernel(kernel, Kept(), lambda _uevent: None)
    writers = [Writer(served, block, "offline").began() for block in (34, 35, 36)]
    served.end()
    assert [writer.end() for writer in writers] == ["EINTR", "EINTR", "EINTR"]
    with pytest.raises(KernelRefusal) as refused:
        served.write(f"{MEMORY}/memory35/state", "offline", never)
    assert refused.value.errno == errno.ENODEV
    assert {run.value.state for run in kernel.blocks} == {"online"}


def test_what_is_kept_while_another_is_half_way_is_said_to_be_so(kernel: Kernel) -> None:
    kept = Kept()
    served = ServedKernel(kernel, kept, lambda _uevent: None)
    writer = Writer(served, 34, "offline").began()
    waits = Writer(served, 35, "offline").began()
    served.write(f"{MEMORY}/auto_online_blocks", "offline\n", never)
    waits.signal()
    writer.signal()
    changes = [(asked.rpartition("/")[0][-8:], alone) for asked, _, alone in kept.changes]
    assert changes == [("m/memory", False), ("memory35", False), ("memory34", True)]
    assert kept.changes[0][:2] == (f"write 'offline' to {MEMORY}/auto_online_blocks", "done")
    assert kept.changes[2][1].startswith("refused: signal backoff: pages are pinned")
    assert kept.states[2] == encode_kernel(kernel)


def test_a_refusal_is_kept_with_what_it_left(kernel: Kernel) -> None:
    kept = Kept()
    served = ServedKernel(kernel, kept, lambda _uevent: None)
    kernel.unmovable[36] = "slab"
    with pytest.raises(KernelRefusal, match="failure to isolate range: slab"):
        served.write(f"{MEMORY}/memory36/state", "offline", never)
    assert kept.changes[0][1].startswith("refused: failure to isolate range: slab")


def test_what_cannot_be_kept_is_an_error_and_no_lock_stays(kernel: Kernel) -> None:
    served = ServedKernel(kernel, Full(), lambda _uevent: None)
    for _ in range(2):
        with pytest.raises(StateFileError):
            served.write(f"{MEMORY}/auto_online_blocks", "offline", never)
    assert state(served, 34) == "online\n"


def test_uevents_are_heard_in_order_and_belong_to_their_change(kernel: Kernel) -> None:
    heard: list[Uevent] = []
    served = ServedKernel(kernel, Kept(), heard.append)
    served.write(f"{MEMORY}/memory35/state", "offline", never)
    kernel.pinned.clear()
    served.write("/sys/bus/acpi/devices/PNP0C80:00/eject", "1", never)
    went = [35, 32, 33, 34, 36, 37, 38, 39]
    assert [(u.action, u.devpath.rpartition("/")[2]) for u in heard] == [
        *(("offline", f"memory{number}") for number in went),
        *(("remove", f"memory{number}") for number in range(32, 40)),
    ]
    assert [u.seqnum for u in heard] == list(range(heard[0].seqnum, heard[0].seqnum + len(heard)))
    assert kernel.uevents == []
