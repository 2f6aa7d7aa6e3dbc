# SPDX-License-Identifier: BSD-2-Clause
"""--prove: what it takes for a proof, what it writes, and one small proof in full."""

import json
import re
import shutil
import subprocess
import sys
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

from trapline import bugs, prove  # noqa: E402
from trapline.errors import UsageError  # noqa: E402
from trapline.expectations import Known  # noqa: E402
from trapline.guests import Case  # noqa: E402
from trapline.machines.model import switches  # noqa: E402
from trapline.prove import evidence  # noqa: E402
from trapline.prove.matrix import Bug, Catch, Matrix  # noqa: E402
from trapline.reports import matrix as page  # noqa: E402


def case(name):
    return Case(name, ("cpl0",), f"the rule of {name}", (), (), "x86/g.c:1")


def bug(id_, claimed=(), caught=(), tried=()):
    return Bug(id_, "model", set(claimed), set(caught) | set(tried), set(caught) | set(tried),
               {c: Catch(f"{c}:cpl0", "#UD@insn") for c in caught})


def matrix(found, evidence_=None, quick=False, unsound=()):
    return Matrix(found, {"g/a": case("a"), "g/b": case("b")}, evidence_ or {}, list(unsound),
                  quick)


SOUND = [bug("one", ["g/a"], ["g/a"]), bug("two", ["g/b"], ["g/b"])]


def test_holds():
    assert matrix(SOUND).holds


def test_a_claim_that_is_not_kept():
    found = matrix([bug("one", ["g/a", "g/b"], ["g/a"]), SOUND[1]])
    assert not found.holds and found.bugs[0].broken_claims == ["g/b"]


def test_a_bug_that_nothing_catches():
    assert not matrix([*SOUND, bug("three")]).holds


def test_a_case_without_a_bug():
    found = matrix([SOUND[0]])
    assert not found.holds and found.idle_cases == ["g/b"]


def test_a_case_that_catches_only_what_it_does_not_claim():
    found = matrix([bug("one", ["g/a"], ["g/a", "g/b"])])
    assert found.idle_cases == ["g/b"]


def test_a_case_that_fails_elsewhere():
    assert matrix([SOUND[0]], {"g/b": "fails on tcg: tcg-x"}).holds


def test_quick_names_idle_cases_and_goes_on():
    found = matrix([SOUND[0]], quick=True)
    assert found.holds and found.idle_cases == ["g/b"]


def test_guests_that_no_bug_is_about(capsys):
    found = matrix([], {"g/a": "fails on tcg: x", "g/b": "fails on tcg: y"}, quick=True)
    prove.show(found, sys.stdout)
    assert "of 2 cases 0 caught one, 2 fail elsewhere, 0 neither" in capsys.readouterr().out


def test_every_bug_is_of_some_kind():
    """The table of docs/model.md has each switch of the model, and nothing else."""
    text = (ROOT / "docs/model.md").read_text()
    rows = re.findall(r"^\| [^|]+ \| ([^|]+) \|$", text[text.index("## What kinds of bugs"):
                                                       text.index("## The proof")], re.M)[1:]
    globs = [word.strip().replace("\\", "") for row in rows for word in row.split(",")]
    found = {glob: [id_ for id_ in switches() if fnmatchcase(id_, glob)] for glob in globs}
    assert set().union(*found.values()) == set(switches())
    assert all(found.values()), found


def known(*cases):
    return Known("e.toml: entry 1", cases, ("tcg",), None, ("#UD@insn",), "reason", "tcg-x", "")


POINTS = [("g/a", {"g/a:cpl0", "g-2/a:cpl0"}), ("g/b", {"g/b:cpl0"})]


def test_evidence_of_an_expectation():
    assert evidence.seen(POINTS, [known("g-2/a:*")], []) == {"g/a": "fails on tcg: tcg-x"}


def test_evidence_of_a_defect():
    defect = {"what": "it is broken", "cases": {"g": ["b*"]}}
    assert list(evidence.seen(POINTS, [], [defect])) == ["g/b"]


def test_a_defect_that_names_no_case():
    with pytest.raises(UsageError, match="no case 'g/c'"):
        evidence.seen(POINTS, [], [{"what": "it is broken", "cases": {"g": ["c"]}}])


def test_page():
    text = page.render(matrix([SOUND[0], bug("two", ["g/b"], [], ["g/a"])]), {})
    assert "does not hold" in text and 'data-s="claimed"' in text
    assert 'data-s="broken"' in text and 'data-s="tried"' in text
    assert "http://" not in text.replace("http://www.w3.org/2000/svg", "")


@pytest.mark.skipif(not shutil.which("qemu-system-x86_64"), reason="no QEMU")
@pytest.mark.full
def test_one_guest(tmp_path):
    path, html = tmp_path / "matrix.json", tmp_path / "matrix.html"
    run = subprocess.run(
        [ROOT / "run_tests.sh", "--prove", "--json", path, "--html", html, "dummy"],
        capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    found = json.loads(path.read_text())
    assert found["holds"] and not found["quick"]
    assert list(found["bugs"]["model-nmi-spurious"]["caught_by"]) == ["dummy/nothing"]
    catalogue = bugs.load(str(ROOT / "bugs.toml"))
    assert catalogue["model-nmi-spurious"].title in html.read_text()
