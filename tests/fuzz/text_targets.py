"""Words and text: command lines, arguments, lists, complaints of a shell, descriptions."""

from collections.abc import Callable
from pathlib import Path

from fuzz.seeds import TEXT, any_text, any_words, descriptions, from_grammar, of_trees
from fuzz.target import Attempt, Target
from memhp.core.command_line import parse_command_line
from memhp.core.errors import MemhpError
from memhp.core.ranges import format_list, parse_list
from memhp.core.targets import format_size, parse_size, parse_target
from memhp.interfaces.cli.main import main
from memhp.interfaces.cli.show_boot import state_of_kernel
from memhp.machines.linux.numbers import indexed, number, number_list
from memhp.machines.model import ModelMachine
from memhp.machines.open import open_machine
from memhp.machines.qemu.shell_errors import errno_name
from memhp.model.description import parse_description, start
from memhp.model.steps import KernelRefusal
from memhp.model.tree.entries import Directory, File
from memhp.model.tree.tree import Tree

_LINES = (
    b"movable_node kernelcore=50% memhp_default_state=online_movable",
    b"kernelcore=1G movablecore=512M mem=3G hugepagesz=2M hugepages=0:4,1:2 -- movable_node",
    b'memory_hotplug.online_policy=auto-movable memory_hotplug.auto_movable_ratio=0x12d "a b"=c',
    b"memory_hotplug.memmap_on_memory=force memory_hotplug.auto_movable_numa_aware=N",
)
_PARAMETERS = from_grammar(
    *("movable_node", "kernelcore=", "movablecore=", "mirror", "acpi", "mem=", "hugepages=", "%"),
    *("hugepagesz=", "memory_hotplug.", "online_policy=", "auto-movable", "memmap_on_memory="),
    *("auto_movable_ratio=", "memhp_default_state=", "online", " ", " ", " ", "4G", "K", "M", "T"),
    *("0:", ",", '"', "--", "-", "_"),
)


def _text(data: bytes) -> str:
    """As Python has a word of the command line: whatever is no UTF-8 becomes a surrogate."""
    return data.decode("utf-8", "surrogateescape")


def _command_line(_folder: Path) -> Attempt:
    def attempt(data: bytes) -> None:
        for force in (True, False):
            line = parse_command_line(_text(data), memmap_force=force)
            assert line.text == _text(data)

    return attempt


def _command_line_boot(_folder: Path) -> Attempt:
    machine = open_machine("model:laptop")
    assert isinstance(machine, ModelMachine)
    inputs = machine.boot_inputs()

    def attempt(data: bytes) -> None:
        state_of_kernel(inputs.with_command_line(_text(data)).boot())

    return attempt


def _targets(_folder: Path) -> Attempt:
    def attempt(data: bytes) -> None:
        target = parse_target(_text(data))
        assert parse_target(str(target)) == target

    return attempt


def _sizes(_folder: Path) -> Attempt:
    def attempt(data: bytes) -> None:
        size_bytes = parse_size(_text(data))
        assert parse_size(format_size(size_bytes)) == size_bytes

    return attempt


def _lists(_folder: Path) -> Attempt:
    def attempt(data: bytes) -> None:
        text = _text(data)
        number_list(text), number(text), number(text, 16), number(text, 0), indexed(text, "memory")
        numbers = parse_list(text)
        assert set(parse_list(format_list(sorted(set(numbers))))) == set(numbers)

    return attempt


def _errno(_folder: Path) -> Attempt:
    def attempt(data: bytes) -> None:
        assert errno_name(_text(data)).startswith(("E", "errno "))

    return attempt


def _toml(_folder: Path) -> Attempt:
    def attempt(data: bytes) -> None:
        description = parse_description(data.decode("utf-8", "replace"), "m.toml")
        for machine in (description, *description.guests):
            assert start(machine).online_blocks() > 0

    return attempt


def _command(*words: str) -> Callable[[Path], Attempt]:
    """A command with one word of its own; a NUL cannot be in a word."""

    def prepare(_folder: Path) -> Attempt:
        def attempt(data: bytes) -> None:
            word = _text(data).replace("\0", "")
            given = [each.replace("WORD", word) for each in words]
            if code := main(given):
                raise SystemExit(int(code))

        return attempt

    return prepare


def _model_files(_folder: Path) -> Attempt:
    """Lines of ``PATH VALUE``, each written to a file of a modelled kernel and read back."""
    described = parse_description(descriptions()[0].decode(), "m.toml")

    def attempt(data: bytes) -> None:
        tree = Tree(start(described))
        refused: KernelRefusal | None = None
        for line in _text(data).split("\n")[:20]:
            path, _, value = line.partition(" ")
            try:
                tree.write(path, value)
                if isinstance(tree.find(path), File):
                    tree.read_bytes(path)
            except KernelRefusal as refusal:
                # As the command line tells it, in one line.
                refused = KernelRefusal(refusal.errno or 0, refusal.errno_name)
        if refused is not None:
            raise refused

    return attempt


