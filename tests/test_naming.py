# SPDX-License-Identifier: BSD-2-Clause
"""Which bug a failure looks like: the weighing, the sentences, and that signatures.json is of this tree."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

from trapline import bugs  # noqa: E402
from trapline.expectations import Known  # noqa: E402
from trapline.machines.model import switches  # noqa: E402
from trapline.naming import match, measure, namer, say, signatures  # noqa: E402
from trapline.naming.run import runs  # noqa: E402
from trapline.naming.signatures import Signature  # noqa: E402
from packaging.specifiers import SpecifierSet  # noqa: E402

CASES = [f"g/c{i}" for i in range(6)]
KNOWN = frozenset(f"{c}:{e}" for c in CASES for e in ("cpl0", "cpl3"))


def signature(bug, fails):
    return Signature(bug, "model", {p: t for p, t in fails.items()}, KNOWN)


SIGNATURES = {s.bug: s for s in (
    signature("lost", {f"{c}:{e}": "(none)" for c in CASES[:4] for e in ("cpl0", "cpl3")}),
    signature("lost-in-user", {f"{c}:cpl3": "(none)" for c in CASES[:4]}),
    signature("ud", {f"{c}:cpl0": "#UD@insn" for c in CASES[3:]}),
    signature("ud-too", {f"{c}:cpl0": "#UD@insn" for c in CASES[3:5]}),
)}


def run(fails, only=lambda point: True, catches=(), machine="kvm", extra=()):
    results = [{"case": p.partition(":")[0], "environment": p.partition(":")[2], "machine": machine,
                "verdict": "fail" if p in fails else "pass", "observed": fails.get(p, "#BP@after"),
                "catches": list(catches)} for p in sorted(KNOWN) if only(p)]
    return runs([*results, *extra], {"g": "g", "g-svm": "g"})[machine]


def first(fails, **more):
    found = match.name(run(fails, **more), SIGNATURES, [])
    return found[0].best and found[0].best.bug, found


@pytest.mark.parametrize("bug", SIGNATURES)
def test_each_is_itself(bug):
    assert first(SIGNATURES[bug].fails)[0] == bug


def test_passing_environments_count():
    """What fails in user mode alone is not what fails everywhere."""
    best, found = first(SIGNATURES["lost-in-user"].fails)
    assert best == "lost-in-user" and not found[0].alike


def test_what_was_not_run_tells_nothing_apart():
    best, found = first(SIGNATURES["ud"].fails, only=lambda p: p.startswith("g/c3"))
    assert {best, *(m.bug for m in found[0].alike)} == {"ud", "ud-too"}


def test_another_trace_is_no_match():
    best, found = first({p: "#GP(0x0)@insn" for p in SIGNATURES["lost"].fails})
    assert best is None and found[0].failing == 4 and found[0].next[0].otherwise == 4


def test_nothing_like_it():
    best, found = first({"g/c5:cpl3": "#GP(0x0)@insn"})
    assert best is None and say.lines(found, {})[0] == "1 failing case: like nothing in the catalogue"


def test_two_bugs_at_once():
    fails = {**SIGNATURES["ud"].fails, **SIGNATURES["lost"].fails}
    found = match.name(run(fails), SIGNATURES, [])
    assert [n.best.bug for n in found if n.best] == ["lost", "ud"]


def test_mostly_passing_is_not_believed():
    """One case of many that fails as a bug makes it does not name the bug."""
    assert first({"g/c0:cpl0": "(none)"})[0] is None


def test_deaths_say_less_than_traces():
    dead = {"dead": signature("dead", {f"{c}:cpl0": "crash" for c in CASES[:2]}),
            "none": signature("none", {f"{c}:cpl0": "(none)" for c in CASES[2:4]})}
    fails = {**dead["dead"].fails, **dead["none"].fails}
    found = match.name(run({**fails}), dead, [])
    assert [n.best.bug for n in found] == ["none", "dead"]


def test_claims_help_between_equals():
    alike = {b: signature(b, {"g/c0:cpl0": "(none)"}) for b in ("a", "z")}
    assert match.name(run({"g/c0:cpl0": "(none)"}, only=lambda p: "c0" in p, catches=["z"]), alike, [])[0].best.bug == "z"
    assert match.name(run({"g/c0:cpl0": "(none)"}, only=lambda p: "c0" in p, catches=["z"]), alike, [], False)[0] \
        .best.bug == "a"


def test_a_claim_alone_names_nothing():
    found = match.name(run({"g/c0:cpl0": "#GP(0x0)@insn"}, only=lambda p: "c0" in p, catches=["z"]), {}, [])
    assert found[0].best is None and found[0].next[0].bug == "z"


def test_known_failures_are_no_evidence():
    extra = [{"case": "g/c5", "environment": "cpl3", "machine": "kvm", "verdict": v, "observed": "(none)", "catches": []}
             for v in ("known", "blocked", "skip", "missing")]
    found = runs(extra, {})["kvm"]
    assert not found.outcomes and not found.failing


def test_a_layer_stands_for_the_native_point_that_was_not_run():
    result = {"case": "g-svm/c3", "environment": "svm-nonpt-cpl0", "machine": "kvm", "verdict": "fail",
              "observed": "#UD@insn", "catches": []}
    found = runs([result], {"g": "g", "g-svm": "g"})["kvm"]
    assert list(found.native) == ["g/c3:cpl0"]
    assert match.name(found, SIGNATURES, [])[0].best.bug in ("ud", "ud-too")
    # ... and for none that was: there the native one speaks.
    native = dict(result, case="g/c3", environment="cpl0", verdict="pass", observed="")
    assert match.name(runs([result, native], {"g": "g", "g-svm": "g"})["kvm"], SIGNATURES, [])[0].best is None


def known(bug, case, observed, version="", machines=("tcg",)):
    return Known("e.toml: entry 1", (case,), machines, SpecifierSet(version) if version else None, (observed,),
                 "reason", bug, "")


ENTRIES = [known("tcg-x", "g/c[0-3]:*", "#PF(0x2,cr2=...)@insn", "<9.1"),
           known("tcg-x", "g/c4:*", "#PF(0x2,cr2=...)@insn", ">=9.1"), known("tcg-y", "g/c5:cpl0", "hang")]


def test_entries_of_another_machine():
    fails = {f"{c}:{e}": "#PF(0x2,cr2=0x1000)@insn" for c in CASES[:4] for e in ("cpl0", "cpl3")}
    found = match.name(run(fails), {}, ENTRIES)
    assert found[0].best.bug == "tcg-x" and found[0].best.source == "tcg <9.1" and found[0].best.passed == 0
    assert match.name(run(fails), {}, ENTRIES, without=lambda e: "tcg" in e.machines)[0].best is None


def test_an_entry_of_a_hang_is_met_by_a_crash():
    extra = [{"case": "g/c5", "environment": "cpl0", "machine": "kvm", "verdict": "crash", "observed": "",
              "catches": []}]
    found = runs(extra, {})["kvm"]
    assert match.name(found, {}, ENTRIES)[0].best.bug == "tcg-y"


@pytest.mark.parametrize("limits", ["<8", "<9.1", ">=7.2,<10", ">10.0.3", "==9.1", ""])
def test_versions_tell_ranges_apart(limits):
    entries = [known("x", "g/c0:*", "y", limits)]
    inside = [v for v in match.versions(entries) if not limits or SpecifierSet(limits).contains(v)]
    assert inside and (not limits or len(inside) < len(match.versions(entries)))


def test_sentences():
    best, found = first({**SIGNATURES["ud"].fails, "g/c0:cpl3": "#GP(0x0)@insn"})
    lines = say.lines(found, {})
    assert lines[0].startswith("looks like ud:")
    assert lines[1] == "  3 of its 3 cases fail as it makes them, 1 other fails (as on the model)"
    assert all(len(line) <= say.WIDTH for line in lines)
    many = [match.Naming(match.Match(f"bug-{i}", "model", 1.0, 1), [], [], 1) for i in range(20)]
    lines = say.lines(many, {}, 6)
    assert len(lines) <= 7 and lines[-1].startswith("and bug-3, bug-4")


def test_file(tmp_path):
    path = tmp_path / "s.json"
    path.write_text(signatures.text(SIGNATURES, "here"))
    assert signatures.load(path) == SIGNATURES
    assert signatures.load(tmp_path / "none.json") == {}
    new = {"lost": Signature("lost", "model", {"h/a:cpl0": "(none)"}, frozenset(["h/a:cpl0"]))}
    both = signatures.merged(SIGNATURES, new, {"h"})["lost"]
    assert both.fails == {**SIGNATURES["lost"].fails, "h/a:cpl0": "(none)"} and both.known == KNOWN | {"h/a:cpl0"}
    assert signatures.merged(SIGNATURES, new, {"g"})["lost"].fails == new["lost"].fails


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"format": 99}', '{"format": 1, "known": [], "bugs": 3}'])
def test_bad_files(tmp_path, text):
    path = tmp_path / "s.json"
    path.write_text(text)
    with pytest.raises(Exception, match="no file of signatures"):
        signatures.load(path)


# -- the file of the tree -------------------------------------------------------------------------

@pytest.fixture(scope="module")
def tree():
    names = namer.of_tree(str(ROOT))
    return names, signatures.load(signatures.path_in(str(ROOT)))


def stale(what):
    return f"{what}: run scripts/signatures (docs/naming.md)"


def test_every_bug_of_the_model_has_a_signature(tree):
    _, kept = tree
    assert set(kept) == set(switches()), stale("signatures.json is not of these bugs")
    silent = [bug for bug, s in kept.items() if not s.fails]
    assert not silent, silent


def test_signatures_are_of_this_tree(tree):
    """Its points exist, and a case that claims a bug fails under it."""
    names, kept = tree
    claims = measure.claims_of(names.sections, str(ROOT / "build"))
    points = {p for s in kept.values() for p in s.known | s.fails.keys()}
    gone = sorted({p.partition(":")[0] for p in points} - claims.keys())
    assert len(gone) <= len(claims) / 50, stale(f"{len(gone)} cases are gone, {gone[:5]}")
    cases, kept_claims, broken = {p.partition(":")[0] for p in points}, 0, []
    for case in cases & claims.keys():
        for bug in set(claims[case]) & set(kept):
            if any(p.startswith(case + ":") for p in kept[bug].known):
                kept_claims += 1
                if not any(p.startswith(case + ":") for p in kept[bug].fails):
                    broken.append((case, bug))
    assert kept_claims > 500 and len(broken) <= kept_claims / 50, stale(f"{len(broken)} claims not kept, {broken[:5]}")


@pytest.mark.skipif(not shutil.which("qemu-system-x86_64"), reason="no QEMU")
@pytest.mark.full
def test_a_sample_is_as_the_file_says(tree, tmp_path):
    """Two bugs, tried again on one guest."""
    _, kept = tree
    ids = ["kvm-sev-int3-ud", "model-pf-twice"]
    path = tmp_path / "s.json"
    subprocess.run([ROOT / "scripts/signatures", "-o", path, "--bug", ",".join(ids), "shadow", "int3"], check=True,
                   timeout=300, stderr=subprocess.DEVNULL)
    made = signatures.load(path)
    for bug in ids:
        both = made[bug].known & kept[bug].known
        differs = [p for p in both if made[bug].fails.get(p) != kept[bug].fails.get(p)]
        assert len(both) > 100 and len(differs) <= 1, stale(f"{bug} is otherwise: {differs[:5]}")


@pytest.mark.full
def test_each_bug_given_as_an_unknown_is_named(tree):
    """The rates of docs/naming.md, from the file itself: CATCHES are not looked at."""
    names, kept = tree
    wrong = []
    for bug, s in kept.items():
        what, said = measure.verdict(bug, measure.as_run(s, {}), kept, names.entries, False)
        if what not in ("first", "alike"):
            wrong.append((bug, said))
    assert len(wrong) <= 3, wrong


# -- the whole way --------------------------------------------------------------------------------

@pytest.mark.skipif(not shutil.which("qemu-system-x86_64"), reason="no QEMU")
def test_an_unknown_bug_is_named_by_the_run(tmp_path):
    path = tmp_path / "run.json"
    done = subprocess.run([ROOT / "run_tests.sh", "--machine", "model", "--bug", "kvm-sev-int3-ud", "--json", path, "-q",
                           "int3"], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 1 and "looks like kvm-sev-int3-ud: KVM injects #UD" in done.stdout, done.stdout
    found = json.loads(path.read_text())["looks_like"]["model"]
    assert found[0]["best"]["bug"] == "kvm-sev-int3-ud" and found[0]["best"]["passes"] == 0
    said = subprocess.run([ROOT / "trapline", "looks-like", path], capture_output=True, text=True, timeout=60,
                          check=True).stdout
    assert "looks like kvm-sev-int3-ud" in said


def test_bad_input(tmp_path):
    (tmp_path / "x.json").write_text("{}")
    for path, sentence in ((tmp_path / "x.json", "not the JSON report"), (tmp_path / "none", "No such file")):
        done = subprocess.run([ROOT / "trapline", "looks-like", path], capture_output=True, text=True, timeout=60,
                              check=False)
        assert done.returncode == 2 and sentence in done.stderr and done.stderr.count("\n") == 1


def test_titles_fit():
    """A name is followed by its title on one line."""
    catalogue = bugs.load(str(ROOT / "bugs.toml"))
    found = match.Naming(match.Match("tcg-icebp", "model", 1.0, 1))
    assert catalogue["tcg-icebp"].title in say.lines([found], catalogue)[0]
