"""A real guest with real tools in it, and the model of it, on which the same tools run here."""

import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path

import pytest

from lab_guests import guest_of
from memhp.core.geometry import GIB, NodeId
from memhp.core.guest_shape import BootDimm, GuestShape
from memhp.machines.lab.carried import Carried
from memhp.machines.lab.guest import Guest
from memhp.machines.lab.machine import LabMachine
from memhp.model.kernel import Kernel
from memhp.model.store import StateFile
from model_exec import on_model, require_exec

PACKAGES = {
    "lsmem": "util-linux",
    "chmem": "util-linux",
    "mount": "mount",
    "numactl": "numactl",
    "udevadm": "udev",
    "/bin/bash": "bash",
    "bc": "bc",
}
_ENVIRONMENT = "export PATH=/usr/bin:/usr/sbin:/bin:/sbin LC_ALL=C; "
_MODPROBE = """\
#!/bin/sh
# In a guest of a few files: "modprobe -q [-r] NAME [PARAMETER]".
case "$2" in
-r) exec rmmod "$3" ;;
*) exec insmod "/lib/$2.ko" $3 ;;
esac
"""
_SECONDS = 300.0
_BEGIN = "SAID-BY-THE-GUEST:"
_ANY = '[[node]]\nmemory = "1G"\n'


@dataclass(frozen=True)
class Answer:
    """What a command printed, errors among it, and what it ended with."""

    text: str
    code: int


@dataclass(frozen=True)
class Twins:
    """The guest, and the state file of its model. What is done to one is done to both."""

    guest: Guest
    kernel: str
    model: Path

    def real(self, script: str) -> Answer:
        """What a shell says in the guest."""
        into = "/tmp/said"
        command = f"( {_ENVIRONMENT}{script}\n) > {into} 2>&1 < /dev/null; code=$?"
        with self.guest.shell() as shell:
            code, text = shell.run(f"{command}; echo {_BEGIN}; cat {into}; (exit $code)", _SECONDS)
        # The end of a line that an earlier command printed may come first.
        return Answer(text=text.partition(f"{_BEGIN}\n")[2], code=code)

    def modelled(self, script: str) -> Answer:
        """What a shell says here, on the model."""
        done = on_model(str(self.model), "sh", "-c", f"{_ENVIRONMENT}{script}")
        return Answer(text=done.stdout, code=done.returncode)

    def agree(self, script: str, known: Callable[[str], str] = str) -> Answer:
        """Run it on both; what they say is the same, but for what ``known`` takes out."""
        real, modelled = self.real(script), self.modelled(script)
        shown = f"{known(modelled.text)}exit code {modelled.code}"
        wanted = f"{known(real.text)}exit code {real.code}"
        assert shown == wanted, f"{script}\nmodel:\n{shown}\nreal kernel:\n{wanted}"
        return real

    def agree_each(self, commands: Sequence[str], known: Callable[[str], str] = str) -> str:
        """Run commands one after the other on both; returns what they said on the real one.

        Exit codes are compared as well. All go through one shell, for it takes
        longer to get there than to run them.
        """
        each = (f"echo '$ {command}'; {command}; echo \"exit code $?\"" for command in commands)
        return self.agree("\n".join(each), known).text

    def change_model(self, change: Callable[[Kernel], None]) -> None:
        """Tell the model something that only the guest could know."""
        with StateFile.open(self.model) as file, file.change("told by a test") as kernel:
            change(kernel)


@contextmanager
def twins_of(kernel: str, folder: Path, files: Mapping[str, bytes]) -> Iterator[Twins]:
    """Boot a guest with tools and ``files``, and make the model of what it was booted from."""
    require_exec()
    _require_programs()
    shape = GuestShape(
        kernel=kernel,
        nodes=(GIB, 0),
        command_line="memhp_default_state=offline nokaslr movable_node",
        dimms=(BootDimm(size_bytes=GIB, node=NodeId(1)),),
    )
    carried = Carried(
        programs=tuple(PACKAGES), files={"/sbin/modprobe": _MODPROBE.encode(), **files}
    )
    with guest_of(shape, carried) as guest:
        booted = LabMachine(guest).boot_inputs().boot()
        # What the guest's own memory holds is not known: it is told where a test needs it.
        booted.own_pages_block = False
        model = folder / f"{kernel}.machine"
        with StateFile.create(model, _ANY) as file, file.change("made a twin") as kept:
            for field in fields(Kernel):
                setattr(kept, field.name, getattr(booted, field.name))
        twins = Twins(guest=guest, kernel=kernel, model=model)
        twins.real("chmod 755 /sbin/modprobe")
        yield twins


def _require_programs() -> None:
    missing = [package for program, package in PACKAGES.items() if shutil.which(program) is None]
    if not missing:
        return
    reason = f"packages {', '.join(missing)} are missing"
    if os.environ.get("MEMHP_REQUIRE_KERNEL") == "1":
        pytest.fail(reason)
    pytest.skip(reason)
