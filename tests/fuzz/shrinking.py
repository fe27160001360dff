"""Making an input that fails smaller while it fails in the same way."""

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

from fuzz.mutation import dump


def shrink(
    data: bytes,
    fails: Callable[[bytes], bool],
    smaller: Callable[[bytes], Iterator[bytes]],
    seconds: float,
) -> bytes:
    """Take the first smaller input that fails too, again and again, for so long at most."""
    end = time.monotonic() + seconds
    improved = True
    while improved:
        improved = False
        for candidate in smaller(data):
            if time.monotonic() > end:
                return data
            if fails(candidate):
                data, improved = candidate, True
                break
    return data


def smaller_bytes(data: bytes) -> Iterator[bytes]:
    """Without a half, a quarter, … a byte, at every place."""
    size = len(data) // 2
    while size:
        for start in range(0, len(data), size):
            yield data[:start] + data[start + size :]
        size //= 2
    if len(data) == 1:
        yield b""


def smaller_json(data: bytes) -> Iterator[bytes]:
    """Without an item of a container, large parts first; texts and numbers made short."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        yield from smaller_bytes(data)
        return
    for candidate in _smaller_values(document):
        made = dump(candidate)
        if len(made) < len(data):
            yield made


def smaller_json_lines(data: bytes) -> Iterator[bytes]:
    """Without a line, or with a line made smaller."""
    lines = data.split(b"\n")
    for place in range(len(lines)):
        yield b"\n".join(lines[:place] + lines[place + 1 :])
    for place, line in enumerate(lines):
        for candidate in smaller_json(line):
            yield b"\n".join([*lines[:place], candidate, *lines[place + 1 :]])


def _smaller_values(value: Any) -> Iterator[Any]:
    match value:
        case dict():
            for key in value:
                yield {other: item for other, item in value.items() if other != key}
            for key, item in value.items():
                yield from ({**value, key: inner} for inner in _smaller_values(item))
        case list():
            size = len(value) // 2
            while size:
                for start in range(0, len(value), size):
                    yield value[:start] + value[start + size :]
                size //= 2
            for place, item in enumerate(value):
                for inner in _smaller_values(item):
                    yield [*value[:place], inner, *value[place + 1 :]]
        case str() if value:
            yield ""
            yield value[: len(value) // 2]
            yield value[len(value) // 2 :]
        case _:
            return
