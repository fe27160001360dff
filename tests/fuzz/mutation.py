"""Turning an input into another: bytes, text with numbers and lines, JSON."""

import json
import re
from collections.abc import Callable
from random import Random
from typing import Any

from fuzz.target import MOST_BYTES

Mutate = Callable[[bytes, Random], bytes]
NUMBERS = (
    *(b"0", b"1", b"-1", b"7", b"255", b"256", b"65536", b"4294967295", b"4294967296"),
    *(b"18446744073709551615", b"18446744073709551616", b"9" * 40, b"9" * 5000),
    *(b"0x0", b"0xffffffffffffffff", b"0x" + b"f" * 40, b"1e999", b"0.5", b"\xd9\xa3", b"\xc2\xb2"),
)  # fmt: skip
PIECES = (
    *(b"", b"\0", b" ", b"\t", b"\n"),
    *(b"\r\n", b"\x0b", b"\x85", b"\x1b[2J", b"\xff", b"\xed\xa0\x80"),
    *(b'"', b"'", b"\\", b",", b"-", b"--", b"=", b":", b"..", b"/", b"%", b"#", b"{", b"[", b"]"),
    *("\u2028".encode(), "\N{ARABIC-INDIC DIGIT THREE}".encode()),
    *(b"memory", b"node", b"None", b"nan"),
)  # fmt: skip
JUNK: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 255, 4096, 1 << 27, 1 << 31, 1 << 32, 1 << 52, 1 << 63),
    *(1 << 64, 10**40, -(1 << 63), 0.5, 1e300, float("nan"), float("inf"), "", "0", "x", "\0"),
    *("\ud800", "\n", "9" * 5000, "A" * 300, [], [[]], [0], {}, {"": None}, [None], ["a", 1]),
)
_NUMBER = re.compile(rb"[0-9]+")
_WORD = re.compile(rb"[A-Za-z_]+")


def mutate_bytes(data: bytes, chance: Random) -> bytes:
    """Change some bytes, wherever they are."""
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        data = chance.choice(_BYTE_CHANGES)(data, chance)
    return data[:MOST_BYTES]


def mutate_text(data: bytes, chance: Random) -> bytes:
    """Change numbers, words and lines, now and then bytes."""
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        data = chance.choice(_TEXT_CHANGES)(data, chance)
    return data[:MOST_BYTES]


def mutate_json(data: bytes, chance: Random) -> bytes:
    """Change values inside a document, now and then its text."""
    if chance.random() < 0.1:
        return mutate_text(data, chance)
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return mutate_text(data, chance)
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        document = mutate_value(document, chance)
    return dump(document)[:MOST_BYTES]


def mutate_json_lines(data: bytes, chance: Random) -> bytes:
    """Change a line of JSON, or which lines there are."""
    lines = data.split(b"\n")
    if chance.random() < 0.2:
        return mutate_text(data, chance)
    place = chance.randrange(len(lines))
    lines[place] = mutate_json(lines[place], chance)
    return b"\n".join(lines)[:MOST_BYTES]


def dump(document: Any) -> bytes:
    """A document as text; a lone surrogate is written as an escape."""
    return json.dumps(document).encode()


def mutate_value(value: Any, chance: Random) -> Any:
    """Change one thing somewhere inside a value; the value itself is left alone."""
    if isinstance(value, dict | list) and value and chance.random() < 0.85:
        return _changed_inside(value, chance)
    if isinstance(value, str) and chance.random() < 0.6:
        changed = mutate_text(value.encode("utf-8", "surrogatepass"), chance)
        return changed.decode("utf-8", "replace")
    if type(value) is int and chance.random() < 0.4:
        return value + chance.choice((-1, 1, -4096, 4096, 1 << 27, -(1 << 27), 1 << 40))
    if isinstance(value, list) and value and chance.random() < 0.5:
        return value * chance.choice((2, 3, 100))
    return chance.choice(JUNK)


