"""Tables of a description, read by type; every fault names line, key and what is allowed."""

import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from memhp.core.errors import ArgumentError, DescriptionError
from memhp.core.geometry import PAGE_SIZE_BYTES
from memhp.core.ranges import PhysRange
from memhp.core.targets import format_size, parse_size
from memhp.model.description_lines import Path, find_line, format_path

LAST_ADDRESS: Final = 1 << 46
"""Four-level page tables map 46 bits; no description goes beyond."""
_SIZE_ADVICE = 'give a size with its unit in quotes, as "4G" or "512MiB"'
_ADDRESS = re.compile(r"0[xX][0-9a-fA-F]{1,16}")
_RANGE = re.compile(r"0[xX]([0-9a-fA-F]{1,16})-0[xX]([0-9a-fA-F]{1,16})")
_LONGEST_SIZE = 24
_SHOWN = 40
_SYNTAX = re.compile(r"(.*) \(at (?:line (\d+), column \d+|end of document)\)", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The text that is read and the name of its file, for errors."""

    text: str
    file: str

    def error(self, path: Path, problem: str, allowed: str) -> DescriptionError:
        """Make the error for a value."""
        return DescriptionError(
            file=self.file,
            line=find_line(self.text, path),
            key=format_path(path) or None,
            problem=problem,
            allowed=allowed,
        )


def read_document(text: str, file: str) -> "Table":
    """Read TOML; raises ``DescriptionError`` with the line where it is none."""
    try:
        text.encode("utf-8")
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as err:
        raise _syntax_error(str(err), text, file) from err
    except (ValueError, RecursionError) as err:
        raise DescriptionError(
            file=file,
            line=None,
            key=None,
            problem=f"cannot be read ({type(err).__name__})",
            allowed="numbers of some digits, a few levels of brackets, and UTF-8",
        ) from err
    return Table(Source(text=text, file=file), values, ())


def _syntax_error(message: str, text: str, file: str) -> DescriptionError:
    match = _SYNTAX.fullmatch(message)
    fault, line = (match[1], match[2]) if match else (message, None)
    return DescriptionError(
        file=file,
        line=int(line) if line else text.count("\n") + 1,
        key=None,
        problem=f"this is no TOML: {fault[:1].lower()}{fault[1:]}",
        allowed="write key = value, text in quotes, [table] or [[list of tables]]; see toml.io",
    )


class Table:
    """One table, and where it stands. Every method may raise ``DescriptionError``.

    A key that has no default must be there.
    """

    def __init__(self, source: Source, values: Mapping[str, Any], path: Path) -> None:
        self._source = source
        self._values = values
        self.path = path

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def error(self, key: str | None, problem: str, allowed: str) -> DescriptionError:
        """Make the error for one of its keys, or for the table itself."""
        path = self.path if key is None else (*self.path, key)
        return self._source.error(path, problem, allowed)

    def only(self, keys: Sequence[str]) -> None:
        """Refuse every key that is not one of these."""
        for key in self._values:
            if key not in keys:
                near = difflib.get_close_matches(key[:_SHOWN], keys, n=1)
                meant = f"did you mean '{near[0]}'? " if near else ""
                raise self.error(key, "is not known", f"{meant}known here: {', '.join(keys)}")

    def text(self, key: str, default: str | None = None) -> str:
        """One line of printable text."""
        value = self._get(key, str, 'text in quotes, as "…"', default)
        if not value.isprintable():
            raise self.error(key, "has a line break or control character", "give one line of text")
        return str(value)

    def word(self, key: str, allowed: Iterable[str], default: str | None = None) -> str:
        """One of a closed set of words."""
        words = tuple(allowed)
        choice = " or ".join(f'"{word}"' for word in words)
        value = self._get(key, str, choice, default)
        if value not in words:
            near = difflib.get_close_matches(value[:_SHOWN], words, n=1)
            meant = f"did you mean '{near[0]}'? " if near else ""
            raise self.error(key, f"is {shown(value)}", f"{meant}give {choice}")
        return str(value)

    def flag(self, key: str, *, default: bool) -> bool:
        """A truth value."""
        return bool(self._get(key, bool, "true or false", default))

    def count(self, key: str, default: int | None = None, *, least: int, most: int) -> int:
        """A whole number within bounds."""
        allowed = f"a whole number from {least} to {most}"
        value = self._get(key, int, allowed, default)
        if not least <= value <= most:
            raise self.error(key, f"is {shown(value)}", f"give {allowed}")
        return int(value)

    def size(self, key: str, default: int | None = None, *, step: int = PAGE_SIZE_BYTES) -> int:
        """An amount of memory in bytes, a multiple of ``step``."""
        if key not in self._values and default is not None:
            return default
        value = self._get(key, str, _SIZE_ADVICE.removeprefix("give "), None)
        try:
            size_bytes = parse_size(value if len(value) <= _LONGEST_SIZE else "")
        except ArgumentError as err:
            raise self.error(key, f"is {shown(value)}", _SIZE_ADVICE) from err
        if size_bytes % step:
            raise self.error(key, f"is {shown(value)}", f"give a multiple of {format_size(step)}")
        if size_bytes > LAST_ADDRESS:
            raise self.error(
                key, f"is {shown(value)}", f"x86-64 reaches {format_size(LAST_ADDRESS)} at most"
            )
        return size_bytes

    def address(self, key: str) -> int:
        """A physical address, in hexadecimal."""
        value = self._get(key, str, 'an address in quotes, as "0x140000000"', None)
        if not _ADDRESS.fullmatch(value) or int(value, 16) >= LAST_ADDRESS:
            allowed = f'give an address below {LAST_ADDRESS:#x}, as "0x140000000"'
            raise self.error(key, f"is {shown(value)}", allowed)
        return int(value, 16)

    def addresses(self, key: str) -> PhysRange:
        """A range of addresses, both ends included."""
        return self._range((key,), self._get(key, str, "a range of addresses", None))

    def address_list(self, key: str) -> tuple[PhysRange, ...]:
        """Several ranges of addresses, in the order given; at least one."""
        values = self._get(key, list, "a list of ranges of addresses", None)
        if not values:
            raise self.error(key, "is empty", 'give at least one range, as "0x0-0x7fffffff"')
        return tuple(self._range((key, place), value) for place, value in enumerate(values))

    def numbers(self, key: str) -> tuple[tuple[int, ...], ...]:
        """A table of whole numbers, row by row."""
        rows = self._get(key, list, "a list of rows, as [[10, 20], [20, 10]]", None)
        for place, row in enumerate(rows):
            if not isinstance(row, list) or any(type(number) is not int for number in row):
                raise self._source.error(
                    (*self.path, key, place), "is no row of numbers", "give rows as [10, 20]"
                )
        return tuple(tuple(row) for row in rows)

    def table(self, key: str) -> "Table":
        """A table within; an empty one where it is not there."""
        values = self._get(key, dict, f"a table, as [{key}]", {})
        return Table(self._source, values, (*self.path, key))

    def tables(self, key: str) -> tuple["Table", ...]:
        """A list of tables within; none where it is not there."""
        advice = f"a list of tables, each begun with [[{key}]]"
        values = self._get(key, list, advice, [])
        for value in values:
            if not isinstance(value, dict):
                raise self.error(key, f"holds {shown(value)}", f"give {advice}")
        return tuple(
            Table(self._source, value, (*self.path, key, place))
            for place, value in enumerate(values)
        )

    def named_tables(self) -> tuple[tuple[str, "Table"], ...]:
        """Each table within by its key; anything else is a fault."""
        return tuple((key, self.table(key)) for key in self._values)

    def is_whole_number(self, key: str) -> bool:
        """Tell whether a key that may hold a number or text holds a number."""
        return type(self._values.get(key)) is int

    def _get(self, key: str, kind: type, allowed: str, default: Any) -> Any:
        if key not in self._values:
            if default is None:
                raise self.error(None, f"has no '{key}'", f"give {key}: {allowed}")
            return default
        value = self._values[key]
        # In Python a truth value is a whole number; in a description it is not.
        if type(value) is not kind:
            raise self.error(key, f"is {shown(value)}", f"give {allowed}")
        return value

    def _range(self, path: Path, value: Any) -> PhysRange:
        match = _RANGE.fullmatch(value) if isinstance(value, str) else None
        first, last = (int(match[1], 16), int(match[2], 16)) if match else (0, -1)
        whole_pages = first % PAGE_SIZE_BYTES == 0 == (last + 1) % PAGE_SIZE_BYTES
        if not first < last < LAST_ADDRESS or not whole_pages:
            raise self._source.error(
                (*self.path, *path),
                f"is {shown(value)}",
                'give whole pages as first and last byte, as "0x100000000-0x17fffffff", '
                f"below {LAST_ADDRESS:#x}",
            )
        return PhysRange.inclusive(first, last)


def shown(value: object) -> str:
    """Show a value from a description, shortened, as it might stand there."""
    match value:
        case bool():
            return str(value).lower()
        case int() if abs(value) >= 1 << 64:
            return "a number of very many digits"
        case list():
            return "a list"
        case dict():
            return "a table"
        case str():
            text = f'"{value[:_SHOWN]}…"' if len(value) > _SHOWN else f'"{value}"'
            return text if text.isprintable() else ascii(text)
    return str(value)
