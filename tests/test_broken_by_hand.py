# SPDX-License-Identifier: BSD-2-Clause
"""defects.toml: break a rule by hand and see the cases notice."""

import json
import os
import shutil
import subprocess
import sys
import tomllib
from fnmatch import fnmatchcase

import pytest
from test_defects import ROOT, copy_sources

DEFECTS = tomllib.loads((ROOT / "tests" / "defects.toml").read_text())["defect"]
PROGRAMS = {"tcg": "qemu-system-x86_64", "model-sev-es": "qemu-system-x86_64",
            "bochs-svm": "bochs-bin", "bochs-vmx": "bochs-bin"}


def passing(build, machine, guest, report):
    """Points that pass: (case, environment)."""
    subprocess.run(
        [sys.executable, "-m", "trapline", "--strict", "-q", "--machine", machine,
         "--build", str(build), "--json", str(report), guest],
        env={**os.environ, "PYTHONPATH": str(ROOT / "scripts")}, cwd=ROOT,
        stdout=subprocess.DEVNULL, timeout=300, check=False)
    return {(r["case"], r["environment"]) for r in json.loads(report.read_text())["results"]
            if r["verdict"] == "pass"}


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """What passes without an edit; asked once for each guest and machine."""
    known = {}

    def ask(machine, guest):
        if (machine, guest) not in known:
            report = tmp_path_factory.mktemp("sound") / "results.json"
            known[machine, guest] = passing(ROOT / "build", machine, guest, report)
        return known[machine, guest]

    return ask


@pytest.mark.parametrize("defect", DEFECTS,
                         ids=[f"{d['guest']}: {d['what']}" for d in DEFECTS])
def test_cases_notice(defect, sound, tmp_path):
    machine, guest = defect.get("machine", "tcg"), defect["guest"]
    if not shutil.which(PROGRAMS[machine]):
        pytest.skip(f"{PROGRAMS[machine]} is not installed")
    broken = copy_sources(tmp_path / "source")
    edited = broken / defect["file"]
    text = edited.read_text()
    assert text.count(defect["right"]) == 1, f"{defect['file']}: the right text is not there once"
    edited.write_text(text.replace(defect["right"], defect["wrong"]))
    subprocess.run(["make", "-s", f"build/{guest}.rom"], cwd=broken, check=True,
                   stdout=subprocess.DEVNULL, timeout=120)
    before = sound(machine, guest)
    after = passing(broken / "build", machine, guest, tmp_path / "results.json")
    for glob in defect["cases"]:
        cases = {c for c, _ in before if fnmatchcase(c, f"{guest}/{glob}")}
        assert cases, f"no case that is called {glob} passes without the edit"
        for case in cases:
            assert {p for p in before if p[0] == case} - after, f"{case} passes all the same"
