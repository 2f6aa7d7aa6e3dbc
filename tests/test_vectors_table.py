# SPDX-License-Identifier: BSD-2-Clause
"""docs/vectors.md is what scripts/vectors-table makes of the guests."""

import importlib.machinery
import importlib.util
import json
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "scripts" / "vectors-table"


def load():
    loader = importlib.machinery.SourceFileLoader("vectors_table", str(SCRIPT))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    return module


table = load()


def test_ranges():
    assert table.ranges_of({0, 1, 2, 0x10, 0xff}) == "0x0-0x2,0x10,0xff"
    assert table.vectors_of("[0x0-0x2,0x10] int v@after; [0xff] (none)") == {0, 1, 2, 0x10, 0xff}
    assert table.vectors_of("nmi@wait; intr 0x31@wait") == set()


def test_restrict():
    trace = "[0x0] a; [0x1-0x2] b; c | cpu1: [0x0-0x2] d"
    assert table.restrict(trace, {1, 2}) == "b; c | cpu1: d"
    assert table.restrict(trace, {0, 1}) == "[0x0] a; [0x1] b; c | cpu1: d"
    assert table.restrict(trace, None) == trace


def result(machine, verdict, observed):
    return {"guest": "vectors", "case": "vectors/int_n", "environment": "cpl0", "machine": machine,
            "verdict": verdict, "expected": "[0x0-0xff] int v@after", "observed": observed,
            "reason": "no CPU", "bug": "tcg-x", "where": "x86/vectors.c:7"}


def test_page():
    data = {"machines": {m: {"version": "1"} for m in table.MACHINES}, "results": [
        result("tcg", "known", "[0x0-0xf,0x20-0xff] int v@after; [0x10-0x1f] (none)"),
        result("bochs-svm", "pass", "[0x0-0xff] int v@after"),
        result("bochs-vmx", "skip", ""),
        result("model", "blocked", "")]}
    text = table.page(data)
    assert "| int_n | 0x0-0xf | `int v@after` | ✓ | ✓ | – no CPU | – the machine beneath fails it |" in text
    assert "| int_n | 0x10-0x1f | `int v@after` | `(none)` tcg-x | ✓ | – no CPU | – the machine beneath fails it |" in text
    assert "| int_n | 0x20-0xff | `int v@after` | ✓ | ✓ | – no CPU | – the machine beneath fails it |" in text
    assert json.dumps(text)


@pytest.mark.full
def test_the_page_is_current():
    done = subprocess.run([SCRIPT, "--check"], cwd=ROOT, capture_output=True, text=True,
                          check=False)
    if done.returncode == 77:
        pytest.skip(done.stderr.strip().splitlines()[-1])
    assert done.returncode == 0, done.stderr
