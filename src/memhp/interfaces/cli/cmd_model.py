"""Make and look at model machines.

A model machine is an executable model of the kernel's memory hotplug: the same
files, words and errno. 'new' keeps one in a file, from a shipped machine or a
TOML file; every command then takes it as -M model:FILE.

  memhp model list
  memhp model new server rack1.machine
  memhp online 32-39 -M model:rack1.machine
  memhp model log rack1.machine
  memhp model mount rack1.machine /tmp/rack1
  memhp model tree -M model:rack1.machine /sys/devices/system/memory/memory32
  memhp model exec rack1.machine -- lsmem
"""

import sys
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter

from memhp.core.errors import NotSupported
from memhp.core.snapshot import Want
from memhp.core.targets import format_size
from memhp.core.words import ExitCode
from memhp.interfaces.cli.colour import paint_for_stdout
from memhp.interfaces.cli.model_compare import add_compare_arguments, run_compare
from memhp.interfaces.cli.model_exec import add_exec, run_exec
from memhp.interfaces.cli.model_mount import add_mount, mount, umount
from memhp.interfaces.cli.options import add_json_option, add_machine_option, machine_of
from memhp.interfaces.cli.show import print_json, printable
from memhp.interfaces.cli.show_machine import show_machine
from memhp.machines.model import ModelMachine
from memhp.model.profile import PROFILES
from memhp.model.shipped import description_text, load_shipped, shipped_machines
from memhp.model.steps import KernelRefusal
from memhp.model.store import StateFile
from memhp.model.store_log import LogRow
from memhp.model.tree.entries import Directory, Entry, File, Link

SUMMARY = "make and look at model machines"


def add_arguments(parser: ArgumentParser) -> None:
    """Describe the command's arguments and options."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    listing = actions.add_parser("list", description="List the machines that come with memhp.")
    add_json_option(listing)
    new = actions.add_parser("new", description="Make a machine that lasts, in a file.")
    new.add_argument("source", metavar="NAME|TOML", help="a shipped machine, or a TOML file")
    new.add_argument("file", metavar="FILE", help="the state file to make")
    add_json_option(new)
    show = actions.add_parser("show", description="Show a machine's nodes, zones and devices.")
    add_machine_option(show)
    add_json_option(show)
    tree = actions.add_parser("tree", description="Read, list or write the machine's own files.")
    tree.add_argument("path", nargs="?", default="/", help="a file or directory, as on Linux")
    tree.add_argument("--write", metavar="TEXT", help="write this to the file")
    add_machine_option(tree)
    add_json_option(tree)
    log = actions.add_parser("log", description="Show what was done to a machine.")
    log.add_argument("file", metavar="FILE", help="the machine's state file")
    add_json_option(log)
    add_exec(actions.add_parser("exec", formatter_class=RawDescriptionHelpFormatter))
    restart = actions.add_parser("restart", description="Boot a machine anew.")
    restart.add_argument("file", metavar="FILE", help="the machine's state file")
    add_json_option(restart)
    add_compare_arguments(actions)
    add_mount(actions.add_parser)


def run(args: Namespace) -> int:
    """Do what was asked for; the exit code of ``exec`` is that of its command."""
    if args.action == "exec":
        return run_exec(args)
    actions = {
        "list": _list,
        "new": _new,
        "show": _show,
        "tree": _tree,
        "log": _log,
        "restart": _restart,
        "compare": run_compare,
        "mount": mount,
        "umount": umount,
    }
    return actions[args.action](args)


def _list(args: Namespace) -> ExitCode:
    described = [load_shipped(name) for name in shipped_machines()]
    if args.json:
        print_json([{"name": item.name, "about": item.about} for item in described])
        return ExitCode.DONE
    for item in described:
        print(f"{item.name:<14} {item.about}")
    judged = ", ".join(name for name, profile in PROFILES.items() if profile.recorded)
    rest = ", ".join(name for name, profile in PROFILES.items() if not profile.recorded)
    print(f"\nkernels: {judged} (recorded), {rest} (from reports, not recorded)")
    return ExitCode.DONE


def _new(args: Namespace) -> ExitCode:
    text, file = description_text(args.source)
    with StateFile.create(args.file, text, file=file) as state:
        kernel = state.load()
        size = format_size(kernel.block_size_bytes)
        guests = state.parts()
    addresses = [f"model:{args.file}/{name}" for name in guests]
    if args.json:
        print_json({"machine": f"model:{args.file}", "guests": addresses})
        return ExitCode.DONE
    print(f"{args.file}: {kernel.online_blocks()} memory blocks of {size} online", file=sys.stderr)
    if addresses:
        print(f"guests: {', '.join(addresses)}", file=sys.stderr)
    return ExitCode.DONE


def _show(args: Namespace) -> ExitCode:
    snapshot = machine_of(args).snapshot(Want.ALL)
    if args.json:
        print_json(snapshot)
    else:
        show_machine(snapshot, paint_for_stdout())
    return ExitCode.DONE


def _tree(args: Namespace) -> ExitCode:
    machine = machine_of(args)
    if not isinstance(machine, ModelMachine):
        raise NotSupported(
            machine=machine.name, operation="show its files", advice="this is for model: machines"
        )
    try:
        if args.write is not None:
            machine.write_file(args.path, args.write)
            return ExitCode.DONE
        if args.json:
            print_json(_entry_json(machine, args.path))
        else:
            _print_entry(machine, args.path)
    except KernelRefusal as refusal:
        print(printable(f"memhp: {args.path}: {refusal}"), file=sys.stderr)
        return ExitCode.REFUSED
    return ExitCode.DONE


def _print_entry(machine: ModelMachine, path: str) -> None:
    """A file's content as it is; a directory as a list that shows what can be written."""
    tree = machine.tree()
    if not isinstance(tree.find(path), Directory):
        sys.stdout.flush()
        sys.stdout.buffer.write(tree.read_bytes(path))
        return
    for name in tree.list(path):
        entry = tree.find(f"{path}/{name}", follow=False)
        match entry:
            case Directory():
                print(f"{name}/")
            case Link(target=target):
                print(f"{name} -> {target}")
            case File(write=write) if write is not None:
                print(f"{name} (can be written)")
            case _:
                print(name)


