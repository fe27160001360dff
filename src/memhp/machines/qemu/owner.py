"""Who runs a QEMU process: one that belongs to another manager of machines is left alone.

libvirt, Proxmox and Incus each keep an account of a guest's memory of their
own; what is changed behind their back is lost at the next start, or makes them
fail. Known by where the monitor lies (also behind a link), by the process's
command line, and by the control group that systemd was asked to put it in:
``machine-qemu…scope`` for libvirt, ``qemu.slice/ID.scope`` for Proxmox VE.
"""

import itertools
import os
import re
import socket
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from memhp.core.errors import NotSupported

_PATHS: Final[Mapping[str, re.Pattern[str]]] = {
    "libvirt": re.compile(r"/libvirt/qemu/"),
    "Proxmox VE": re.compile(r"/run/qemu-server/"),
    "Incus": re.compile(r"/(run|lib|log|common)/(incus|lxd)/"),
}
_GROUPS: Final[Mapping[str, re.Pattern[str]]] = {
    "libvirt": re.compile(r"/machine-qemu[^/]*\.scope"),
    "Proxmox VE": re.compile(r"/qemu\.slice/\d+\.scope"),
}
_DAEMONS: Final = frozenset({"libvirtd", "virtqemud"})
"""They make the monitor's socket themselves and hand it to QEMU."""
_ADVICE: Final = {
    "libvirt": "use 'virsh attach-device', 'detach-device' or 'update-memory-device'",
    "Proxmox VE": "use 'qm set ID --memory'",
    "Incus": "use 'incus config set NAME limits.memory'",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Emulator:
    """The process that listens at a socket. ``started`` counts clock ticks since the host booted.

    ``arguments`` and ``group`` (its control groups) are empty where they may not
    be read.
    """

    pid: int
    started: int
    arguments: tuple[str, ...]
    group: str = ""


def owner_of(path: str, arguments: Sequence[str], group: str = "") -> str | None:
    """Which manager a QEMU process belongs to, by what is known of it. Pure."""
    for owner, pattern in _GROUPS.items():
        if pattern.search(group):
            return owner
    if arguments and arguments[0].rpartition("/")[2] in _DAEMONS:
        return "libvirt"
    places = [path, *_files(arguments)]
    for owner, pattern in _PATHS.items():
        if any(pattern.search(place) for place in places):
            return owner
    # libvirt names the guest so, and hands QEMU its master key.
    name = _after("-name", arguments)
    if name.startswith("guest=") and any("masterKey0" in word for word in arguments):
        return "libvirt"
    return None


def check_owner(machine: str, path: str, emulator: Emulator | None = None) -> None:
    """Raise ``NotSupported`` for a guest that another manager runs."""
    words, group = ((), "") if emulator is None else (emulator.arguments, emulator.group)
    owner = owner_of(path, words, group) or owner_of(os.path.realpath(path), ())
    if owner is not None:
        raise NotSupported(
            machine=machine,
            operation=f"be changed or asked, for {owner} runs it and keeps its own account of it",
            advice=_ADVICE[owner],
        )


def emulator_behind(path: str) -> Emulator | None:
    """The process that listens at a Unix socket; ``None`` where it cannot be known."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
            data = probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        except OSError:
            return None
    pid = int(struct.unpack("3i", data)[0])
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            words = file.read().rstrip(b"\0").split(b"\0")
    except OSError:
        return None
    return Emulator(
        pid=pid,
        # Field 22 of proc(5), counted behind the name, which may hold anything.
        started=int(fields[19]),
        arguments=tuple(map(os.fsdecode, words)),
        group=_group(pid),
    )


def _group(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/cgroup", encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def _files(arguments: Sequence[str]) -> list[str]:
    """The paths among a command line's words: of sockets, keys, configuration, process ids."""
    return [part for word in arguments for part in re.split(r"[=,:\"]", word) if "/" in part]


def _after(option: str, arguments: Sequence[str]) -> str:
    for word, following in itertools.pairwise(arguments):
        if word == option:
            return following
    return ""
