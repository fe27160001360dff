"""The tree of files through which the modelled kernel is seen and changed."""

import errno

from memhp.model.kernel import Kernel
from memhp.model.steps import KernelRefusal, Steps, run
from memhp.model.tree.acpi import acpi_devices, acpi_firmware
from memhp.model.tree.debugfs import notifier_errors
from memhp.model.tree.entries import Directory, Entry, File, Link, directory, no_such
from memhp.model.tree.memory import memory_bus, memory_directory
from memhp.model.tree.nodes import node_bus, node_directory
from memhp.model.tree.parameters import memory_hotplug_parameters
from memhp.model.tree.proc import proc_directory
from memhp.model.tree.processors import processor_directory

_WHOLE = 1 << 62


class Tree:
    """Files by absolute path, with the kernel's own paths, text and errno."""

    def __init__(self, kernel: Kernel) -> None:
        self._root = _root(kernel)

    def read(self, path: str) -> str:
        """Read a text file; raises ``KernelRefusal`` (ENOENT, EACCES, EISDIR)."""
        content = self._read(path)
        return content if isinstance(content, str) else content.decode("ascii")

    def read_bytes(self, path: str) -> bytes:
        """Read any file as bytes; raises as ``read()`` does."""
        content = self._read(path)
        return content if isinstance(content, bytes) else content.encode("ascii")

    def read_at(self, path: str, offset: int, size: int) -> bytes:
        """Read a part of any file; raises as ``read()`` does, EINVAL where it is no part of it."""
        entry = self._file(path)
        if entry.at is not None:
            return entry.at(offset, size)
        return self.read_bytes(path)[offset : offset + size]

    def write(self, path: str, text: str) -> None:
        """Write and wait for the end of it; raises ``KernelRefusal`` with the kernel's errno."""
        run(self.write_steps(path, text))

    def write_steps(self, path: str, text: str) -> Steps[None]:
        """Write, stopping wherever the kernel may sleep. Nothing written does nothing."""
        entry = self._file(path)
        if entry.write is None:
            raise KernelRefusal(errno.EACCES, f"{path} cannot be written")
        if text:
            yield from entry.write(text)

    def list(self, path: str) -> list[str]:
        """The names in a directory; raises ``KernelRefusal`` (ENOENT, ENOTDIR)."""
        entry = self.find(path)
        if entry is None:
            raise no_such(path)
        if not isinstance(entry, Directory):
            raise KernelRefusal(errno.ENOTDIR, f"{path} is no directory")
        return list(entry.names())

    def exists(self, path: str) -> bool:
        """Whether there is anything at a path, a link's target included."""
        return self.find(path) is not None

    def find(self, path: str, *, follow: bool = True) -> Entry | None:
        """Walk to an entry; links on the way are followed, the last one if asked."""
        parts = [part for part in path.split("/") if part]
        walked: list[str] = []
        entry: Entry | None = self._root
        while parts:
            name = parts.pop(0)
            if name == "..":
                walked = walked[:-1]
                entry = self.find("/".join(walked))
                continue
            if not isinstance(entry, Directory):
                return None
            entry = entry.child(name)
            if isinstance(entry, Link) and (parts or follow):
                parts = [part for part in entry.target.split("/") if part] + parts
                if entry.target.startswith("/"):
                    walked = []
                entry = self.find("/".join(walked))
                continue
            walked.append(name)
        return entry

    def _read(self, path: str) -> str | bytes:
        entry = self._file(path)
        if entry.at is not None:
            return entry.at(0, _WHOLE)
        if entry.read is None:
            raise KernelRefusal(errno.EACCES, f"{path} cannot be read")
        return entry.read()

    def _file(self, path: str) -> File:
        entry = self.find(path)
        if entry is None:
            raise no_such(path)
        if not isinstance(entry, File):
            raise KernelRefusal(errno.EISDIR, f"{path} is a directory")
        return entry


def _root(kernel: Kernel) -> Directory:
    """Put the parts together where the kernel has them."""
    system = {
        "cpu": processor_directory(kernel),
        "memory": memory_directory(kernel),
        "node": node_directory(kernel),
    }
    buses = {
        "acpi": directory({"devices": acpi_devices(kernel)}),
        "memory": memory_bus(kernel),
        "node": node_bus(kernel),
    }
    sys: dict[str, Entry] = {
        "devices": directory({"system": directory(system)}),
        "bus": directory(buses),
        "firmware": directory({"acpi": acpi_firmware(kernel)}),
        "kernel": directory(
            {"debug": directory({"notifier-error-inject": notifier_errors(kernel)})}
        ),
    }
    if kernel.profile.module_parameters:
        module = directory({"parameters": memory_hotplug_parameters(kernel)})
        sys["module"] = directory({"memory_hotplug": module})
    return directory({"sys": directory(sys), "proc": proc_directory(kernel)})
