"""The memory that a QEMU process was given on its command line. Pure.

Its base memory (``-m``), the DIMMs that it began with, and what its virtio-mem
devices were asked for; options as words (``size=1G``) or as JSON, as libvirt
writes them.
"""

import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from memhp.core.geometry import GIB, KIB, MIB

_SIZE: Final = re.compile(r"(?:size=)?(\d+)([kKmMgGtT]?)[iI]?[bB]?(?:,|$)")
_UNITS: Final = {"k": KIB, "m": MIB, "g": GIB, "t": GIB << 10}
_DIMMS: Final = frozenset({"pc-dimm", "nvdimm"})
_VIRTIO_MEM: Final = "virtio-mem"


def memory_at_start(arguments: Sequence[str]) -> int:
    """Bytes; 0 where nothing is said of any."""
    given = list(itertools.pairwise(arguments))
    base = next((_size(value, MIB) for option, value in given if option == "-m"), 0)
    backends = {
        str(o.get("id")): _size(str(o.get("size", "")), 1) for o in _options(given, "-object")
    }
    return base + sum(_promised(device, backends) for device in _options(given, "-device"))


def _promised(device: Mapping[str, Any], backends: Mapping[str, int]) -> int:
    driver = str(device.get("driver", ""))
    if driver in _DIMMS:
        return backends.get(str(device.get("memdev")), 0)
    if driver.startswith(_VIRTIO_MEM):
        return _size(str(device.get("requested-size", "")), 1)
    return 0


def _options(given: Sequence[tuple[str, str]], name: str) -> Iterator[Mapping[str, Any]]:
    """What each option of a name says; its first word is the driver of a device."""
    for option, value in given:
        if option == name:
            yield _json(value) if value.startswith("{") else _words(value)


def _words(value: str) -> Mapping[str, Any]:
    first, *rest = value.split(",")
    pairs = (word.partition("=") for word in rest)
    return {"driver": first} | {key: text for key, _, text in pairs}


def _json(value: str) -> Mapping[str, Any]:
    try:
        found = json.loads(value)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _size(text: str, unit: int) -> int:
    """A size as QEMU takes it; a bare number counts in ``unit``."""
    found = _SIZE.match(text)
    if found is None:
        return 0
    return int(found[1]) * _UNITS.get(found[2].lower(), unit)
