"""Closed sets of words, spelled as the kernel prints and parses them."""

from enum import IntEnum, StrEnum


class ZoneType(StrEnum):
    """A memory zone, as ``/proc/zoneinfo`` and ``valid_zones`` name it."""

    DMA = "DMA"
    DMA32 = "DMA32"
    NORMAL = "Normal"
    MOVABLE = "Movable"
    DEVICE = "Device"

    @property
    def order(self) -> int:
        """The zone's place in ``pgdat->node_zones``."""
        return _ZONE_ORDER[self]

    @property
    def holds_kernel_memory(self) -> bool:
        """Whether the kernel may put its own data there (``<= ZONE_NORMAL``)."""
        return self.order <= ZoneType.NORMAL.order


_ZONE_ORDER = {zone: index for index, zone in enumerate(ZoneType)}


class BlockState(StrEnum):
    """What ``memoryN/state`` reads."""

    ONLINE = "online"
    GOING_OFFLINE = "going-offline"
    OFFLINE = "offline"


class OnlineType(StrEnum):
    """What ``memoryN/state`` and ``auto_online_blocks`` take (``enum mmop``)."""

    OFFLINE = "offline"
    ONLINE = "online"
    ONLINE_KERNEL = "online_kernel"
    ONLINE_MOVABLE = "online_movable"


class OnlinePolicy(StrEnum):
    """``memory_hotplug.online_policy``: how plain ``online`` chooses a zone."""

    CONTIG_ZONES = "contig-zones"
    AUTO_MOVABLE = "auto-movable"


class MemmapOnMemory(StrEnum):
    """``memory_hotplug.memmap_on_memory``, as the parameter reads."""

    OFF = "N"
    ON = "Y"
    FORCE = "force"


class DeviceKind(StrEnum):
    """A thing that is added or removed whole."""

    DIMM = "dimm"
    VIRTIO_MEM = "virtio-mem"
    DAX = "dax"
    STANDBY = "standby"


class Ability(StrEnum):
    """What a machine may be able to do; ``Machine.can`` is a set of these."""

    ONLINE = "online"
    OFFLINE = "offline"
    ADD_DEVICE = "add-device"
    REMOVE_DEVICE = "remove-device"
    RESIZE_DEVICE = "resize-device"
    CENSUS = "census"
    COMPACT = "compact"
    DROP_CACHES = "drop-caches"
    HUGEPAGES = "hugepages"


class Preparation(StrEnum):
    """What can be done before blocks go offline, so that they do; an ability has the same word."""

    COMPACT = "compact"
    DROP_CACHES = "drop-caches"
    HUGEPAGES = "hugepages"

    @property
    def ability(self) -> Ability:
        """What a machine must be able to do for it."""
        return Ability(self.value)


class ExitCode(IntEnum):
    """Exit codes of the command line; one meaning each, everywhere."""

    DONE = 0
    REFUSED = 1
    USAGE = 2
    MACHINE = 3
    STALE = 4
    LOCKED = 5
    UNKNOWN_OUTCOME = 6
    WAITING = 7
    DIFFERENT = 8
    PARTLY = 64
    BUG = 70
    INTERRUPTED = 130


class Ending(StrEnum):
    """How an operation ended."""

    DONE = "done"
    REFUSED = "refused"
    PARTLY = "partly done"
    PUT_BACK = "refused, and everything was put back"
    UNKNOWN = "asked, and the outcome is not known"
    WAITING = "it waits for what a person does"

    @property
    def exit_code(self) -> ExitCode:
        """The exit code of the command."""
        return _ENDINGS[self]


_ENDINGS = {
    Ending.DONE: ExitCode.DONE,
    Ending.REFUSED: ExitCode.REFUSED,
    Ending.PARTLY: ExitCode.PARTLY,
    Ending.PUT_BACK: ExitCode.REFUSED,
    Ending.UNKNOWN: ExitCode.UNKNOWN_OUTCOME,
    Ending.WAITING: ExitCode.WAITING,
}
