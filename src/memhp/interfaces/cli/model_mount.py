"""``memhp model mount`` and ``umount``: a model's files in a folder, live."""

import shlex
import signal
import sys
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from memhp.core.errors import ArgumentError
from memhp.core.words import ExitCode
from memhp.interfaces.cli.options import add_json_option
from memhp.interfaces.cli.show import print_json

if TYPE_CHECKING:  # imported where something is mounted
    from memhp.serving.mounted import Mounted

MOUNT_HELP = """\
Serve a model machine's files at an empty folder, live: what is written there
changes the model, and every program may read and write it. A machine of a state
file is held until it is unmounted, and everything done to it is kept.

  memhp model mount server /tmp/server
  lsmem --sysroot /tmp/server
  echo offline > /tmp/server/sys/devices/system/memory/memory40/state
  memhp evacuate node1 -M linux:/tmp/server
  memhp model umount /tmp/server
"""


def add_mount(add_parser: Callable[..., ArgumentParser]) -> None:
    """Describe ``mount`` and ``umount``."""
    mount = add_parser("mount", description=MOUNT_HELP, formatter_class=RawDescriptionHelpFormatter)
    mount.add_argument(
        "source",
        metavar="MACHINE",
        help="a shipped machine, a TOML file, or a state file, with /GUEST for a guest",
    )
    mount.add_argument("folder", metavar="DIR", type=Path, help="an empty folder")
    mount.add_argument(
        "--uevents", metavar="SOCKET", type=Path, help="make a socket from which uevents are read"
    )
    mount.add_argument(
        "--foreground", action="store_true", help="stay until it is unmounted; Ctrl-C unmounts it"
    )
    add_json_option(mount)
    umount = add_parser("umount", description="Unmount a model, and let its machine go.")
    umount.add_argument("folder", metavar="DIR", type=Path, help="where it is mounted")
    add_json_option(umount)


def mount(args: Namespace) -> ExitCode:
    """Mount it; goes to the background once the mount answers."""
    from memhp.serving.mounted import start_mounted  # noqa: PLC0415

    check_named(args.source)
    mounted = start_mounted(
        args.source, args.folder, uevents=args.uevents, lasting=not args.foreground
    )
    if args.foreground:
        with mounted:
            return _stay(args, mounted)
    _say(args, mounted)
    mounted.leave()
    return ExitCode.DONE


def check_named(source: str) -> None:
    """See that a machine is named, for a script's empty variable names none."""
    if not source:
        raise ArgumentError(
            text=source,
            problem="names no machine",
            advice="give one as 'memhp model list' shows them, a TOML file or a state file",
        )


def umount(args: Namespace) -> ExitCode:
    """Unmount it, and wait until its server has ended."""
    from memhp.serving.take_down import take_down  # noqa: PLC0415

    model = take_down(args.folder)
    what = "a machine whose server did not answer" if model is None else model.machine
    if args.json:
        print_json({"folder": str(args.folder), "machine": model and model.machine})
    else:
        print(f"{what} is no longer mounted at {args.folder}", file=sys.stderr)
    return ExitCode.DONE


def _say(args: Namespace, mounted: "Mounted") -> None:
    """What is there now, and what can be done with it."""
    if args.json:
        print_json(_as_json(args, mounted))
        return
    folder, address = shlex.quote(str(args.folder)), shlex.quote(f"linux:{args.folder}")
    lines = [
        f"{args.source} is mounted at {args.folder}, served by process {mounted.pid}",
        f"  look:     lsmem --sysroot {folder}    memhp -M {address}",
        f"  unmount:  memhp model umount {folder}",
    ]
    if args.uevents is not None:
        lines.append(f"  uevents:  connect to {args.uevents}, one packet each")
    print("\n".join(lines), file=sys.stderr)


def _as_json(args: Namespace, mounted: "Mounted") -> dict[str, Any]:
    return {
        "machine": args.source,
        "folder": str(mounted.folder),
        "pid": mounted.pid,
        "nonce": mounted.nonce,
        "uevents": None if mounted.uevents is None else str(mounted.uevents),
    }


def _stay(args: Namespace, mounted: "Mounted") -> ExitCode:
    """Wait for the server's end; a signal that ends this process unmounts first.

    Whoever is told that it is mounted may send one at once.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        # What was ignored from the start, as by nohup, stays so.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupt)
    try:
        _say(args, mounted)
        return ExitCode.DONE if mounted.wait() == 0 else ExitCode.MACHINE
    except KeyboardInterrupt:
        return ExitCode.DONE


def _interrupt(_number: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt
