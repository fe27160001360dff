"""ACPI's own compiler and disassembler, as functions from text to bytes and back."""

import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

Field = tuple[str, int | str]
"""A field's name and value; of a field of many bytes, these as one number, first byte first."""

_TEXT_FIELD = re.compile(r"^((?:\[\d+\])? +(.+?) : )([0-9A-F ]+)$", re.MULTILINE)
_READ_FIELD = re.compile(r"^\[[0-9A-F]+h \d+ +\d+\] +(.+?) : (.+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Iasl:
    """``iasl``, run in a folder of its own."""

    folder: Path

    def template(self, signature: str) -> str:
        """The compiler's example of a table, as text."""
        self._run("-T", signature)
        return (self.folder / f"{signature.lower()}.asl").read_text()

    def compile(self, text: str) -> bytes:
        (self.folder / "table.asl").write_text(text)
        self._run("-p", "table", "table.asl")
        return (self.folder / "table.aml").read_bytes()

    def fields(self, table: bytes) -> list[Field]:
        """What the disassembler reads in a table, in order."""
        (self.folder / "read.dat").write_bytes(table)
        told = self._run("-d", "read.dat")
        assert "rror" not in told.replace("0 Errors", ""), told
        text = (self.folder / "read.dsl").read_text().replace("\\\n", " ")
        return [(name, _value(words)) for name, words in _READ_FIELD.findall(text)]

    def _run(self, *words: str) -> str:
        ran = subprocess.run(
            ["iasl", *words], cwd=self.folder, capture_output=True, text=True, check=False
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout + ran.stderr


def with_values(text: str, values: Mapping[str, Sequence[int]]) -> str:
    """Give the fields of these names their values, the first field the first one."""
    left = {name: iter(numbers) for name, numbers in values.items()}

    def filled(match: re.Match[str]) -> str:
        number = next(left.get(match[2], iter(())), None)
        if number is None:
            return match[0]
        digits = f"{number:0{len(match[3].replace(' ', ''))}X}"
        return match[1] + (bytes.fromhex(digits).hex(" ") if " " in match[3] else digits)

    changed = _TEXT_FIELD.sub(filled, text)
    assert all(next(numbers, None) is None for numbers in left.values()), "more values than fields"
    return changed


def entries_of(fields: Sequence[Field], first: str) -> Iterator[list[Field]]:
    """Cut a table's fields into entries, each of which begins with the field ``first``."""
    starts = [index for index, (name, _) in enumerate(fields) if name == first]
    for start, end in zip(starts, [*starts[1:], len(fields)], strict=True):
        yield list(fields[start:end])


def _value(words: str) -> int | str:
    if words.startswith('"'):
        return words[1:].partition('"')[0]
    return int(re.sub(r"\s", "", words.partition("[")[0]), 16)
