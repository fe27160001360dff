"""What a guest shows of its memory, as a recording has it."""

import re
from collections.abc import Iterator
from typing import Any

from memhp.machines.lab.serial_shell import SerialShell

Json = dict[str, Any]
MEMORY = "/sys/devices/system/memory"
_NODE_LISTS = "online possible has_memory has_normal_memory"
_BEGIN = "== "
# Shell builtins alone: a program started for each file would take most of the time.
# Asked for the zones of a block that has no node yet, Linux 6.12 crashes.
_SHOW = f"""cd {MEMORY}
for d in memory[0-9]*; do read s < $d/state; read r < $d/removable; n= v=
for l in $d/node*; do case $l in *\\**) ;; *) n="$n ${{l##*/node}}";; esac; done
[ -z "$n" ] || read v < $d/valid_zones
echo "block|${{d#memory}}|$s|$v|$r|$n"; done
while read l; do case "$l" in *"System RAM"*) echo "iomem|$l";; esac; done < /proc/iomem
for f in {_NODE_LISTS}; do read x < /sys/devices/system/node/$f; echo "list|$f|$x"; done
read a < auto_online_blocks; echo "auto|$a"
read a b c < /proc/meminfo; echo "total|$b"
echo "{_BEGIN}zoneinfo"; cat /proc/zoneinfo"""
_SECONDS = 120.0
_ZONE = re.compile(r"Node ([0-9]{1,9}), zone\s+(\S+)")
_COUNT = re.compile(r"\s+(spanned|present|managed|start_pfn):?\s+(\d+)$")
_RESOURCE = re.compile(r"\s*([0-9a-f]+)-([0-9a-f]+) : (.*)")
_SHOWN = ("state", "valid_zones", "removable", "nodes")


def observe_guest(shell: SerialShell) -> Json:
    """Make one observation; raises ``ContactLost``."""
    _, text = shell.run(_SHOW, _SECONDS)
    try:
        return _observation(text)
    except (KeyError, IndexError, ValueError) as err:
        raise shell.garbled("its memory", err) from err


def _observation(text: str) -> Json:
    lines, _, zoneinfo = text.partition(f"\n{_BEGIN}zoneinfo\n")
    rows: dict[str, list[list[str]]] = {}
    for line in lines.split("\n"):
        kind, *fields = line.split("|")
        rows.setdefault(kind, []).append(fields)
    return {
        "blocks": list(_runs(rows.get("block", []))),
        "zones": list(_zones(zoneinfo)),
        "iomem_ram": [read_resource(fields[0]) for fields in rows.get("iomem", [])],
        "nodes": {name: shown.strip() for name, shown in rows["list"]},
        "auto_online_blocks": rows["auto"][0][0].strip(),
        "mem_total_kb": int(rows["total"][0][0]),
    }


def read_resource(line: str) -> list[Any]:
    """A line of ``/proc/iomem``: first byte, last byte, name."""
    found = _RESOURCE.match(line)
    return [0, 0, line] if found is None else [int(found[1], 16), int(found[2], 16), found[3]]


def _runs(rows: list[list[str]]) -> Iterator[Json]:
    """Equal neighbours as one."""
    last: Json | None = None
    for number, state, zones, removable, nodes in sorted(rows, key=lambda row: int(row[0])):
        shown = dict(zip(_SHOWN, (state, zones.split(), removable, _numbers(nodes)), strict=True))
        if last is not None and last["last"] == int(number) - 1 and shown.items() <= last.items():
            last["last"] = int(number)
            continue
        if last is not None:
            yield last
        last = {"first": int(number), "last": int(number), **shown}
    if last is not None:
        yield last


def _numbers(text: str) -> list[int]:
    return [int(word) for word in text.split()]


def _zones(zoneinfo: str) -> Iterator[Json]:
    """The zones that span or hold anything."""
    found: list[Json] = []
    for line in zoneinfo.split("\n"):
        if head := _ZONE.match(line):
            counts = dict.fromkeys(("spanned", "present", "managed", "start_pfn"), 0)
            found.append({"node": int(head[1]), "zone": head[2], **counts})
        elif (count := _COUNT.match(line)) and found:
            found[-1][count[1]] = int(count[2])
    for zone in found:
        if zone["spanned"] or zone["present"] or zone["managed"]:
            yield zone
