# SPDX-License-Identifier: BSD-2-Clause
"""The Makefile: a fresh tree builds, what changed is built anew and nothing else is."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

TOP = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A copy of the sources, built once."""
    folder = tmp_path_factory.mktemp("build") / "tree"
    shutil.copytree(TOP, folder,
                    ignore=shutil.ignore_patterns(".git", "build*", "config.mak", "__pycache__"))
    return folder


def make(tree, *arguments):
    """A build of few guests: that all of them build is what `make check` begins with."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MAKE") and k != "WERROR"}
    return subprocess.run(["make", "GUESTS=dummy int3", *arguments], cwd=tree, capture_output=True, text=True,
                          env=environment)


def compiled(done):
    """The sources that a `make V=1` compiled."""
    assert done.returncode == 0, done.stdout + done.stderr
    return {word for line in done.stdout.splitlines() if " -c " in line
            for word in line.split() if word.endswith((".c", ".S"))}


@pytest.mark.full
def test_make_configures_and_builds(tree):
    assert not (tree / "config.mak").exists()
    first = compiled(make(tree, "-j4", "V=1"))
    assert {"lib/printf.c", "lib/x86/cpu/entry.S", "x86/dummy.c"} <= first
    assert (tree / "config.mak").exists()

    elf, rom = tree / "build/dummy.elf", tree / "build/dummy.rom"
    assert elf.read_bytes()[:4] == b"\x7fELF"
    assert rom.stat().st_size % 65536 == 0
    for image in elf, rom:
        assert image.read_bytes().count(b"TRAPLINE-ARGS-1\n") == 1

    assert compiled(make(tree, "V=1")) == set()


@pytest.mark.full                       # of what the test before it has built
def test_header_rebuilds_its_users_only(tree):
    (tree / "lib/printf.h").touch()
    again = compiled(make(tree, "V=1"))
    assert "lib/printf.c" in again
    assert "lib/string.c" not in again
    assert compiled(make(tree, "V=1")) == set()


@pytest.mark.full
def test_other_flags_rebuild_everything(tree):
    everything = compiled(make(tree, "V=1", "DEBUG=yes"))
    assert {"lib/string.c", "x86/dummy.c"} <= everything
    assert compiled(make(tree, "V=1", "DEBUG=yes")) == set()


def test_warning_is_an_error_in_check_only(tree):
    """What a newer compiler warns of stops nobody's build."""
    (tree / "x86/warns.c").write_text("/* SPDX-License-Identifier: BSD-2-Clause */\n"
                                      "static int unused;\n")
    done = make(tree, "build/x86/warns.o")
    assert done.returncode == 0 and "unused" in done.stderr
    (tree / "build/x86/warns.o").unlink()
    done = make(tree, "build/x86/warns.o", "WERROR=1")
    (tree / "x86/warns.c").unlink()
    assert done.returncode != 0 and "unused" in done.stderr


@pytest.mark.full
def test_out_of_tree(tree):
    assert make(tree, "-j4", "BUILD=build-other").returncode == 0
    assert (tree / "build-other/dummy.rom").exists()


def test_help_lists_every_target(tree):
    done = make(tree, "help")
    assert done.returncode == 0
    listed = {line.split()[1] for line in done.stdout.splitlines()}
    assert {"all", "check", "lint", "format", "bench", "clean", "help"} <= listed


def test_floor(tree):
    assert make(tree, "build/floor.rom").returncode == 0
    floor = (tree / "build/floor.rom").read_bytes()
    assert len(floor) == 65536
    assert floor[-16:-12] == b"\xb0\x10\xe6\xf4"  # mov $0x10, %al; out %al, $0xf4


@pytest.mark.full
def test_bench_prints_the_ratio(tree):
    done = make(tree, "bench", "BENCH=--pairs 1 --machine tcg")
    assert done.returncode == 0, done.stdout + done.stderr
    row = next(line for line in done.stdout.splitlines() if line.startswith("tcg "))
    if row.startswith("tcg       no "):
        pytest.skip(row)
    number = r" +\d+\.\d+ +\(\d+\.\d+-\d+\.\d+\)"
    assert re.fullmatch("tcg" + 3 * number, row)


def test_clean(tree):
    assert make(tree, "clean").returncode == 0
    assert not (tree / "build").exists()
