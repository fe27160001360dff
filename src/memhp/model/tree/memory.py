"""``/sys/devices/system/memory``: memory blocks and what comes online by itself.

Source: ``drivers/base/memory.c``.
"""

import errno
import re
from collections.abc import Iterable

from memhp.core.command_line import parse_bool
from memhp.core.words import BlockState, OnlineType
from memhp.model.blocks import Block
from memhp.model.hotplug_lock import lock_device_hotplug
from memhp.model.hwpoison import hard_offline_page, soft_offline_page
from memhp.model.kernel import Kernel
from memhp.model.offline import device_offline
from memhp.model.online import arm, device_online
from memhp.model.steps import KernelRefusal, Steps
from memhp.model.tree.driver_core import bus_directory, power_directory, uevent_file
from memhp.model.tree.entries import Directory, Entry, File, Link, at_once, text, word
from memhp.model.virtio_mem import work_off
from memhp.model.zone_choice import valid_zones

_BLOCK = re.compile(r"memory(0|[1-9][0-9]{0,8})")


def memory_directory(kernel: Kernel) -> Directory:
    """The directory with one ``memoryN`` a block."""
    files = _root_files(kernel)

    def names() -> Iterable[str]:
        yield from files
        for number in kernel.blocks.numbers():
            yield f"memory{number}"

    def child(name: str) -> Entry | None:
        if name in files:
            return files[name]
        number = block_number(name)
        if number is None or number not in kernel.blocks:
            return None
        return _block_directory(kernel, number)

    return Directory(names=names, child=child)


def memory_bus(kernel: Kernel) -> Directory:
    """``/sys/bus/memory``."""

    def has(name: str) -> bool:
        number = block_number(name)
        return number is not None and number in kernel.blocks

    return bus_directory(
        "../../../devices/system/memory",
        lambda: (f"memory{number}" for number in kernel.blocks.numbers()),
        has,
    )


def block_number(name: str) -> int | None:
    """The N of ``memoryN``, spelled as the kernel spells it."""
    match = _BLOCK.fullmatch(name)
    return None if match is None else int(match[1])


def _root_files(kernel: Kernel) -> dict[str, Entry]:
    files: dict[str, Entry] = {
        "block_size_bytes": text(f"{kernel.block_size_bytes:x}\n"),
        "power": power_directory(),
        "uevent": uevent_file(),
    }
    if kernel.profile.auto_online_file:
        files["auto_online_blocks"] = File(
            read=lambda: f"{kernel.settings.auto_online}\n",
            write=at_once(lambda written: _store_auto_online(kernel, written)),
        )
    if kernel.profile.crash_hotplug:
        files["crash_hotplug"] = text("0\n")
    if kernel.profile.memory_failure:
        files["hard_offline_page"] = File(
            write=at_once(lambda written: hard_offline_page(kernel, written))
        )
        files["soft_offline_page"] = File(
            write=at_once(lambda written: soft_offline_page(kernel, written))
        )
    return files


def _block_directory(kernel: Kernel, number: int) -> Directory:
    """The files of one block. They ask for the block when they are read."""

    def block() -> Block:
        found = kernel.blocks.get(number)
        if found is None:
            raise KernelRefusal(errno.ENODEV, f"memory{number} is gone")
        return found

    entries: dict[str, Entry] = {
        "online": File(
            read=lambda: f"{int(block().state is not BlockState.OFFLINE)}\n",
            write=lambda written: _store_online(kernel, number, written),
        ),
        "phys_device": text("0\n"),
        "phys_index": text(f"{number:08x}\n"),
        "power": power_directory(),
        "removable": text(f"{int(kernel.profile.hot_remove)}\n"),
        "state": File(
            read=lambda: f"{block().state}\n",
            write=lambda written: _store_state(kernel, number, written),
        ),
        "subsystem": Link(target="../../../../bus/memory"),
        "uevent": uevent_file(),
    }
    if kernel.profile.valid_zones_file:
        entries["valid_zones"] = File(
            read=lambda: " ".join(valid_zones(kernel, number, block())) + "\n"
        )
    for node in block().links:
        entries[f"node{node}"] = Link(target=f"../../node/node{node}")
    return Directory(names=lambda: sorted(entries), child=entries.get)


def _store_state(kernel: Kernel, number: int, written: str) -> Steps[None]:
    """``state_store()``: the type is stored before anything is tried, and stays."""
    wanted = _online_type(kernel, written)
    yield from lock_device_hotplug(kernel)
    try:
        if wanted is OnlineType.OFFLINE:
            changed = yield from device_offline(kernel, number)
        else:
            arm(kernel, number, wanted)
            changed = yield from device_online(kernel, number)
    finally:
        kernel.hotplug_lock = False
    yield from work_off(kernel)
    if not changed:
        raise KernelRefusal(errno.EINVAL, f"memory{number} is {_shown(wanted)} already")


def _store_online(kernel: Kernel, number: int, written: str) -> Steps[None]:
    """``online_store()``: any truth value; a block that is so already is no error."""
    wanted = parse_bool(written)
    if wanted is None:
        raise KernelRefusal(errno.EINVAL, f"'{word(written)}' is no truth value")
    yield from lock_device_hotplug(kernel)
    try:
        if wanted:
            yield from device_online(kernel, number)
        else:
            yield from device_offline(kernel, number)
    finally:
        kernel.hotplug_lock = False
    yield from work_off(kernel)


def _store_auto_online(kernel: Kernel, written: str) -> None:
    kernel.settings.auto_online = _online_type(kernel, written)


def _online_type(kernel: Kernel, written: str) -> OnlineType:
    """``mhp_online_type_from_str()``; older kernels know fewer words."""
    for known in kernel.profile.online_words:
        if word(written) == known:
            return known
    raise KernelRefusal(errno.EINVAL, f"'{word(written)}' is no online type")


def _shown(wanted: OnlineType) -> str:
    return "offline" if wanted is OnlineType.OFFLINE else "online"
