"""Print what becomes of memory blocks, as it happens.

Each line is one uevent of the kernel, which says no more than that a block was
added, came online, went offline or was removed; its state, its zone and its
node are read just after it. Ctrl-C ends it, and so does a reader that goes.

  memhp watch -M linux:
  memhp watch --json -M linux: | jq .block
"""

import select
import sys
from argparse import ArgumentParser, Namespace
from datetime import UTC, datetime

from memhp.core.changes import BlockChange
from memhp.core.errors import NotSupported
from memhp.core.words import ExitCode
from memhp.interfaces.cli.options import add_json_option, add_machine_option, address_of, machine_of
from memhp.interfaces.cli.show import print_event_line
from memhp.machines.linux.lister import open_root
from memhp.machines.linux.watch import Watch

SUMMARY = "print changes of memory blocks as they happen"
_LINUX = "linux:"


def add_arguments(parser: ArgumentParser) -> None:
    """Describe the command's options."""
    add_machine_option(parser)
    add_json_option(parser)


def run(args: Namespace) -> ExitCode:
    """Watch until somebody ends it; raises ``NotSupported`` and ``ContactLost``."""
    address = address_of(args) or ""
    if not address.startswith(_LINUX):
        raise NotSupported(
            machine=machine_of(args).name,
            operation="be watched",
            advice="a model can be mounted with --uevents and watched as linux:DIR; a guest is "
            "watched by memhp inside it",
        )
    watch = Watch(open_root(address.removeprefix(_LINUX)), _now)
    print(f"watching {address}; Ctrl-C ends it", file=sys.stderr, flush=True)
    try:
        _follow(watch, as_json=bool(getattr(args, "json", False)))
    except KeyboardInterrupt:
        return ExitCode.DONE
    finally:
        watch.close()
    return ExitCode.DONE


def _follow(watch: Watch, *, as_json: bool) -> None:
    """Print every change, until nobody reads."""
    poll = select.poll()
    poll.register(watch.fileno(), select.POLLIN)
    # Of a pipe that nobody reads any longer the kernel tells without being asked.
    poll.register(sys.stdout.fileno(), 0)
    while True:
        ready = dict(poll.poll())
        if ready.get(sys.stdout.fileno(), 0) & (select.POLLERR | select.POLLNVAL):
            return
        change = watch.change()
        if change is None:
            continue
        if as_json:
            print_event_line(change)
        else:
            print(_line(change), flush=True)


def _line(change: BlockChange) -> str:
    block = f"memory{change.block}"
    if change.state is None:
        return f"{change.time}  {block:<12} {change.action}"
    node = "" if change.node is None else f"  node{change.node}"
    zones = "/".join(change.zones) or "-"
    return f"{change.time}  {block:<12} {change.action:<8} {change.state:<8} {zones}{node}"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
