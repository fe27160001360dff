"""A guest that shares its host's root runs the host's programs on its own kernel."""

import json
import platform
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab_guests import guest_of, need_guests
from memhp.core.geometry import GIB
from memhp.core.guest_shape import GuestShape
from memhp.interfaces.cli.main import main
from memhp.machines.lab.guest import Guest
from memhp.machines.lab.kernels import KERNELS

pytestmark = pytest.mark.kernel


@pytest.fixture(scope="module", params=KERNELS)
def sharing(request: pytest.FixtureRequest) -> Iterator[Guest]:
    """A guest of 1 GiB with this host's files."""
    need_guests(request.param)
    with guest_of(GuestShape(kernel=request.param, nodes=(GIB,), shares_root=True)) as guest:
        yield guest


def run(guest: Guest, command: str) -> str:
    with guest.shell() as shell:
        code, text = shell.run(command)
    assert code == 0, text
    return text


def test_memhp_runs_in_it_and_sees_its_memory(sharing: Guest) -> None:
    listed = json.loads(run(sharing, "host memhp ls --json"))["memory"]
    assert [(row["size"], row["state"], row["block"]) for row in listed] == [
        ("1G", "online", "0-7")
    ]


def test_its_kernel_is_its_own_and_its_python_the_hosts(sharing: Guest) -> None:
    told = run(
        sharing, "host python -c 'import platform as p; print(p.python_version(), p.release())'"
    )
    version, release = told.split()
    assert version == platform.python_version()
    assert release == run(sharing, "uname -r").strip()
    assert release.startswith(f"{sharing.shape.kernel}.")


def test_what_it_writes_does_not_reach_the_host(sharing: Guest, tmp_path: Path) -> None:
    (tmp_path / "here").write_text("of the host")
    name = secrets.token_hex(4)
    run(sharing, f"echo guest > /host{tmp_path}/{name}; echo guest > /host{tmp_path}/here")
    assert run(sharing, f"host cat {tmp_path}/{name} {tmp_path}/here") == "guest\nguest\n"
    assert [path.name for path in tmp_path.iterdir()] == ["here"]
    assert (tmp_path / "here").read_text() == "of the host"


def test_spare_modules_are_loaded_with_what_they_need(sharing: Guest) -> None:
    run(sharing, "load zram")
    assert "zram" in run(sharing, "ls /sys/block")
    with sharing.shell() as shell:
        code, text = shell.run("load nothing")
    assert code == 1
    assert text.startswith(
        "load: no module 'nothing' among the spare ones, which are dax_hmem device"
    )


def test_the_census_is_what_the_guests_kernel_counts(sharing: Guest) -> None:
    """Held against the kernel's own counters, which the reading itself changes a little."""
    run(sharing, "mkdir -p /load; mount -t tmpfs -o size=300m none /load")
    run(sharing, "dd if=/dev/zero of=/load/file bs=1M count=200 2>/dev/null")
    counted = json.loads(run(sharing, "host memhp census -M linux: --json"))
    lines = map(str.split, run(sharing, "cat /proc/meminfo").splitlines())
    meminfo = {words[0]: int(words[1]) // 4 for words in lines}
    pages = counted["total"]["pages"]
    blocks = sum(len(row["blocks"]) for row in counted["rows"])
    assert sum(pages.values()) == counted["pages_per_block"] * blocks
    for kind, name, slack in (
        ("free", "MemFree:", 20_000),
        ("slab", "Slab:", 1_000),
        ("page table", "PageTables:", 250),
        ("shmem", "Shmem:", 2_000),
    ):
        assert abs(pages[kind] - meminfo[name]) < slack, (kind, pages, meminfo)
    assert 51_200 <= pages["shmem"] < 60_000
    run(sharing, "umount /load")


def test_blocks_that_are_named_are_looked_at_twice(sharing: Guest) -> None:
    """Page structures tell what is free on a per-CPU list, and nothing stays unknown.

    But in memory0, for the kernel shows no structures of the hole below 1 MiB.
    """
    told = json.loads(run(sharing, "host memhp census 1-7 -M linux: --json"))
    assert told["total"]["pages"].get("unknown", 0) == 0
    assert any(
        note.endswith("; 0 still unknown") and "structures (/proc/kcore)" in note
        for note in told["notes"]
    )


def explained(guest: Guest, what: str) -> dict[int, str]:
    """The answers of ``memhp explain``, by block."""
    found = json.loads(run(guest, f"host memhp explain {what} --json"))
    return {one["block"]: one["answer"] for one in found["predictions"]}


def debug_switches(guest: Guest) -> str:
    return run(guest, "grep memory_hotplug.c: /proc/dynamic_debug/control").strip()


def states(guest: Guest) -> str:
    blocks = "/sys/devices/system/memory/memory*"
    return run(guest, f"grep . {blocks}/state {blocks}/valid_zones").strip()


def test_what_explain_says_beforehand_is_what_offline_does(sharing: Guest) -> None:
    """A block with memory of the kernel stays, for the kernel's own reason; a movable one goes."""
    answers = explained(sharing, "0-7")
    stays = max(block for block, answer in answers.items() if answer == "no" and 0 < block < 7)
    goes = min(block for block, answer in answers.items() if answer == "yes")
    before, control = states(sharing), debug_switches(sharing)
    offline = "host env -u MEMHP_NO_LIVE_WRITES memhp -M linux: {} memory{}"
    with sharing.shell() as shell:
        code, text = shell.run(offline.format("offline", stays))
    assert code == 1, text
    assert "failure to isolate range [EBUSY]" in text
    assert "page frame 0x" in text
    assert states(sharing) == before
    assert debug_switches(sharing) == control
    run(sharing, offline.format("offline", goes))
    run(sharing, offline.format("online --zone movable", goes))
    assert explained(sharing, str(goes)) == {goes: "yes"}
    run(sharing, offline.format("offline", goes))
    history = run(sharing, "host memhp explain --history")
    assert history.splitlines()[-1].startswith("yes: 2 of 2 right; no: 1 of 1 right; ")


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["echo", "it's", "(half"], (2, "")),
        (["kill -9 $$"], (137, "")),
        (["exit 7"], (7, "")),
        ([f"echo {'a' * 9000} | wc -c"], (0, "9001\n")),
    ],
    ids=["a quote that is not closed", "kills its shell", "a code", "long"],
)
def test_no_command_costs_the_guest_its_shell(
    sharing: Guest, words: list[str], found: tuple[int, str], capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["lab", "sh", sharing.name, *words])
    assert (code, found[1] in capsys.readouterr().out) == (found[0], True)
    assert run(sharing, "echo alive; ls /tmp | grep -c ^command- || :") == "alive\n0\n"
