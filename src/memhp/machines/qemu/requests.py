"""What memhp has begun with a device and not seen the end of, noted in QEMU itself.

``device_del`` cannot be withdrawn, and QEMU shows nowhere that it waits. So a
small object notes it for as long as QEMU runs: which backend is to be freed,
and what the guest's last verdict was at that moment, so that an old refusal is
not taken for the answer. An addition notes the backend that is left where it
is killed half-way. Whoever comes next, from whatever journal, knows.

So it is with a program in the guest that takes several blocks in turn, and
would go on for a while though its memhp has died.
"""

import json
import re
import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from memhp.core.errors import CommandDenied
from memhp.machines.qemu.connection import Connection
from memhp.machines.qemu.words import EJECTION

NO_VERDICT: Final = (-1, -1)
"""Before an addition: no verdict of a guest reads so, and none is waited for."""
_PREFIX: Final = "memhp-asked-"
_SENT: Final = "memhp-sent-"
_RUN: Final = "memhp-run-"
_TAG: Final = re.compile(f"{_RUN}[0-9a-f]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A device that is to come or to go: its backend, and the verdict (source, status) before.

    ``sent``: QEMU is known to have been asked; otherwise memhp may have been
    killed just before.
    """

    device: str
    backend: str
    before: tuple[int, int]
    sent: bool = False

    def answered_by(self, verdict: tuple[int, int]) -> bool:
        """Whether a verdict is news since the question, and about it.

        A guest that was paused may say only now that it has taken the device.
        """
        return self.before == NO_VERDICT or (verdict != self.before and verdict[0] in EJECTION)


async def note_request(monitor: Connection, asked: Asked) -> None:
    """Note a question before it is asked; where QEMU takes no note, it is asked all the same."""
    await forget_request(monitor, asked.device)
    note = json.dumps({"backend": asked.backend, "before": list(asked.before)})
    await _note(monitor, f"{_PREFIX}{asked.device}", note)


async def note_sent(monitor: Connection, device: str) -> None:
    """Note that the question has been asked."""
    await _note(monitor, f"{_SENT}{device}", "sent")


async def forget_request(monitor: Connection, device: str) -> None:
    """Take a note away, where there is one."""
    for prefix in (_SENT, _PREFIX):
        with suppress(CommandDenied):
            await monitor.ask("object-del", {"id": f"{prefix}{device}"})


async def read_requests(monitor: Connection) -> Mapping[str, Asked]:
    """Every open question by device."""
    objects = await monitor.ask_for_items("qom-list", {"path": "/objects"})
    names = {monitor.field(item, "name", str) for item in objects}
    devices = [name.removeprefix(_PREFIX) for name in names if name.startswith(_PREFIX)]
    found = [await _read(monitor, device, sent=f"{_SENT}{device}" in names) for device in devices]
    return {asked.device: asked for asked in found if asked is not None}


def new_tag() -> str:
    """A name for a run of blocks in the guest, which no other has."""
    return f"{_RUN}{secrets.token_hex(6)}"


async def note_run(monitor: Connection, tag: str) -> None:
    """Note that a program in the guest, which has this tag in its name, takes blocks in turn."""
    await _note(monitor, tag, "run")


async def forget_run(monitor: Connection, tag: str) -> None:
    """Take that note away."""
    with suppress(CommandDenied):
        await monitor.ask("object-del", {"id": tag})


async def runs_left(monitor: Connection) -> Sequence[str]:
    """The tags of runs whose memhp has not seen their end."""
    objects = await monitor.ask_for_items("qom-list", {"path": "/objects"})
    names = [monitor.field(item, "name", str) for item in objects]
    return [name for name in names if _TAG.fullmatch(name)]


async def _note(monitor: Connection, name: str, text: str) -> None:
    with suppress(CommandDenied):
        await monitor.ask("object-add", {"qom-type": "secret", "id": name, "data": text})


async def _read(monitor: Connection, device: str, *, sent: bool) -> Asked | None:
    try:
        data = await monitor.ask(
            "qom-get", {"path": f"/objects/{_PREFIX}{device}", "property": "data"}
        )
        note = json.loads(data)
        source, status = note["before"]
        backend = str(note["backend"])
    except (CommandDenied, ValueError, KeyError, TypeError):
        return None
    before = (int(source), int(status))
    return Asked(device=device, backend=backend, before=before, sent=sent)
