# SPDX-License-Identifier: BSD-2-Clause
"""The page tables that each boot path leaves, walked here from the entries that x86/sev_paging tells.

The numbers are those of AMD64 long mode (APM 2, Long-Mode Page Translation) and of the machine that every guest
expects: 64 MiB of RAM, the ROM in the last 16 MiB below 4 GiB, devices between.
"""

import json
import re
import shutil
import subprocess

import pytest
from elftools.elf.elffile import ELFFile

from sources import ROOT

PAGE, BLOCK, GIB = 1 << 12, 1 << 21, 1 << 30
RAM, DEVICES, ROM = 64 << 20, 2 * GIB, 4 * GIB - 8 * BLOCK
PRESENT, WRITABLE, USER, UNCACHED, LARGE = 1, 2, 4, 0x18, 0x80
ADDRESS = 0x000ffffffffff000

# Machine: whether it has a C-bit, and a GHCB.
PATHS = {"tcg": (False, False), "model-sev": (True, False), "model-sev-es": (True, True),
         "model-sev-snp": (True, True)}

pytestmark = pytest.mark.skipif(not shutil.which("qemu-system-x86_64"), reason="no QEMU")


def said(notes, what):
    return next(int(note.split()[1], 16) for note in notes if note.startswith(what + " "))


def entries(notes):
    """{address of an entry: its value}, of all entries that are not 0."""
    found = {}
    for note in notes:
        run = re.fullmatch(r"table (0x\w+) (\d+)-(\d+) (0x\w+) \+(0x\w+)", note)
        if run:
            table, value, step = (int(run[i], 16) for i in (1, 4, 5))
            for i, index in enumerate(range(int(run[2]), int(run[3]) + 1)):
                found[table + 8 * index] = (value + i * step) % (1 << 64)
    return found


def leaves(memory, table, c_bit, shift=39, base=0):
    """(linear address, bytes, entry) of each leaf below that table, in order."""
    for index in range(512):
        entry, linear = memory.get(table + 8 * index, 0), base + (index << shift)
        if entry & PRESENT and (shift == 12 or entry & LARGE):
            yield linear, 1 << shift, entry
        elif entry & PRESENT:
            assert entry & (WRITABLE | USER) == WRITABLE | USER
            assert bool(entry & c_bit) == bool(c_bit), f"the table below {linear:#x} is shared"
            yield from leaves(memory, entry & ADDRESS & ~c_bit, c_bit, shift - 9, linear)


@pytest.fixture(scope="module", params=PATHS)
def boot(request, tmp_path_factory):
    """(machine, its notes)."""
    report = tmp_path_factory.mktemp("tables") / "report.json"
    done = subprocess.run([ROOT / "run_tests.sh", "-q", "--machine", request.param, "--json", report,
                           "sev_paging/tables"], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    result, = json.loads(report.read_text())["results"]
    return request.param, result["notes"]


def test_tables(boot):
    machine, notes = boot
    c_bit, ghcb = said(notes, "c-bit"), said(notes, "ghcb")
    has_c_bit, has_ghcb = PATHS[machine]
    assert bool(c_bit) == has_c_bit and bool(ghcb) == has_ghcb
    assert not c_bit & (c_bit - 1) and not 0 < c_bit < 1 << 32, "one bit, above all memory"

    at = 0
    for linear, size, entry in leaves(entries(notes), said(notes, "cr3"), c_bit):
        assert linear == at, f"{at:#x} is not mapped"
        at += size
        physical = entry & ADDRESS & ~c_bit & ~(size - 1)
        private, uncached = bool(entry & c_bit), entry & UNCACHED == UNCACHED
        assert physical == linear
        assert entry & (WRITABLE | USER) == WRITABLE | USER, f"{linear:#x}: {entry:#x}"
        assert size in (PAGE, BLOCK)
        if linear < RAM:
            is_ghcb = has_ghcb and linear == ghcb
            assert private == (has_c_bit and not is_ghcb), f"RAM at {linear:#x}: {entry:#x}"
            assert not uncached and (not is_ghcb or size == PAGE)
        elif DEVICES <= linear < ROM:
            assert not private, f"a device at {linear:#x}: {entry:#x}"
            assert uncached == (linear >= 3 * GIB)
        elif linear >= 4 * GIB - BLOCK:
            assert private == has_c_bit, f"the ROM at {linear:#x}: {entry:#x}"
    assert at == 4 * GIB


def test_tables_are_where_the_image_has_them(boot):
    """CR3 and what hangs on it are the linker's symbols; the GHCB is a page of the guest's own."""
    _, notes = boot
    with open(ROOT / "build/sev_paging.elf", "rb") as file:
        symbols = {s.name: s["st_value"]
                   for s in ELFFile(file).get_section_by_name(".symtab").iter_symbols()}
    memory, c_bit, ghcb = entries(notes), said(notes, "c-bit"), said(notes, "ghcb")
    below = [entry & ADDRESS & ~c_bit for address, entry in memory.items()
             if address // PAGE == symbols["boot_pdpt"] // PAGE]
    assert said(notes, "cr3") == symbols["boot_pml4"]
    assert memory[symbols["boot_pml4"]] & ADDRESS & ~c_bit == symbols["boot_pdpt"]
    assert below == [symbols["boot_pd"] + i * PAGE for i in range(4)]
    assert ghcb % PAGE == 0 and (not ghcb or 1 << 20 <= ghcb < RAM)


def test_a_wrong_entry_is_found(boot):
    """The walk itself can fail: any one entry that maps a page elsewhere, or a hole, is seen."""
    machine, notes = boot
    for index, note in enumerate(notes):
        run = re.fullmatch(r"(table 0x\w+ \d+-\d+ )(0x\w+)( \+0x\w+)", note)
        if run:
            for wrong in (int(run[2], 16) ^ PRESENT, int(run[2], 16) ^ 1 << 30, int(run[2], 16) ^ USER):
                spoilt = [*notes]
                spoilt[index] = f"{run[1]}{wrong:#x}{run[3]}"
                with pytest.raises((AssertionError, KeyError)):
                    test_tables((machine, spoilt))
