"""ACPI's tables, read, written back, and booted from."""

from collections.abc import Iterator
from pathlib import Path
from random import Random

from acpi_values import hmats, mended, slits, srats
from fuzz.mutation import mutate_bytes
from fuzz.seeds import any_bytes, of_trees
from fuzz.shrinking import smaller_bytes
from fuzz.target import Attempt, Shape, Target
from memhp.core.acpi.hmat import (
    Hmat,
    LatencyBandwidth,
    MemorySideCache,
    ProximityAttributes,
    encode_hmat,
    parse_hmat,
)
from memhp.core.acpi.slit import Slit, encode_slit, parse_slit
from memhp.core.acpi.srat import (
    CpuAffinity,
    GenericInitiatorAffinity,
    MemoryAffinity,
    Srat,
    X2apicAffinity,
    encode_srat,
    parse_srat,
)
from memhp.interfaces.cli.show_boot import state_of_kernel
from memhp.machines.linux.boot_inputs import affinities_of
from memhp.machines.model import ModelMachine
from memhp.machines.open import open_machine

_TABLES = "sys/firmware/acpi/tables"


def _mutate(data: bytes, chance: Random) -> bytes:
    """Change bytes, and mostly make the checksum right so that what lies behind it is read."""
    changed = mutate_bytes(data, chance)
    return mended(changed) if len(changed) >= 10 and chance.random() < 0.9 else changed


def _smaller(data: bytes) -> Iterator[bytes]:
    for candidate in smaller_bytes(data):
        yield candidate
        if len(candidate) >= 10:
            yield mended(candidate)


_TABLE = Shape(mutate=_mutate, smaller=_smaller)


def _srat(_folder: Path) -> Attempt:
    def attempt(data: bytes) -> None:
        srat = parse_srat(data)
        affinities_of(srat)
        assert parse_srat(encode_srat(srat)).entries == srat.entries

    return attempt


def _slit(_folder: Path) -> Attempt:
    def attempt(data: bytes) -> None:
        slit = parse_slit(data)
        assert parse_slit(encode_slit(slit)).distances == slit.distances

    return attempt


def _hmat(_folder: Path) -> Attempt:
    def attempt(data: bytes) -> None:
        hmat = parse_hmat(data)
        assert parse_hmat(encode_hmat(hmat)).entries == hmat.entries

    return attempt


def _srat_boot(_folder: Path) -> Attempt:
    machine = open_machine("model:server")
    assert isinstance(machine, ModelMachine)
    inputs = machine.boot_inputs()

    def attempt(data: bytes) -> None:
        affinities = affinities_of(parse_srat(data))
        state_of_kernel(inputs.with_affinities(affinities).boot())

    return attempt


def _srats() -> list[bytes]:
    rich = Srat(
        entries=(
            CpuAffinity(domain=0, apic_id=1),
            MemoryAffinity(domain=0, start=0, size_bytes=1 << 30),
            X2apicAffinity(domain=1, x2apic_id=300),
            MemoryAffinity(domain=1, start=1 << 32, size_bytes=1 << 30, flags=3),
            GenericInitiatorAffinity(domain=2, handle_type=0, device_id=bytes(range(16))),
        )
    )
    return [encode_srat(rich), *of_trees(f"{_TABLES}/SRAT")]


def _server_srats() -> list[bytes]:
    """Tables that fit the shipped server's memory, and those of other machines."""
    machine = open_machine("model:server")
    assert isinstance(machine, ModelMachine)
    entries = tuple(
        MemoryAffinity(
            domain=int(entry.node),
            start=entry.range.start,
            size_bytes=entry.range.size_bytes,
            flags=3 if entry.hotpluggable else 1,
        )
        for entry in machine.boot_inputs().firmware.affinities
    )
    return [encode_srat(Srat(entries=entries)), *_srats()]


def _slits() -> list[bytes]:
    three = Slit(distances=((10, 20, 30), (20, 10, 40), (30, 40, 10)))
    return [encode_slit(three), *of_trees(f"{_TABLES}/SLIT")]


def _hmats() -> list[bytes]:
    whole = Hmat(
        entries=(
            ProximityAttributes(initiator_domain=0, memory_domain=1),
            LatencyBandwidth(
                data_type=0, base_unit=100, initiators=(0,), targets=(0, 1), values=((8, 16),)
            ),
            MemorySideCache(
                memory_domain=1, size_bytes=1 << 30, attributes=0x11, smbios_handles=(1, 2)
            ),
        )
    )
    return [encode_hmat(whole), *of_trees(f"{_TABLES}/HMAT")]


TARGETS = (
    Target(
        name="SRAT",
        prepare=_srat,
        seeds=_srats,
        shape=_TABLE,
        inputs=1500,
        invent=srats.map(encode_srat) | any_bytes,
    ),
    Target(
        name="SRAT, booted",
        prepare=_srat_boot,
        seeds=_server_srats,
        shape=_TABLE,
        inputs=400,
        invent=srats.map(encode_srat),
    ),
    Target(
        name="SLIT",
        prepare=_slit,
        seeds=_slits,
        shape=_TABLE,
        inputs=1500,
        invent=slits.map(encode_slit) | any_bytes,
    ),
    Target(
        name="HMAT",
        prepare=_hmat,
        seeds=_hmats,
        shape=_TABLE,
        inputs=900,
        invent=hmats.map(encode_hmat) | any_bytes,
    ),
)
