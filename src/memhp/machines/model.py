"""The modelled kernel behind the door that every machine has."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, Protocol, TypeVar

from memhp.core.census import BlockCensus, PageKind
from memhp.core.errors import NoSuchObject, NotSupported
from memhp.core.events import StepProgress
from memhp.core.geometry import BlockId, NodeId
from memhp.core.listing import BlockFile, Listing
from memhp.core.machine import Tell
from memhp.core.outcome import Done, Outcome, Partly, Refused, Unanswered
from memhp.core.plan import (
    AddDevice,
    AwaitDevice,
    CompactNode,
    DropCaches,
    Expectation,
    ExpectBlock,
    ExpectDevice,
    ExpectHugePages,
    HoldHugePages,
    OfflineBlock,
    OnlineBlock,
    RemoveDevice,
    ResizeDevice,
    Step,
)
from memhp.core.snapshot import Device, HostBudget, MemoryBlock, Snapshot, Want
from memhp.core.targets import format_size
from memhp.core.words import Ability, BlockState, ZoneType
from memhp.machines.model_huge_pages import held_now, hold
from memhp.model.acpi_memory import Verdict, eject, plug_in
from memhp.model.blocks import Block
from memhp.model.boot_inputs import BootInputs, inputs_of
from memhp.model.devices import DimmSlot, VirtioMemDevice
from memhp.model.hardware import DoesNotFit, give_address, new_dimm
from memhp.model.host_budget import growth_of_resize
from memhp.model.kernel import Kernel
from memhp.model.list_blocks import list_blocks
from memhp.model.silence import come_round, is_silent
from memhp.model.steps import KernelRefusal, Pause, Steps, WouldBlock, run
from memhp.model.take_snapshot import devices, one_block, take_snapshot
from memhp.model.tree.tree import Tree
from memhp.model.virtio_mem import resize
from memhp.model.virtio_mem_hooks import could_add
from memhp.model.workload import Workload

if TYPE_CHECKING:  # imported where a block is looked into
    from memhp.core.evidence import Evidence
    from memhp.core.ranges import PhysRange

T = TypeVar("T")
_MEMORY = "/sys/devices/system/memory"


class KernelSource(Protocol):
    """Where a modelled kernel is kept: in memory, or in a state file."""

    @property
    def identity(self) -> str:
        """The machine's identity, another after every boot."""

    def load(self) -> Kernel:
        """A kernel to look at."""

    @property
    def lasts(self) -> bool:
        """Whether the next command finds what this one did."""

    @property
    def workload(self) -> Workload | None:
        """What the machine's description lets run on it."""

    def change(self, what: str) -> AbstractContextManager[Kernel]:
        """A kernel to change; kept when the block ends or the kernel refuses."""

    def host(self) -> HostBudget | None:
        """What the host can still promise, where the machine is a guest; inside ``change``, too."""

    def came_of_it(self, outcome: str) -> None:
        """Tell, inside ``change``, what came of it, for the log."""


