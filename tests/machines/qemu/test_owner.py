"""Guests that another manager runs are left alone, and told by what they are."""

import socket
from pathlib import Path

import pytest

from memhp.core.errors import NotSupported
from memhp.machines.qemu.address import QemuAddress
from memhp.machines.qemu.machine import QemuMachine
from memhp.machines.qemu.owner import check_owner, emulator_behind, owner_of

LIBVIRT = (
    "/usr/bin/qemu-system-x86_64",
    "-name",
    "guest=web,debug-threads=on",
    "-object",
    '{"qom-type":"secret","id":"masterKey0","format":"raw",'
    '"file":"/var/lib/libvirt/qemu/domain-3-web/master-key.aes"}',
    "-chardev",
    "socket,id=charmonitor,fd=25,server=on,wait=off",
)
MASTER_KEY = ("qemu", "-name", "guest=web", "-object", "secret,id=masterKey0,data=x")
PROXMOX = (
    "/usr/bin/kvm",
    "-id",
    "100",
    "-name",
    "web,debug-threads=on",
    "-chardev",
    "socket,id=qmp,path=/var/run/qemu-server/100.qmp,server=on,wait=off",
    "-pidfile",
    "/var/run/qemu-server/100.pid",
)
INCUS = ("qemu-system-x86_64", "-S", "-name", "web", "-readconfig", "/run/incus/web/qemu.conf")
PLAIN = ("qemu-system-x86_64", "-name", "guest=mine", "-qmp", "unix:/srv/vm/mine.qmp,server=on")


@pytest.mark.parametrize(
    ("path", "arguments", "owner"),
    [
        ("/srv/qmp", LIBVIRT, "libvirt"),
        ("/srv/qmp", MASTER_KEY, "libvirt"),
        ("/var/lib/libvirt/qemu/domain-3-web/monitor.sock", (), "libvirt"),
        ("/home/me/.config/libvirt/qemu/lib/domain-1-web/monitor.sock", (), "libvirt"),
        ("/run/user/1000/libvirt/qemu/run/web.monitor", (), "libvirt"),
        ("/srv/qmp", PROXMOX, "Proxmox VE"),
        ("/var/run/qemu-server/100.qmp", (), "Proxmox VE"),
        ("/run/qemu-server/100.qmp", (), "Proxmox VE"),
        ("/srv/qmp", INCUS, "Incus"),
        ("/run/incus/web/qemu.monitor", (), "Incus"),
        ("/var/snap/lxd/common/lxd/logs/web/qemu.monitor", (), "Incus"),
        ("/srv/vm/mine.qmp", PLAIN, None),
        ("/home/proxmox/incus-notes/qmp", PLAIN, None),
        ("qmp", (), None),
        ("/srv/vm/mine.qmp", (*PLAIN, "-drive", "file=/var/lib/libvirt/images/a.qcow2"), None),
        ("/srv/vm/mine.qmp", (*PLAIN, "-drive", "file=/srv/lxd/a.img,if=virtio"), None),
    ],
)
def test_who_runs_a_guest(path: str, arguments: tuple[str, ...], owner: str | None) -> None:
    assert owner_of(path, arguments) == owner


@pytest.mark.parametrize(
    ("group", "owner"),
    [
        ("0::/machine.slice/machine-qemu\\x2d3\\x2dweb.scope/libvirt/emulator\n", "libvirt"),
        ("0::/qemu.slice/100.scope\n", "Proxmox VE"),
        ("0::/user.slice/user-0.slice/session-1.scope\n", None),
        ("0::/system.slice/qemu.service\n", None),
    ],
)
def test_whose_it_is_by_its_control_group(group: str, owner: str | None) -> None:
    assert owner_of("/srv/vm/mine.qmp", PLAIN, group) == owner


def test_a_socket_that_libvirt_made_and_handed_on() -> None:
    assert owner_of("/srv/vm/mine.qmp", ("/usr/sbin/virtqemud", "--timeout", "120")) == "libvirt"


def test_a_link_hides_nobody(tmp_path: Path) -> None:
    place = tmp_path / "run" / "qemu-server" / "100.qmp"
    place.parent.mkdir(parents=True)
    place.touch()
    (tmp_path / "mine").symlink_to(place)
    with pytest.raises(NotSupported, match="Proxmox VE"):
        check_owner("qemu:x", str(tmp_path / "mine"))


def test_the_refusal_says_why_and_what_to_use() -> None:
    with pytest.raises(NotSupported) as caught:
        check_owner("qemu:/run/qemu-server/100.qmp", "/run/qemu-server/100.qmp")
    assert str(caught.value) == (
        "machine 'qemu:/run/qemu-server/100.qmp' cannot be changed or asked, for Proxmox VE runs "
        "it and keeps its own account of it: use 'qm set ID --memory'"
    )


def test_it_is_refused_before_anybody_connects(tmp_path: Path) -> None:
    """Such a monitor serves one client: its manager's connection is not to be disturbed."""
    path = tmp_path / "run" / "qemu-server" / "100.qmp"
    path.parent.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        listener.settimeout(0)
        machine = QemuMachine("qemu:x", "qemu:x", QemuAddress(monitor=str(path)))
        with pytest.raises(NotSupported, match="Proxmox VE"):
            machine.snapshot()
        with pytest.raises(BlockingIOError):
            listener.accept()


def test_the_emulator_behind_a_socket(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        found = emulator_behind(str(path))
    assert found is not None
    words = Path("/proc/self/cmdline").read_bytes().rstrip(b"\0").split(b"\0")
    assert found.arguments == tuple(word.decode() for word in words)
    assert emulator_behind(str(tmp_path / "nobody")) is None
