"""A word of the command line that has to be a device's name."""

from memhp.core.errors import ArgumentError
from memhp.core.targets import DeviceTarget, parse_target


def device_named(text: str) -> str:
    """The name of a device; raises ``ArgumentError`` for a word that means anything else."""
    target = parse_target(text)
    if isinstance(target, DeviceTarget):
        return target.name
    raise ArgumentError(text=text, problem="is no device", advice="give its name, as dimm0")