class ModelMachine:
    """A modelled machine. Its steps never wait: what would block for ever is refused.

    A step that the kernel would try for ever ends as a deadline ends it.
    """

    can = frozenset(
        {
            Ability.ONLINE,
            Ability.OFFLINE,
            Ability.ADD_DEVICE,
            Ability.REMOVE_DEVICE,
            Ability.RESIZE_DEVICE,
            Ability.CENSUS,
            Ability.HUGEPAGES,
        }
    )

    def __init__(self, name: str, source: KernelSource, address: str | None = None) -> None:
        self.name = name
        self.address = address or name
        self._source = source

    @property
    def identity(self) -> str:
        return self._source.identity

    def snapshot(self, want: Want = Want.ALL) -> Snapshot:
        snapshot = take_snapshot(
            self._source.load(), machine=self.name, identity=self.identity, want=want
        )
        return replace(snapshot, host=self._source.host()) if Want.HOST in want else snapshot

    def list_blocks(self, want: BlockFile) -> Listing:
        """List the blocks, run by run."""
        return list_blocks(self._source.load(), want)

    def census(self, blocks: Sequence[BlockId]) -> Mapping[BlockId, BlockCensus]:
        """Count by what the model knows down here: its own pages, and holes."""
        kernel = self._source.load()
        return {number: self._census_of(kernel, number) for number in blocks}

    def evidence(self, blocks: Sequence[BlockId]) -> "Evidence":
        """Look into blocks, as exactly as the model knows them; raises ``NoSuchObject``."""
        from memhp.machines.model_evidence import model_evidence  # noqa: PLC0415

        kernel = self._source.load()
        found = [(number, self._block(kernel, number)) for number in blocks]
        return model_evidence(kernel, found)

    def ranges_of_task(self, pid: int) -> "tuple[PhysRange, ...]":
        """A model's processes have names, and no numbers: raises ``NotSupported``."""
        raise NotSupported(
            machine=self.name,
            operation=f"find process {pid}",
            advice="the running host can (-M linux:)",
        )

    def _block(self, kernel: Kernel, number: BlockId) -> Block:
        block = kernel.blocks.get(number)
        if block is None:
            raise NoSuchObject(
                machine=self.name, name=f"memory{number}", advice="see 'memhp ls' for its blocks"
            )
        return block

    def apply(self, step: Step, *, until: float | None, tell: Tell) -> Outcome:  # noqa: ARG002
        """Carry out one step; the model never waits, so a deadline is never reached."""
        try:
            with self._source.change(str(step)) as kernel:
                _check_target(kernel, step)
                _check_expectation(kernel, step.expect)
                self._check_host(kernel, step)
                outcome = _apply(kernel, step, tell)
                run(come_round(kernel))
                if isinstance(outcome, Refused):
                    self._source.came_of_it(f"refused: {outcome.words}")
                elif isinstance(outcome, Unanswered):
                    self._source.came_of_it("no answer yet")
                return outcome
        except (_NotAsExpected, DoesNotFit) as problem:
            return Refused(reason=str(problem))
        except KernelRefusal as refusal:
            return Refused(reason=refusal.reason, errno_name=refusal.errno_name)
        except WouldBlock:
            return Refused(reason="another change of this machine is under way")

    @property
    def lasts(self) -> bool:
        """Whether the next command finds what this one did."""
        return self._source.lasts

    def boot_inputs(self) -> BootInputs:
        """What the machine's kernel was booted from."""
        return replace(inputs_of(self._source.load()), workload=self._source.workload)

    def tree(self) -> Tree:
        """The machine's files, to look at."""
        return Tree(self._source.load())

    def write_file(self, path: str, text: str) -> None:
        """Write one of the machine's files, as a shell would; raises ``KernelRefusal``."""
        with self._source.change(f"write '{text}' to {path}") as kernel:
            Tree(kernel).write(path, text + "\n")
            run(come_round(kernel))

    def _check_host(self, kernel: Kernel, step: Step) -> None:
        """Refuse what would overcommit the host; nobody else changes a guest of it meanwhile."""
        growth = _growth(kernel, step)
        budget = self._source.host() if growth > 0 else None
        if budget is not None and growth > budget.free_bytes:
            left = format_size(max(0, budget.free_bytes))
            raise _NotAsExpected(f"the host has {left} left to give")

    def _census_of(self, kernel: Kernel, number: BlockId) -> BlockCensus:
        block = self._block(kernel, number)
        nr_pages = kernel.pages_per_block
        if block.state is BlockState.OFFLINE:
            return BlockCensus(block=number, pages={PageKind.FREE: nr_pages})
        if kernel.pages is not None:
            return BlockCensus(block=number, pages=kernel.pages.census(*kernel.block_pfns(number)))
        present = kernel.iomem.ram_pages(kernel.block_range(number))
        poisoned = len(kernel.poisoned_in(number))
        free_of_poison = present - poisoned
        own_map = min(block.altmap_pages, free_of_poison)
        stuck = (number in kernel.unmovable) + (number in kernel.pinned)
        hosted = kernel.hosted.get(number) or 0
        kernels = min(hosted + stuck, free_of_poison - own_map)
        pages = {
            PageKind.KERNEL: kernels,
            PageKind.OWN_MAP: own_map,
            PageKind.HOLE: nr_pages - present,
            PageKind.POISONED: poisoned,
            PageKind.UNKNOWN: free_of_poison - own_map - kernels,
        }
        return BlockCensus(block=number, pages={kind: n for kind, n in pages.items() if n})


