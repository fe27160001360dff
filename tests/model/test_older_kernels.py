"""Kernels that are known from reports: what each could do."""

import pytest

from booted import MEMORY, PARAMETERS, booted, pull, span, write, write_file
from memhp.core.words import ZoneType
from memhp.model.acpi_memory import Ost
from memhp.model.kernel import Kernel
from memhp.model.profile import PROFILES, profile_of
from memhp.model.tree.tree import Tree


def machine(kernel: str) -> Kernel:
    return booted(f'kernel = "{kernel}"\n[[node]]\nmemory = "1G"\n[[dimm]]\nsize = "1G"\n')


@pytest.mark.parametrize(
    ("kernel", "online_movable", "ost"),
    [
        ("3.2", "EINVAL", Ost.EJECT_NOT_SUPPORTED),
        ("3.8", "", Ost.EJECT_NOT_SUPPORTED),
        ("3.9", "", Ost.SUCCESS),
    ],
)
def test_what_an_older_kernel_can_do(kernel: str, online_movable: str, ost: Ost) -> None:
    older = machine(kernel)
    assert write(older, 39, "online_movable") == online_movable
    assert pull(older, "dimm0").ost is ost
    for path in (f"{MEMORY}/memory1/valid_zones", f"{MEMORY}/auto_online_blocks", PARAMETERS):
        assert not Tree(older).exists(path)


@pytest.mark.parametrize("kernel", ["3.2", "3.8", "3.9"])
def test_added_memory_waits_for_somebody_to_bring_it_online(kernel: str) -> None:
    older = machine(kernel)
    assert write(older, 32, "online") == ""
    assert span(older, 0, ZoneType.NORMAL) == (32, 33)
    assert write(older, 32, "offline") == ""


def test_zones_did_not_overlap_then() -> None:
    older = machine("3.9")
    assert write(older, 36, "online_kernel") == ""
    assert write(older, 34, "online_movable") == "EINVAL"
    assert write(older, 39, "online_movable") == ""
    assert write(older, 38, "online_kernel") == ""
    newer = machine("6.12")
    for number in range(32, 40):
        write(newer, number, "offline")
    assert write(newer, 36, "online_kernel") + write(newer, 34, "online_movable") == ""


def test_ejecting_on_a_kernel_without_hot_remove_leaves_the_dimm() -> None:
    older = machine("3.8")
    verdict = pull(older, "dimm0")
    assert verdict.refusal is not None
    assert verdict.refusal.errno_name == "ENOSYS"
    assert older.slots["dimm0"].present


def test_a_profile_is_found_by_its_release() -> None:
    assert profile_of("6.12.117+deb12-cloud-amd64") is PROFILES["6.12"]
    assert profile_of("6.1.0-56-cloud-amd64") is PROFILES["6.1"]
    assert profile_of("5.10.0-30-amd64") is None


def test_only_recorded_profiles_say_so() -> None:
    assert [p.name for p in PROFILES.values() if p.recorded] == ["6.12", "6.1"]


def test_the_parameters_of_recorded_kernels_are_the_same_four() -> None:
    names = {kernel: Tree(machine(kernel)).list(PARAMETERS) for kernel in ("6.1", "6.12")}
    assert names["6.1"] == names["6.12"]
    assert write_file(machine("6.1"), f"{PARAMETERS}/memmap_on_memory", "Y") == "EACCES"
