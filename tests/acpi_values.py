"""Hypothesis strategies for ACPI tables of every kind, and the mending of damaged ones."""

from hypothesis import strategies as st

from memhp.core.acpi import hmat, slit, srat
from memhp.core.acpi.table import TableHeader, UnknownEntry

u8, u16, u32, u64 = (st.integers(0, (1 << bits) - 1) for bits in (8, 16, 32, 64))


def headers(revisions: st.SearchStrategy[int]) -> st.SearchStrategy[TableHeader]:
    return st.builds(
        TableHeader,
        revision=revisions,
        oem_id=st.binary(min_size=6, max_size=6),
        oem_table_id=st.binary(min_size=8, max_size=8),
        oem_revision=u32,
        creator_id=st.binary(min_size=4, max_size=4),
        creator_revision=u32,
    )


def memory_entries(*, wide: bool = True) -> st.SearchStrategy[srat.MemoryAffinity]:
    """Before revision 2 a domain has 8 bits, and the other 24 are reserved."""
    return st.builds(
        srat.MemoryAffinity,
        domain=u32 if wide else u8,
        start=u64,
        size_bytes=u64,
        flags=u32,
        reserved=st.tuples(u16 if wide else st.integers(0, (1 << 40) - 1), u32, u64),
    )


def cpu_entries(*, wide: bool = True) -> st.SearchStrategy[srat.CpuAffinity]:
    return st.builds(
        srat.CpuAffinity,
        domain=u32 if wide else u8,
        apic_id=u8,
        flags=u32,
        sapic_eid=u8,
        clock_domain=u32,
        reserved=st.just(0) if wide else st.integers(0, (1 << 24) - 1),
    )


x2apic_entries = st.builds(
    srat.X2apicAffinity,
    domain=u32,
    x2apic_id=u32,
    flags=u32,
    clock_domain=u32,
    reserved=st.tuples(u16, u32),
)
initiator_entries = st.builds(
    srat.GenericInitiatorAffinity,
    domain=u32,
    handle_type=u8,
    device_id=st.binary(min_size=16, max_size=16),
    flags=u32,
    reserved=st.tuples(u8, u32),
)


def _unknown_srat_entry(kind: int, body: bytes) -> UnknownEntry:
    return UnknownEntry(kind=kind, data=bytes([kind, len(body) + 2]) + body)


def _unknown_hmat_entry(kind: int, reserved: bytes, body: bytes) -> UnknownEntry:
    size = (len(body) + 8).to_bytes(4, "little")
    return UnknownEntry(kind=kind, data=kind.to_bytes(2, "little") + reserved + size + body)


unknown_srat_entries = st.builds(
    _unknown_srat_entry, u8.filter(lambda kind: kind not in {0, 1, 2, 5}), st.binary(max_size=253)
)
unknown_hmat_entries = st.builds(
    _unknown_hmat_entry,
    st.integers(3, (1 << 16) - 1),
    st.binary(min_size=2, max_size=2),
    st.binary(max_size=300),
)


def srat_entries(*, wide: bool = True) -> st.SearchStrategy[tuple[srat.Entry, ...]]:
    one = st.one_of(
        memory_entries(wide=wide),
        cpu_entries(wide=wide),
        x2apic_entries,
        initiator_entries,
        unknown_srat_entries,
    )
    return st.lists(one, max_size=6).map(tuple)


def _srats(*, wide: bool) -> st.SearchStrategy[srat.Srat]:
    return st.builds(
        srat.Srat,
        header=headers(st.integers(2, 255) if wide else st.integers(0, 1)),
        entries=srat_entries(wide=wide),
        reserved=st.tuples(u32, u64),
    )


srats = _srats(wide=True) | _srats(wide=False)


def matrices(
    rows: int, columns: int, numbers: st.SearchStrategy[int]
) -> st.SearchStrategy[tuple[tuple[int, ...], ...]]:
    row = st.tuples(*[numbers] * columns)
    return st.tuples(*[row] * rows)


slits = st.builds(
    slit.Slit,
    header=headers(u8),
    distances=st.integers(0, 6).flatmap(lambda n: matrices(n, n, u8)),
)


@st.composite
def latency_bandwidths(draw: st.DrawFn) -> hmat.LatencyBandwidth:
    rows, columns = draw(st.integers(0, 4)), draw(st.integers(0, 4))
    return hmat.LatencyBandwidth(
        data_type=draw(u8),
        base_unit=draw(u64),
        initiators=draw(st.tuples(*[u32] * rows)),
        targets=draw(st.tuples(*[u32] * columns)),
        values=draw(matrices(rows, columns, u16)),
        flags=draw(u8),
        min_transfer=draw(u8),
        reserved=draw(st.tuples(u16, u8, u32)),
    )


proximities = st.builds(
    hmat.ProximityAttributes,
    initiator_domain=u32,
    memory_domain=u32,
    flags=u16,
    reserved=st.tuples(u16, u16, u32, u64, u64),
)
caches = st.builds(
    hmat.MemorySideCache,
    memory_domain=u32,
    size_bytes=u64,
    attributes=u32,
    smbios_handles=st.lists(u16, max_size=4).map(tuple),
    reserved=st.tuples(u16, u32, u16),
)
hmat_entries = proximities | latency_bandwidths() | caches
hmats = st.builds(
    hmat.Hmat,
    header=headers(u8),
    entries=st.lists(hmat_entries | unknown_hmat_entries, max_size=5).map(tuple),
    reserved=u32,
)


def mended(table: bytes) -> bytes:
    """Make length and checksum right, whatever else is wrong."""
    raw = bytearray(table)
    raw[4:8] = len(raw).to_bytes(4, "little")
    raw[9] = 0
    raw[9] = -sum(raw) % 256
    return bytes(raw)