class _NotAsExpected(Exception):
    """The target is not as the step expects it; the machine stays untouched."""


def _check_target(kernel: Kernel, step: Step) -> None:
    """Hold a device against what its action needs, even where the step expects nothing."""
    match step.action:
        case AddDevice(device=name, size_bytes=int()):
            if any(device.name == name for device in devices(kernel)):
                raise _NotAsExpected(f"expected no {name}, found one")
        case AddDevice(device=name):
            _check_expectation(kernel, ExpectDevice(device=name, present=False))
        case RemoveDevice(device=name):
            _check_expectation(kernel, ExpectDevice(device=name, present=True))
            if name not in kernel.slots:
                raise _NotAsExpected(f"{name} is no DIMM, and cannot be taken out")
        case ResizeDevice(device=name, requested_bytes=size_bytes):
            _check_resize(kernel, name, size_bytes)
        case _:
            pass


def _growth(kernel: Kernel, step: Step) -> int:
    """How many bytes more the machine may use after a step."""
    match step.action:
        case AddDevice(device=name, size_bytes=size_bytes):
            return kernel.slots[name].size_bytes if size_bytes is None else size_bytes
        case ResizeDevice(device=name, requested_bytes=size_bytes):
            return growth_of_resize(kernel, name, size_bytes)
    return 0


def _check_resize(kernel: Kernel, name: str, size_bytes: int) -> None:
    """What QEMU checks before it asks the guest (``virtio_mem_set_requested_size()``)."""
    device = kernel.virtio_mem.get(name)
    if device is None:
        raise _NotAsExpected(f"{name} is no virtio-mem device, and has no size to choose")
    if size_bytes > device.region.size_bytes:
        raise _NotAsExpected(f"{name} can give {format_size(device.region.size_bytes)} at most")
    if size_bytes % device.unit_bytes:
        raise _NotAsExpected(f"{name} gives multiples of {format_size(device.unit_bytes)}")


def _check_expectation(kernel: Kernel, expect: Expectation | None) -> None:
    """Hold the target against what the step expects of it, just before it."""
    match expect:
        case ExpectBlock(block=number, state=state, zone=zone):
            now = one_block(kernel, number)
            if now is None or (now.state, now.zone) != (state, zone):
                raise _NotAsExpected(f"expected {expect}, found {_shown(number, now)}")
        case ExpectDevice(device=name, present=present, requested_bytes=asked):
            found = next((d for d in devices(kernel) if d.name == name), None)
            as_was = found is not None and asked in {None, found.requested_bytes}
            if found is None or found.present != present or not as_was:
                raise _NotAsExpected(
                    f"expected {expect}, found {_shown_device(name, found, asked)}"
                )
        case ExpectHugePages(count=count):
            held = held_now(kernel, expect)
            if held != count:
                raise _NotAsExpected(f"expected {expect}, found {held}")
        case None:
            pass


def _shown(number: int, block: MemoryBlock | None) -> str:
    if block is None:
        return f"no memory{number}"
    return str(ExpectBlock(block=block.block, state=block.state, zone=block.zone))


def _shown_device(name: str, device: Device | None, asked: int | None) -> str:
    if device is None:
        return f"no {name}"
    size = None if asked is None else device.requested_bytes
    return str(ExpectDevice(device=name, present=device.present, requested_bytes=size))


