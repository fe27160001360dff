"""The arguments that memhp prints after a change give a new QEMU the same devices."""

import asyncio
import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from memhp.core.geometry import GIB, MIB
from memhp.machines.open import open_machine
from memhp.machines.qemu.connection import connect_monitor
from memhp.machines.qemu.monitor import open_monitor
from memhp.machines.qemu.physical import Wanted

pytestmark = pytest.mark.kernel
QEMU = "qemu-system-x86_64"
BASE = f"""{QEMU} -accel tcg -nodefaults -display none -S -m 256M,slots=8,maxmem=8G
-object memory-backend-ram,id=m0,size=256M -numa node,nodeid=0,memdev=m0 -numa node,nodeid=1"""
AT_START = """-object memory-backend-ram,id=b0-memory,size=128M,reserve=off
-device pc-dimm,id=b0,memdev=b0-memory,node=0,addr=0x180000000,slot=5
-object memory-backend-ram,id=vm0-memory,size=1G
-device virtio-mem-pci,id=vm0,memdev=vm0-memory,node=1,requested-size=0,block-size=4M"""

ACCEPTS = "00010000"
"""A flag of ``/proc/net/unix``: ``__SO_ACCEPTCON``."""


@contextmanager
def stopped(folder: Path, name: str, words: Sequence[str]) -> Iterator[str]:
    """A QEMU that has not begun to run: its devices are there all the same."""
    socket = str(folder / name)
    command = [*shlex.split(BASE), *words, "-qmp", f"unix:{socket},server=on,wait=off"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as running:
        try:
            while not listens(socket):
                if running.poll() is not None:
                    assert running.stderr is not None
                    pytest.fail(running.stderr.read())
            yield socket
        finally:
            running.kill()


def listens(socket: str) -> bool:
    """Whether somebody can connect: the file is there a moment earlier."""
    rows = (line.split() for line in Path("/proc/net/unix").read_text().splitlines())
    return any(row[-1] == socket and row[3] == ACCEPTS for row in rows)


def ask(socket: str, command: str, arguments: dict[str, Any] | None = None) -> Any:
    async def asked() -> Any:
        async with connect_monitor(socket, f"qemu:{socket}") as monitor:
            return await monitor.ask(command, arguments)

    return asyncio.run(asked())


def devices(socket: str) -> dict[str, dict[str, Any]]:
    """Every memory device; whether it was there at the start is no matter."""
    found = [item["data"] | {"type": item["type"]} for item in ask(socket, "query-memory-devices")]
    return {data["id"]: data | {"hotplugged": None} for data in found}


def backends(socket: str) -> list[dict[str, Any]]:
    return sorted(ask(socket, "query-memdev"), key=lambda data: str(data["id"]))


def test_a_new_qemu_has_the_same_devices(tmp_path: Path) -> None:
    if shutil.which(QEMU) is None:
        if os.environ.get("MEMHP_REQUIRE_KERNEL") == "1":
            pytest.fail(f"there is no {QEMU}")
        pytest.skip(f"there is no {QEMU}")
    with stopped(tmp_path, "first", shlex.split(AT_START)) as socket:
        add_devices(socket, tmp_path / "pages")
        before, memory = devices(socket), backends(socket)
        words = open_machine(f"qemu:{socket}").restart_arguments()  # type: ignore[attr-defined]
    assert {"b0", "dimm1", "dimm2", "dimm3", "vm0"} == before.keys()
    with stopped(tmp_path, "second", shlex.split(" ".join(words))) as socket:
        assert devices(socket) == before
        assert backends(socket) == memory
        again = open_machine(f"qemu:{socket}").restart_arguments()  # type: ignore[attr-defined]
    assert again == words


def add_devices(socket: str, file: Path) -> None:
    """Two DIMMs as memhp adds them, one behind a gap; one on a file; a size that is asked."""
    with open_monitor(socket, "qemu:test") as monitor:
        for wanted in (
            Wanted(name="dimm1", size_bytes=128 * MIB, node=1),
            Wanted(name="dimm2", size_bytes=256 * MIB, node=0, start=0x1C0000000),
        ):
            assert monitor.plug(wanted, time.monotonic()).status is None
    backend = {"qom-type": "memory-backend-file", "id": "f", "size": 128 * MIB, "share": True}
    ask(socket, "object-add", backend | {"mem-path": str(file)})
    ask(socket, "device_add", {"driver": "pc-dimm", "id": "dimm3", "memdev": "f", "node": 1})
    size = {"path": "/machine/peripheral/vm0", "property": "requested-size", "value": GIB // 2}
    ask(socket, "qom-set", size)
