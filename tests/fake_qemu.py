"""A small QMP server that holds memory devices, for verdicts that a real guest seldom gives.

``tests/kernel/test_fake_qemu.py`` holds its answers against those of a real QEMU.
"""

import asyncio
import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from json_stream import JsonStream

Json = dict[str, Any]
GREETING = {"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": ""}}}
GREETING["QMP"]["capabilities"] = ["oob"]  # type: ignore[assignment]
UUID = "20f364f1-5ba8-47b5-8835-47106a0ba185"


class FakeQemu:
    """What QEMU keeps of a guest; ``on_del`` and ``on_add`` are the events that a request brings.

    An event named ``hang up`` closes the connection instead. ``DEVICE_DELETED``
    takes the device away.
    """

    def __init__(self) -> None:
        self.devices: dict[str, Json] = {}
        self.objects: dict[str, Json] = {
            "node0": {"qom-type": "memory-backend-ram", "size": 1 << 30}
        }
        self.verdicts: dict[str, tuple[int, int]] = {}
        self.on_add: list[Json] = [ost("{id}", 1, 0)]
        self.on_del: list[Json] = [ost("{id}", 3, 0x84), deleted("{id}")]
        self.status = "running"
        self.migration: str | None = None
        self.virtio_steps: list[int] = []
        self.asked: list[str] = []

    def dimm(self, name: str, size: int = 1 << 28) -> None:
        self.objects[f"{name}-memory"] = _backend(size)
        self._plug({"id": name, "driver": "pc-dimm", "memdev": f"{name}-memory", "node": 1})

    def virtio(self, name: str, size: int = 1 << 30) -> None:
        self.objects[f"{name}-memory"] = _backend(size)
        self.devices[name] = {
            "type": "virtio-mem",
            "data": {
                "memdev": f"/objects/{name}-memory",
                "memaddr": 0x400000000,
                "block-size": 1 << 21,
                "size": 0,
                "node": 1,
                "max-size": size,
                "requested-size": 0,
                "id": name,
            },
        }

    def answer(self, command: str, arguments: Json) -> tuple[Any, list[Json]]:
        """The value, and the events that follow; raises ``ValueError`` with QEMU's sentence."""
        method = getattr(self, f"_{command.replace('-', '_')}", None)
        if method is None:
            raise ValueError(f"The command {command} has not been found")
        found: tuple[Any, list[Json]] = method(
            **{k.replace("-", "_"): v for k, v in arguments.items()}
        )
        return found

    def _qmp_capabilities(self, **_: Any) -> Any:
        return {}, []

    def _query_uuid(self) -> Any:
        return {"UUID": UUID}, []

    def _query_status(self) -> Any:
        return {"status": self.status, "singlestep": False, "running": self.status == "running"}, []

    def _query_migrate(self) -> Any:
        return ({} if self.migration is None else {"status": self.migration}), []

    def _query_chardev(self) -> Any:
        return [{"frontend-open": True, "filename": "unix:/x/qmp,server=on", "label": "m"}], []

    def _query_memory_devices(self) -> Any:
        return list(self.devices.values()), []

    def _query_memory_size_summary(self) -> Any:
        dimms = [d["data"]["size"] for d in self.devices.values()]
        return {"base-memory": 1 << 30, "plugged-memory": sum(dimms)}, []

    def _query_acpi_ospm_status(self) -> Any:
        return [
            {"slot": str(n), "slot-type": "DIMM", "device": name}
            | dict(zip(("source", "status"), self.verdicts.get(name, (0, 0)), strict=True))
            for n, name in enumerate(self.devices)
        ], []

    def _query_memdev(self) -> Any:
        plain = {"share": False, "reserve": False, "prealloc": False, "host-nodes": []}
        plain |= {"merge": True, "dump": True, "policy": "default"}
        return [
            plain | {"id": name, "size": data["size"]}
            for name, data in self.objects.items()
            if "size" in data
        ], []

    def _qom_list(self, path: str) -> Any:
        assert path == "/objects"
        kinds = [{"name": n, "type": f"child<{d['qom-type']}>"} for n, d in self.objects.items()]
        return [{"name": "type", "type": "string"}, *kinds], []

    def _qom_get(self, path: str, property: str) -> Any:  # noqa: A002 - QEMU's own word
        if path == "/machine":
            return {"size": 1 << 30, "slots": 32, "max-size": 25 << 30}, []
        name = path.rpartition("/")[2]
        if path.startswith("/machine/peripheral/"):
            if self.virtio_steps:
                self.devices[name]["data"]["size"] = self.virtio_steps.pop(0)
            return self.devices[name]["data"][property], []
        return self.objects[name]["qom-type" if property == "type" else property], []

    def _qom_set(self, path: str, property: str, value: int) -> Any:  # noqa: A002
        self.devices[path.rpartition("/")[2]]["data"][property] = value
        return {}, []

    def _object_add(self, id: str, **data: Any) -> Any:  # noqa: A002
        if id in self.objects:
            raise ValueError(
                f"attempt to add duplicate property '{id}' to object (type 'container')"
            )
        self.objects[id] = {name.replace("_", "-"): value for name, value in data.items()}
        return {}, []

    def _object_del(self, id: str) -> Any:  # noqa: A002
        if id not in self.objects:
            raise ValueError(f"object '{id}' not found")
        used = {d["data"]["memdev"].rpartition("/")[2] for d in self.devices.values()} | {"node0"}
        if id in used:
            raise ValueError(f"object '{id}' is in use, can not be deleted")
        del self.objects[id]
        return {}, []

    def _device_add(self, **device: Any) -> Any:
        if device["memdev"] == "broken-memory":
            raise ValueError(
                "not enough space, currently 0x0 in use of total space for memory devices"
            )
        self._plug(device)
        return {}, named(self.on_add, device["id"])

    def _device_del(self, id: str) -> Any:  # noqa: A002
        if id not in self.devices:
            raise ValueError(f"Device '{id}' not found")
        events = named(self.on_del, id)
        for event in events:
            if event["event"] == "DEVICE_DELETED" and event["data"]["device"] == id:
                del self.devices[id]
            if event["event"] == "ACPI_DEVICE_OST" and event["data"]["info"]["device"] == id:
                info = event["data"]["info"]
                self.verdicts[id] = (info["source"], info["status"])
        return {}, events

    def _plug(self, device: Json) -> None:
        name, backend = device["id"], device["memdev"]
        start = 0x100000000 + 0x40000000 * len(self.devices)
        self.devices[name] = {
            "type": "dimm",
            "data": {
                "memdev": f"/objects/{backend}",
                "hotplugged": True,
                "addr": device.get("addr", start),
                "hotpluggable": True,
                "size": self.objects[backend]["size"],
                "slot": len(self.devices),
                "node": device["node"],
                "id": name,
            },
        }


