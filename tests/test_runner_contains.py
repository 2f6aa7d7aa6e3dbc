# SPDX-License-Identifier: BSD-2-Clause
"""Real guests that misbehave, on real machines: every one contained, every verdict true."""

import re
import time

import pytest
from conftest import MISBEHAVIOURS, needs_bochs, needs_qemu

POINTS = ["before:cpl0", "before:cpl3", "bad:cpl0", "bad:cpl3", "after:cpl0", "after:cpl3"]

# What is said about each point; one text stands for both `bad` points. None: it passes.
BAD = {
    "HANG": "hung: no result for 2 s",
    "SPIN": "hung: no result for 2 s",
    "DRIP": "hung: no result for 2 s",
    # On a busy machine it does not get that far in two seconds; test_memory_is_bounded sees to the limit.
    "FLOOD": ("more than 256 KiB of output without a result", "hung: no result for 2 s"),
    "LONG_LINE": "a line of more than 1023 bytes",
    "GARBAGE": "bytes that are no text",
    "ESCAPES": "bytes that are no text",
    "SECOND_PLAN": "a second plan, 1..6",
    "SECOND_VERSION": "a second version line",
    "DUPLICATE": "result ",
    "AHEAD": "result ",
    "OTHER_NAME": "result of other_name/nobody:cpl0 where other_name/bad:cpl",
    "STRAY": "a line that is not KTAP: 'hello, world'",
    "CLOSE_EARLY": "closing line after ",
    "TRIPLE_FAULT": "died: the machine was reset or switched off: a triple fault, most likely",
    "PANIC": "unexpected #PF(0x2,cr2=0x0) in bad",
    "QUIET_EXIT": "died: it wrote 0x10 to the exit port",
}
# Before the plan: every point crashes, and the first says why.
EARLY = {
    "NO_OUTPUT": "died before its version line: it wrote 0x10 to the exit port",
    "NO_VERSION": "died before its version line: it wrote 0x10 to the exit port, after '1..6",
    "FORGED_PLAN": "plan 1..9, but 6 points were asked for",
    "RESULT_FIRST": "a result before the plan",
}
# After the last result, which is then worth nothing.
LATE = {
    "NO_CLOSE": "no closing line: it wrote 0x10 to the exit port",
    "WRONG_TOTALS": "closing line is wrong: pass:60 fail:0 skip:0",
    "AFTER_CLOSE": "output after the closing line: 'ok 7 x'",
}
FINE = {"HANG_AFTER_CLOSE"}


def test_every_misbehaviour_is_judged_here():
    assert BAD.keys() | EARLY.keys() | LATE.keys() | FINE == set(MISBEHAVIOURS)


@pytest.fixture(scope="module")
def everything(guests):
    """Results of all bad guests on TCG, in one run."""
    from conftest import without_expectations

    started = time.monotonic()
    results, done = without_expectations(guests).results("--machine", "tcg", "-g", "bad", "--timeout", "2")
    return results, done, time.monotonic() - started


def verdicts(results, guest):
    return {p: results[f"{guest}/{p}@tcg"]["verdict"] for p in POINTS}


@needs_qemu
@pytest.mark.parametrize("name", BAD)
def test_bad_case(everything, name):
    """Only the bad points crash; the guest is booted again for those after them."""
    results, guest = everything[0], name.lower()
    assert verdicts(results, guest) == {
        p: "crash" if p.startswith("bad") else "pass" for p in POINTS}
    for point in "bad:cpl0", "bad:cpl3":
        assert results[f"{guest}/{point}@tcg"]["reason"].startswith(BAD[name])


@needs_qemu
@pytest.mark.parametrize("name", EARLY)
def test_dies_early(everything, name):
    results, guest = everything[0], name.lower()
    assert set(verdicts(results, guest).values()) == {"crash"}
    first = f"{guest}/before:cpl0@tcg"
    assert results[first]["reason"].startswith(EARLY[name])
    for point in POINTS[1:]:
        assert results[f"{guest}/{point}@tcg"]["reason"] == f"the guest had no plan: see {first}"


@needs_qemu
@pytest.mark.parametrize("name", LATE)
def test_bad_end(everything, name):
    results, guest = everything[0], name.lower()
    assert verdicts(results, guest) == {
        p: "crash" if p == POINTS[-1] else "pass" for p in POINTS}
    assert results[f"{guest}/{POINTS[-1]}@tcg"]["reason"] == LATE[name]


@needs_qemu
def test_halting_after_the_close_is_fine(everything):
    assert set(verdicts(everything[0], "hang_after_close").values()) == {"pass"}


@needs_qemu
def test_contained(everything):
    _, done, seconds = everything
    assert done.returncode == 1
    assert seconds < 60, "three guests hang for 2 s in two points each; the host may be busy"
    assert len(done.stdout) < 100_000
    assert not re.search(r"[^\x20-\x7e\n]", done.stdout + done.stderr)


@needs_qemu
def test_dump_has_names(everything):
    dump = everything[0]["panic/bad:cpl0@tcg"]["dump"]
    assert len(dump) == 1 and re.search(r"rip 0x[0-9a-f]+ <misbehave\+0x\w+>", dump[0])


@needs_qemu
def test_memory_is_bounded(trapline):
    """100 MB from a guest do not make the runner larger."""
    import os

    small = trapline.start("--machine", "tcg", "good", stdout=-3)
    large = trapline.start("--machine", "tcg", "flood", "long_line", stdout=-3)
    peak = [os.wait4(process.pid, 0)[2].ru_maxrss for process in (small, large)]
    small.returncode = large.returncode = 0
    assert peak[1] < peak[0] + 8 * 1024