def _entry_json(machine: ModelMachine, path: str) -> object:
    """A file with its text, or what a directory holds."""
    tree = machine.tree()
    if not isinstance(tree.find(path), Directory):
        return {"path": path, "text": tree.read_bytes(path).decode("utf-8", "replace")}
    return [
        _named_json(name, tree.find(f"{path}/{name}", follow=False)) for name in tree.list(path)
    ]


def _named_json(name: str, entry: Entry | None) -> dict[str, object]:
    match entry:
        case Directory():
            return {"name": name, "is": "directory"}
        case Link(target=target):
            return {"name": name, "is": "link", "target": target}
        case File() | None:
            return {"name": name, "is": "file", "writable": bool(entry and entry.write)}


def _log(args: Namespace) -> ExitCode:
    with StateFile.open(args.file) as state:
        rows = state.log()
    if args.json:
        print_json([{**_plain(row), "uevents": len(row.uevents)} for row in rows])
        return ExitCode.DONE
    for row in rows:
        guest = f" [{row.part}]" if row.part else ""
        print(f"{row.number:>4}  {row.time:%Y-%m-%d %H:%M:%SZ}{guest}  {row.asked}: {row.outcome}")
    return ExitCode.DONE


def _plain(row: LogRow) -> dict[str, str | int]:
    return {
        "number": row.number,
        "time": row.time.isoformat(),
        "part": row.part,
        "asked": row.asked,
        "outcome": row.outcome,
    }


def _restart(args: Namespace) -> ExitCode:
    with StateFile.open(args.file) as state:
        state.restart()
        identity = state.identity
    if args.json:
        print_json({"machine": f"model:{args.file}", "identity": identity})
    else:
        print(f"{args.file}: booted anew", file=sys.stderr)
    return ExitCode.DONE
