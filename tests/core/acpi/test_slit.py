"""The SLIT: read, written, and as ACPI's own compiler sees it."""

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from acpi_compiler import Iasl
from acpi_values import matrices, slits, u8
from memhp.core.acpi.slit import Slit, encode_slit, parse_slit
from memhp.core.acpi.table import TableHeader

Rows = tuple[tuple[int, ...], ...]
squares = st.integers(1, 20).flatmap(lambda count: matrices(count, count, u8))


@given(slits)
def test_a_table_reads_as_it_was_written(slit: Slit) -> None:
    raw = encode_slit(slit)
    assert replace(parse_slit(raw), warnings=()) == slit
    assert encode_slit(parse_slit(raw)) == raw


def test_the_bytes_of_one_table() -> None:
    raw = encode_slit(Slit(distances=((10, 21), (31, 10))))
    assert raw[:9] == b"SLIT" + (48).to_bytes(4, "little") + b"\x01"
    assert raw[36:] == bytes([2, 0, 0, 0, 0, 0, 0, 0, 10, 21, 31, 10])
    assert sum(raw) % 256 == 0


def test_the_compilers_example(iasl: Iasl) -> None:
    read = parse_slit(iasl.compile(iasl.template("SLIT")))
    assert (read.header.revision, read.header.oem_id) == (1, b"INTEL ")
    assert (read.warnings, read.usable, len(read.distances)) == ((), True, 20)
    assert read.distances[0] == (10, 16, *range(22, 40))
    assert read.distances[1] == (16, 10, *range(21, 39))
    assert read.distances == tuple(zip(*read.distances, strict=True))


@given(squares)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_the_compiler_writes(iasl: Iasl, rows: Rows) -> None:
    head = iasl.template("SLIT").partition("[0008]                         Localities")[0]
    lines = [f"[0008] Localities : {len(rows):016X}"]
    lines += [
        f"[{len(row):04}] Locality {number:3} : {bytes(row).hex(' ')}"
        for number, row in enumerate(rows)
    ]
    assert parse_slit(iasl.compile(head + "\n".join(lines) + "\n")).distances == rows


@given(squares)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_disassembler_reads_what_we_write(iasl: Iasl, rows: Rows) -> None:
    fields = dict(iasl.fields(encode_slit(Slit(distances=rows))))
    read = {name: value for name, value in fields.items() if name.startswith("Localit")}
    assert read == {
        "Localities": len(rows),
        **{f"Locality {n:3}": int.from_bytes(bytes(row), "big") for n, row in enumerate(rows)},
    }


IGNORED = ": the kernel ignores the whole SLIT (slit_valid())"


@pytest.mark.parametrize(
    ("rows", "warnings"),
    [
        ((), ()),
        (((10,),), ()),
        (((10, 11), (255, 10)), ()),
        (((10, 20), (20, 11)), ("distance from 1 to itself is 11 and not 10" + IGNORED,)),
        (((0, 20), (20, 10)), ("distance from 0 to itself is 0 and not 10" + IGNORED,)),
        (((10, 20), (10, 10)), ("distance from 1 to 0 is 10 and not above 10" + IGNORED,)),
        (((9, 9), (9, 9)), ("distance from 0 to itself is 9 and not 10" + IGNORED,)),
    ],
    ids=["none", "one", "two", "diagonal", "zero", "near", "only-the-first-fault"],
)
def test_what_the_kernel_would_ignore_is_told(rows: Rows, warnings: tuple[str, ...]) -> None:
    expected = Slit(header=TableHeader(revision=1), distances=rows, warnings=warnings)
    assert parse_slit(encode_slit(Slit(distances=rows))) == expected
    assert expected.usable is not bool(warnings)


@given(st.integers(0, 4).flatmap(lambda count: matrices(count, count, st.integers(9, 12))))
def test_usable_is_10_within_and_more_between(rows: Rows) -> None:
    valid = all(
        distance == 10 if origin == target else distance > 10
        for origin, row in enumerate(rows)
        for target, distance in enumerate(row)
    )
    assert Slit(distances=rows).usable is valid
