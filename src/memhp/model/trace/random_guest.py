"""Guests by chance: uneven nodes, command lines, devices at boot."""

from dataclasses import dataclass
from random import Random
from typing import Final

from memhp.core.geometry import GIB, MIB, NodeId
from memhp.core.guest_shape import BootDimm, GuestShape, VirtioMemShape


@dataclass(frozen=True, slots=True, kw_only=True)
class Theme:
    """What a scenario is mostly about: which guests, and which steps are likely."""

    name: str
    nodes_mib: tuple[tuple[int, ...], ...]
    block_bytes: int = 128 * MIB
    dimms: bool = True
    policy: bool = False
    virtio_mem: bool = False
    injection: bool = False
    poison: bool = False
    kernel_memory: bool = False
    zone_options: bool = False
    flagged: bool = False

    @property
    def device_blocks(self) -> int:
        """How many blocks above the first hot-plug address steps are likely to name."""
        return 16


_MEM_LIMITS: Final = (1100, 1536, 2100, 2500, 3500, 4500, 5000)
_SMALL: Final = ((1024, 0), (1024, 1024), (2048,), (768, 1280), (3072, 1024, 0))
_UNEVEN: Final = (
    *((1024, 2048, 3072), (4096, 1024), (700, 1348), (3072, 1024, 1024, 0), (5120,)),
    *((1000, 3000, 1500), (2048, 4096), (3072, 0, 2048), (3072, 2048)),
)
THEMES: Final = (
    Theme(name="DIMMs", nodes_mib=_SMALL),
    Theme(name="DIMMs and policies", nodes_mib=_SMALL, policy=True, zone_options=True),
    Theme(
        name="boot zones",
        nodes_mib=(*_SMALL, *_UNEVEN),
        dimms=False,
        zone_options=True,
        flagged=True,
    ),
    Theme(name="movable nodes", nodes_mib=((3072, 2048), (3072, 1024, 1024)), flagged=True),
    Theme(name="virtio-mem", nodes_mib=((1024, 0),), dimms=False, virtio_mem=True),
    Theme(
        name="virtio-mem and policies",
        nodes_mib=((1024, 0), (1024, 512), (2048,)),
        dimms=False,
        policy=True,
        virtio_mem=True,
    ),
    Theme(name="DIMMs beside virtio-mem", nodes_mib=((1024, 0),), virtio_mem=True, policy=True),
    Theme(name="vetoes", nodes_mib=((1024, 0), (2048,)), injection=True),
    Theme(name="poison", nodes_mib=((1024, 0),), poison=True),
    Theme(name="kernel memory", nodes_mib=((512, 0),), kernel_memory=True),
    Theme(name="large blocks", nodes_mib=((65536,), (67584,)), block_bytes=GIB),
)


def random_guest(rng: Random, theme: Theme) -> GuestShape:
    """A guest for a theme; the kernel is still to be chosen."""
    nodes = tuple(size * MIB for size in rng.choice(theme.nodes_mib))
    dimms: tuple[BootDimm, ...] = ()
    if theme.dimms and rng.random() < 0.2:
        size = theme.block_bytes * rng.choice((1, 2, 4))
        dimms = (BootDimm(size_bytes=size, node=NodeId(rng.randrange(len(nodes)))),)
    return GuestShape(
        kernel="",
        nodes=nodes,
        command_line=" ".join(_words(rng, theme, sum(nodes))),
        hotpluggable_nodes=_flagged(rng, theme, len(nodes)),
        dimms=dimms,
        virtio_mem=(_virtio_mem(rng, len(nodes)),) if theme.virtio_mem else (),
    )


def _words(rng: Random, theme: Theme, boot_bytes: int) -> list[str]:
    """The command line's words."""
    words = []
    if rng.random() < 0.75:
        word = rng.choice(("offline", "online", "online_kernel", "online_movable"))
        words.append(f"memhp_default_state={word}")
    if theme.zone_options and rng.random() < 0.2:
        words.append(f"mem={rng.choice(_limits(boot_bytes))}M")
    if theme.zone_options and rng.random() < 0.6:
        words.append(_zone_option(rng))
    if theme.flagged and rng.random() < 0.7:
        words.append("movable_node")
    if theme.policy and rng.random() < 0.5:
        words.append("memory_hotplug.online_policy=auto-movable")
    if theme.policy and rng.random() < 0.4:
        words.append(f"memory_hotplug.auto_movable_ratio={rng.choice((50, 100, 301, 1500))}")
    if theme.policy and rng.random() < 0.1:
        words.append("memory_hotplug.auto_movable_numa_aware=N")
    if rng.random() < 0.2:
        words.append(f"memory_hotplug.memmap_on_memory={rng.choice(('Y', 'force', '1'))}")
    return words


def _limits(boot_bytes: int) -> list[int]:
    """Limits in MiB that leave the initrd: QEMU puts it as high below 2 GiB as there is memory."""
    return [limit for limit in _MEM_LIMITS if limit * MIB > min(boot_bytes, 2 * GIB)]


def _zone_option(rng: Random) -> str:
    """``kernelcore=``, ``movablecore=``, or both."""
    kernel, movable = (f"{name}={_amount(rng)}" for name in ("kernelcore", "movablecore"))
    return rng.choice(
        (kernel, kernel, movable, movable, f"{kernel} {movable}", "kernelcore=mirror")
    )


def _amount(rng: Random) -> str:
    if rng.random() < 0.4:
        return f"{rng.randrange(1, 100)}%"
    return f"{rng.choice((1, 64, 100, 256, 512, 700, 1001, 1024, 1500, 1900, 2048, 3000, 4608))}M"


def _flagged(rng: Random, theme: Theme, nodes: int) -> tuple[NodeId, ...]:
    if not theme.flagged or rng.random() < 0.3:
        return ()
    return tuple(NodeId(node) for node in range(nodes) if rng.random() < (0.15, 0.7)[node > 0])


def _virtio_mem(rng: Random, nodes: int) -> VirtioMemShape:
    unit = rng.choice((None, None, None, 4, 128, 256))
    return VirtioMemShape(
        size_bytes=rng.choice((1, 2)) * GIB,
        node=NodeId(nodes - 1),
        block_bytes=None if unit is None else unit * MIB,
    )
