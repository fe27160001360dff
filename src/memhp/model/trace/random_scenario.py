"""Scenarios by chance that reach corners: the same seed always makes the same one.

What a step is likely to meet is kept in a rough picture of the guest, so that
most steps do something; the rest meet the kernel's refusals, which are
compared as well.
"""

from collections.abc import Callable, Iterator
from random import Random
from typing import Any, Final

from memhp.core.geometry import GIB, MIB, round_up
from memhp.core.guest_shape import GuestShape
from memhp.model.trace.random_guest import THEMES, Theme, random_guest
from memhp.model.trace.scenario import Scenario

Json = dict[str, Any]
_PARAMETERS: Final = "/sys/module/memory_hotplug/parameters"
_ACTIONS: Final = "/sys/kernel/debug/notifier-error-inject/memory/actions"
_WORDS: Final = ("online", "online_kernel", "online_movable")
_MOST_DEVICES: Final = 6
_FILES: Final = ("state", "valid_zones", "phys_index", "online", "removable", "phys_device")
_CHANGES: Final = (
    ("online_policy", ("auto-movable", "auto-movable", "contig-zones", "sometimes")),
    ("auto_movable_ratio", ("0", "50", "301", "1000", "x")),
    ("auto_movable_numa_aware", ("N", "Y")),
    ("memmap_on_memory", ("Y",)),
)
# The errno that a notifier may give; -4095 is the last that the kernel takes for one.
_INJECTED: Final = ("-12", "-16", "-1", "-5", "-22", "-34", "0", "0", "5", "-5000", "-4095")
_FILL: Final = (
    "mkdir -p /tmp/f; mount -t tmpfs -o mpol=bind:{node} t /tmp/f; i=0; "
    "while [ $i -lt 2000 ]; do : > /tmp/f/$i; i=$((i+1)); done; echo done"
)


def random_scenario(seed: int, steps: int, theme: Theme | None = None) -> Scenario:
    """Make a scenario of about so many steps; the kernel is still to be chosen."""
    rng = Random(f"memhp {seed}")
    chosen = theme or rng.choice(THEMES)
    guest = random_guest(rng, chosen)
    author = _Author(rng, guest, chosen)
    return Scenario(
        name=f"random-{seed}",
        about=f"{chosen.name}, by chance from seed {seed}",
        guest=guest,
        steps=tuple(step for _ in range(steps) for step in author.next_steps())[:steps],
    )


