"""Modules come with all that they need, in the order of loading."""

import lzma
from pathlib import Path

import pytest

from memhp.core.errors import MachineError
from memhp.machines.lab.image_release import image_release
from memhp.machines.lab.kernels import find_kernel
from memhp.machines.lab.modules import keep_modules, read_chains


def module(depends: str) -> bytes:
    return b"\x7fELF\0license=GPL\0depends=" + depends.encode() + b"\0name=x\0"


def installed(root: Path, release: str = "6.12.1-mine") -> Path:
    """Modules as a kernel is installed with them: some packed, names with dashes."""
    folder = root / "lib/modules" / release
    (folder / "kernel/drivers").mkdir(parents=True)
    (folder / "kernel/drivers/zram.ko.xz").write_bytes(lzma.compress(module("zsmalloc,lz4_core")))
    (folder / "kernel/zsmalloc.ko").write_bytes(module(""))
    (folder / "kernel/lz4-core.ko").write_bytes(module("zsmalloc"))
    (folder / "kernel/other.ko").write_bytes(module(""))
    return folder


def image(root: Path, version: bytes = b"6.12.1-mine (me@here) #7 SMP") -> Path:
    file = root / "boot/vmlinuz"
    file.parent.mkdir(exist_ok=True)
    head = bytearray(0x400)
    head[0x202:0x206] = b"HdrS"
    head[0x20E:0x210] = (0x100).to_bytes(2, "little")
    file.write_bytes(bytes(head[:0x300]) + version + b"\0more")
    return file


def test_a_chain_has_prerequisites_first_and_each_once(tmp_path: Path) -> None:
    keep_modules(installed(tmp_path), tmp_path / "kept", ["zram", "virtio"])
    kept = tmp_path / "kept"
    names = ("zsmalloc.ko", "lz4-core.ko", "zram.ko")
    assert read_chains(kept) == {"zram": tuple(kept / name for name in names), "virtio": ()}
    assert (kept / "zram.ko").read_bytes() == module("zsmalloc,lz4_core")
    assert not (kept / "other.ko").exists()


def test_a_kernel_of_ones_own_brings_its_modules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEMHP_LAB_CACHE", str(tmp_path / "cache"))
    folder, file = installed(tmp_path), image(tmp_path)
    first = find_kernel(str(file))
    assert (first.image, [*first.spare]) == (file, ["zram"])
    (folder / "kernel/zsmalloc.ko").write_bytes(module("") + b"built again")
    again = find_kernel(str(file)).spare["zram"][0]
    assert again.read_bytes() == module("") + b"built again"
    assert first.spare["zram"][0].read_bytes() == module("")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, r"cannot be read \(No such file or directory\)"),
        (b"no kernel", r"is no kernel image for x86 \(a bzImage\)"),
        (b"", "does not say which release it is"),
    ],
    ids=["missing", "something else", "no version"],
)
def test_what_is_no_kernel_is_told(tmp_path: Path, content: bytes | None, problem: str) -> None:
    file = image(tmp_path, b"")
    if content is None:
        file.unlink()
    elif content:
        file.write_bytes(content)
    with pytest.raises(MachineError, match=rf"cannot boot {file}: it {problem}"):
        image_release(file)
