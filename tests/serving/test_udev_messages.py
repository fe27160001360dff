"""Uevents in udev's form: field by field, and as libudev itself reads them."""

import ctypes
import ctypes.util
import os
import socket
import struct
import subprocess
import sys
from dataclasses import replace

import pytest

from memhp.model.uevents import Uevent
from memhp.serving.udev_messages import kernel_form, murmur_hash2, udev_form

OFFLINE = Uevent(
    action="offline",
    devpath="/devices/system/memory/memory33",
    subsystem="memory",
    seqnum=2101,
)
LINES = b"ACTION=offline\0DEVPATH=/devices/system/memory/memory33\0SUBSYSTEM=memory\0SEQNUM=2101\0"
_CLONE_NEWNET = 0x40000000
_KOBJECT_UEVENT = 15
_UDEV_GROUP = 2


def test_the_kernels_form() -> None:
    assert kernel_form(OFFLINE) == b"offline@/devices/system/memory/memory33\0" + LINES


def test_udevs_form() -> None:
    message = udev_form(OFFLINE)
    prefix, magic, head, start, length = struct.unpack_from("=8s4sIII", message)
    assert (prefix, magic, head, start) == (b"libudev\0", b"\xfe\xed\xca\xfe", 40, 40)
    assert message[start : start + length] == message[40:] == LINES
    hashes = struct.unpack_from(">IIII", message, 24)
    assert hashes == (murmur_hash2(b"memory"), 0, 0, 0)


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"", 0),
        (b"x", 0x16357CE4),
        (b"cpu", 0x4D1A71B3),
        (b"node", 0xA6D07F2C),
        (b"block", 0xF0031DB7),
        (b"memory", 0x86E45ACF),
        (b"machine", 0xEF243871),
    ],
)
def test_hashes(data: bytes, value: int) -> None:
    """Values that libudev's filter confirmed (below), for machines that have no libudev."""
    assert murmur_hash2(data) == value


@pytest.mark.parametrize("subsystem", ["x", "cpu", "node", "block", "memory", "machine"])
def test_libudev_reads_the_message_and_its_filter_lets_it_pass(subsystem: str) -> None:
    """In a network namespace of its own, in which nobody else hears it."""
    if os.geteuid() != 0:
        pytest.skip("only root may send uevents")
    if ctypes.util.find_library("udev") is None:
        pytest.skip("there is no libudev")
    done = subprocess.run([sys.executable, __file__, subsystem], capture_output=True, text=True)
    if done.returncode == 77:
        pytest.skip(f"no network namespace can be made: {done.stdout}")
    assert (done.stdout, done.stderr) == (
        f"offline /devices/system/memory/memory33 {subsystem} 2101\n",
        "",
    )


def hear_and_tell(subsystem: str) -> int:
    """The process that sends itself the message and asks libudev what came."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNET) != 0:
        print(os.strerror(ctypes.get_errno()))
        return 77
    udev = ctypes.CDLL(ctypes.util.find_library("udev"))
    for name in ("new", "monitor_new_from_netlink", "monitor_receive_device"):
        getattr(udev, f"udev_{name}").restype = ctypes.c_void_p
    for name in ("action", "devpath", "subsystem"):
        getattr(udev, f"udev_device_get_{name}").restype = ctypes.c_char_p
    udev.udev_device_get_seqnum.restype = ctypes.c_ulonglong
    monitor = ctypes.c_void_p(
        udev.udev_monitor_new_from_netlink(ctypes.c_void_p(udev.udev_new()), b"udev")
    )
    udev.udev_monitor_filter_add_match_subsystem_devtype(monitor, subsystem.encode(), None)
    udev.udev_monitor_enable_receiving(monitor)
    sender = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _KOBJECT_UEVENT)
    sender.bind((0, 0))
    sender.sendto(udev_form(replace(OFFLINE, subsystem=subsystem)), (0, _UDEV_GROUP))
    device = ctypes.c_void_p(udev.udev_monitor_receive_device(monitor))
    if not device:
        print("libudev let nothing pass")
        return 1
    said = [
        getattr(udev, f"udev_device_get_{name}")(device).decode()
        for name in ("action", "devpath", "subsystem")
    ]
    print(*said, udev.udev_device_get_seqnum(device))
    return 0


if __name__ == "__main__":
    sys.exit(hear_and_tell(sys.argv[1]))
