# SPDX-License-Identifier: BSD-2-Clause
"""The parts of lib/x86 that need no guest: #VC decoder, exit codes, IOIO words, GHCB protocol.

The programs are C (tests/host, built by scripts/make/host.mk) so that they run the code that the
guest runs; here they are built, started, and their closing line is read.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

TOP = Path(__file__).parent.parent
LIB = TOP / "lib/x86"
# Needs no guest, so it must not include anything of one.
STANDALONE = ["decode", "exit_code", "insn_regs", "ioio",
              "ghcb_page", "ghcb_event", "ghcb_answer", "ghcb_msr", "psc", "snp_cpuid"]


def make(folder, *arguments):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MAKE")}
    done = subprocess.run(["make", "-f", "scripts/make/host.mk", "-j2", f"BUILD={folder}", *arguments],
                          cwd=TOP, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr


def run(program, *arguments):
    done = subprocess.run([program, *arguments], cwd=TOP, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    """Folder of the host programs."""
    folder = tmp_path_factory.mktemp("host")
    make(folder, "host")
    return folder / "host"


@pytest.mark.parametrize("program", ["decode_table", "insn_use", "ghcb_proto", "snp_cpuid"])
def test_against_numbers_from_the_manuals(host, program):
    assert re.search(r"[1-9]\d* \w+, 0 wrong$", run(host / program).strip())


@pytest.mark.parametrize("target", ["decode", "answer"])
def test_fuzz_corpus(host, target):
    corpus = f"tests/host/corpus/{target}.hex"
    inputs = int(run(host / f"replay_{target}", corpus).split()[0])
    assert inputs > 10 * len((TOP / corpus).read_text().split()) > 1000


@pytest.fixture(scope="module")
def zydis(tmp_path_factory):
    folder = tmp_path_factory.mktemp("zydis")
    probe = folder / "probe.c"
    probe.write_text("#include <Zydis/Zydis.h>\n"
                     '_Static_assert(ZYDIS_VERSION_MAJOR(ZYDIS_VERSION) >= 4, "Zydis 4");\n'
                     "int main(void) { return ZydisGetVersion() == 0; }\n")
    cc = os.environ.get("CC", "gcc")
    if subprocess.run([cc, probe, "-lZydis", "-o", folder / "probe"], capture_output=True).returncode:
        pytest.skip("needs the disassembler library Zydis 4 with headers (Debian: libzydis-dev)")
    make(folder, "host-zydis")
    return folder / "host/decode_zydis"


@pytest.mark.full
def test_decoder_agrees_with_zydis(zydis):
    """All claimed encodings under combined prefixes, and random bytes: length and every operand."""
    out = run(zydis, "-s", "1", "-n", "3000000")
    compared, accepted = map(int, re.search(r"^(\d+) compared, (\d+) accepted, .* 0 disagreements$",
                                            out, re.M).groups())
    assert compared > 40_000_000 and accepted > 30_000_000


@pytest.mark.parametrize("cc", ["gcc", "clang"])
def test_compiles_for_the_guest(tmp_path, cc):
    """With the guest's flags, for 32- and 64-bit code; needs nothing that is not its own."""
    if not shutil.which(cc):
        pytest.skip(f"{cc} is not installed")
    make(tmp_path, "host-freestanding", f"CC={cc}")
    for mode in "32", "64":
        objects = sorted((tmp_path / f"host/freestanding-{mode}").rglob("*.o"))
        assert len(objects) == len(STANDALONE)
        listing = run("nm", "-P", *objects)
        kinds = re.findall(r"^(\w+) (\w)", listing, re.M)
        defined = {name for name, kind in kinds if kind != "U"}
        assert {name for name, kind in kinds if kind == "U"} - defined == set()
        # No writable data: the same code may run on every CPU and in nested handlers.
        assert {name for name, kind in kinds if kind in "bBdDC"} == set()


@pytest.mark.parametrize("name", STANDALONE)
def test_includes_only_freestanding_headers(name):
    room = "insn" if (LIB / "insn" / f"{name}.c").exists() else "sev"
    for path in LIB / room / f"{name}.c", LIB / room / f"{name}.h":
        for header in re.findall(r'^#include [<"](.*)[>"]', path.read_text(), re.M):
            assert header in ("stdbool.h", "stddef.h", "stdint.h", "opcodes.def") or \
                Path(header).stem in STANDALONE


def test_corpus_tool_keeps_every_input(tmp_path):
    source = TOP / "tests/host/corpus/answer.hex"
    tool = TOP / "tests/host/corpus-tool"
    subprocess.run([tool, "unpack", source, tmp_path / "files"], check=True)
    subprocess.run([tool, "pack", tmp_path / "files", tmp_path / "again.hex"], check=True)
    assert (tmp_path / "again.hex").read_text() == source.read_text()
