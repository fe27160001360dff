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
    assert text.startswith("load: no module 'nothing', but device_dax.needs")
