# SPDX-License-Identifier: BSD-2-Clause
"""Gates: baselines, repetitions, and what can be done with the JSON reports of runs."""

import copy
import json
import shutil
import subprocess
import sys
import xml.etree.ElementTree as xml
from pathlib import Path

import pytest
from conftest import needs_bochs

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests")]

import standin                                  # noqa: E402

SCHEMA = json.loads((ROOT / "docs/report.schema.json").read_text())
needs_qemu = pytest.mark.skipif(not standin.QEMU, reason="no QEMU")
pytestmark = needs_qemu
# What every QEMU passes.
WARM = [f"int3/int3_warm:{e}" for e in ("cpl0", "cpl3", "compat")]
POINTS = [*WARM, "int3/first_exception", *(w.replace("int3_warm", "int_3_warm") for w in WARM)]


def run(*words, qemu=None):
    return subprocess.run(
        [ROOT / "run_tests.sh", "--machine", "tcg", *(["--qemu", qemu] if qemu else []),
         *map(str, words)], capture_output=True, text=True, timeout=120, check=False)


def trapline(*words):
    return subprocess.run([ROOT / "trapline", *map(str, words)], capture_output=True, text=True,
                          timeout=60, check=False)


def check_schema(doc):
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.validate(doc, SCHEMA)


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A baseline of POINTS; the file, and its document."""
    file = tmp_path_factory.mktemp("good") / "base.json"
    done = run("--save-baseline", file, *POINTS)
    assert done.returncode == 0, done.stdout + done.stderr
    return file, json.loads(file.read_text())


def edited(tmp_path, doc, edit):
    """A baseline file: `doc` after edit(results)."""
    doc = copy.deepcopy(doc)
    edit(doc["results"])
    file = tmp_path / "edited.json"
    file.write_text(json.dumps(doc))
    return file


def test_same_as_before(good):
    done = run("--baseline", good[0], *POINTS)
    assert done.returncode == 0 and "fail" not in done.stdout.split("tcg:")[-1]
    check_schema(good[1])


def test_new_failure_fails(good, tmp_path):
    qemu = standin.write(tmp_path / "qemu", "#UD@insn")
    done = run("--baseline", good[0], *POINTS, qemu=qemu)
    assert done.returncode == 1
    assert "fail   int3/int3_warm:cpl0@tcg" in done.stdout


def test_old_failure_is_known_and_a_different_one_fails(good, tmp_path):
    def fails(results):
        results[0].update(verdict="fail", observed="#UD@insn")

    assert good[1]["results"][0]["case"] == "int3/first_exception"
    base = edited(tmp_path, good[1], fails)
    point = "int3/first_exception:cpl0"
    same = standin.write(tmp_path / "same", "#UD@insn", point=point)
    done = run("--baseline", base, "-v", *POINTS, qemu=same)
    assert done.returncode == 0, done.stdout
    assert f"known  {point}@tcg  was fail in the baseline, too" in done.stdout
    other = standin.write(tmp_path / "other", "#GP(0x1a)@insn", point=point)
    done = run("--baseline", base, *POINTS, qemu=other)
    assert done.returncode == 1 and "known to fail, but differently" in done.stdout


def test_fixed_is_praised(good, tmp_path):
    base = edited(tmp_path, good[1], lambda r: r[0].update(verdict="fail", observed="#UD@insn"))
    done = run("--baseline", base, *POINTS)
    assert done.returncode == 0
    assert "fixed  int3/first_exception:cpl0@tcg  was fail in the baseline, observed #UD@insn" \
        in done.stdout


@pytest.mark.full
def test_gone_fails_everywhere(good, tmp_path):
    def add(results):
        results.append({**results[0], "case": "int3/was_here_once"})

    base = edited(tmp_path, good[1], add)
    junit, report = tmp_path / "junit.xml", tmp_path / "report.json"
    done = run("--baseline", base, "--junitxml", junit, "--json", report, "int3")
    assert done.returncode == 1
    assert "missing  int3/was_here_once:cpl0@tcg" in done.stdout
    cases = {c.get("name"): c for c in xml.parse(junit).iter("testcase")}
    assert cases["was_here_once:cpl0"].find("failure") is not None
    doc = json.loads(report.read_text())
    check_schema(doc)
    assert [r["case"] for r in doc["results"] if r["verdict"] == "missing"] == \
        ["int3/was_here_once"]
    ktap = run("--baseline", base, "--ktap", "int3").stdout
    assert "int3/was_here_once:cpl0@tcg" in ktap
    assert f"1..{len(doc['results'])}" in ktap
    # What was not asked for is not missed.
    assert run("--baseline", base, *POINTS).returncode == 0


@pytest.mark.full
def test_a_guest_that_is_gone_is_missed_by_a_whole_run_only(good, tmp_path):
    def add(results):
        results.append({**results[0], "guest": "old", "case": "old/case"})

    base = edited(tmp_path, good[1], add)
    assert run("--baseline", base, "dummy").returncode == 0
    done = run("--baseline", base, "-k", "dummy or old")
    assert done.returncode == 1 and "missing  old/case:cpl0@tcg" in done.stdout


def test_skipped_now_fails(good, tmp_path):
    config = tmp_path / "unittests.cfg"
    for key, why in (("check = /no/such=Y", "is skipped"), ("accel = kvm", "and tcg has no accelerator kvm")):
        config.write_text(f"[int3]\nfile = int3\n{key}\n")
        done = run("--baseline", good[0], "--config", config, "int3/int3_warm:cpl0")
        assert done.returncode == 1
        assert f"missing  int3/int3_warm:cpl0@tcg  was pass in the baseline, {why}" in done.stdout


def test_baselines_of_other_schemas(good, tmp_path):
    """The first one, in which what a machine lacks was a skip, is read; one that is not known yet is not."""
    doc = json.loads(json.dumps(good[1]))
    assert doc.pop("schema") == 2
    for machine in doc["machines"].values():
        del machine["lacks"]
    doc["results"].append({**doc["results"][0], "case": "int3/gone", "verdict": "skip"})
    old = tmp_path / "old.json"
    old.write_text(json.dumps(doc))
    assert run("--baseline", old, *POINTS).returncode == 0
    old.write_text(json.dumps(doc | {"schema": 3}))
    done = run("--baseline", old, *POINTS)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr == f"run_tests.sh: {old}: is a report of schema 3, and this Trapline reads 2 and older\n"


def test_unusable_baselines(good, tmp_path):
    file = tmp_path / "base.json"
    for text, why in (("{", "is not the JSON report of a run"), ("[]", "is not the JSON report"),
                      ('{"results": [{"case": 3}]}', "'case' of a result is not text"),
                      ('{"results": []}', "no 'machines'")):
        file.write_text(text)
        done = run("--baseline", file)
        assert done.returncode == 2 and why in done.stderr and len(done.stderr.splitlines()) == 1
    done = run("--baseline", tmp_path / "none.json")
    assert done.returncode == 2 and "No such file" in done.stderr
    done = run("--tolerance", "5")
    assert done.returncode == 2 and "--baseline" in done.stderr
    file.write_text(json.dumps(good[1]).replace('"tcg"', '"kvm"'))
    done = run("--baseline", file)
    assert done.returncode == 2 and "is of kvm" in done.stderr


def test_values_have_a_tolerance():
    sys.path.insert(0, str(ROOT / "scripts"))
    from types import SimpleNamespace as Any
    from trapline.baseline import Baseline
    from trapline.verdicts import Result

    base = {"trapline": "0", "machines": {}, "results": [{
        "case": "latency/int3", "guest": "latency", "environment": "cpl0", "machine": "tcg",
        "verdict": "pass", "observed": "", "reason": "", "rule": "", "bug": "", "where": "",
        "catches": [], "allowed": [], "notes": [], "dump": [], "values": [
            {"name": "int3.median", "number": 1000, "unit": "cycles"},
            {"name": "int3.p99", "number": 2000, "unit": "cycles"}]}]}
    target = Any(point_id="latency/int3:cpl0", machine=Any(name="tcg"))
    for median, tolerance, verdict in ((1240, 25, "pass"), (1260, 25, "fail"), (1260, 30, "pass"),
                                       (10, 25, "pass")):
        import tempfile
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            json.dump(base, file)
            file.flush()
            result = Result(target, "pass", values=[("int3.median", median, "cycles"),
                                                    ("int3.p99", 99999, "cycles")])
            result = Baseline(file.name, tolerance).judge(result)
        assert result.verdict == verdict
        if verdict == "fail":
            assert "26 % more than 1000" in result.reason and "tolerance 25 %" in result.reason


@pytest.mark.full
@pytest.mark.parametrize("machine, guest, names", [
    ("model-sev-es", "latency_vmgexit", ("vmgexit_msr", "vmgexit_page", "vc_rdmsr")),
    pytest.param("bochs-vmx", "latency_vmx", ("vmresume", "vmlaunch"), marks=needs_bochs)])
def test_latency_elsewhere(tmp_path, machine, guest, names):
    report = tmp_path / "latency.json"
    assert run("--machine", machine, guest, "--json", report).returncode == 0
    values = {v["name"]: v["number"] for r in json.loads(report.read_text())["results"]
              for v in r["values"]}
    for name in names:
        assert 0 < values[f"{name}.median"] <= values[f"{name}.p99"]
        assert values[f"{name}.count"] >= 20


@pytest.mark.full
def test_latency_is_measured_and_watched(tmp_path):
    report, base = tmp_path / "latency.json", tmp_path / "base.json"
    done = run("-g", "latency", "--json", report)
    assert done.returncode == 0, done.stdout
    doc = json.loads(report.read_text())
    check_schema(doc)
    names = {v["name"] for r in doc["results"] for v in r["values"]}
    for what in ("int3", "int_0x30", "page_fault", "self_ipi", "nmi", "ipi_running", "ipi_halted",
                 "vmrun"):
        assert {f"{what}.median", f"{what}.p99", f"{what}.count"} <= names
    values = {v["name"]: v["number"] for r in doc["results"] for v in r["values"]}
    assert values["empty.median"] < values["int3.median"] < values["int3.p99"] + 1
    table = trapline("values", report).stdout.splitlines()
    assert table[0].split() == ["machine", "what", "median", "p99", "count", "unit"]
    assert any(line.split()[:2] == ["tcg", "vmrun"] for line in table)

    for result in doc["results"]:
        for value in result["values"]:
            if value["name"] == "int3.median":
                value["number"] /= 10
    base.write_text(json.dumps(doc))
    done = run("--baseline", base, "--tolerance", "400", "latency/int3")
    assert done.returncode == 1
    assert "more than" in done.stdout and "tolerance 400 %" in done.stdout
    assert run("--baseline", base, "--tolerance", "4000", "latency/int3").returncode == 0


# -- Repetitions ------------------------------------------------------------------------------------

@pytest.mark.full
def test_repeat_steady(tmp_path):
    report = tmp_path / "report.json"
    done = run("--repeat", 5, "--json", report, *POINTS)
    assert done.returncode == 0
    doc = json.loads(report.read_text())
    check_schema(doc)
    for result in doc["results"]:
        assert result["runs"] == [{"verdict": "pass", "observed": result["observed"], "count": 5}]


def test_flaky_is_bad_and_counted(tmp_path):
    qemu = standin.flaky(tmp_path / "qemu", tmp_path / "count")
    report, junit, page = (tmp_path / n for n in ("r.json", "r.xml", "r.html"))
    done = run("--repeat", 6, "-j", 1, "--json", report, "--junitxml", junit, "--html", page,
               *WARM, qemu=qemu)
    assert done.returncode == 1
    assert "flaky  int3/int3_warm:cpl0@tcg  3 fail (#UD@insn), 3 pass of 6 runs" in done.stdout
    assert "2 pass, 1 flaky" in done.stdout
    doc = json.loads(report.read_text())
    check_schema(doc)
    flaky = next(r for r in doc["results"] if r["verdict"] == "flaky")
    assert sorted((r["verdict"], r["count"]) for r in flaky["runs"]) == [("fail", 3), ("pass", 3)]
    cases = {c.get("name"): c for c in xml.parse(junit).iter("testcase")}
    assert "3 pass of 6 runs" in cases["int3_warm:cpl0"].find("failure").get("message")
    # As a baseline, it accepts both, and is no reason to praise.
    for bug in ("", "#UD@insn"):
        plain = standin.write(tmp_path / "plain", bug)
        done = run("--baseline", report, *WARM, qemu=plain)
        assert done.returncode == 0 and "fixed" not in done.stdout
    (tmp_path / "count").write_text("")
    done = run("-v", "--repeat", 6, "-j", 1, "--baseline", report, *WARM, qemu=qemu)
    assert done.returncode == 0 and "flaky, as in the baseline" in done.stdout
    done = run("--baseline", report, *WARM,
               qemu=standin.write(tmp_path / "plain", "#GP(0x1)@insn"))
    assert done.returncode == 1


# -- Schemas ----------------------------------------------------------------------------------------

def test_reports_keep_their_schemas(tmp_path):
    """Passing, known, failing, skipped and crashing points."""
    report, junit = tmp_path / "r.json", tmp_path / "r.xml"
    config = tmp_path / "unittests.cfg"
    config.write_text("[int3]\nfile = int3\n[int3-elsewhere]\nfile = int3\ncheck = /no/such=Y\n"
                      "[int3-never]\nfile = int3\naccel = kvm\n"
                      "[dead]\nfile = dummy\ntimeout = 0.2\nqemu_params = -S\n")
    done = run("--config", config, "--json", report, "--junitxml", junit,
               qemu=standin.write(tmp_path / "qemu", "#UD@insn"))
    assert done.returncode == 1
    doc = json.loads(report.read_text())
    verdicts = {r["verdict"] for r in doc["results"]}
    assert {"pass", "known", "fail", "skip", "crash"} <= verdicts, verdicts
    check_schema(doc)
    never = sum(r["guest"] == "int3-elsewhere" for r in doc["results"])
    assert doc["machines"]["tcg"]["lacks"] == {"accelerator kvm": never}
    assert not any(r["guest"] == "int3-never" for r in doc["results"])
    assert 'name="tcg has no" value="accelerator kvm"' in junit.read_text()
    if not shutil.which("xmllint"):
        pytest.skip("no xmllint")
    subprocess.run(["xmllint", "--noout", "--schema", ROOT / "tests/junit.xsd", junit], check=True,
                   capture_output=True)


def test_fingerprint(good, tmp_path):
    doc = good[1]
    assert doc["host"]["kernel"].startswith("Linux ") and doc["host"]["cpu"]
    assert doc["machines"]["tcg"]["program"]["build_id"]
    file = tmp_path / "again.json"
    run("--json", file, "dummy")
    assert json.loads(file.read_text())["fingerprint"] == doc["fingerprint"]
    run("--json", file, "dummy", qemu=standin.write(tmp_path / "qemu", "#UD@insn"))
    other = json.loads(file.read_text())
    assert other["fingerprint"] != doc["fingerprint"]
    assert len(other["machines"]["tcg"]["program"]["sha256"]) == 64


# -- diff and merge ---------------------------------------------------------------------------------

def test_diff(good, tmp_path):
    def edit(results):
        results[0].update(verdict="fail", observed="#UD@insn")
        results[1].update(verdict="fail", observed="#UD@insn")
        results[2].update(values=[{"name": "x.median", "number": 1, "unit": "cycles"}])
        del results[3]

    a = edited(tmp_path, good[1], lambda r: (r[0].update(verdict="fail", observed="#GP(0x1)@insn"),
               r[2].update(values=[{"name": "x.median", "number": 2, "unit": "cycles"}])))
    a = a.rename(tmp_path / "a.json")
    b = edited(tmp_path, good[1], edit)
    done = trapline("diff", a, b)
    assert done.returncode == 1 and done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines == [
        "worse    int3/int3_warm:cpl0@tcg  pass -> fail (#UD@insn)",
        "changed  int3/first_exception:cpl0@tcg  fail (#GP(0x1)@insn) -> fail (#UD@insn)",
        "better   int3/int3_warm:cpl3@tcg  x.median 2 -> 1 cycles (-50 %)",
        "gone     int3/int3_warm:compat@tcg  was pass",
        "1 worse, 1 changed, 1 better, 1 gone; 3 the same"]
    done = trapline("diff", a, a)
    assert done.returncode == 0 and done.stdout == "7 the same\n"
    assert trapline("diff", a, tmp_path / "none").returncode == 2
    other = json.loads(a.read_text())
    other["machines"]["tcg"]["version"] = "QEMU 99"
    other["host"]["kvm_modules"] = {"kvm": {"tdp_mmu": "no"}}
    b.write_text(json.dumps(other))
    done = trapline("diff", a, b)
    assert done.returncode == 0 and "-> QEMU 99" in done.stdout and "kvm.tdp_mmu" in done.stdout


def test_merge_parts_of_a_run(good, tmp_path):
    for name, some in (("a", slice(0, 4)), ("b", slice(4, None))):
        part = {**good[1], "results": good[1]["results"][some]}
        (tmp_path / f"{name}.json").write_text(json.dumps(part))
    out = tmp_path / "all.json"
    assert trapline("merge", "-o", out, tmp_path / "a.json", tmp_path / "b.json").returncode == 0
    doc = json.loads(out.read_text())
    check_schema(doc)
    assert doc["results"] == good[1]["results"] and list(doc["machines"]) == ["tcg"]
    assert trapline("diff", good[0], out).returncode == 0
    # The whole is a baseline as any other.
    assert run("--baseline", out, *POINTS).returncode == 0


@pytest.mark.full
def test_merge_repetitions(good, tmp_path):
    bad = edited(tmp_path, good[1], lambda r: r[0].update(verdict="fail", observed="#UD@insn"))
    out = tmp_path / "all.json"
    assert trapline("merge", "-o", out, good[0], good[0], bad).returncode == 0
    doc = json.loads(out.read_text())
    check_schema(doc)
    assert doc["results"][0]["verdict"] == "flaky"
    assert doc["results"][0]["reason"] == "1 fail (#UD@insn), 2 pass of 3 runs"
    assert doc["results"][1]["verdict"] == "pass"


def test_merge_hosts(good, tmp_path):
    other = {**good[1], "fingerprint": "0" * 12, "host": {**good[1]["host"], "cpu": "Another"}}
    (tmp_path / "node7.json").write_text(json.dumps(other))
    (tmp_path / "node3.json").write_text(json.dumps(good[1]))
    out, page = tmp_path / "all.json", tmp_path / "all.html"
    assert trapline("merge", "-o", out, tmp_path / "node3.json",
                    tmp_path / "node7.json").returncode == 0
    doc = json.loads(out.read_text())
    check_schema(doc)
    assert list(doc["machines"]) == ["tcg[node3]", "tcg[node7]"]
    assert doc["machines"]["tcg[node7]"]["host"]["cpu"] == "Another"
    assert len(doc["results"]) == 2 * len(good[1]["results"])
    assert trapline("html", out, "-o", page).returncode == 0
    assert "2 hosts" in page.read_text()
