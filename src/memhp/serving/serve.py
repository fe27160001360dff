"""The life of a server: open the machine, mount it, answer until it is told to end."""

import ctypes
import json
import os
import secrets
import signal
import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from memhp.core.errors import MachineError
from memhp.machines.linux.mounted_model import FS_TYPE
from memhp.model.uevents import Uevent
from memhp.serving.find_source import Source, open_source
from memhp.serving.fuse_library import check_device, load_fuse
from memhp.serving.fuse_operations import FuseOperations
from memhp.serving.parallel_writes import allow_parallel_writes
from memhp.serving.served_files import ServedFiles
from memhp.serving.served_kernel import ServedKernel
from memhp.serving.uevent_socket import UeventSocket
from memhp.serving.watcher import Watcher

ENDS: Final = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
_WAKES: Final = signal.SIGUSR1
_MOST_THREADS: Final = 10_000
"""Each writer that waits holds a thread of libfuse; ten, as it has them, would be too few."""
_IDLE_THREADS: Final = 3
"""Who is woken for a request takes Python's lock over from another: few do that faster."""
_NONCE_BYTES: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What to serve, and where; ``uevents`` is the path of a socket. Paths are absolute."""

    address: str
    folder: Path
    uevents: Path | None


LIBFUSE_SAYS: Final = "libfuse says why on its standard error"
Ready = Callable[[str], None]
"""Is told the nonce once the mount answers."""


def serve(order: Order, ready: Ready, until: Callable[[], None]) -> None:
    """Serve a machine until it is unmounted, a signal of ``ENDS`` comes, or ``until`` returns.

    ``until`` may block for ever. Raises ``MemhpError`` where it cannot be
    served. Has to be called in the main thread, before there is another.
    """
    watcher = Watcher(order.folder)
    try:
        _serve(order, ready, until)
    finally:
        watcher.dismiss()


def _serve(order: Order, ready: Ready, until: Callable[[], None]) -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDS)
    signal.signal(_WAKES, lambda _number, _frame: None)
    fuse = load_fuse(order.address)
    check_device(order.address)
    nonce = secrets.token_hex(_NONCE_BYTES)
    with ExitStack() as left:
        source = open_source(order.address, str(order.folder), nonce)
        left.callback(source.close)
        listeners: list[Callable[[Uevent], None]] = []
        kernel = ServedKernel(source.kernel, source.keeper, _to_all(listeners))
        left.callback(kernel.end)
        files = ServedFiles(kernel, _note(order, source, nonce), os.geteuid())
        listeners.append(files.hear)
        if order.uevents is not None:
            events = UeventSocket(order.uevents)
            left.callback(events.close)
            listeners.append(events.send)
        # Nothing may keep the folder busy from which the command was given.
        os.chdir("/")
        _Mount(fuse, order.folder, kernel, until).run(files, source.address, lambda: ready(nonce))


class _Mount:
    """libfuse's loop, and the threads that end it."""

    def __init__(
        self, fuse: ModuleType, folder: Path, kernel: ServedKernel, until: Callable[[], None]
    ) -> None:
        self._fuse = fuse
        self._folder = folder
        self._kernel = kernel
        self._until = until
        self._main = threading.get_ident()
        self._session: Any = None
        self._kept: object = None
        self._session_lock = threading.Lock()
        self._ending = threading.Lock()

    def run(self, files: ServedFiles, address: str, ready: Callable[[], None]) -> None:
        """Mount and answer; returns once it is unmounted. Raises ``MachineError``."""

        def begun(config: Any) -> None:
            session = self._fuse._libfuse.fuse_get_context().contents.fuse  # noqa: SLF001
            self._session = ctypes.c_void_p(session)
            self._kept = allow_parallel_writes(self._fuse, self._session, config)
            for wait in (self._await_signal, self._until):
                threading.Thread(target=self._end_after, args=(wait,), daemon=True).start()
            ready()

        owner = (os.geteuid(), os.getegid())
        operations = FuseOperations(self._fuse, files, owner, begun, self._forget_session)
        try:
            self._fuse.FUSE(operations, str(self._folder), **_options(address))
        except RuntimeError as err:
            raise MachineError(
                machine=address,
                problem=f"cannot be mounted at {self._folder}",
                advice=LIBFUSE_SAYS,
            ) from err
        finally:
            # Whoever ends the mount is let come to the end of that.
            self._ending.acquire()

    def _await_signal(self) -> None:
        signal.sigwait(ENDS)

    def _end_after(self, wait: Callable[[], None]) -> None:
        """End the mount: first nobody waits any more, then libfuse ends its loop and unmounts.

        It is in the middle of waiting, from which only a signal wakes it.
        """
        wait()
        with self._ending:
            self._kernel.end()
            with self._session_lock:
                if self._session is None:
                    return
                self._fuse._libfuse.fuse_exit(self._session)  # noqa: SLF001
            signal.pthread_kill(self._main, _WAKES)

    def _forget_session(self) -> None:
        """The session is about to be freed, after an unmount from outside as well."""
        with self._session_lock:
            self._session = None


def _to_all(listeners: list[Callable[[Uevent], None]]) -> Callable[[Uevent], None]:
    def hear(uevent: Uevent) -> None:
        for listener in listeners:
            listener(uevent)

    return hear


def _note(order: Order, source: Source, nonce: str) -> bytes:
    """The content of the hidden file ``.memhp``."""
    note = {
        "pid": os.getpid(),
        "nonce": nonce,
        "machine": source.address,
        "identity": source.identity,
        "uevents": "" if order.uevents is None else str(order.uevents),
    }
    return (json.dumps(note) + "\n").encode("utf-8", "surrogateescape")


def _options(address: str) -> dict[str, Any]:
    """Options of the mount.

    Nothing is remembered by the kernel, neither names nor attributes nor content:
    so nothing can be stale.
    """
    return {
        "foreground": True,
        "fsname": address.replace("\\", "\\\\").replace(",", "\\,"),
        "subtype": FS_TYPE.partition(".")[2],
        "direct_io": True,
        "entry_timeout": 0,
        "negative_timeout": 0,
        "attr_timeout": 0,
        "allow_other": os.geteuid() == 0,
        "noexec": True,
        "nosuid": True,
        "nodev": True,
        "max_threads": _MOST_THREADS,
        "max_idle_threads": _IDLE_THREADS,
    }