class _Author:
    """Writes steps, with a picture of what the earlier ones will have done."""

    def __init__(self, rng: Random, guest: GuestShape, theme: Theme) -> None:
        self._rng = rng
        self._guest = guest
        self._theme = theme
        self._block = theme.block_bytes
        self._base = hotplug_base(sum(guest.nodes))
        self._devices: dict[str, tuple[int, int]] = {}
        self._made = 0
        self._online: dict[int, bool] = {}
        start = self._base
        for dimm in guest.dimms:
            start = self._placed(f"b{len(self._devices)}", start, dimm.size_bytes)

    def next_steps(self) -> Iterator[Json]:
        """One step, or a few that belong together."""
        kinds: list[tuple[Callable[[], Iterator[Json]], int]] = [
            (self._dimm, 12 if self._theme.dimms else 0),
            (self._removal, 8 if self._theme.dimms and self._devices else 0),
            (self._block_state, 30),
            (self._there_and_back, 8),
            (self._armed, 5),
            (self._policy, 12 if self._theme.policy else 0),
            (self._auto_online, 4),
            (self._read_file, 3),
            (self._legacy_online, 3),
            (self._nonsense, 2),
            (self._resize, 40 if self._guest.virtio_mem else 0),
            (self._inject, 14 if self._theme.injection else 0),
            (self._poison, 14 if self._theme.poison else 0),
            (self._kernel_memory, 5 if self._theme.kernel_memory else 0),
        ]
        makers = [maker for maker, _ in kinds]
        weights = [weight for _, weight in kinds]
        if self._theme.dimms and not self._devices:
            return self._dimm()
        return self._rng.choices(makers, weights)[0]()

    def _dimm(self) -> Iterator[Json]:
        if len(self._devices) >= _MOST_DEVICES:
            yield from self._removal()
            return
        size = self._block * self._rng.choice((1, 1, 2, 3, 4, 6, 8))
        if self._rng.random() < 0.06:
            # No multiple of a block: the kernel will not have it.
            size += self._block // 2
        start = self._lowest_gap(size)
        if self._rng.random() < 0.35:
            start = self._base + self._block * self._rng.randrange(60)
        device = f"d{self._made}"
        self._made += 1
        self._placed(device, start, size)
        node = self._rng.randrange(len(self._guest.nodes))
        yield {"op": "add", "device": device, "start": start, "size": size, "node": node}

    def _removal(self) -> Iterator[Json]:
        device = self._rng.choice(sorted(self._devices))
        start, size = self._devices[device]
        blocks = range(start // self._block, (start + size) // self._block)
        if self._rng.random() < 0.5:
            for block in blocks:
                if self._online.get(block):
                    yield _write(f"memory{block}/state", "offline")
        if self._rng.random() < 0.8:
            del self._devices[device]
            for block in blocks:
                self._online.pop(block, None)
        yield {"op": "remove", "device": device}

    def _block_state(self) -> Iterator[Json]:
        block = self._some_block()
        if self._rng.random() < 0.25:
            word = self._rng.choice((*_WORDS, "offline"))
        else:
            word = "offline" if self._online.get(block) else self._rng.choice(_WORDS)
        self._online[block] = word != "offline"
        yield _write(f"memory{block}/state", word)

    def _there_and_back(self) -> Iterator[Json]:
        block = self._some_block()
        yield _write(f"memory{block}/state", "offline")
        yield _write(f"memory{block}/state", self._rng.choice(_WORDS))
        self._online[block] = True

    def _armed(self) -> Iterator[Json]:
        """A type that an online block refuses, and that its next coming online uses."""
        block = self._some_block()
        yield _write(f"memory{block}/state", self._rng.choice(_WORDS))
        yield _write(f"memory{block}/state", self._rng.choice(_WORDS))
        yield _write(f"memory{block}/state", "offline")
        yield _write(f"memory{block}/online", "1")
        self._online[block] = True

    def _policy(self) -> Iterator[Json]:
        [(name, values)] = self._rng.choices(_CHANGES, (6, 6, 3, 1))
        yield _write(f"{_PARAMETERS}/{name}", self._rng.choice(values))

    def _auto_online(self) -> Iterator[Json]:
        yield _write("auto_online_blocks", self._rng.choice((*_WORDS, "offline", "sometimes")))

    def _read_file(self) -> Iterator[Json]:
        yield {"op": "read", "path": f"memory{self._some_block()}/{self._rng.choice(_FILES)}"}

    def _legacy_online(self) -> Iterator[Json]:
        word = self._rng.choice(("0", "1", "on", "off", "y", "7", "online_movable"))
        yield _write(f"memory{self._some_block()}/online", word)

    def _nonsense(self) -> Iterator[Json]:
        word = self._rng.choice(("bogus", "Online", "online_", "offline ", "x"))
        yield _write(f"memory{self._some_block()}/state", word)

    def _resize(self) -> Iterator[Json]:
        index = self._rng.randrange(len(self._guest.virtio_mem))
        device = self._guest.virtio_mem[index]
        unit = device.block_bytes or 2 * MIB
        mib = self._rng.choice((0, 2, 100, 128, 130, 256, 300, 384, 514, 640, 1000, 1024))
        size = min(device.size_bytes, mib * MIB // unit * unit)
        yield {"op": "resize", "device": f"vm{index}", "size": size}

    def _inject(self) -> Iterator[Json]:
        file = f"{_ACTIONS}/MEM_GOING_{self._rng.choice(('ONLINE', 'OFFLINE'))}/error"
        yield _write(file, self._rng.choice(_INJECTED))
        yield from self._block_state()

    def _poison(self) -> Iterator[Json]:
        block = self._some_device_block()
        file = self._rng.choice(("hard_offline_page", "soft_offline_page"))
        address = block * self._block + 4096 * self._rng.randrange(self._block // 4096)
        yield _write(file, hex(address))

    def _kernel_memory(self) -> Iterator[Json]:
        """Inodes on the last node: whichever kernel zone it has gets kernel memory."""
        yield {"op": "sh", "command": _FILL.format(node=len(self._guest.nodes) - 1)}

    def _some_block(self) -> int:
        """A block of a device mostly, of boot memory sometimes, of nothing rarely."""
        chance = self._rng.random()
        if chance < 0.8:
            return self._some_device_block()
        top = self._base // self._block
        return self._rng.randrange(top) if chance < 0.97 else top + self._rng.randrange(200)

    def _some_device_block(self) -> int:
        if not self._devices:
            last = self._theme.device_blocks
            return self._base // self._block + self._rng.randrange(last)
        start, size = self._devices[self._rng.choice(sorted(self._devices))]
        return start // self._block + self._rng.randrange(max(1, size // self._block))

    def _lowest_gap(self, size: int) -> int:
        start = self._base
        for taken, length in sorted(self._devices.values()):
            if start + size <= taken:
                break
            start = max(start, round_up(taken + length, self._block))
        return start

    def _placed(self, device: str, start: int, size: int) -> int:
        """Note where a device lies; returns the first address behind it."""
        self._devices[device] = (start, size)
        line = self._guest.command_line
        online = "memhp_default_state=offline" not in line
        blocks = range(start // self._block, (start + size) // self._block)
        self._online |= dict.fromkeys(blocks, online)
        return start + size


def hotplug_base(boot_bytes: int) -> int:
    """Where QEMU's i440fx machine begins to place memory devices (``pc_memory_init()``)."""
    above = boot_bytes - 3 * GIB if boot_bytes >= 3584 * MIB else 0
    return round_up(4 * GIB + above, GIB)


def _write(path: str, value: str) -> Json:
    return {"op": "write", "path": path, "value": value}
