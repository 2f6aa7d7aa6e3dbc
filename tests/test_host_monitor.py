# SPDX-License-Identifier: BSD-2-Clause
"""The monitor of the SEV host (lab/host): what can be said of it without booting a kernel."""

import os
import re
import tomllib

ROOT = os.path.join(os.path.dirname(__file__), "..")


def read(name):
    with open(os.path.join(ROOT, name), encoding="utf-8") as file:
        return file.read()


def corrections():
    """(id, file that does it) of each line of correct.def."""
    return re.findall(r'^CORRECT\(\w+, "([\w-]+)", "(\w+\.c): ', read("lab/host/correct.def"), re.M)


def test_corrections_are_known_bugs_and_have_a_place():
    bugs = tomllib.loads(read("bugs.toml"))
    lines = corrections()
    assert len(lines) == read("lab/host/correct.def").count("\nCORRECT(") > 5
    for bug, place in lines:
        assert bug in bugs, bug
        assert os.path.exists(os.path.join(ROOT, "lab", "host", place)), place


def test_each_correction_can_be_switched_off():
    names = re.findall(r"^CORRECT\((\w+),", read("lab/host/correct.def"), re.M)
    code = "".join(read(f"lab/host/{name}") for name in os.listdir(os.path.join(ROOT, "lab", "host"))
                   if name.endswith(".c"))
    for name in names:
        assert f"corrects({name})" in code, name
