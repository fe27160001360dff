"""Everything that memhp parses, as targets of fuzzing."""

from fuzz import acpi_targets, file_targets, guest_targets, json_targets, text_targets
from fuzz.target import Target

_PARTS = (acpi_targets, text_targets, json_targets, file_targets, guest_targets)
TARGETS: dict[str, Target] = {target.name: target for part in _PARTS for target in part.TARGETS}
