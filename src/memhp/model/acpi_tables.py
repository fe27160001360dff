"""The ACPI tables that a modelled machine's firmware shows: SRAT, and SLIT where it has one."""

from memhp.core.acpi.slit import Slit, encode_slit
from memhp.core.acpi.srat import (
    ENABLED,
    HOTPLUGGABLE,
    CpuAffinity,
    MemoryAffinity,
    Srat,
    encode_srat,
)
from memhp.model.firmware import Firmware


def table_names(firmware: Firmware) -> tuple[str, ...]:
    """Which tables there are."""
    return ("SLIT", "SRAT") if firmware.distances else ("SRAT",)


def table_bytes(firmware: Firmware, name: str) -> bytes:
    """One table in its binary form; raises ``KeyError`` for one that is not there."""
    if name == "SRAT":
        return encode_srat(srat_of(firmware))
    if name == "SLIT" and firmware.distances:
        return encode_slit(Slit(distances=firmware.distances))
    raise KeyError(name)


def srat_of(firmware: Firmware) -> Srat:
    """The SRAT; a proximity domain has its node's number.

    Nodes are numbered as their domains are met, processors first; one
    processor a node is named, in the order of the nodes.
    """
    processors = tuple(
        CpuAffinity(domain=node, apic_id=index) for index, node in enumerate(firmware.cpu_nodes)
    )
    memory = tuple(
        MemoryAffinity(
            domain=affinity.node,
            start=affinity.range.start,
            size_bytes=affinity.range.size_bytes,
            flags=ENABLED | (HOTPLUGGABLE if affinity.hotpluggable else 0),
        )
        for affinity in firmware.affinities
    )
    return Srat(entries=processors + memory)