def _apply(kernel: Kernel, step: Step, tell: Tell) -> Outcome:
    match step.action:
        case OnlineBlock(block=number, online_type=word):
            _run(Tree(kernel).write_steps(f"{_MEMORY}/memory{number}/state", word), step, tell)
            return Done(note=f"in {_zone_of(kernel, number)}")
        case OfflineBlock(block=number):
            _run(Tree(kernel).write_steps(f"{_MEMORY}/memory{number}/state", "offline"), step, tell)
            return Done()
        case AddDevice():
            return _added(kernel, step, step.action, tell)
        case RemoveDevice(device=name):
            if is_silent(kernel.slots[name]):
                return Unanswered(asked=str(step))
            verdict = _run(eject(kernel, kernel.slots[name]), step, tell)
            return _of_verdict(verdict, "removed")
        case ResizeDevice():
            return _resized(kernel, step, step.action, tell)
        case AwaitDevice():
            return Unanswered(asked=str(step))
        case HoldHugePages():
            return hold(kernel, step, step.action)
        case DropCaches() | CompactNode():
            raise _NotAsExpected("a model reclaims and compacts nothing")


def _resized(kernel: Kernel, step: Step, action: ResizeDevice, tell: Tell) -> Outcome:
    """Let the driver work until it cannot go on; that it would try again later changes nothing."""
    device = kernel.virtio_mem[action.device]
    before, wanted = device.plugged_bytes, action.requested_bytes
    if wanted != before and is_silent(device):
        device.requested_bytes = wanted
        return Partly(
            done_bytes=0, wanted_bytes=abs(wanted - before), reason="the guest does not answer"
        )
    after = _run(resize(kernel, device, wanted), step, tell)
    if after == wanted:
        return Done(note=f"{format_size(after)} plugged")
    return Partly(
        done_bytes=abs(after - before),
        wanted_bytes=abs(wanted - before),
        reason=_why_not_all(kernel, device, wanted),
    )


def _why_not_all(kernel: Kernel, device: VirtioMemDevice, wanted: int) -> str:
    """Why the driver stopped before it had what the host asks for."""
    if device.plugged_bytes > wanted:
        return "the guest can free no more of it"
    if not could_add(kernel, device, device.big_block_bytes):
        return "too much of the device is offline; bring it online first"
    return "the guest's driver plugs no more"


def _added(kernel: Kernel, step: Step, action: AddDevice, tell: Tell) -> Outcome:
    slot = _slot(kernel, action)
    verdict = _run(plug_in(kernel, slot), step, tell)
    if verdict.refusal is not None and action.size_bytes is not None:
        # A module that the kernel would not take is pulled out again.
        del kernel.slots[slot.name]
    elif verdict.refusal is not None:
        slot.present = False
    return _of_verdict(verdict, f"at {slot.range}")


def _slot(kernel: Kernel, action: AddDevice) -> DimmSlot:
    if action.size_bytes is not None:
        node = action.node or NodeId(0)
        return new_dimm(kernel, action.device, action.size_bytes, node, action.address)
    slot = kernel.slots[action.device]
    give_address(kernel, slot)
    return slot


def _of_verdict(verdict: Verdict, note: str) -> Outcome:
    if verdict.refusal is None:
        return Done(note=note)
    return Refused(reason=verdict.refusal.reason, errno_name=verdict.refusal.errno_name)


def _zone_of(kernel: Kernel, number: int) -> ZoneType | None:
    block = kernel.blocks.get(number)
    return None if block is None else block.zone


def _run(steps: Steps[T], step: Step, tell: Tell) -> T:
    """Run a change to its end and tell of every stop on the way."""
    stops = count(1)

    def at_stop(pause: Pause) -> None:
        tell(StepProgress(step=step, done=next(stops), total=None, unit=pause.value))

    return run(steps, at_stop)
