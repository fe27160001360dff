"""Putting a mounted model in the place of the host's files, in a mount namespace of its own.

Every call that fails ends it with ``OSError``: nobody goes on with half of it.
``check_stand_in`` looks at the result anew, through the paths themselves.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from memhp.serving import kernel_calls
from memhp.serving.kernel_calls import FileSystem, MountFlags, file_system_of
from memhp.serving.mount_table import MountPoint, is_reached, mount_table
from memhp.serving.stand_in_paths import (
    DEBUGFS,
    MODULE_PROGRAMS,
    READ_ONLY,
    SHARED,
    WRITABLE,
    Served,
)

STAGE = "/sys/fs"
"""Where things are put together: a folder that every sysfs has; afterwards it is as it was."""
MACHINE = f"{STAGE}/machine"
_EMPTY_FOLDER, _EMPTY_FILE = f"{STAGE}/nothing", f"{STAGE}/nothing-to-read"
_FRESH = f"{STAGE}/fresh"
_SUCCEEDS = f"{STAGE}/programs"
_BUILT = f"{STAGE}/built"
_PROGRAM_FOLDERS = ("/sbin", "/usr/sbin", "/bin", "/usr/bin")
_HARMLESS = "#!/bin/sh\nexit 0\n"
_QUIET = MountFlags.NO_SUID | MountFlags.NO_DEVICES
HOST_KINDS = frozenset({"sysfs", "debugfs"})


@dataclass(frozen=True, slots=True, kw_only=True)
class MountCalls:
    """The calls that change mounts; others in a test that makes one of them fail."""

    mount: Callable[[str, str, str, MountFlags, str], None] = kernel_calls.mount
    bind: Callable[[str, str], None] = kernel_calls.bind
    set_read_only: Callable[[str], None] = kernel_calls.set_read_only
    detach: Callable[[str], None] = kernel_calls.detach


def prepare(calls: MountCalls) -> tuple[str, ...]:
    """Part from the host's mounts, make its files read-only, and set the stage.

    What is mounted from here on is seen in this namespace alone. Returns where
    the host's mounts are that were made read-only.
    """
    calls.mount("none", "/", "", MountFlags.RECURSIVE | MountFlags.PRIVATE, "")
    if any(one.is_shared for one in mount_table()):
        raise OSError(0, "mounts here would be seen outside", "/")
    calls.mount("proc", "/proc", "proc", _QUIET | MountFlags.NO_EXECUTE, "")
    _show_debugfs(calls)
    left = tuple(dict.fromkeys(one.path for one in host_mounts()))
    for path in left:
        calls.set_read_only(path)
    for path in READ_ONLY:
        if os.path.lexists(path):
            calls.bind(path, path)
            calls.set_read_only(path)
    calls.mount("memhp", STAGE, "tmpfs", _QUIET, "mode=0755")
    for folder in (MACHINE, _EMPTY_FOLDER, _FRESH, _SUCCEEDS, _BUILT):
        Path(folder).mkdir()
    Path(_EMPTY_FILE).touch(mode=0o444)
    return left


def host_mounts() -> Iterator[MountPoint]:
    """Mounts of sysfs and debugfs, and of procfs a second time, to which a path leads."""
    for one in mount_table():
        is_second = one.kind == "proc" and one.path not in {"/proc", "/proc/sys"}
        if (one.kind in HOST_KINDS or is_second) and is_reached(one):
            yield one


def put_in_place(served: tuple[Served, ...], calls: MountCalls) -> None:
    """Let each of the model's entries lie at its path."""
    for folder, missing in _missing_places(served):
        _build_anew(folder, missing, calls)
    for one in served:
        calls.bind(f"{MACHINE}{one.path}", one.path)


def cover(paths: tuple[str, ...], calls: MountCalls) -> None:
    """Let something empty lie at each path; the state of udev's devices may be written anew."""
    for path in paths:
        if path in WRITABLE:
            calls.bind(_FRESH, path)
            continue
        calls.bind(_EMPTY_FOLDER if Path(path).is_dir() else _EMPTY_FILE, path)
        calls.set_read_only(path)


