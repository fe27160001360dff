"""KVM is tried once in the life of a host."""

from pathlib import Path

import pytest

from memhp.machines.lab import accelerator
from memhp.machines.lab.accelerator import Accel, accels_to_try, remember_failed_kvm


@pytest.fixture
def opens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A /dev/kvm that opens, which does not mean much."""
    (tmp_path / "kvm").touch()
    monkeypatch.setattr(accelerator, "_KVM", str(tmp_path / "kvm"))


@pytest.mark.usefixtures("opens")
def test_kvm_is_tried_until_it_has_failed(tmp_path: Path) -> None:
    assert list(accels_to_try(Accel.AUTO, tmp_path)) == [Accel.KVM, Accel.TCG]
    remember_failed_kvm(tmp_path)
    assert list(accels_to_try(Accel.AUTO, tmp_path)) == [Accel.TCG]
    assert list(accels_to_try(Accel.KVM, tmp_path)) == [Accel.KVM]


@pytest.mark.usefixtures("opens")
def test_a_failure_before_the_last_boot_does_not_count(tmp_path: Path) -> None:
    (tmp_path / ".no-kvm-before").touch()
    assert list(accels_to_try(Accel.AUTO, tmp_path)) == [Accel.KVM, Accel.TCG]
    remember_failed_kvm(tmp_path)
    assert not (tmp_path / ".no-kvm-before").exists()


def test_without_the_device_it_is_not_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accelerator, "_KVM", str(tmp_path / "none"))
    assert list(accels_to_try(Accel.AUTO, tmp_path)) == [Accel.TCG]
