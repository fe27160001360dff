"""The files of a model are those of a real kernel: names, modes, links and text."""

import re
from collections.abc import Iterator, Mapping, Sequence

import pytest

from memhp.machines.lab.kernels import KERNELS
from tool_twins import Twins, twins_of

pytestmark = pytest.mark.kernel
SYSTEM = "/sys/devices/system"
TABLES = "/sys/firmware/acpi/tables"
FOLDERS = (
    f"{SYSTEM}/memory",
    f"{SYSTEM}/memory/power",
    f"{SYSTEM}/memory/memory0",
    f"{SYSTEM}/memory/memory5",
    f"{SYSTEM}/memory/memory5/power",
    f"{SYSTEM}/memory/memory39",
    f"{SYSTEM}/node",
    f"{SYSTEM}/node/node0",
    f"{SYSTEM}/node/node1",
    f"{SYSTEM}/cpu",
    f"{SYSTEM}/cpu/cpu0",
    "/sys/bus/memory",
    "/sys/bus/memory/devices",
    "/sys/bus/memory/drivers",
    "/sys/bus/node",
    "/sys/bus/node/devices",
    "/sys/bus/acpi/devices/PNP0C80:00/",
    "/sys/module/memory_hotplug/parameters",
    TABLES,
    "/sys/kernel/debug/notifier-error-inject",
    "/sys/kernel/debug/notifier-error-inject/memory/actions/MEM_GOING_ONLINE",
)
WALK = f"""for d in {" ".join(FOLDERS)}; do for f in $d/*; do
if [ -L $f ]; then echo "== $f"; readlink $f
elif [ -d $f ]; then echo "== $f"; echo folder
elif [ -f $f ]; then echo "== $f"; stat -c "mode %a" $f; [ "$d" = {TABLES} ] || cat $f 2>/dev/null
fi; done; done"""
COUNTS = re.compile(r"node\d/(meminfo|numastat)$")
"""What is in them depends on single pages."""
# In the model an ACPI device stands where the kernel has a link to it: its links lead to the same.
ELSEWHERE = re.compile(r"PNP0C80:00//physical_node\d*$")
NODE = ("compact", "hugepages", "vmstat", "x86")
PROCESSOR = (
    "cache", "crash_notes", "crash_notes_size", "driver", "firmware_node", "hotplug", "power",
    "subsystem", "topology", "uevent",
)  # fmt: skip
PROCESSORS = (
    "cpufreq", "cpuidle", "hotplug", "isolated", "modalias", "nohz_full", "smt", "vulnerabilities",
)  # fmt: skip
NOT_MODELLED = {
    f"{SYSTEM}/cpu": PROCESSORS,
    f"{SYSTEM}/cpu/cpu0": PROCESSOR,
    f"{SYSTEM}/memory/memory39": ("firmware_node",),
    f"{SYSTEM}/node/node0": NODE,
    f"{SYSTEM}/node/node1": NODE,
    "/sys/bus/acpi/devices/PNP0C80:00/": ("power", "subsystem", "uevent"),
    TABLES: ("APIC", "DSDT", "FACP", "FACS", "HPET", "WAET", "data", "dynamic"),
}
SINCE_6_12 = {
    f"{SYSTEM}/cpu": ("crash_hotplug", "enabled"),
    f"{SYSTEM}/node/node0": ("memory_failure",),
    f"{SYSTEM}/node/node1": ("memory_failure",),
}


@pytest.fixture(scope="module", params=KERNELS)
def twins(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Twins]:
    with twins_of(request.param, tmp_path_factory.mktemp("twins"), {}) as found:
        yield found


def shown(text: str) -> dict[str, str]:
    """What each path showed."""
    pieces = re.split(r"^== (.*)\n", text, flags=re.MULTILINE)[1:]
    return {
        path: said.partition("\n")[0] if COUNTS.search(path) else said
        for path, said in zip(pieces[::2], pieces[1::2], strict=True)
    }


def test_what_the_model_has_is_what_the_kernel_has(twins: Twins) -> None:
    real, modelled = shown(twins.real(WALK).text), shown(twins.modelled(WALK).text)
    assert len(modelled) > 150
    differing = "".join(
        f"{path}: {said!r} and really {real.get(path)!r}\n"
        for path, said in modelled.items()
        if said != real.get(path) and not ELSEWHERE.search(path)
    )
    assert differing == ""


def test_what_the_model_leaves_out_is_known(twins: Twins) -> None:
    """None of the tools that are compared here reads it."""
    real, modelled = shown(twins.real(WALK).text), shown(twins.modelled(WALK).text)
    known = paths(NOT_MODELLED) | (paths(SINCE_6_12) if twins.kernel == "6.12" else set())
    assert sorted(real.keys() - modelled.keys()) == sorted(known)


def paths(names: Mapping[str, Sequence[str]]) -> set[str]:
    return {f"{folder}/{name}" for folder, there in names.items() for name in there}
