# SPDX-License-Identifier: BSD-2-Clause
"""The .efi images: their headers, and that firmware starts them wherever it keeps its own things."""

import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import full_but

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "scripts")]

from trapline.machines.ovmf import FIRMWARE     # noqa: E402

QEMU = shutil.which("qemu-system-x86_64")
FOUND = next((f for f in FIRMWARE if Path(f).exists()), None)
needs_ovmf = pytest.mark.skipif(not QEMU or not FOUND, reason="no QEMU or no OVMF")


@pytest.fixture(scope="module")
def image():
    subprocess.run(["make", "-s", "build/int3.efi"], cwd=ROOT, check=True, timeout=120)
    return (ROOT / "build/int3.efi").read_bytes()


def test_headers(image):
    """What the loader of UEFI looks at; offsets from Microsoft's PE format."""
    assert image[:2] == b"MZ"
    pe, = struct.unpack_from("<I", image, 0x3c)
    assert image[pe:pe + 4] == b"PE\0\0"
    machine, sections = struct.unpack_from("<HH", image, pe + 4)
    optional_bytes, flags = struct.unpack_from("<HH", image, pe + 20)
    assert machine == 0x8664 and flags & 2 and not flags & 1    # executable, may be moved
    optional = pe + 24
    magic, = struct.unpack_from("<H", image, optional)
    entry, = struct.unpack_from("<I", image, optional + 16)
    section_align, file_align = struct.unpack_from("<II", image, optional + 32)
    in_memory, headers = struct.unpack_from("<II", image, optional + 56)
    subsystem, = struct.unpack_from("<H", image, optional + 68)
    directories, = struct.unpack_from("<I", image, optional + 108)
    assert (magic, subsystem) == (0x20b, 10)
    assert optional_bytes == 112 + 8 * directories
    assert in_memory == len(image) and in_memory % section_align == 0
    assert section_align == file_align == headers == 4096
    end, covered = headers, False
    for i in range(sections):
        size, at, raw_size, raw = struct.unpack_from("<IIII", image,
                                                     optional + optional_bytes + 40 * i + 8)
        access, = struct.unpack_from("<I", image, optional + optional_bytes + 40 * i + 36)
        assert at == raw == end and size <= raw_size            # the file is its own image
        assert not (access & 0x20000000 and access & 0x80000000), "writable code"
        covered |= at <= entry < at + size and bool(access & 0x20000000)
        end += -(-raw_size // section_align) * section_align
    assert end == in_memory and covered
    assert image.count(b"TRAPLINE-ARGS-1\n") == 1


@needs_ovmf
@pytest.mark.full
def test_machine_ovmf():
    done = subprocess.run([ROOT / "run_tests.sh", "-v", "--machine", "ovmf"], capture_output=True,
                          text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "pass   dummy/nothing:cpl0@ovmf" in done.stdout
    assert "pass   int3/int3_replaced_by_other_cpu:cpl0@ovmf" in done.stdout
    assert len([x for x in done.stdout.splitlines() if "@ovmf" in x and "again" not in x]) < 60
    assert "not all, for no guest was named: every boot goes through the firmware" in done.stdout


@needs_ovmf
@pytest.mark.parametrize("options", full_but([
    ["-m", "128"],                                  # firmware and guest close together
    ["-m", "256", "-cpu", "max,la57=on"],           # paging with five levels
    ["-m", "256", "-cpu", "max,la57=off"],
    ["-m", "5G"],                                   # memory above 4 GiB, where files may go
    ["-m", "256", "-cpu", "qemu64"],
], (["-m", "128"],)), ids=" ".join)
def test_firmware_keeps_its_things_elsewhere(options, image, tmp_path):
    words = b"cases=int3_warm,int3_cold_idt environment=cpl0"
    file = tmp_path / "int3.efi"
    file.write_bytes(image.replace(b"TRAPLINE-ARGS-1\n" + bytes(len(words)),
                                   b"TRAPLINE-ARGS-1\n" + words))
    done = subprocess.run(
        [QEMU, "-M", "q35", "-accel", "tcg", "-cpu", "max", *options, "-nodefaults", "-display",
         "none", "-no-reboot", "-serial", "stdio", "-device",
         "isa-debug-exit,iobase=0xf4,iosize=4", "-drive",
         f"if=pflash,format=raw,unit=0,readonly=on,file={FOUND}", "-kernel", file],
        stdin=subprocess.DEVNULL, capture_output=True, timeout=120, check=False)
    said = done.stdout.decode("latin-1")
    assert "\nKTAP version 1\n1..2\n" in said.replace("\r", "")
    assert "# guest int3, boot efi," in said
    assert "# Totals: pass:2 fail:0 skip:0" in said and done.returncode == 0x21
