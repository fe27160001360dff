"""The demonstration on a real guest prints what the README shows."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from lab_guests import need_guests
from memhp.machines.lab.kernels import KERNELS

pytestmark = pytest.mark.kernel
ROOT = Path(__file__).parents[2]
_SHOWN = re.compile(r"^```text lab-demo\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def masked(text: str) -> list[str]:
    """Without what differs from run to run: versions, the accelerator, how much was rewritten."""
    text = re.sub(r"^Linux \S+ under QEMU \((TCG|KVM)\)$", "Linux", text, flags=re.MULTILINE)
    text = re.sub(r"\d+ rewritten", "N rewritten", text)
    return text.strip().splitlines()


def test_the_readme_shows_what_the_demo_prints() -> None:
    need_guests(KERNELS[0])
    memhp = Path(sys.executable).parent / "memhp"
    done = subprocess.run(
        [sys.executable, ROOT / "scripts/lab-demo", memhp], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    [shown] = _SHOWN.findall((ROOT / "README.md").read_text())
    assert masked(done.stdout) == masked(shown)
