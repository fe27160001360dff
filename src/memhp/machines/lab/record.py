"""Recording what a real kernel does: a scenario run in a guest of its own.

A step that the guest cannot even be asked (a device that is not there, an
address where QEMU has no room) is left out of the recording.
"""

import re
import shlex
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from memhp.machines.lab.guest import Guest
from memhp.machines.lab.hear_uevents import heard_uevents, listen_to_uevents
from memhp.machines.lab.kernels import LabKernel, find_kernel
from memhp.machines.lab.monitor import monitor_of
from memhp.machines.lab.observe_guest import MEMORY, observe_guest, read_resource
from memhp.machines.lab.serial_shell import SerialShell
from memhp.machines.qemu.devices import MemoryDevice
from memhp.machines.qemu.monitor import Monitor
from memhp.machines.qemu.physical import Wanted
from memhp.machines.qemu.shell_errors import errno_name
from memhp.model.trace.scenario import FORMAT, Scenario, guest_json

Json = dict[str, Any]
Tell = Callable[[str], None]
_PARAMETERS = "/sys/module/memory_hotplug/parameters"
_WRITE_SECONDS = 120.0
_RESIZE_SECONDS = 30.0
_STEADY_SECONDS = 3.0
"""A virtio-mem device that has not changed for so long is done."""
_BLOCKS = f"cat {MEMORY}/memory*/state | uniq -c"
_LOG = "dmesg | grep -E 'e820|SRAT|RAMDISK|table found in initrd'"
_E820 = re.compile(r"BIOS-e820: \[mem (0x[0-9a-f]+)-(0x[0-9a-f]+)\] (.*)")
_AFFINITY = re.compile(
    r"SRAT: Node ([0-9]{1,4}) PXM [0-9]+ \[mem (0x[0-9a-f]+)-(0x[0-9a-f]+)\]( hotplug)?"
)
_RAMDISK = re.compile(r"RAMDISK: \[mem (0x[0-9a-f]+)-(0x[0-9a-f]+)\]")
_ONLINE_TYPES = {"OFFLINE": "offline", "ONLINE_AUTO": "online"} | {
    "ONLINE_KERNEL": "online_kernel",
    "ONLINE_MOVABLE": "online_movable",
}


def record(scenario: Scenario, guest: Guest, tell: Tell = lambda _what: None) -> Json:
    """Boot a guest, do each step, and observe; the guest is put down whatever happens.

    Raises ``MachineError`` where the guest cannot be booted or stops answering.
    """
    kernel = find_kernel(scenario.guest.kernel)
    tell(f"boot {scenario.guest.kernel}")
    try:
        guest.up(scenario.guest)
        with guest.shell() as shell, monitor_of(guest) as monitor:
            recorder = _Recorder(shell, monitor)
            listen_to_uevents(shell)
            document = {
                "format": FORMAT,
                "name": scenario.name,
                "about": scenario.about,
                "kernel": recorder.text("uname -r"),
                "guest": guest_json(scenario.guest),
                "machine": recorder.machine(scenario, kernel),
                "boot": observe_guest(shell),
            }
            return document | {
                "steps": list(recorder.steps(scenario, tell)),
                "dmesg": recorder.lines("dmesg | grep -iE 'memory|offlin|hotplug' | tail -n 40"),
            }
    finally:
        if guest.folder.is_dir():
            guest.down()


