"""Trees of files, saved from a machine and spoiled, and state files."""

import json
import os
import shutil
import sqlite3
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path, PurePath
from random import Random
from typing import Any

from booted import MEMORY as MODEL_MEMORY
from fuzz.mutation import dump, mutate_bytes, mutate_json, mutate_text
from fuzz.seeds import BYTES, JSON, TEXT, any_text, from_grammar, of_trees, saved_tree
from fuzz.shrinking import smaller_json
from fuzz.target import Attempt, Shape, Target
from memhp.core.listing import BlockFile
from memhp.core.snapshot import Want
from memhp.interfaces.cli.main import main
from memhp.interfaces.cli.show_boot import state_of_kernel
from memhp.machines.linux.iomem import read_iomem
from memhp.machines.linux.machine import LinuxMachine
from memhp.machines.linux.root import Root
from memhp.machines.linux.zones import read_zones
from memhp.model.codec import CodecError
from memhp.model.persist import decode_kernel, encode_kernel
from memhp.model.store import StateFile
from memhp.model.tree.tree import Tree
from saved_trees import unpack

Edit = dict[str, str]
_TREES = Path(__file__).parents[1] / "machines" / "linux" / "trees"
_NAMES = ("guest-6.12", "boot-6.12", "boot-6.1")
_MACHINE = '[[node]]\nmemory = "1G"\n[guests.web]\n[[guests.web.node]]\nmemory = "1G"\n'
_EVERY_FILE = BlockFile((1 << len(BlockFile)) - 1)


def _mutate_tree(data: bytes, chance: Random) -> bytes:
    """Add an edit, take one out, or change one as any JSON."""
    document: Any = json.loads(data)
    choice = chance.random()
    if choice < 0.7:
        document["edits"].append(_edit(document["tree"], chance))
    elif choice < 0.8 and document["edits"]:
        document["edits"].pop(chance.randrange(len(document["edits"])))
    else:
        document["tree"] = chance.choice(_NAMES)
    document["edits"] = document["edits"][-5:]
    return dump(document)


def _edit(name: str, chance: Random) -> Edit:
    files = saved_tree(name)
    path = chance.choice(sorted(files))
    # Files of blocks are many and all alike; the others are few and each of its own kind.
    if "/memory/memory" in path and chance.random() < 0.8:
        path = chance.choice(sorted(path for path in files if "/memory/memory" not in path))
    choice = chance.random()
    if choice < 0.7:
        binary = "/acpi/tables/" in path or path.endswith("boot_params/data")
        changed = (mutate_bytes if binary else mutate_text)(files[path], chance)
        return {"do": "write", "path": path, "content": changed[:60_000].decode("latin-1")}
    if choice < 0.8:
        other = chance.choice(("memory0", "memory٣", "memory99999999", "node7", "nodeX", "x"))
        return {"do": "folder", "path": str(PurePath(path).with_name(other))}
    target = chance.choice(("/", "/dev/null", "/dev/zero", "..", ".", "../node/node1", "memory5"))
    do = chance.choice(("remove", "link", "fifo", "folder"))
    upward = path if chance.random() < 0.6 else str(PurePath(path).parent)
    return {"do": do, "path": upward, "target": target}


def _smaller_tree(data: bytes) -> Iterator[bytes]:
    document = json.loads(data)
    edits = document["edits"]
    for place in range(len(edits)):
        yield dump(document | {"edits": edits[:place] + edits[place + 1 :]})
    for place, edit in enumerate(edits):
        content = edit.get("content", "")
        size = len(content) // 2
        while size:
            for start in range(0, len(content), size):
                shorter = edit | {"content": content[:start] + content[start + size :]}
                yield dump(document | {"edits": [*edits[:place], shorter, *edits[place + 1 :]]})
            size //= 2


_TREE = Shape(mutate=_mutate_tree, smaller=_smaller_tree)