def cover_module_programs(calls: MountCalls) -> None:
    """Let each program that changes the host's modules do nothing and succeed.

    Where there is no modprobe, or it is a link to a program that does more, the
    folder is shown with one in front; where that cannot be, there is none, or
    one that may load nothing.
    """
    for name in MODULE_PROGRAMS:
        program = Path(_SUCCEEDS, name)
        program.write_text(_HARMLESS, encoding="ascii")
        program.chmod(0o755)
    for path in sorted(_module_programs()):
        calls.bind(f"{_SUCCEEDS}/{MODULE_PROGRAMS[0]}", path)
    folder = os.path.realpath(_PROGRAM_FOLDERS[0])
    if not _is_harmless(f"{folder}/{MODULE_PROGRAMS[0]}"):
        try:
            options = f"lowerdir={_SUCCEEDS}:{folder}"
            calls.mount("memhp", folder, "overlay", MountFlags.READ_ONLY, options)
        except OSError:
            return


def leave_stage(calls: MountCalls) -> None:
    """Take the stage away; what was bound from it stays where it is."""
    calls.detach(STAGE)


def _show_debugfs(calls: MountCalls) -> None:
    """Mount debugfs where it is not, for programs look for it in the table of mounts.

    It is made read-only with the rest and covered by the model's. A kernel that
    does not let it be mounted has none that could be reached.
    """
    try:
        if file_system_of(DEBUGFS) != FileSystem.DEBUGFS:
            calls.mount("debugfs", DEBUGFS, "debugfs", _QUIET | MountFlags.NO_EXECUTE, "")
    except OSError:
        return


def _module_programs() -> set[str]:
    """The files behind the programs' names that are nothing else (as busybox would be)."""
    places = (f"{folder}/{name}" for folder in _PROGRAM_FOLDERS for name in MODULE_PROGRAMS)
    files = {os.path.realpath(place) for place in places if Path(place).is_file()}
    return {file for file in files if Path(file).name in MODULE_PROGRAMS}


def _is_harmless(program: str) -> bool:
    try:
        return Path(program).read_bytes() == _HARMLESS.encode()
    except OSError:
        return False


def _missing_places(served: tuple[Served, ...]) -> Iterator[tuple[str, tuple[Served, ...]]]:
    """The host's folders that lack a place for an entry of the model, with what they lack."""
    found: dict[str, list[Served]] = {}
    for one in served:
        if not os.path.lexists(one.path):
            folder = Path(one.path).parent
            while not folder.is_dir():
                folder = folder.parent
            found.setdefault(str(folder), []).append(one)
    for folder_path, missing in found.items():
        yield folder_path, tuple(missing)


def _build_anew(folder: str, missing: tuple[Served, ...], calls: MountCalls) -> None:
    """Show a folder of sysfs or of sysctls with more in it: nobody makes entries there."""
    if folder not in SHARED or folder in {"/", "/proc"}:
        raise OSError(0, "this host has no place for it", missing[0].path)
    built = f"{_BUILT}{folder}"
    Path(built).mkdir(parents=True)
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        _repeat(entry, f"{built}/{entry.name}", calls)
    for one in missing:
        _make_place(Path(f"{_BUILT}{one.path}"), is_folder=one.is_folder)
    calls.bind(built, folder)


def _repeat(entry: "os.DirEntry[str]", place: str, calls: MountCalls) -> None:
    if entry.is_symlink():
        Path(place).symlink_to(Path(entry.path).readlink())
        return
    _make_place(Path(place), is_folder=entry.is_dir())
    calls.bind(entry.path, place)


def _make_place(place: Path, *, is_folder: bool) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    if is_folder:
        place.mkdir(exist_ok=True)
    else:
        place.touch()