class _Recorder:
    def __init__(self, shell: SerialShell, monitor: Monitor) -> None:
        self._shell = shell
        self._monitor = monitor

    def text(self, command: str) -> str:
        return self._shell.run(command, _WRITE_SECONDS)[1].strip("\n")

    def lines(self, command: str) -> list[str]:
        return [line for line in self.text(command).split("\n") if line]

    def _hexadecimal(self, command: str) -> int:
        text = self.text(command)
        try:
            return int(text, 16)
        except ValueError as err:
            raise self._shell.garbled("the size of its blocks", err) from err

    def machine(self, scenario: Scenario, kernel: LabKernel) -> Json:
        """The inputs, and what the kernel chose of its own."""
        log = self.text(_LOG)
        iomem = [read_resource(line) for line in self.lines("cat /proc/iomem")]
        files = [name for name in self._names(MEMORY) if not re.fullmatch(r"memory\d+", name)]
        flagged = bool(scenario.guest.hotpluggable_nodes)
        return {
            "command_line": scenario.guest.command_line,
            "memory_map": [[int(a, 16), int(b, 16), kind] for a, b, kind in _E820.findall(log)],
            "srat": [_affinity(*found) for found in _AFFINITY.findall(log)],
            "ramdisk": [[int(a, 16), int(b, 16)] for a, b in _RAMDISK.findall(log)],
            "kernel_image": [[a, b] for a, b, name in iomem if name.startswith("Kernel ")],
            "acpi_override": _override(iomem) if flagged else None,
            "cpu_nodes": [0],
            "boot_devices": [_dimm(data) for data in self._monitor.memory_devices("dimm")],
            "virtio_mem": [_virtio(data) for data in self._monitor.memory_devices("virtio-mem")],
            "block_size": self._hexadecimal(f"cat {MEMORY}/block_size_bytes"),
            "parameters": self._parameters(),
            "memory_files": files,
            "block_files": self._names(f"{MEMORY}/memory1"),
            "config": self._config(kernel, files),
        }

    def steps(self, scenario: Scenario, tell: Tell) -> Iterator[Json]:
        """Do each step and yield it with its result."""
        for index, step in enumerate(scenario.steps, 1):
            tell(f"step {index} of {len(scenario.steps)}: {' '.join(map(str, step.values()))}")
            result = self._done(step)
            if result is None:
                continue
            yield step | result | ({} if step["op"] == "read" else self._seen())

    def _seen(self) -> Json:
        uevents = heard_uevents(self._shell)
        return {"uevents": uevents, "observe": observe_guest(self._shell)}

    def _done(self, step: Json) -> Json | None:
        match step["op"]:
            case "add":
                return self._add(step)
            case "remove":
                answer = self._monitor.unplug(step["device"])
                if answer.error is not None:
                    return None
                return {"removed": answer.removed, "ost": answer.status}
            case "write":
                command = f"echo {shlex.quote(step['value'])} > {_path(step)}"
                code, said = self._shell.run(command, _WRITE_SECONDS)
                return {"errno": None if code == 0 else errno_name(said)}
            case "read":
                code, said = self._shell.run(f"cat {_path(step)}", _WRITE_SECONDS)
                return {"ok": code == 0, "text": said.strip("\n")}
            case "resize":
                return self._resize(step)
            case _:
                code, said = self._shell.run(step["command"], _WRITE_SECONDS)
                return {"text": said.strip(), "rc": code}

    def _add(self, step: Json) -> Json | None:
        wanted = Wanted(
            name=step["device"],
            size_bytes=step["size"],
            node=step["node"],
            start=step.get("start"),
        )
        answer = self._monitor.plug(wanted)
        if answer.error is not None:
            return None
        return {"start": self._monitor.address_of(step["device"]), "ost": answer.status}

    def _resize(self, step: Json) -> Json | None:
        """Ask, and wait until the guest has done it or does nothing more."""
        device = step["device"]
        if self._monitor.request_size(device, step["size"]) is not None:
            return None
        end = time.monotonic() + _RESIZE_SECONDS
        plugged, steady_until = self._monitor.plugged_size(device), None
        while plugged != step["size"] and time.monotonic() < min(end, steady_until or end):
            time.sleep(0.1)
            now = self._monitor.plugged_size(device)
            if now != plugged or steady_until is None:
                plugged, steady_until = now, time.monotonic() + _STEADY_SECONDS
        self._wait_for_blocks()
        return {"plugged": self._monitor.plugged_size(device)}

    def _wait_for_blocks(self) -> None:
        """Wait until blocks stay as they are.

        The last are brought online after the device has their memory, and one
        that goes offline may take its time.
        """
        end = time.monotonic() + _RESIZE_SECONDS
        last, now = "", self.text(_BLOCKS)
        while (now != last or "going-offline" in now) and time.monotonic() < end:
            last, now = now, self.text(f"sleep 0.5; {_BLOCKS}")

    def _names(self, folder: str) -> list[str]:
        return sorted(name for name in self.lines(f"ls -1 {folder}") if name != "power")

    def _parameters(self) -> Mapping[str, str]:
        command = f'cd {_PARAMETERS}; for f in *; do read x < $f; echo "$f $x"; done'
        pairs = (line.partition(" ") for line in self.lines(command))
        return {name: value for name, _, value in sorted(pairs)}

    def _config(self, kernel: LabKernel, files: list[str]) -> Json:
        injection = "/sys/kernel/debug/notifier-error-inject/memory"
        return {
            "crash_hotplug": "crash_hotplug" in files,
            "memory_failure": "hard_offline_page" in files,
            "notifier_error_inject": self._shell.run(f"test -d {injection}")[0] == 0,
            "auto_online": _auto_online(kernel.config()),
        }


def _path(step: Json) -> str:
    path: str = step["path"]
    return shlex.quote(path if path.startswith("/") else f"{MEMORY}/{path}")


def _affinity(node: str, first: str, last: str, flag: str) -> Json:
    start = int(first, 16)
    return {
        "node": int(node),
        "start": start,
        "size": int(last, 16) - start + 1,
        "hotpluggable": bool(flag),
    }


def _override(iomem: list[list[Any]]) -> list[int] | None:
    """Where the kernel put the table from the initrd: firmware's own lie in reserved memory."""
    kinds = ("ACPI Tables", "ACPI Non-volatile Storage")
    return next(([a, b] for a, b, name in iomem if name.startswith(kinds)), None)


def _dimm(device: MemoryDevice) -> Json:
    return {
        "device": device.name,
        "start": device.start,
        "size": device.size_bytes,
        "node": device.node,
    }


def _virtio(device: MemoryDevice) -> Json:
    return _dimm(device) | {"sub_block": device.unit_bytes}


def _auto_online(config: Mapping[str, str]) -> str:
    """The word compiled in for ``auto_online_blocks`` (``CONFIG_MHP_DEFAULT_ONLINE_TYPE_*``)."""
    for name, word in _ONLINE_TYPES.items():
        if config.get(f"CONFIG_MHP_DEFAULT_ONLINE_TYPE_{name}") == "y":
            return word
    return "online" if config.get("CONFIG_MEMORY_HOTPLUG_DEFAULT_ONLINE") == "y" else "offline"
