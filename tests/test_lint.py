# SPDX-License-Identifier: BSD-2-Clause
"""scripts/lint finds each kind of fault that it is there for."""

import shutil
import subprocess
from pathlib import Path

import pytest

TOP = Path(__file__).parent.parent
LICENCE = "SPDX-License-Identifier: BSD-2-Clause"


@pytest.fixture
def tree(tmp_path):
    (tmp_path / "scripts").mkdir()
    for name in "scripts/lint", "scripts/find-python", ".clang-format":
        shutil.copy(TOP / name, tmp_path / name)
    (tmp_path / "good.c").write_text(f"/* {LICENCE} */\nint good;\n")
    return tmp_path


def lint(tree, *options):
    return subprocess.run([tree / "scripts/lint", *options], capture_output=True, text=True)


@pytest.mark.full                       # make check has it as a step of its own
def test_clean_tree(tree):
    done = lint(tree)
    assert done.returncode == 0, done.stderr
    assert "lint: 3 files, nothing found" in done.stdout


@pytest.mark.parametrize("name, text, complaint", [
    ("bare.h", "extern int bare;\n", "bare.h: no 'SPDX-License-Identifier"),
    ("bare.S", "nop\n", "bare.S: no 'SPDX-License-Identifier"),
    ("tool", "#!/bin/sh\ntrue\n", "tool: no 'SPDX-License-Identifier"),
    ("tool", f"#!/bin/sh\n# {LICENCE}\ncat $1\n", "shellcheck found something"),
    ("tool.py", f"# {LICENCE}\nimport os\n", "pyflakes found something"),
    ("tool", f"#!/usr/bin/env python3\n# {LICENCE}\nimport os\n", "pyflakes found something"),
])
@pytest.mark.full
def test_fault_is_found(tree, name, text, complaint):
    (tree / name).write_text(text)
    done = lint(tree)
    assert done.returncode == 1
    assert complaint in done.stderr


@pytest.mark.full
def test_style_is_found_and_mended(tree):
    bad = tree / "bad.c"
    bad.write_text(f"/* {LICENCE} */\nint f(void) {{ return 1; }}\n")
    done = lint(tree)
    if "C style not checked" in done.stdout:
        pytest.skip("clang-format of another version")
    assert done.returncode == 1
    assert "C style differs" in done.stderr
    assert lint(tree, "--format").returncode == 0
    assert bad.read_text() == f"/* {LICENCE} */\nint f(void)\n{{\n\treturn 1;\n}}\n"
    assert lint(tree).returncode == 0
