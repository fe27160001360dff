"""Tools that know nothing of memhp say on a model what they say on a real kernel.

Each runs in a guest of the lab and, from the same files, on the model of that
guest; their output is compared to the letter. What is left out is said where it
is, with the reason.
"""

import re
from collections.abc import Iterator

import pytest

from kernel_selftest import selftest
from memhp.core.geometry import BlockId
from memhp.machines.lab.kernels import KERNELS
from memhp.model.kernel import Kernel
from tool_twins import Twins, twins_of

pytestmark = pytest.mark.kernel
SEED = "RANDOM=5\n"
STATES = "lsmem --all --output RANGE,SIZE,STATE,REMOVABLE,BLOCK,NODE,ZONES"


@pytest.fixture(scope="module", params=KERNELS)
def twins(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Twins]:
    files = {"/seed": SEED.encode(), "/t.sh": selftest().read_bytes()}
    with twins_of(request.param, tmp_path_factory.mktemp("twins"), files) as found:
        yield found


ZONED = {"movable": 34, "kernel": 36}
LSMEM = (
    "lsmem",
    "lsmem --json",
    "lsmem --all",
    "lsmem --output-all",
    "lsmem --bytes --raw",
    "lsmem --pairs --output-all",
    "lsmem --noheadings --split STATE,ZONES,NODE --output RANGE,ZONES,NODE",
    "lsmem --summary=only",
    "lsmem --summary=never",
)


def test_lsmem(twins: Twins) -> None:
    memory = "/sys/devices/system/memory"
    changes = [f"echo online_{zone} > {memory}/memory{n}/state" for zone, n in ZONED.items()]
    twins.agree_each([*LSMEM, *changes, *LSMEM])


CHMEM = (
    "chmem --enable 256m",
    "chmem --verbose --enable -b 33-34",
    "chmem --enable --zone Movable -b 35-36",
    "chmem --enable 0x0000000100000000-0x0000000107ffffff",
    "chmem --verbose --enable 0x0000000100000000-0x000000013fffffff",
    "chmem --verbose --enable 1g",
    "chmem --verbose --disable -b 39",
    "chmem --disable -b 39",
    "chmem --disable -b 0",
    "chmem --disable 0x0000000130000000-0x0000000137ffffff",
    "chmem --verbose --disable 128m",
    "chmem --disable --zone Movable -b 37",
    "chmem --enable -b 99",
    "chmem --enable 100m",
    "chmem --enable 0x100000000-0x100000001",
    "chmem --disable 100g",
    "chmem --enable -b 40-32",
    "chmem --enable --zone Nowhere -b 39",
    "chmem",
)
"""Blocks of the DIMM come online movable (``movable_node``), so that the guest lets them go."""


def test_chmem(twins: Twins) -> None:
    said = twins.agree_each([each for command in CHMEM for each in (command, STATES)])
    assert said.count("exit code 0") > len(CHMEM)
    assert "exit code 1" in said


OFFLINE = "chmem --disable 0x0000000100000000-0x000000013fffffff"


def without_what_is_free(text: str) -> str:
    """Free memory, and the size of node 0, which is what the kernel left of boot memory.

    How much a kernel takes for itself while it boots is not modelled page by page.
    """
    return re.sub(r"(node \d+ free:|node 0 size:) \d+ MB", r"\1", text)


NUMACTL = ("numactl --hardware", "chmem --enable -b 32-33", "numactl --hardware")


def test_numactl(twins: Twins) -> None:
    said = twins.agree_each([OFFLINE, *NUMACTL], without_what_is_free)
    assert "node 1 size: 0 MB" in said
    assert "node 1 size: 256 MB" in said


def test_the_kernels_selftest(twins: Twins) -> None:
    """With its error injection; what it draws by chance is the same on both."""
    twins.agree_each([OFFLINE, STATES])
    script = "export BASH_ENV=/seed; bash /t.sh -r 40"
    real = twins.real(script)
    refused = re.findall(r"online->offline memory(\d+)\n-> Failure", real.text)

    def tell(kernel: Kernel) -> None:
        kernel.unmovable |= dict.fromkeys(
            (BlockId(int(number)) for number in refused if number != "0"), "the guest's own"
        )

    twins.change_model(tell)
    here = script.replace("/seed", str(twins.model.parent / "seed")).replace(
        "/t.sh", str(selftest())
    )
    (twins.model.parent / "seed").write_text(SEED)
    modelled = twins.modelled(here)
    assert modelled == real
    assert "Test with memory notifier error injection" in real.text
    twins.agree(STATES)
