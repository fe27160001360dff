"""A host with two guests that last, for operations that move memory between them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from memhp.core.events import Event, StepEnded
from memhp.core.machine import Machine
from memhp.core.outcome import Outcome
from memhp.core.request import Conditions, Move, Request
from memhp.core.snapshot import Snapshot
from memhp.core.words import Ending
from memhp.machines.open import open_machine
from memhp.model.store import StateFile
from memhp.operations.conduct import Conductor
from memhp.operations.operation import Operation

MIB, GIB = 1 << 20, 1 << 30
TEXT = """
[[node]]
memory = "12G"

[guests.web]
command_line = "memhp_default_state=online_movable"
dimm_slots = 4
[[guests.web.node]]
memory = "1G"
[[guests.web.virtio_mem]]
size = "4G"
requested = "1G"
[[guests.web.dimm]]
size = "512M"
[[guests.web.dimm]]
size = "256M"

[guests.db]
dimm_slots = 2
[[guests.db.node]]
memory = "1G"
[[guests.db.virtio_mem]]
size = "2G"
requested = "512M"
"""


class Pair:
    """The two guests, and a folder for journals and locks."""

    def __init__(self, folder: Path, text: str = TEXT) -> None:
        self.file = folder / "h.machine"
        self.folder = folder / "state"
        self.events: list[Event] = []
        if not self.file.exists():
            StateFile.create(self.file, text).close()

    def name(self, guest: str) -> str:
        return f"model:{self.file}/{guest}"

    def machine(self, guest: str) -> Machine:
        return open_machine(self.name(guest))

    def conductor(self, *guests: str) -> Conductor:
        opened = [self.machine(guest) for guest in guests or ("web", "db")]
        return Conductor(
            machines={machine.name: machine for machine in opened},
            folder=self.folder,
            listener=self.events.append,
        )

    def move(self, size_bytes: int, conditions: Conditions | None = None, **more: Any) -> Ending:
        request = Move(size_bytes=size_bytes, giver=self.name("web"), taker=self.name("db"), **more)
        return self.conductor().begin(
            Operation(request=request, conditions=conditions or Conditions())
        )

    def begin(self, guest: str, request: Request) -> Ending:
        return self.conductor(guest).begin(Operation(request=request))

    def look(self, guest: str) -> Snapshot:
        return self.machine(guest).snapshot()

    def sizes(self, guest: str) -> dict[str, int]:
        """What each device gives, in MiB."""
        return {
            d.name: (d.plugged_bytes if d.plugged_bytes is not None else d.size_bytes) // MIB
            for d in self.look(guest).devices
            if d.present
        }

    def outcomes(self) -> list[tuple[str, Outcome]]:
        """Every step that ended so far, by guest, with its outcome."""
        return [
            (f"{event.step.machine.rpartition('/')[2]}: {event.step}", event.outcome)
            for event in self.events
            if isinstance(event, StepEnded)
        ]

    def standing(self) -> Mapping[str, Any]:
        """What an operation promises of both: states, zones, devices and sizes."""
        return {guest: standing(self.look(guest)) for guest in ("web", "db")}

    def change(self, guest: str, what: Any) -> None:
        """Do something to a guest's kernel behind the back of everybody."""
        with StateFile.open(self.file) as state, state.change("test", guest) as kernel:
            what(kernel)


def standing(snapshot: Snapshot) -> Any:
    """What of a machine has to be as before where something was put back."""
    blocks = [(b.block, b.state.value, b.zone and b.zone.value) for b in snapshot.blocks]
    devices = [
        (d.name, d.present, d.requested_bytes, d.plugged_bytes, [str(r) for r in d.ranges])
        for d in snapshot.devices
        if d.present or d.ranges
    ]
    return blocks, devices
