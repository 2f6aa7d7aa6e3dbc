# SPDX-License-Identifier: BSD-2-Clause
"""The table at a ROM's end, read as QEMU reads it and with nothing of ours but the linker's symbols.

hw/i386/pc_sysfw_ovmf.c walks it backwards from the footer; target/i386/sev.c takes the reset block and
the metadata from it.
"""

import struct
import subprocess
import uuid
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

TOP = Path(__file__).resolve().parent.parent
FOOTER = "96b582de-1fb2-45f7-baea-a366c55a082d"
RESET = "00f771de-1a7e-4fcb-890e-68c77e2fb44e"
METADATA = "dc886566-984a-4798-a75e-5585a7bf67cc"
FOUR_GIB = 1 << 32
RAM = 64 << 20
COLD = 16 << 20
PAGE = 4096
VALIDATED, SECRETS, CPUID = 1, 2, 3


@pytest.fixture(scope="module", params=["dummy", "vc"])
def image(request):
    """(bytes of the ROM, {symbol: address} of its link)."""
    build = TOP / "build"
    done = subprocess.run(["make", "-s", "-C", TOP, f"build/{request.param}.rom"],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with open(build / f"{request.param}.rom.elf", "rb") as file:
        symbols = {s.name: s["st_value"]
                   for s in ELFFile(file).get_section_by_name(".symtab").iter_symbols()}
    return (build / f"{request.param}.rom").read_bytes(), symbols


def entries(rom):
    """{GUID: data} as QEMU's parser finds them; it starts 48 bytes before the end."""
    assert uuid.UUID(bytes_le=rom[-48:-32]) == uuid.UUID(FOOTER)
    total, = struct.unpack("<H", rom[-50:-48])
    assert 18 <= total <= len(rom) - 32
    table = rom[len(rom) - 32 - total:-50]
    found = {}
    while table:
        assert len(table) >= 18, "a rest that is no entry"
        name = str(uuid.UUID(bytes_le=table[-16:]))
        length, = struct.unpack("<H", table[-18:-16])
        assert 18 <= length <= len(table), f"{name}: length {length}"
        assert name not in found
        found[name] = table[len(table) - length:-18]
        table = table[:len(table) - length]
    return found


def test_entries(image):
    rom, _ = image
    assert set(entries(rom)) == {RESET, METADATA}


def test_reset_vector_is_code(image):
    rom, _ = image
    assert len(rom) % 65536 == 0
    assert rom[-16:-13] != b"\xff\xff\xff"      # QEMU and the CPU both start here


def test_reset_block(image):
    rom, symbols = image
    address, = struct.unpack("<I", entries(rom)[RESET])
    assert address == symbols["ap_reset16"]
    # CS base is the upper half, so the code has to lie in the ROM's last 64 KiB.
    assert address >= FOUR_GIB - 65536
    code = rom[address - FOUR_GIB:][:5]
    segment, = struct.unpack("<H", code[3:5])
    assert code[:3] == b"\xea\x00\x00", "no far jump"
    with open(TOP / "lib/x86/boot/layout.h", encoding="utf-8") as file:
        assert f"#define AP_START_PAGE {segment << 4:#x}\n" in file.read()


def test_metadata(image):
    rom, symbols = image
    distance, = struct.unpack("<I", entries(rom)[METADATA])
    assert FOUR_GIB - distance == symbols["asev"]
    assert distance % 16 == 0
    header = rom[-distance:]
    magic, length, version, count = struct.unpack("<4sIII", header[:16])
    assert (magic, version) == (b"ASEV", 1)
    assert length == 16 + 12 * count == symbols["asev_end"] - symbols["asev"]
    sections = sorted(struct.unpack("<III", header[16 + 12 * i:][:12]) for i in range(count))
    types = [kind for _, _, kind in sections]
    assert types.count(SECRETS) == types.count(CPUID) == 1
    assert set(types) == {VALIDATED, SECRETS, CPUID}
    end = 0
    for base, size, kind in sections:
        assert base % PAGE == size % PAGE == 0 and size
        assert kind == VALIDATED or size == PAGE
        assert end <= base and base + size <= RAM, "sections overlap, or leave RAM"
        assert base == end or (end, base) == (0xa0000, 0x100000) or base >= COLD, "a hole in what a guest uses"
        end = base + size
    # The image with all that it was linked for; and of each block of 2 MiB behind 16 MiB the first pages.
    low = [(base, size) for base, size, _ in sections if base < COLD]
    assert symbols["image_end"] <= sum(low[-1]) < symbols["image_end"] + PAGE
    assert [base for base, _, _ in sections if base >= COLD] == list(range(COLD, RAM, 2 << 20))
