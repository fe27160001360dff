"""Damaged tables: an error of ours in one sentence, or a value; never anything else."""

import random
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acpi_values import hmats, mended, slits, srats
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
from memhp.core.acpi.table import UnknownEntry
from memhp.core.errors import AcpiTableError

Table = Srat | Slit | Hmat
SRAT = encode_srat(
    Srat(
        entries=(
            CpuAffinity(domain=0, apic_id=1),
            MemoryAffinity(domain=0, start=0, size_bytes=1 << 30),
            X2apicAffinity(domain=1, x2apic_id=300),
            MemoryAffinity(domain=1, start=1 << 32, size_bytes=1 << 30, flags=3),
            GenericInitiatorAffinity(domain=2, handle_type=0, device_id=bytes(range(16))),
            UnknownEntry(kind=3, data=bytes([3, 18, *range(16)])),
        )
    )
)
SLIT = encode_slit(Slit(distances=((10, 20, 30), (20, 10, 40), (30, 40, 10))))
HMAT = encode_hmat(
    Hmat(
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
)


@dataclass(frozen=True)
class Kind:
    """A kind of table: how it is read and written, and one that is whole."""

    name: str
    parse: Callable[..., Table]
    encode: Callable[[bytes, bool], bytes]
    whole: bytes


def again_srat(data: bytes, verify: bool) -> bytes:
    return encode_srat(parse_srat(data, verify_checksum=verify))


def again_slit(data: bytes, verify: bool) -> bytes:
    return encode_slit(parse_slit(data, verify_checksum=verify))


def again_hmat(data: bytes, verify: bool) -> bytes:
    return encode_hmat(parse_hmat(data, verify_checksum=verify))


KINDS = [
    Kind("SRAT", parse_srat, again_srat, SRAT),
    Kind("SLIT", parse_slit, again_slit, SLIT),
    Kind("HMAT", parse_hmat, again_hmat, HMAT),
]
every_kind = pytest.mark.parametrize("kind", KINDS, ids=[kind.name for kind in KINDS])
any_kind = st.sampled_from(KINDS)


def refusal(kind: Kind, data: bytes, *, verify: bool = True) -> str:
    """What a table that cannot be read is told about, checked to be one sentence about it."""
    with pytest.raises(AcpiTableError) as caught:
        kind.parse(data, verify_checksum=verify)
    error = caught.value
    words = str(error)
    assert words.startswith(f"ACPI table {kind.name}")
    assert words.isprintable()
    assert len(words) < 160
    assert error.advice
    assert error.offset is None or 0 <= error.offset < len(data)
    return words


def reads_or_refuses(kind: Kind, data: bytes, *, verify: bool = True) -> None:
    """A table that reads is written again as the same bytes."""
    try:
        written = kind.encode(data, verify)
    except AcpiTableError:
        refusal(kind, data, verify=verify)
        return
    assert written == mended(data[: int.from_bytes(data[4:8], "little")])


@every_kind
def test_the_whole_table_reads(kind: Kind) -> None:
    assert kind.encode(kind.whole, True) == kind.whole


@every_kind
def test_a_table_cut_off_anywhere_is_refused(kind: Kind) -> None:
    for length in range(len(kind.whole)):
        words = refusal(kind, kind.whole[:length])
        if length < 36:
            assert f"has {length} bytes, fewer than a header's 36: read the whole file" in words
        else:
            assert f"says that it has {len(kind.whole)} bytes, and there are {length}" in words


@every_kind
def test_a_table_cut_off_and_mended_reads_or_is_refused(kind: Kind) -> None:
    for length in range(36, len(kind.whole)):
        reads_or_refuses(kind, mended(kind.whole[:length]))


@every_kind
def test_any_one_wrong_byte_is_found(kind: Kind) -> None:
    for offset in range(len(kind.whole)):
        for change in (1, 0x80, 0xFF):
            raw = bytearray(kind.whole)
            raw[offset] ^= change
            refusal(kind, bytes(raw))


@every_kind
def test_any_one_byte_changed_and_mended_reads_or_is_refused(kind: Kind) -> None:
    for offset in (*range(4), 8, *range(10, len(kind.whole))):
        for byte in (0, 1, 2, 3, 0x7F, 0x80, 0xFF, kind.whole[offset] ^ 1):
            raw = bytearray(kind.whole)
            raw[offset] = byte
            reads_or_refuses(kind, mended(bytes(raw)))


@given(any_kind, st.integers(0, 1 << 32), st.integers(1, 60))
def test_many_bytes_changed(kind: Kind, seed: int, changes: int) -> None:
    chance = random.Random(seed)
    raw = bytearray(kind.whole)
    for _ in range(changes):
        raw[chance.randrange(36, len(raw))] = chance.randrange(256)
    reads_or_refuses(kind, mended(bytes(raw)))
    reads_or_refuses(kind, bytes(raw), verify=False)


@given(any_kind, st.binary(max_size=200), st.booleans())
def test_any_bytes(kind: Kind, data: bytes, verify: bool) -> None:
    reads_or_refuses(kind, data, verify=verify)


@given(any_kind, st.binary(max_size=200))
def test_any_bytes_behind_a_good_header(kind: Kind, body: bytes) -> None:
    reads_or_refuses(kind, mended(kind.whole[:36] + body))


@given(
    srats.map(encode_srat) | slits.map(encode_slit) | hmats.map(encode_hmat), st.integers(0, 999)
)
def test_any_table_cut_off_and_mended(raw: bytes, place: int) -> None:
    kind = next(kind for kind in KINDS if raw.startswith(kind.name.encode()))
    reads_or_refuses(kind, mended(raw[: 36 + place % (len(raw) - 35)]))


def with_bytes(raw: bytes, offset: int, change: bytes) -> bytes:
    return mended(raw[:offset] + change + raw[offset + len(change) :])


def damages() -> Iterator[tuple[str, Kind, bytes, str]]:
    srat, slit, hmat = KINDS
    damaged = "the table is damaged"
    yield "empty", srat, b"", ": has 0 bytes, fewer than a header's 36: read the whole file again"
    yield "another", srat, SLIT, ": begins with 'SLIT': this is another table"
    yield (
        "unprintable",
        slit,
        b"\n\xff\x1b\x00" + SLIT[4:],
        r": begins with '\n�\x1b\x00': this is another table",
    )
    yield (
        "checksum",
        hmat,
        HMAT[:9] + bytes([HMAT[9] ^ 1]) + HMAT[10:],
        " at byte 9: has a wrong checksum: the table is damaged or was edited without mending it",
    )
    yield (
        "no fixed part",
        srat,
        mended(SRAT[:47]),
        f" at byte 4: has 47 bytes, fewer than the 48 that it must have: {damaged}",
    )
    yield (
        "entry of no length",
        srat,
        with_bytes(SRAT, 49, b"\0"),
        f" at byte 48: has an entry of type 0 with length 0: {damaged}",
    )
    yield (
        "entry of length 1",
        srat,
        with_bytes(SRAT, 49, b"\1"),
        f" at byte 48: has an entry of type 0 with length 1: {damaged}",
    )
    yield (
        "entry too short",
        srat,
        with_bytes(SRAT, 49, b"\x0f"),
        f" at byte 48: has an entry of type 0 with 15 bytes instead of 16: {damaged}",
    )
    yield (
        "entry past the end",
        srat,
        with_bytes(SRAT, len(SRAT) - 17, b"\x13"),
        f" at byte {len(SRAT) - 18}: has an entry of 19 bytes that runs past its end: {damaged}",
    )
    yield (
        "half an entry",
        srat,
        mended(SRAT + b"\x01"),
        f" at byte {len(SRAT)}: ends inside an entry, 1 bytes after it began: {damaged}",
    )
    yield (
        "one more locality",
        slit,
        with_bytes(SLIT, 36, b"\4"),
        " at byte 36: counts 4 localities and has 9 distances: "
        "the number of distances must be the count squared",
    )
    yield (
        "too many localities",
        slit,
        with_bytes(SLIT, 36, b"\xff" * 8),
        f" at byte 36: counts {(1 << 64) - 1} localities and has 9 distances: "
        "the number of distances must be the count squared",
    )
    yield (
        "hmat entry of no length",
        hmat,
        with_bytes(HMAT, 44, struct.pack("<I", 0)),
        f" at byte 40: has an entry of type 0 with length 0: {damaged}",
    )
    yield (
        "matrix too large",
        hmat,
        with_bytes(HMAT, 80 + 12, struct.pack("<II", (1 << 32) - 1, (1 << 32) - 1)),
        " at byte 80: has an entry of 48 bytes that should have "
        f"{32 + 8 * ((1 << 32) - 1) + 2 * ((1 << 32) - 1) ** 2}: {damaged}",
    )
    yield (
        "more handles than there are",
        hmat,
        with_bytes(HMAT, 128 + 30, b"\x09"),
        f" at byte 128: has an entry of 36 bytes that should have 50: {damaged}",
    )


DAMAGES = list(damages())


@pytest.mark.parametrize(
    ("kind", "data", "words"), [row[1:] for row in DAMAGES], ids=[row[0] for row in DAMAGES]
)
def test_what_damage_is_told(kind: Kind, data: bytes, words: str) -> None:
    assert refusal(kind, data) == f"ACPI table {kind.name}{words}"


@every_kind
def test_a_wrong_checksum_can_be_let_pass(kind: Kind) -> None:
    raw = bytearray(kind.whole)
    raw[9] ^= 0x55
    refusal(kind, bytes(raw))
    assert kind.parse(bytes(raw), verify_checksum=False) == kind.parse(kind.whole)


@every_kind
def test_what_lies_behind_a_table_is_left_out_and_told(kind: Kind) -> None:
    told = "3 bytes behind the end of the table were left out"
    whole = kind.parse(kind.whole)
    expected = replace(whole, warnings=(told, *whole.warnings))
    assert kind.parse(kind.whole + b"abc") == expected
