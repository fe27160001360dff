"""On which line each key of a TOML text stands.

``tomllib`` tells the line of a syntax error only; what is wrong with a value
is found later, when its place is gone. So the text is walked once more, and
only when there is an error to tell.
"""

import re
import tomllib
from bisect import bisect_left

Path = tuple[str | int, ...]
"""The way to a value: names of tables and keys, and places in arrays from 0 on."""

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")
_BARE_VALUE = re.compile(r"[^,\]}#\n]*")
_BASIC = re.compile(r'"(?:[^"\\\n]|\\.)*"')
_LITERAL = re.compile(r"'[^'\n]*'")
_LONG_BASIC = re.compile(r'"""(?:[^\\]|\\.)*?"""(?:"{0,2})', re.DOTALL)
_LONG_LITERAL = re.compile(r"'''.*?'''(?:'{0,2})", re.DOTALL)


def find_line(text: str, path: Path) -> int | None:
    """Find the line of a key, or of the nearest table around it that has one.

    The text must be one that ``tomllib`` has read. Lines count from 1;
    ``None`` for the document as a whole.
    """
    try:
        lines = _Scanner(text).scan()
    except RecursionError:
        return None
    while path and path not in lines:
        path = path[:-1]
    return lines.get(path)


def format_path(path: Path) -> str:
    """Print a path as a person would write it: ``node[1].memory``."""
    shown = ""
    for part in path:
        shown += f"[{part}]" if isinstance(part, int) else f".{part}" if shown else part
    return shown


class _Scanner:
    """Walks a valid document once and writes down where keys stand."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._newlines = [match.start() for match in re.finditer("\n", text)]
        self._lines: dict[Path, int] = {}
        self._lengths: dict[Path, int] = {}

    def scan(self) -> dict[Path, int]:
        table: Path = ()
        self._skip(_BLANK)
        while self._at < len(self._text):
            if self._next() == "[":
                table = self._header()
            else:
                self._key_and_value(table)
            self._skip(_BLANK)
        return self._lines

    def _next(self) -> str:
        return self._text[self._at : self._at + 1]

    def _skip(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self._text, self._at)
        if match is None:
            raise AssertionError(f"tomllib has read what is no TOML at {self._at}")
        self._at = match.end()
        return match[0]

    def _note(self, path: Path, at: int) -> None:
        self._lines.setdefault(path, bisect_left(self._newlines, at) + 1)

    def _header(self) -> Path:
        """``[table]`` or ``[[array]]``; an array's tables count from 0."""
        start = self._at
        is_array = self._text.startswith("[[", start)
        self._at += 2 if is_array else 1
        keys = self._dotted_key()
        self._at += 2 if is_array else 1
        path: Path = ()
        for key in keys[:-1]:
            path = self._latest((*path, key))
            self._note(path, start)
        path = (*path, keys[-1])
        self._note(path, start)
        if is_array:
            self._lengths[path] = self._lengths.get(path, 0) + 1
            path = self._latest(path)
            self._note(path, start)
        return path

    def _latest(self, path: Path) -> Path:
        """The last table of an array, or the table itself."""
        length = self._lengths.get(path)
        return path if length is None else (*path, length - 1)

    def _key_and_value(self, table: Path) -> None:
        start = self._at
        path = table
        for key in self._dotted_key():
            path = (*path, key)
            self._note(path, start)
        self._at += 1  # the equals sign
        self._skip(_SPACE)
        self._value(path)

    def _dotted_key(self) -> list[str]:
        keys: list[str] = []
        while True:
            self._skip(_SPACE)
            keys.append(self._key())
            self._skip(_SPACE)
            if self._next() != ".":
                return keys
            self._at += 1

    def _key(self) -> str:
        quote = self._next()
        if quote not in {'"', "'"}:
            return self._skip(_BARE_KEY)
        raw = self._skip(_BASIC if quote == '"' else _LITERAL)
        return str(tomllib.loads(f"key = {raw}")["key"])

    def _value(self, path: Path) -> None:
        match self._next():
            case "[":
                self._array(path)
            case "{":
                self._inline_table(path)
            case '"':
                self._skip(_LONG_BASIC if self._text.startswith('"""', self._at) else _BASIC)
            case "'":
                self._skip(_LONG_LITERAL if self._text.startswith("'''", self._at) else _LITERAL)
            case _:
                self._skip(_BARE_VALUE)

    def _array(self, path: Path) -> None:
        self._at += 1
        index = 0
        self._skip(_BLANK)
        while self._next() != "]":
            self._note((*path, index), self._at)
            self._value((*path, index))
            index += 1
            self._comma()
        self._at += 1

    def _inline_table(self, path: Path) -> None:
        self._at += 1
        self._skip(_BLANK)
        while self._next() != "}":
            self._key_and_value(path)
            self._comma()
        self._at += 1

    def _comma(self) -> None:
        self._skip(_BLANK)
        if self._next() == ",":
            self._at += 1
        self._skip(_BLANK)
