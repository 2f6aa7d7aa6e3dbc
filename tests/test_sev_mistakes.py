# SPDX-License-Identifier: BSD-2-Clause
"""Guests that get memory encryption wrong fail in the model under SEV-ES or SNP, and only there."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import full_but
from sources import copy_sources

TOP = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TOP / "scripts"))

ES, SNP = "model-sev-es", "model-sev-snp"

# What is forgotten: (file, text, what stands there instead, machines that show it).
MISTAKES = {
    "nothing": ("lib/x86/sev/sev.c", "", "", ()),
    "the C-bit of the image's block": (
        "lib/x86/boot/sev.S", "mov\t$boot_pd + 4, %edi\n\tmov\t$2 * 512, %ecx",
        "mov\t$boot_pd + 4 + 8, %edi\n\tmov\t$2 * 512 - 1, %ecx", (ES, SNP)),
    "to share the GHCB": (
        "lib/x86/sev/sev.c", "*paging_pte(address) &= ~sev_c_bit;", "(void)paging_pte(address);",
        (ES,)),                     # under SNP the page was given away before
    "to register the GHCB": (
        "lib/x86/sev/sev.c", "!snp_register_ghcb(address)", "false", (SNP,)),
    "that a launch needs metadata": ("lib/x86/boot/rom.S", '"ASEV"', '"asev"', (SNP,)),
    "a page in the metadata": (
        "lib/x86/boot/rom.S", ".long\tIMAGE_BASE, guest_bytes,",
        ".long\tIMAGE_BASE + 0x1000, guest_bytes - 0x1000,", (SNP,)),
    "to put the C-bit into pages that are split": (
        "lib/x86/cpu/paging.c", "table[i] = (base + i * PAGE_BYTES) | flags;",
        "table[i] = (base + i * PAGE_BYTES) | (flags & ~sev_c_bit);", (ES, SNP)),
}


def verdicts(tree, machines):
    """{machine: verdict} of the guest `dummy` in that tree."""
    environment = os.environ | {"PYTHONPATH": str(tree / "scripts")}
    done = subprocess.run([sys.executable, "-m", "trapline", "-v", "--machine", ",".join(machines),
                           "--timeout", "5", "dummy"], cwd=tree, env=environment,
                          capture_output=True, text=True, timeout=120, check=False)
    found = {machine: verdict for verdict, machine in
             re.findall(r"^(\w+) +dummy/nothing:cpl0@(\S+)", done.stdout, re.M)}
    assert set(found) == set(machines), done.stdout + done.stderr
    return found


@pytest.mark.skipif(not shutil.which("qemu-system-x86_64"), reason="no QEMU")
@pytest.mark.parametrize("mistake", full_but(MISTAKES, (
    "nothing", "that a launch needs metadata")))
def test_mistake_shows_there_alone(mistake, tmp_path):
    tree = copy_sources(tmp_path / "tree")
    shutil.copy(TOP / "bugs.toml", tree)
    shutil.copy(TOP / "unittests.cfg", tree)
    (tree / "expectations").mkdir()
    file, text, instead, shows = MISTAKES[mistake]
    source = (tree / file).read_text()
    assert text in source
    (tree / file).write_text(source.replace(text, instead) if text else source)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MAKE")}
    done = subprocess.run(["make", "-s", "WERROR=", "-j2", "build/dummy.rom", "build/dummy.elf",
                           "build/model.rom"], cwd=tree, env=environment, capture_output=True,
                          text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = verdicts(tree, ["tcg", "model", ES, SNP])
    assert {m for m, verdict in found.items() if verdict != "pass"} == set(shows), found
