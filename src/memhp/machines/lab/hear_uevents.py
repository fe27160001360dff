"""Listening to a guest's uevents: which came since one asked last, in their order.

busybox's ``uevent`` runs one command an event, one after the other. A uevent
of our own at the end, which any device sends when asked to, tells that all
before it were heard.
"""

from memhp.machines.lab.serial_shell import SerialShell

_FILE = "/tmp/uevents"  # noqa: S108 - in the guest
_HEARD = f"""echo "$ACTION $DEVPATH $SUBSYSTEM" >> {_FILE}"""
_MARK = "/devices/virtual/mem/null"
_LISTEN = f": > {_FILE}; uevent sh -c '{_HEARD}' > /dev/null 2>&1 &"
_ASK = f"""echo change > /sys{_MARK}/uevent
while ! grep -q ' {_MARK} ' {_FILE}; do sleep 0.02; done; cat {_FILE}; : > {_FILE}"""
_KEPT = ("memory", "node")
_SECONDS = 120.0


def listen_to_uevents(shell: SerialShell) -> None:
    """Begin to listen; raises ``ContactLost``."""
    shell.run(f"{_LISTEN}\nwhile ! grep -q . {_FILE}; do echo change > /sys{_MARK}/uevent; done")
    heard_uevents(shell)


def heard_uevents(shell: SerialShell) -> list[list[str]]:
    """Action and path of each uevent of memory blocks and nodes; raises ``ContactLost``."""
    _, text = shell.run(_ASK, _SECONDS)
    told = [line.split() for line in text.split("\n")]
    return [line[:2] for line in told if len(line) == 3 and line[2] in _KEPT]
