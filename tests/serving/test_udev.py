"""Rules of the kind that distributions ship for memory that was added, through ``udevadm test``.

``udevadm test`` writes what a rule assigns to an ``ATTR``; it leaves out only
what a rule would ``RUN``.
"""

import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from memhp.machines.lab.kernels import KERNELS
from model_exec import memhp
from tool_twins import Answer, Twins, twins_of

pytestmark = pytest.mark.kernel
RULES = {
    "as the kernel's documents have it": """\
SUBSYSTEM=="memory", ACTION=="add", ATTR{state}=="offline", ATTR{state}="online"
""",
    "as Ubuntu has it for virtual machines": """\
SUBSYSTEM=="memory", ACTION=="add", DEVPATH=="/devices/system/memory/memory[0-9]*", \
TEST=="state", ATTR{state}!="online", ATTR{state}="online"
""",
    "as Red Hat has it: a jump where it is none of its business, and the word kept apart": """\
SUBSYSTEM!="memory", GOTO="end_of_memory"
ACTION!="add", GOTO="end_of_memory"
CONST{arch}=="s390*", GOTO="end_of_memory"
ENV{.word}="online_movable"
ATTR{state}=="offline", ATTR{state}="$env{.word}"
LABEL="end_of_memory"
""",
    "by the size of the block and the node that it links to": """\
SUBSYSTEM=="memory", ATTR{[memory/auto_online_blocks]}=="offline", ENV{POLICY}="none"
SUBSYSTEM=="memory", ATTR{phys_index}=="00000023", TEST=="node1", ATTR{state}="online_kernel"
SUBSYSTEM=="memory", ATTR{removable}=="1", ATTR{valid_zones}=="*Movable*", ENV{MOVABLE}="yes"
""",
}
RULES_FOLDERS = ("/etc/udev/rules.d", os.path.realpath("/lib/udev/rules.d"))
_OF_THE_DEVICE = re.compile(r"^(?!USEC_INITIALIZED)[A-Z_]+=|rules")


@dataclass(frozen=True)
class UdevTwins:
    """Twins, and a folder of rules that is the only one on the model's side as well."""

    twins: Twins
    rules: Path

    def agree(self, rule: str, script: str) -> str:
        """Put a rule on both, run a script on both, and compare what concerns the device."""
        (self.rules / "40-memory.rules").write_text(rule)
        put = f"printf '%s' {shlex.quote(rule)} > /etc/udev/rules.d/40-memory.rules; "
        real, modelled = self.twins.real(put + script), self._modelled(script)
        assert of_the_device(modelled.text) == of_the_device(real.text)
        assert modelled.code == real.code
        return real.text

    def _modelled(self, script: str) -> Answer:
        """The rules of this host are out of the way, in a mount namespace around the model."""
        binds = f"mount --bind {self.rules} {RULES_FOLDERS[0]}; "
        binds += f"mount --bind {self.rules.parent / 'none'} {RULES_FOLDERS[1]}; "
        mine = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
        inner = memhp("model", "exec", str(self.twins.model), "--", "sh", "-c", script)
        done = subprocess.run(
            ["unshare", *mine, "--mount", "sh", "-ec", f'{binds} exec "$0" "$@"', *inner],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        return Answer(text=done.stdout, code=done.returncode)


def of_the_device(text: str) -> list[str]:
    """The rules that were read and taken, and the device's properties.

    Left out is what udev says of the host that it runs on (cgroups, hardware
    database, virtualisation, network names) and when it first saw the device.
    """
    return [line for line in text.splitlines() if _OF_THE_DEVICE.search(line)]


@pytest.fixture(scope="module", params=KERNELS)
def udev(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[UdevTwins]:
    folder = tmp_path_factory.mktemp("udev")
    for name in ("none", "rules.d"):
        (folder / name).mkdir()
    with twins_of(request.param, folder, {"/etc/udev/rules.d/40-memory.rules": b""}) as twins:
        yield UdevTwins(twins=twins, rules=folder / "rules.d")


def test_each_rule_does_what_it_does_on_a_real_kernel(udev: UdevTwins) -> None:
    """A guest boots once, so the rules come one after the other."""
    for number, rule in enumerate(RULES.values(), 32):
        device = f"/sys/devices/system/memory/memory{number}"
        state = f'read state < {device}/state; echo "STATE=$state"'
        udevadm = f"udevadm test {device} 2>&1"
        for action in ("remove", "add", "add"):
            said = udev.agree(
                rule, f"{udevadm.replace('test', f'test --action={action}')}; {state}"
            )
            assert f"ACTION={action}" in said
        assert "STATE=online" in udev.twins.real(state).text
        udev.twins.agree("lsmem --all --output RANGE,STATE,BLOCK,NODE,ZONES")


def test_what_udev_knows_of_a_block(udev: UdevTwins) -> None:
    """Its path, its bus and its attributes, from the files alone."""
    for path in ("/sys/devices/system/memory/memory33", "/sys/bus/memory/devices/memory5"):
        udev.twins.agree(f"udevadm info --query=all --path={path}", without_seen)
    walk = "udevadm info --attribute-walk --path=/sys/devices/system/memory/memory39"
    udev.twins.agree(walk)


def without_seen(text: str) -> str:
    """All but when udev saw the device first."""
    return re.sub(r"^E: USEC_INITIALIZED=\d+\n", "", text, flags=re.MULTILINE)
