"""Mounting a model: a server of its own process, and the proof that its files are there."""

import json
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, Self

import memhp
from memhp.core.errors import ArgumentError, MachineError, MemhpError
from memhp.machines.linux.mounted_model import find_mounted_model
from memhp.serving.errors_json import error_from_json
from memhp.serving.serve import LIBFUSE_SAYS
from memhp.serving.unmount import is_mounted, real_place

_START_SECONDS: Final = 120.0
_END_SECONDS: Final = 30.0
_LONGEST_ANSWER: Final = 1 << 20
_LIVES: Final = {True: "lasting", False: "ending"}


class Mounted:
    """A model that is mounted; unmounted by ``close()``, or at the end of a ``with``."""

    def __init__(
        self,
        server: "subprocess.Popen[bytes]",
        starter: socket.socket,
        folder: Path,
        nonce: str,
        uevents: Path | None,
    ) -> None:
        self.folder = folder
        self.nonce = nonce
        self.uevents = uevents
        self._server = server
        self._starter = starter

    @property
    def pid(self) -> int:
        """The server's process."""
        return self._server.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def leave(self) -> None:
        """Let a lasting server go on without this process, which then knows it no more."""
        self._starter.close()
        self._server.returncode = 0

    def wait(self) -> int:
        """Wait until the server has ended; returns its exit code."""
        return self._server.wait()

    def close(self) -> None:
        """Unmount, and wait for the server's end."""
        self._starter.close()
        if self._server.poll() is None:
            self._server.terminate()
        try:
            self._server.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._server.kill()
            self._server.wait()


def start_mounted(
    address_or_source: str, folder: Path, *, uevents: Path | None = None, lasting: bool = False
) -> Mounted:
    """Serve a model machine at an empty folder; returns once the mount answers.

    ``address_or_source`` is an address (``model:server``), a shipped machine, a
    TOML file, or a state file with or without ``/GUEST``. The server ends with
    this process, unless it is ``lasting``. Raises ``MemhpError``, and then
    nothing is mounted.
    """
    place = real_place(folder)
    _check_folder(place)
    socket_path = _whole(uevents)
    mine, its = socket.socketpair()
    with its, tempfile.TemporaryFile() as said:
        words = [address_or_source, str(place), str(socket_path or ""), str(its.fileno())]
        try:
            server = _start([*words, _LIVES[lasting]], its, said)
        except OSError as err:
            mine.close()
            raise _not_mounted(
                place, f"cannot be served ({sys.executable} cannot be run: {err.strerror})"
            ) from err
        its.close()
        mounted = Mounted(server, mine, place, "", socket_path)
        try:
            mounted.nonce = _answer(mine, place, said)["nonce"]
            _check_shown(place, mounted.nonce)
        except BaseException:
            mounted.close()
            raise
    return mounted


def _start(words: list[str], its: socket.socket, said: IO[bytes]) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "memhp.serving", *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=said,
        env=_environment(),
        pass_fds=[its.fileno()],
        cwd=_current_folder(),
        start_new_session=True,
    )


def _current_folder() -> str:
    """Where relative names begin; the root where that is lost, and none can be meant."""
    try:
        return os.getcwd()
    except OSError:
        return "/"


def _whole(path: Path | None) -> Path | None:
    """A path from the root, for the server leaves the current folder; links are left alone."""
    return path if path is None or path.is_absolute() else real_place(Path()) / path


def shows_memhp(path: Path, nonce: str) -> bool:
    """Whether a folder is, or lies in, the mount of the server that drew this nonce.

    Proved by the type of its file system, the kernel's list of mounts, and the
    nonce read back through this very path.
    """
    found = find_mounted_model(os.fspath(path))
    return found is not None and found.nonce == nonce


def _check_shown(folder: Path, nonce: str) -> None:
    if not shows_memhp(folder, nonce):
        raise _not_mounted(folder, "does not show what was mounted there")


def _answer(mine: socket.socket, folder: Path, said: IO[bytes]) -> dict[str, Any]:
    """What the server tells; raises what it raised."""
    mine.settimeout(_START_SECONDS)
    line = b""
    try:
        while not line.endswith(b"\n") and len(line) < _LONGEST_ANSWER:
            piece = mine.recv(1 << 16)
            if not piece:
                break
            line += piece
        answer: dict[str, Any] = json.loads(line)
    except (OSError, ValueError) as err:
        raise _not_mounted(folder, f"cannot be served ({_last_line(said)})") from err
    mine.settimeout(None)
    if "error" in answer:
        raise _with_reason(error_from_json(answer), said)
    return answer


def _with_reason(error: MemhpError, said: IO[bytes]) -> MemhpError:
    """Say why: libfuse tells it on its standard error and nowhere else."""
    reason = _first_line(said)
    if isinstance(error, MachineError) and error.advice == LIBFUSE_SAYS and reason:
        return MachineError(machine=error.machine, problem=error.problem, advice=reason)
    return error


def _check_folder(folder: Path) -> None:
    """See that something can be mounted there; raises ``ArgumentError``."""
    if os.path.ismount(folder):
        found = find_mounted_model(os.fspath(folder))
        what = "" if found is None else f": {found.machine}, served by process {found.pid}"
        raise _no_place(folder, f"is a mount already{what}")
    if is_mounted(folder):
        raise ArgumentError(
            text=str(folder),
            problem="is a mount whose server does not answer",
            advice=f"unmount it with 'memhp model umount {folder}'",
        )
    try:
        if any(folder.iterdir()):
            raise _no_place(folder, "is not empty")
    except FileNotFoundError:
        raise _no_place(folder, "does not exist") from None
    except NotADirectoryError:
        raise _no_place(folder, "is no folder") from None
    except OSError as err:
        raise _no_place(folder, f"cannot be looked into ({err.strerror})") from err


def _no_place(folder: Path, problem: str) -> ArgumentError:
    return ArgumentError(
        text=str(folder), problem=problem, advice="give an empty folder to mount on"
    )


def _not_mounted(folder: Path, problem: str) -> MachineError:
    return MachineError(machine=f"linux:{folder}", problem=problem, advice="nothing is served")


def _environment() -> dict[str, str]:
    """The same variables, with the memhp that runs here before any other."""
    source = str(Path(memhp.__file__).parents[1])
    others = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": f"{source}:{others}" if others else source}


def _first_line(said: IO[bytes]) -> str:
    return next(iter(_lines(said)), "")


def _last_line(said: IO[bytes]) -> str:
    return next(iter(reversed(_lines(said))), "the server has ended")


def _lines(said: IO[bytes]) -> list[str]:
    said.seek(0)
    return said.read(1 << 16).decode("utf-8", "replace").splitlines()
