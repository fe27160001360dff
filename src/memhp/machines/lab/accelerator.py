"""What runs a guest's code: KVM where it really works, else TCG.

That ``/dev/kvm`` opens does not mean that a guest boots. It is tried, and what
came of it is remembered until this host boots again.
"""

import os
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path

_KVM = "/dev/kvm"
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Accel(StrEnum):
    """QEMU's accelerators; ``AUTO`` is KVM where a guest boots under it, else TCG."""

    AUTO = "auto"
    KVM = "kvm"
    TCG = "tcg"


def accels_to_try(asked: Accel, lab: Path) -> Iterator[Accel]:
    """What to boot under, one after the other until a guest is up."""
    if asked is not Accel.AUTO:
        yield asked
        return
    if os.access(_KVM, os.R_OK | os.W_OK) and not _failed_mark(lab).exists():
        yield Accel.KVM
    yield Accel.TCG


def remember_failed_kvm(lab: Path) -> None:
    """Note that a guest came up under TCG only, so that nobody waits for KVM again."""
    for old in lab.glob(".no-kvm-*"):
        old.unlink(missing_ok=True)
    _failed_mark(lab).touch()


def _failed_mark(lab: Path) -> Path:
    try:
        boot = _BOOT_ID.read_text().strip()
    except OSError:
        boot = "unknown"
    return lab / f".no-kvm-{boot}"