def _changed_inside(value: Any, chance: Random) -> Any:
    """Take out, double, rename or change one item of a container."""
    keys = list(value) if isinstance(value, dict) else list(range(len(value)))
    key = chance.choice(keys)
    changed = value.copy()
    choice = chance.random()
    if choice < 0.12:
        del changed[key]
    elif choice < 0.2 and isinstance(value, list):
        changed.insert(chance.randrange(len(value) + 1), value[key])
    elif choice < 0.2:
        name = mutate_text(str(key).encode(), chance).decode("utf-8", "replace")
        changed[name] = changed.pop(key)
    elif choice < 0.28:
        changed[key] = value[chance.choice(keys)]
    else:
        changed[key] = mutate_value(value[key], chance)
    return changed


def _place(data: bytes, chance: Random) -> tuple[int, int]:
    """A slice, mostly a short one."""
    start = chance.randrange(len(data) + 1)
    length = chance.choice((0, 1, 1, 2, 4, 8, 16, chance.randrange(len(data) + 1)))
    return start, min(len(data), start + length)


def _flip(data: bytes, chance: Random) -> bytes:
    if not data:
        return b"\0"
    place = chance.randrange(len(data))
    return data[:place] + bytes([data[place] ^ 1 << chance.randrange(8)]) + data[place + 1 :]


def _cut(data: bytes, chance: Random) -> bytes:
    start, end = _place(data, chance)
    return data[:start] + data[end:]


def _double(data: bytes, chance: Random) -> bytes:
    start, end = _place(data, chance)
    return data[:end] + data[start:end] * chance.choice((1, 1, 2, 50)) + data[end:]


def _overwrite(data: bytes, chance: Random) -> bytes:
    """Put a number at the edge of what fits over as many bytes."""
    size = chance.choice((1, 2, 4, 8))
    number = chance.choice((0, 1, 2, 0x7F, 1 << 8 * size - 1, (1 << 8 * size) - 1, 16, 36, 40))
    start = chance.randrange(len(data) + 1)
    return data[:start] + (number % (1 << 8 * size)).to_bytes(size, "little") + data[start + size :]


def _insert(data: bytes, chance: Random) -> bytes:
    start = chance.randrange(len(data) + 1)
    return data[:start] + chance.randbytes(chance.randrange(1, 9)) + data[start:]


def _truncate(data: bytes, chance: Random) -> bytes:
    return data[: chance.randrange(len(data) + 1)]


def _other_number(data: bytes, chance: Random) -> bytes:
    return _replaced(_NUMBER, chance.choice(NUMBERS), data, chance)


def _other_word(data: bytes, chance: Random) -> bytes:
    words = _WORD.findall(data)
    return _replaced(_WORD, chance.choice(words), data, chance) if words else data


def _replaced(what: re.Pattern[bytes], by: bytes, data: bytes, chance: Random) -> bytes:
    found = list(what.finditer(data))
    if not found:
        return by + data
    match = chance.choice(found)
    return data[: match.start()] + by + data[match.end() :]


def _piece(data: bytes, chance: Random) -> bytes:
    start, end = _place(data, chance)
    return data[:start] + chance.choice(PIECES) + data[end if chance.random() < 0.5 else start :]


def _lines(data: bytes, chance: Random) -> bytes:
    """Take a line out, double it many times, or move it."""
    lines = data.splitlines(keepends=True)
    if not lines:
        return data
    line = lines.pop(chance.randrange(len(lines)))
    place = chance.randrange(len(lines) + 1)
    lines[place:place] = [line] * chance.choice((0, 1, 2, 100))
    return b"".join(lines)


_BYTE_CHANGES: tuple[Mutate, ...] = (
    *(_flip, _flip, _overwrite, _overwrite, _cut, _double, _insert, _truncate),
)
_TEXT_CHANGES: tuple[Mutate, ...] = (
    *(_other_number, _other_number, _other_word, _piece, _piece, _lines, _cut, _double, _flip),
    *(_insert, _truncate),
)
