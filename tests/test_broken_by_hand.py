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
from sources import ROOT, copy_sources, put_defect
from trapline.prove.evidence import globs

DEFECTS = tomllib.loads((ROOT / "tests" / "defects.toml").read_text())["defect"]
PROGRAMS = {"tcg": "qemu-system-x86_64", "model-sev-es": "qemu-system-x86_64",
            "bochs-svm": "bochs-bin", "bochs-vmx": "bochs-bin"}


def words(defect):
    """What the runner is to run: of each guest the cases alone, where they are named."""
    return tuple(word for guest, cases in defect["cases"].items()
                 for word in ([guest] if any(c in glob for glob in cases for c in "*?[")
                              else [f"{guest}/{case}" for case in cases]))


def passing(build, machine, names, report):
    """Points that pass: (case, environment)."""
    subprocess.run(
        [sys.executable, "-m", "trapline", "--strict", "-q", "--machine", machine,
         "--build", str(build), "--json", str(report), *names],
        env={**os.environ, "PYTHONPATH": str(ROOT / "scripts")}, cwd=ROOT,
        stdout=subprocess.DEVNULL, timeout=300, check=False)
    return {(r["case"], r["environment"]) for r in json.loads(report.read_text())["results"]
            if r["verdict"] == "pass"}


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """What passes without an edit; asked once for each guest and machine."""
    known = {}

    def ask(machine, names):
        if (machine, names) not in known:
            report = tmp_path_factory.mktemp("sound") / "results.json"
            known[machine, names] = passing(ROOT / "build", machine, names, report)
        return known[machine, names]

    return ask


def defects():
    """All of them; the first on TCG is quick."""
    quick = {"tcg"}
    for defect in DEFECTS:
        machine = defect.get("machine", "tcg")
        yield pytest.param(defect, id=f"{machine}: {defect['what']}",
                           marks=[] if machine in quick else [pytest.mark.full])
        quick.discard(machine)


@pytest.mark.parametrize("defect", defects())
def test_cases_notice(defect, sound, tmp_path):
    machine = defect.get("machine", "tcg")
    if not shutil.which(PROGRAMS[machine]):
        pytest.skip(f"{PROGRAMS[machine]} is not installed")
    broken = copy_sources(tmp_path / "source")
    put_defect(broken / defect["file"], defect["right"], defect["wrong"])
    images = [*defect["cases"], *(["model"] if machine.startswith("model") else [])]
    subprocess.run(["make", "-s", "WERROR=", *(f"build/{image}.rom" for image in images)], cwd=broken,
                   check=True, stdout=subprocess.DEVNULL, timeout=240)
    before = sound(machine, words(defect))
    after = passing(broken / "build", machine, words(defect), tmp_path / "results.json")
    for glob in globs(defect):
        cases = {c for c, _ in before if fnmatchcase(c, glob)}
        assert cases, f"no case that is called {glob} passes without the edit"
        for case in cases:
            assert {p for p in before if p[0] == case} - after, f"{case} passes all the same"