@needs_qemu
def test_good_guest(trapline):
    results, done = trapline.results("--machine", "tcg", "good")
    assert done.returncode == 1
    assert {k.removeprefix("good/"): r["verdict"] for k, r in results.items()} == {
        f"{case}:{environment}@tcg": verdict
        for case, verdict in (("passes", "pass"), ("fails", "fail"), ("skips", "skip"),
                              ("allows", "pass"))
        for environment in ("cpl0", "cpl3")}
    failed = results["good/fails:cpl3@tcg"]
    assert failed["expected"] == "#BP@after" and failed["observed"] == "#UD@insn"
    assert failed["notes"] == ["the answer is 42"] and failed["rule"] == "Test rule of fails"
    allowed = results["good/allows:cpl0@tcg"]
    assert allowed["observed"] == "#DB[BS]@2"
    assert allowed["allowed"][0] == {"trace": "#DB[BS]@1",
                                     "reference": "SDM 3A, Masking Exceptions"}
    assert allowed["values"] == [{"name": "latency", "number": 1234, "unit": "cycles"}]


@needs_qemu
def test_selected_points_only(trapline):
    results, done = trapline.results("--machine", "tcg", "-k", "passes and cpl3 or skips")
    assert done.returncode == 0
    assert sorted(results) == ["good/passes:cpl3@tcg", "good/skips:cpl0@tcg",
                               "good/skips:cpl3@tcg"]


@needs_bochs
@pytest.mark.full
def test_bochs(trapline):
    """On another machine, with its own ways to end."""
    results, done = trapline.results("--machine", "bochs-svm", "--timeout", "2", "hang", "panic",
                                     "no_close", "garbage", "quiet_exit", "hang_after_close",
                                     "second_plan")
    assert done.returncode == 1
    for guest in "hang", "panic", "garbage", "quiet_exit", "second_plan":
        assert {p: results[f"{guest}/{p}@bochs-svm"]["verdict"] for p in POINTS} == {
            p: "crash" if p.startswith("bad") else "pass" for p in POINTS}, guest
    assert results["no_close/after:cpl3@bochs-svm"]["verdict"] == "crash"
    assert results["hang_after_close/after:cpl3@bochs-svm"]["verdict"] == "pass"
    assert "Shutdown port" in results["quiet_exit/bad:cpl0@bochs-svm"]["reason"]


@needs_bochs
def test_triple_fault_on_bochs(trapline):
    """Its UART loses what it had not sent, so these guests wait for it after each result."""
    results, done = trapline.results("--machine", "bochs-vmx", "triple_fault", "good")
    assert done.returncode == 1
    assert {p: results[f"triple_fault/{p}@bochs-vmx"]["verdict"] for p in POINTS} == {
        p: "crash" if p.startswith("bad") else "pass" for p in POINTS}
    assert results["good/fails:cpl0@bochs-vmx"]["observed"] == "#UD@insn"
    assert results["good/allows:cpl3@bochs-vmx"]["verdict"] == "pass"


@needs_qemu
def test_machine_that_cannot_start(trapline):
    trapline.config.with_name("odd.cfg").write_text(
        "[good]\nfile = good\nqemu_params = -no-such-option\n")
    results, done = trapline.results("--machine", "tcg", "--config", "odd.cfg")
    assert done.returncode == 1
    first = results["good/passes:cpl0@tcg"]
    assert first["verdict"] == "crash" and "no-such-option" in first["reason"]


@needs_qemu
def test_sections_that_do_not_fit(trapline):
    trapline.config.with_name("odd.cfg").write_text(
        "[kvm]\nfile = good\naccel = kvm\n[none]\nfile = good\ncheck = /no/such=Y\n"
        "[some]\nfile = good\nmachines = bochs-*\n[again]\nfile = good\nsmp = 2\n")
    results, done = trapline.results("--machine", "tcg", "--config", "odd.cfg")
    reasons = {k.partition("/")[0]: r["reason"] for k, r in results.items()
               if r["verdict"] == "skip" and "passes" in k}
    assert reasons == {"none": "needs /no/such=Y: No such file or directory"}
    assert results["again/passes:cpl0@tcg"]["verdict"] == "pass"
    assert "; it has no accelerator kvm, name like bochs-* (16 points left out)" in done.stdout
    assert not any(id_.startswith(("some/", "kvm/")) for id_ in results), "what cannot run here has no result"


def test_no_boot_for_what_a_machine_cannot_have(monkeypatch):
    from trapline.machines import bochs, model, qemu
    from trapline.machines.base import Tools

    assert qemu.Tcg(Tools()).lacks("vmx-reflect") == "VMX"
    assert not qemu.Tcg(Tools()).lacks("svm-nonpt") and not qemu.Tcg(Tools()).lacks("native")
    assert bochs.BochsSvm(Tools()).lacks("vmx") and bochs.BochsVmx(Tools()).lacks("svm")
    assert model.Model(Tools()).lacks("svm") and not model.Model(Tools()).lacks("native")
    monkeypatch.setattr(qemu, "cpu_flags", lambda: {"vmx"})
    assert qemu.Kvm(Tools()).lacks("svm") and not qemu.Kvm(Tools()).lacks("vmx")