def _backend(size: int) -> Json:
    return {"qom-type": "memory-backend-ram", "size": size}


def ost(device: str, source: int, status: int) -> Json:
    info = {"device": device, "slot": "0", "slot-type": "DIMM", "source": source, "status": status}
    return {"event": "ACPI_DEVICE_OST", "data": {"info": info}}


def deleted(device: str) -> Json:
    path = f"/machine/peripheral/{device}"
    return {"event": "DEVICE_DELETED", "data": {"device": device, "path": path}}


def named(events: Sequence[Json], device: str) -> list[Json]:
    found: list[Json] = json.loads(json.dumps(list(events)).replace("{id}", device))
    return found


@contextmanager
def serving(qemu: FakeQemu, path: Path) -> Iterator[str]:
    """Serve at a path, in a thread with a loop of its own."""
    loop = asyncio.new_event_loop()
    ready = threading.Event()
    stop = asyncio.Event()

    async def serve() -> None:
        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await _talk(qemu, reader, writer)

        async with await asyncio.start_unix_server(talk, str(path)):
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    ready.wait()
    try:
        yield str(path)
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


async def _talk(qemu: FakeQemu, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(json.dumps(GREETING).encode() + b"\n")
    stream = JsonStream()
    try:
        while data := await reader.read(1 << 16):
            for asked in stream.feed(data):
                if not _reply(qemu, asked, writer):
                    return
            await writer.drain()
    except ConnectionError:
        return
    finally:
        writer.close()


def _reply(qemu: FakeQemu, asked: Json, writer: asyncio.StreamWriter) -> bool:
    """Answer a command; ``False`` where the answer is to hang up."""
    command = asked.get("execute") or asked["exec-oob"]
    qemu.asked.append(command)
    events: list[Json] = []
    try:
        value, events = qemu.answer(command, asked.get("arguments", {}))
        reply = {"return": value}
    except ValueError as error:
        reply = {"error": {"class": "GenericError", "desc": str(error)}}
    if any(event["event"] == "hang up" for event in events):
        return False
    for message in (reply | {"id": asked.get("id")}, *map(_stamped, events)):
        writer.write(json.dumps(message).encode() + b"\n")
    return True


def _stamped(event: Json) -> Json:
    return event | {"timestamp": {"seconds": 1, "microseconds": 0}}
