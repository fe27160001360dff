"""The ACPI tables that a modelled machine's firmware shows."""

from memhp.model.firmware import Firmware


def table_names(firmware: Firmware) -> tuple[str, ...]:
    """Which tables there are."""
    return ()


def table_bytes(firmware: Firmware, name: str) -> bytes:
    """One table in its binary form."""
    raise KeyError(name)
