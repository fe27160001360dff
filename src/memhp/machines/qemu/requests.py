"""What memhp has begun with a device and not seen the end of, noted in QEMU itself.

``device_del`` cannot be withdrawn, and QEMU shows nowhere that it waits. So a
small object notes it for as long as QEMU runs: which backend is to be freed,
and what the guest's last verdict was at that moment, so that an old refusal is
not taken for the answer. An addition notes the backend that is left where it
is killed half-way. Whoever comes next, from whatever journal, knows.
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from memhp.core.errors import CommandDenied
from memhp.machines.qemu.connection import Connection

NO_VERDICT: Final = (-1, -1)
"""Before an addition: no verdict of a guest reads so, and none is waited for."""
_PREFIX: Final = "memhp-asked-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A device that is to come or to go: its backend, and the verdict (source, status) before."""

    device: str
    backend: str
    before: tuple[int, int]

    def answered_by(self, verdict: tuple[int, int]) -> bool:
        """Whether a verdict is news since the question."""
        return verdict != self.before


async def note_request(monitor: Connection, asked: Asked) -> None:
    """Note a question before it is asked; where QEMU takes no note, it is asked all the same."""
    await forget_request(monitor, asked.device)
    note = json.dumps({"backend": asked.backend, "before": list(asked.before)})
    with suppress(CommandDenied):
        await monitor.ask(
            "object-add", {"qom-type": "secret", "id": f"{_PREFIX}{asked.device}", "data": note}
        )


async def forget_request(monitor: Connection, device: str) -> None:
    """Take a note away, where there is one."""
    with suppress(CommandDenied):
        await monitor.ask("object-del", {"id": f"{_PREFIX}{device}"})


async def read_requests(monitor: Connection) -> Mapping[str, Asked]:
    """Every open question by device."""
    objects = await monitor.ask("qom-list", {"path": "/objects"})
    names = [item["name"] for item in objects if item["name"].startswith(_PREFIX)]
    found = [await _read(monitor, name) for name in names]
    return {asked.device: asked for asked in found if asked is not None}


async def _read(monitor: Connection, name: str) -> Asked | None:
    try:
        data = await monitor.ask("qom-get", {"path": f"/objects/{name}", "property": "data"})
        note = json.loads(data)
        source, status = note["before"]
        backend = str(note["backend"])
    except (CommandDenied, ValueError, KeyError, TypeError):
        return None
    return Asked(
        device=name.removeprefix(_PREFIX), backend=backend, before=(int(source), int(status))
    )
