# SPDX-License-Identifier: BSD-2-Clause
"""The monitor of the SEV host (lab/host): what can be said of it without booting a kernel."""

import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from conftest import full_but

ROOT = os.path.join(os.path.dirname(__file__), "..")


def read(name):
    with open(os.path.join(ROOT, name), encoding="utf-8") as file:
        return file.read()


def corrections():
    """(id, file that does it) of each line of correct.def."""
    return re.findall(r'^CORRECT\(\w+, "([\w-]+)", "([\w/]+\.c): ', read("lab/host/base/correct.def"), re.M)


def test_corrections_are_known_bugs_and_have_a_place():
    bugs = tomllib.loads(read("bugs.toml"))
    lines = corrections()
    assert len(lines) == read("lab/host/base/correct.def").count("\nCORRECT(") > 5
    for bug, place in lines:
        assert bug in bugs, bug
        assert os.path.exists(os.path.join(ROOT, "lab", "host", place)), place


def test_each_correction_can_be_switched_off():
    names = re.findall(r"^CORRECT\((\w+),", read("lab/host/base/correct.def"), re.M)
    code = "".join(path.read_text() for path in Path(ROOT, "lab", "host").rglob("*.c"))
    for name in names:
        assert f"corrects({name})" in code, name


def make(folder, *arguments):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MAKE")}
    done = subprocess.run(["make", "-f", "scripts/make/host.mk", "-j2", f"BUILD={folder}", *arguments],
                          cwd=ROOT, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr


def closing_line(program):
    done = subprocess.run([program], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip().splitlines()[-1]


@pytest.mark.parametrize("program", full_but(
    ["sev_firmware", "snp_firmware", "host_memory", "host_rmp"], ("snp_firmware",)))
def test_by_the_manuals(tmp_path, program):
    """The Secure Processor's states and errors; the views of memory, and whose memory it is."""
    make(tmp_path, "host-monitor")
    assert re.search(r"[1-9]\d* \w+, 0 wrong$", closing_line(tmp_path / "host" / program))


def test_lengths_agree_with_zydis(tmp_path):
    probe = tmp_path / "probe.c"
    probe.write_text("#include <Zydis/Zydis.h>\nint main(void) { return ZydisGetVersion() == 0; }\n")
    if subprocess.run([os.environ.get("CC", "gcc"), probe, "-lZydis", "-o", tmp_path / "probe"],
                      capture_output=True).returncode:
        pytest.skip("needs the disassembler library Zydis with headers (Debian: libzydis-dev)")
    make(tmp_path, "host-opcode")
    lengths = re.fullmatch(r"(\d+) lengths, 0 wrong", closing_line(tmp_path / "host" / "opcode_zydis"))
    assert int(lengths[1]) > 20_000_000
