"""A uevent in the two forms in which programs on Linux get it.

The kernel's: ``action@devpath``, then ``KEY=VALUE`` lines, each ended by a zero
byte. udev's, which libudev's monitor reads: a head of 40 bytes, then the lines.

    offset  size  what
         0     8  "libudev", ended by a zero byte
         8     4  0xfeedcafe, most significant byte first
        12     4  bytes of the head: 40                     (native byte order)
        16     4  where the lines begin: 40                 (native byte order)
        20     4  bytes of all lines                        (native byte order)
        24     4  MurmurHash2 of SUBSYSTEM                  (most significant first)
        28     4  MurmurHash2 of DEVTYPE, 0 where there is none
        32     8  a Bloom filter of tags, two words, 0 where there are none

Source: the interface between systemd-udevd and libudev
(``monitor_netlink_header`` in systemd).
"""

import struct
from typing import Final

from memhp.model.uevents import Uevent

HEAD: Final = struct.Struct("=8s4sIII4s4s4s4s")
MAGIC: Final = 0xFEEDCAFE
_MULTIPLY: Final = 0x5BD1E995
_WORD: Final = 0xFFFFFFFF


def kernel_form(uevent: Uevent) -> bytes:
    """The message that the kernel sends."""
    return uevent.message()


def udev_form(uevent: Uevent) -> bytes:
    """The message that udev passes on, with the same keys."""
    lines = uevent.message().partition(b"\0")[2]
    head = HEAD.pack(
        b"libudev\0",
        _big_endian(MAGIC),
        HEAD.size,
        HEAD.size,
        len(lines),
        _big_endian(murmur_hash2(uevent.subsystem.encode())),
        _big_endian(0),
        _big_endian(0),
        _big_endian(0),
    )
    return head + lines


def murmur_hash2(data: bytes, seed: int = 0) -> int:
    """Hash bytes to 32 bits as libudev does (Austin Appleby's MurmurHash2)."""
    value = seed ^ len(data)
    whole = len(data) & ~3
    for (word,) in struct.iter_unpack("<I", data[:whole]):
        mixed = word * _MULTIPLY & _WORD
        mixed = (mixed ^ mixed >> 24) * _MULTIPLY & _WORD
        value = value * _MULTIPLY & _WORD ^ mixed
    if data[whole:]:
        value = (value ^ int.from_bytes(data[whole:], "little")) * _MULTIPLY & _WORD
    value = (value ^ value >> 13) * _MULTIPLY & _WORD
    return value ^ value >> 15


def _big_endian(word: int) -> bytes:
    return word.to_bytes(4, "big")
