"""Listening to a guest's uevents: which came since one asked last, in their order.

busybox's ``uevent`` runs one command an event, one after the other. A uevent
of our own at the end, which any device sends when asked to, tells by its number
that all before it were heard.
"""

from memhp.machines.lab.serial_shell import SerialShell

_FILE = "/tmp/uevents"  # noqa: S108 - in the guest
_HEARD = f"""echo "$SEQNUM $ACTION $DEVPATH $SUBSYSTEM" >> {_FILE}"""
_SEND = "echo change > /sys/devices/virtual/mem/null/uevent"
_LISTEN = f""": > {_FILE}; uevent sh -c '{_HEARD}' > /dev/null 2>&1 &
while ! grep -q . {_FILE}; do {_SEND}; sleep 0.02; done"""
_ASK = f"""{_SEND}; n=$(cat /sys/kernel/uevent_seqnum)
while ! grep -q "^$n " {_FILE}; do sleep 0.02; done; cat {_FILE}; : > {_FILE}"""
_KEPT = ("memory", "node")
_SECONDS = 120.0


def listen_to_uevents(shell: SerialShell) -> None:
    """Begin to listen; raises ``ContactLost``."""
    shell.run(_LISTEN, _SECONDS)
    heard_uevents(shell)


def heard_uevents(shell: SerialShell) -> list[list[str]]:
    """Action and path of each uevent of memory blocks and nodes; raises ``ContactLost``."""
    _, text = shell.run(_ASK, _SECONDS)
    told = [line.split() for line in text.split("\n")]
    return [line[1:3] for line in told if len(line) == 4 and line[3] in _KEPT]
