"""What has become of a memory block, as somebody who watches is told."""

from dataclasses import dataclass

from memhp.core.geometry import BlockId, NodeId


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockChange:
    """One uevent of a block, and the block as it was read just after it.

    ``action`` is the kernel's word (``add``, ``online``, ``offline``, ``remove``).
    The uevent itself says no more: ``state``, ``zones`` (the words of
    ``valid_zones``: an online block's zone, or where an offline one could go) and
    ``node`` are ``None`` and empty where the block is gone again by then.
    ``time`` is UTC, ISO 8601.
    """

    time: str
    action: str
    block: BlockId
    state: str | None
    zones: tuple[str, ...]
    node: NodeId | None
