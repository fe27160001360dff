"""JSON objects out of a stream of bytes; QEMU's client puts no newline between them."""

import json
from typing import Any


class JsonStream:
    """Feed it bytes; it returns each object that is whole by then."""

    def __init__(self) -> None:
        self._left = ""
        self._decoder = json.JSONDecoder()

    def feed(self, data: bytes) -> list[dict[str, Any]]:
        self._left += data.decode()
        found = []
        while text := self._left.lstrip():
            try:
                item, end = self._decoder.raw_decode(text)
            except json.JSONDecodeError:
                break
            found.append(item)
            self._left = text[end:]
        return found
