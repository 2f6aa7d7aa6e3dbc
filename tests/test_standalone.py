# SPDX-License-Identifier: BSD-2-Clause
"""The self-extracting scripts, one per guest."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
QEMU = shutil.which("qemu-system-x86_64")
pytestmark = pytest.mark.skipif(not QEMU, reason="no QEMU")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    subprocess.run(["make", "-s", "standalone"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL,
                   timeout=200)
    # Away from the tree, which they must not need.
    return shutil.copytree(ROOT / "build/standalone", tmp_path_factory.mktemp("x") / "standalone")


def run(script, *words, **variables):
    return subprocess.run([script, *words], capture_output=True, text=True, timeout=100,
                          check=False, cwd="/", env={**os.environ, "ACCEL": "tcg", **variables})


def test_passing_guest(folder):
    done = run(folder / "dummy")
    assert done.returncode == 0 and done.stderr == ""
    assert done.stdout.startswith("KTAP version 1\n1..1\n")
    assert done.stdout.rstrip().endswith("# Totals: pass:1 fail:0 skip:0")


def test_some_cases(folder):
    done = run(folder / "int3", "cases=first_exception,int3_cold_stack_rsp0", "seed=7")
    assert done.returncode == 0 and "1..8\n" in done.stdout     # of its own layer only
    assert run(folder / "int3", "cases=" + "x" * 5000).returncode == 2
    assert run(folder / "int3", "nonsense").returncode == 1         # the guest bails out
    assert run(folder / "int3", "--nonsense").returncode == 2


def test_list_is_what_runs(folder):
    listed = run(folder / "int3-svm", "--list").stdout.split()
    assert "int3-svm/int3_warm:svm-cpl0" in listed
    done = run(folder / "int3-svm")
    assert f"1..{len(listed)}\n" in done.stdout


def test_what_cannot_run_is_77(folder, tmp_path):
    assert run(folder / "dummy", QEMU="/nowhere/qemu").returncode == 77
    assert run(folder / "latency_svm", PATH=os.environ["PATH"]).returncode == 0


@pytest.mark.parametrize("says, status", [
    ("echo 'KTAP version 1'; echo 1..1; echo 'ok 1 dummy/nothing:cpl0'; echo '# Totals: pass:1'", 0),
    ("echo 'KTAP version 1'; echo 1..1; echo 'ok 1 dummy/nothing:cpl0'", 1),
    ("echo 'KTAP version 1'; echo 1..2; echo 'ok 1 a'; echo '# Totals: pass:1'", 1),
    ("echo 'KTAP version 1'; echo 1..1; echo 'not ok 1 a'; echo '# Totals: fail:1'", 1),
    ("echo 'KTAP version 1'; echo 1..1; echo 'ok 1 a # SKIP why'; echo '# Totals: skip:1'", 77),
    ("exit 0", 1),
    ("sleep 60", 1),
])
def test_statuses(folder, tmp_path, says, status):
    qemu = tmp_path / "qemu"
    qemu.write_text(f"#!/bin/sh\n{says}\n")
    qemu.chmod(0o755)
    assert run(folder / "dummy", QEMU=str(qemu), TIMEOUT="1").returncode == status


@pytest.mark.skipif(not shutil.which("shellcheck"), reason="no shellcheck")
def test_shellcheck(folder, tmp_path):
    text = (folder / "int3").read_text().partition("__ROM__\n")[0]
    (tmp_path / "int3.sh").write_text(text)
    subprocess.run(["shellcheck", tmp_path / "int3.sh"], check=True)
