"""What a guest tells of its uevents."""

from typing import cast

from memhp.machines.lab.hear_uevents import heard_uevents
from memhp.machines.lab.serial_shell import SerialShell


class Told:
    """A shell that prints one text."""

    def __init__(self, text: str) -> None:
        self._text = text

    def run(self, _command: str, _seconds: float) -> tuple[int, str]:
        return 0, self._text


def test_memory_and_nodes_are_kept_in_their_order() -> None:
    shell = Told(
        "733 add /devices/system/memory/memory48 memory\n"
        "734 add /devices/system/node/node1 node\n"
        "735 online /devices/system/container/PNP0A06:04 container\n"
        "garbled\n"
        "736 online /devices/system/memory/memory48 memory\n"
        "737 change /devices/virtual/mem/null mem\n"
    )
    assert heard_uevents(cast("SerialShell", shell)) == [
        ["add", "/devices/system/memory/memory48"],
        ["add", "/devices/system/node/node1"],
        ["online", "/devices/system/memory/memory48"],
    ]
