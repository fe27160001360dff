"""Eight writers and eight readers on one mounted machine: no torn read, no deadlock, right counts.

For a minute where a real kernel is required, for some seconds otherwise
(``MEMHP_STRESS_SECONDS`` says how many).
"""

import os
import subprocess
import sys
from pathlib import Path

from booted import shown
from kernel_rules import broken_rules
from memhp.core.words import BlockState
from memhp.model.store import StateFile
from mounts import Mount, mount

__all__ = ["mount"]
MACHINE = """
command_line = "memhp_default_state=online_movable"
[[node]]
memory = "2G"
[[node]]
memory = "1G"
[[dimm]]
size = "4G"
node = 1
"""
WRITERS = READERS = 8
WORKER = Path(__file__).parents[1] / "stress_worker.py"


def stress_seconds() -> float:
    required = os.environ.get("MEMHP_REQUIRE_KERNEL") == "1"
    return float(os.environ.get("MEMHP_STRESS_SECONDS", "60" if required else "5"))


def test_many_writers_and_readers(mount: Mount, tmp_path: Path) -> None:
    path = tmp_path / "m.machine"
    StateFile.create(path, MACHINE).close()
    mounted = mount(str(path))
    words = [sys.executable, str(WORKER), str(mounted.folder), str(stress_seconds())]
    started = [
        subprocess.Popen(
            [*words, role, str(seed)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        for role, number in (("write", WRITERS), ("read", READERS))
        for seed in range(number)
    ]
    said = [each.communicate(timeout=stress_seconds() + 300)[0] for each in started]
    assert [each.returncode for each in started] == [0] * len(started), said
    assert all(int(text) > 0 for text in said), said
    files = {
        place: (mounted.folder / place.lstrip("/")).read_text()
        for place in ("/proc/zoneinfo", "/proc/meminfo", "/proc/iomem")
    }
    mounted.close()
    with StateFile.open(path) as state:
        kernel = state.load()
        nr_rows = len(state.log())
    assert broken_rules(kernel) == []
    assert not kernel.hotplug_lock
    assert BlockState.GOING_OFFLINE not in {run.value.state for run in kernel.blocks}
    now = shown(kernel)
    assert {place: now[place] for place in files} == files
    assert nr_rows > sum(int(text) for text in said[:WRITERS])