@contextmanager
def _spoiled(root: Path, edit: Edit, kept: Path) -> Iterator[None]:
    """Do what an edit says, where it can be done, and mend it; never outside the tree."""
    path = root / edit["path"]
    if not os.path.realpath(path.parent).startswith(f"{root}/"):
        yield
        return
    if os.path.lexists(path):
        path.rename(kept)
    try:
        with suppress(OSError):
            _put(path, edit)
        yield
    finally:
        _take(path)
        if os.path.lexists(kept):
            kept.rename(path)


def _put(path: Path, edit: Edit) -> None:
    match edit["do"]:
        case "write":
            path.write_bytes(edit["content"].encode("latin-1"))
        case "folder":
            path.mkdir()
        case "link":
            path.symlink_to(edit["target"])
        case "fifo":
            os.mkfifo(path)


def _take(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    elif os.path.lexists(path):
        path.unlink()


def _in_tree(look: Callable[[LinuxMachine, Path], object]) -> Callable[[Path], Attempt]:
    """Spoil a tree, look at it, and mend it for the next."""

    def prepare(folder: Path) -> Attempt:
        whole = {name: _unpacked(folder, name) for name in _NAMES}

        def attempt(data: bytes) -> None:
            try:
                document = json.loads(data)
                name, edits = document["tree"], document["edits"]
            except (ValueError, TypeError, KeyError, RecursionError):
                return
            root = whole[name]
            with ExitStack() as spoiled:
                for place, edit in enumerate(edits):
                    spoiled.enter_context(_spoiled(root, edit, folder / f"aside{place}"))
                look(LinuxMachine(Root(str(root), "linux:tree")), root)

        return attempt

    return prepare


def _unpacked(folder: Path, name: str) -> Path:
    root = folder / name
    root.mkdir()
    unpack(_TREES / f"{name}.tar.gz", root)
    return root


def _seen(machine: LinuxMachine, _root: Path) -> None:
    machine.snapshot(Want.ALL)


def _listed(machine: LinuxMachine, root: Path) -> None:
    machine.list_blocks(_EVERY_FILE)
    main(["ls", "--json", "-M", f"linux:{root}"])


def _booted(machine: LinuxMachine, _root: Path) -> None:
    state_of_kernel(machine.boot_inputs().boot())


def _trees() -> list[bytes]:
    return [dump({"tree": name, "edits": []}) for name in _NAMES]


def _file_of(path: str, read: Callable[[Root], object]) -> Callable[[Path], Attempt]:
    """A tree with one file in it."""

    def prepare(folder: Path) -> Attempt:
        (folder / path).parent.mkdir(parents=True)
        root = Root(str(folder), "linux:tree")

        def attempt(data: bytes) -> None:
            (folder / path).write_bytes(data)
            read(root)

        return attempt

    return prepare


@cache
def _state_files() -> tuple[bytes, ...]:
    """A state file as it is made, and as it is after some changes."""
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "m"
        StateFile.create(path, _MACHINE).close()
        found = [path.read_bytes()]
        for part, number in (("", 4), ("web", 5)):
            with StateFile.open(path) as state, state.change("offline", part) as kernel:
                Tree(kernel).write(f"{MODEL_MEMORY}/memory{number}/state", "offline")
        found.append(path.read_bytes())
    return tuple(found)


def _use(path: Path) -> None:
    """All that a state file is opened for."""
    with StateFile.open(path, wait_seconds=0) as state:
        state.log()
        str(state.identity)
        for part in state.parts():
            state.load(part)
        state.load()
        with state.change("fuzzed") as kernel:
            kernel.online_blocks()
        str(state.description)


def _state_file(folder: Path) -> Attempt:
    path = folder / "m"

    def attempt(data: bytes) -> None:
        for beside in folder.glob("m*"):
            beside.unlink()
        path.write_bytes(data)
        _use(path)

    return attempt


def _rows(folder: Path) -> Attempt:
    """State files whose rows hold something else; checksums are made right again."""
    whole = _state_files()[1]
    path = folder / "m"

    def attempt(data: bytes) -> None:
        table, column, value = _row_edit(data)
        for beside in folder.glob("m*"):
            beside.unlink()
        path.write_bytes(whole)
        connection = sqlite3.connect(path, isolation_level=None)
        try:
            connection.execute(f"UPDATE {table} SET {column} = ?", (value,))
            if column in {"text", "value"} and isinstance(value, str):
                crc = zlib.crc32(value.encode("utf-8", "replace"))
                connection.execute(f"UPDATE {table} SET crc = ?", (crc,))
        except (sqlite3.Error, OverflowError, UnicodeError):
            return
        finally:
            connection.close()
        _use(path)

    return attempt


_COLUMNS = (
    *(("description", "text"), ("description", "file"), ("description", "crc"), ("log", "time")),
    *(("machine", "part"), ("machine", "uuid"), ("machine", "boots"), ("state", "value")),
    *(("state", "crc"), ("log", "uevents"), ("log", "messages"), ("log", "asked"), ("log", "part")),
)


def _row_edit(data: bytes) -> tuple[str, str, Any]:
    try:
        place, value = json.loads(data)
        table, column = _COLUMNS[place % len(_COLUMNS)]
    except (ValueError, TypeError, RecursionError):
        table, column = _COLUMNS[len(data) % len(_COLUMNS)]
        value = data
    known = isinstance(value, str | int | float | bytes | None)
    return table, column, value if known else json.dumps(value)


def _row_seeds() -> list[bytes]:
    texts = (_MACHINE, "[]", '[["online","memory","/devices/system/memory/memory",4,1,1]]', 7)
    return [dump([place, text]) for place in range(len(_COLUMNS)) for text in texts]


def _kernel_parts(_folder: Path) -> Attempt:
    def attempt(data: bytes) -> None:
        parts = json.loads(data)
        if isinstance(parts, dict):
            encode_kernel(decode_kernel({key: json.dumps(part) for key, part in parts.items()}))

    return attempt


def _kernels() -> list[bytes]:
    from booted import booted, with_dimm

    kernels = (booted(_MACHINE), with_dimm())
    return [
        dump({name: json.loads(part) for name, part in encode_kernel(kernel).items()})
        for kernel in kernels
    ]


TARGETS = (
    Target(
        name="sysfs trees: a snapshot",
        prepare=_in_tree(_seen),
        seeds=_trees,
        shape=_TREE,
        inputs=250,
    ),
    Target(
        name="sysfs trees: listed",
        prepare=_in_tree(_listed),
        seeds=_trees,
        shape=_TREE,
        inputs=250,
    ),
    Target(
        name="sysfs trees: booted",
        prepare=_in_tree(_booted),
        seeds=_trees,
        shape=_TREE,
        inputs=250,
    ),
    Target(
        name="zoneinfo",
        prepare=_file_of("proc/zoneinfo", read_zones),
        seeds=lambda: of_trees("proc/zoneinfo"),
        shape=TEXT,
        inputs=800,
        invent=from_grammar("Node 0, zone   Normal\n", "  spanned  ", "1", "\n", "Node ", "DMA"),
    ),
    Target(
        name="iomem",
        prepare=_file_of("proc/iomem", read_iomem),
        seeds=lambda: of_trees("proc/iomem"),
        shape=TEXT,
        inputs=1200,
        invent=from_grammar("00000000-", "0009fbff", " : ", "System RAM", "\n", "  ") | any_text,
    ),
    Target(
        name="state files",
        prepare=_state_file,
        seeds=_state_files,
        shape=BYTES,
        inputs=300,
    ),
    Target(
        name="state files: rows",
        prepare=_rows,
        seeds=_row_seeds,
        shape=JSON,
        inputs=30,
    ),
    Target(
        name="states of kernels",
        prepare=_kernel_parts,
        seeds=_kernels,
        shape=Shape(mutate=mutate_json, smaller=smaller_json),
        inputs=800,
        allowed=(CodecError, ValueError, RecursionError),
    ),
)