def _writes() -> list[bytes]:
    """A write to every file that can be written, of a few of each kind."""
    tree = Tree(start(parse_description(descriptions()[0].decode(), "m.toml")))
    found: list[str] = []
    folders = [""]
    while folders:
        folder = folders.pop()
        entry = tree.find(folder)
        for name in entry.names() if isinstance(entry, Directory) else ():
            path = f"{folder}/{name}"
            inner = tree.find(path, follow=False)
            if isinstance(inner, Directory) and not name.startswith("memory1"):
                folders.append(path)
            elif isinstance(inner, File) and inner.write is not None:
                found.append(path)
    words = ("online_movable", "offline", "1", "0x8000000", "-12")
    lines = [f"{path} {words[place % len(words)]}" for place, path in enumerate(found)]
    return ["\n".join(lines[start : start + 5]).encode() for start in range(0, len(lines), 5)][:60]


_ARGUMENTS = from_grammar(
    *("memory", "node", "dimm0", "0x", "-", "-", ",", "iB", "K", "M", "G", "T", "P", "E", ":", "."),
)
_WORDS = (
    b"memory32",
    b"32-39,41",
    b"4G",
    b"512MiB",
    b"0x100000000-0x13fffffff",
    b"node1",
    b"dimm0",
)
_LISTS = (b"0-3,8", b"0", b"", b"0-1023", b"1,3,5,7-9\n")

TARGETS = (
    Target(
        name="command line",
        prepare=_command_line,
        seeds=lambda: [*_LINES, *of_trees("proc/cmdline")],
        shape=TEXT,
        inputs=1500,
        invent=_PARAMETERS | any_text,
    ),
    Target(
        name="command line, booted",
        prepare=_command_line_boot,
        seeds=lambda: _LINES,
        shape=TEXT,
        inputs=500,
        invent=_PARAMETERS,
    ),
    Target(
        name="targets",
        prepare=_targets,
        seeds=lambda: _WORDS,
        shape=TEXT,
        inputs=1500,
        invent=_ARGUMENTS | any_text,
    ),
    Target(
        name="sizes",
        prepare=_sizes,
        seeds=lambda: _WORDS,
        shape=TEXT,
        inputs=1500,
        invent=_ARGUMENTS,
    ),
    Target(
        name="lists of numbers",
        prepare=_lists,
        seeds=lambda: _LISTS,
        shape=TEXT,
        inputs=1200,
        invent=from_grammar("0", "9", "-", ",", "\n", " ", "1023", "999999") | any_text,
        allowed=(MemhpError, ValueError),
        memory_bytes=64 << 20,
    ),
    Target(
        name="a shell's complaints",
        prepare=_errno,
        seeds=lambda: [
            b"sh: write error: Device or resource busy",
            b"sh: can't create /sys/x: nonexistent directory",
            b"sh: write error: Unknown error 524",
        ],
        shape=TEXT,
        inputs=1000,
        invent=any_text | any_words,
    ),
    Target(
        name="descriptions",
        prepare=_toml,
        seeds=descriptions,
        shape=TEXT,
        inputs=250,
        invent=any_text | any_words,
    ),
    Target(
        name="words: a size, of a node",
        prepare=_command("offline", "WORD", "--dry-run", "-M", "model:laptop", "--at-least=1G"),
        seeds=lambda: _WORDS,
        shape=TEXT,
        inputs=200,
        invent=_ARGUMENTS,
        allowed=(MemhpError, SystemExit),
    ),
    Target(
        name="words: a deadline",
        prepare=_command("offline", "1", "-M", "model:laptop", "--deadline=WORD"),
        seeds=lambda: [b"90s", b"5m", b"1h", b"7"],
        shape=TEXT,
        inputs=150,
        invent=from_grammar("s", "m", "h", "90", "0"),
        allowed=(MemhpError, SystemExit),
    ),
    Target(
        name="words: nodes for an SRAT",
        prepare=_command("boot", "server", "--hotpluggable", "WORD"),
        seeds=lambda: [b"1-3", b"node1", b"0"],
        shape=TEXT,
        inputs=80,
        invent=from_grammar("node", "1", "-", ","),
        allowed=(MemhpError, SystemExit),
    ),
    Target(
        name="files of the model, written",
        prepare=_model_files,
        seeds=_writes,
        shape=TEXT,
        inputs=500,
        allowed=(MemhpError, KernelRefusal),
    ),
)
