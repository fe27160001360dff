"""What follows ``qemu:``."""

from pathlib import Path

import pytest

from memhp.core.errors import NoSuchMachine
from memhp.machines.open import open_machine
from memhp.machines.qemu.address import QemuAddress, parse_address


@pytest.mark.parametrize(
    ("rest", "meant"),
    [
        ("/run/vm1", QemuAddress(monitor="/run/vm1")),
        ("./vm1", QemuAddress(monitor="./vm1")),
        ("/run/vm1,agent=/run/a1", QemuAddress(monitor="/run/vm1", agent="/run/a1")),
        ("vm1,agent=a1", QemuAddress(monitor="vm1", agent="a1")),
        ("/run/vm1,agent=", QemuAddress(monitor="/run/vm1")),
        ("g1", "g1"),
    ],
)
def test_sockets_or_the_name_of_a_guest(rest: str, meant: QemuAddress | str) -> None:
    assert parse_address(rest) == meant


@pytest.mark.parametrize("rest", ["", ",agent=/a", "/q,more=1", "/q,agent=/a,agent=/b", "/q,"])
def test_what_is_neither(rest: str) -> None:
    with pytest.raises(NoSuchMachine, match="is no address of a guest"):
        parse_address(rest)


def test_a_journal_has_it_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    machine = open_machine("qemu:./vm1,agent=a1")
    assert machine.name == "qemu:./vm1,agent=a1"
    assert machine.address == f"qemu:{tmp_path}/vm1,agent={tmp_path}/a1"


def test_a_guest_of_the_lab_that_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEMHP_LAB_DIR", str(tmp_path))
    with pytest.raises(NoSuchMachine, match="is no guest of the lab that runs"):
        open_machine("qemu:g1")
