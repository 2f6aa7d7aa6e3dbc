# SPDX-License-Identifier: BSD-2-Clause
"""The list of rules that nothing was seen to obey: what is on it, what is not, and who says so."""

import fnmatch
import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

from trapline import results, witness  # noqa: E402
from trapline.errors import UsageError  # noqa: E402


def doc(**verdicts):
    """A report: machine=[(case, environment, verdict)]."""
    return {"machines": {m: {"version": f"{m} 1.0"} for m in verdicts},
            "results": [{"case": c, "environment": e, "machine": m, "verdict": v}
                        for m, points in verdicts.items() for c, e, v in points]}


def test_one_foreign_machine_that_obeys_is_enough():
    tcg = doc(tcg=[("g/a", "cpl0", "known"), ("g/b", "cpl0", "fail")])
    bochs = doc(bochs=[("g/a", "cpl0", "pass"), ("g/b", "cpl0", "skip")])
    assert witness.gather([tcg]) == {"g/a": {"cpl0": {"tcg": "known"}}, "g/b": {"cpl0": {"tcg": "fail"}}}
    assert witness.gather([tcg, bochs]) == {"g/b": {"cpl0": {"tcg": "fail"}}}


def test_our_own_model_is_no_witness_but_a_judge():
    assert witness.gather([doc(**{"model-sev": [("g/a", "cpl0", "pass")]})]) == {"g/a": {"cpl0": {"model-sev": "pass"}}}
    assert witness.versions([doc(model=[], tcg=[])]) == {"tcg": ["tcg 1.0"]}


def test_what_nobody_judged_is_not_on_the_list():
    assert witness.gather([doc(tcg=[("g/a", "cpl0", "skip"), ("g/b", "cpl0", "untried")])]) == {}


def test_it_is_by_points():
    found = witness.gather([doc(tcg=[("g/a", "cpl0", "pass"), ("g/a", "svm-cpl0", "known")])])
    assert found == {"g/a": {"svm-cpl0": {"tcg": "known"}}}


def tree(folder, toml):
    (folder / witness.FILE).write_text(json.dumps({"machines": {}, "cases": {"g/a": ["cpl0", "cpl3"]}}))
    (folder / witness.BY_HAND).write_text(toml)
    return str(folder)


def test_remark(tmp_path):
    root = tree(tmp_path, '["g/*"]\nsays = "A Zen 3 does it: kvm-unit-tests, x86/debug.c."\n')
    assert witness.remark(root, "g/b") == ""
    said = witness.remark(root, "g/a")
    assert "in cpl0 cpl3" in said and "by the manual alone" in said and said.endswith("x86/debug.c.")


@pytest.mark.parametrize("toml", ['["g/a"]\nsay = "x"\n', '["g/a"]\nsays = 1\n', 'says = "x"\n'])
def test_wrong_table_is_one_sentence(tmp_path, toml):
    with pytest.raises(UsageError, match="witnesses.toml: .*has `says`"):
        witness.by_hand(tree(tmp_path, toml))


def test_list_of_this_tree_is_of_cases_that_exist(capsys):
    """A second look at a case that is gone helps nobody."""
    on_list = json.loads((ROOT / witness.FILE).read_text())["cases"]
    for pattern in witness.by_hand(str(ROOT)):
        assert any(fnmatch.fnmatchcase(case, pattern) for case in on_list), pattern


def test_command_refuses_what_is_no_report(tmp_path, capsys):
    (tmp_path / "x.json").write_text("{}")
    assert results.main(["unwitnessed", str(tmp_path / "x.json")]) == 2
    assert "x.json" in capsys.readouterr().err
