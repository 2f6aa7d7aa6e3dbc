# SPDX-License-Identifier: BSD-2-Clause
"""What is known to hang is tried once, and believed only as long as it does."""

import time
import xml.etree.ElementTree as ElementTree
from types import SimpleNamespace

import pytest
from conftest import needs_qemu

from trapline.expectations import Known
from trapline.patience import Patience

HUNG = "because (hung: no result for 0.625 s)"


def expect_hang(trapline, case, observed='"hang"', more=""):
    (trapline.expectations / "tcg.toml").write_text(
        f'machines = ["tcg"]\n[[known]]\ncase = "{case}"\nobserved = {observed}\n'
        f'reason = "because"\nbug = "some-bug"\n{more}')


def run(trapline, *words):
    """({point: (verdict, reason)}, exit status) on tcg."""
    results, done = trapline.results("--machine", "tcg", *words)
    return {k.removesuffix("@tcg"): (r["verdict"], r["reason"]) for k, r in results.items()}, done.returncode


def like(point):
    return "known", f"because (not run: like {point}, which hung)"


@needs_qemu
def test_one_hangs_for_all(trapline):
    expect_hang(trapline, "hang/bad:*")
    found, status = run(trapline, "hang")
    assert found.pop("hang/bad:cpl0") == ("known", HUNG)
    assert found.pop("hang/bad:cpl3") == like("hang/bad:cpl0")
    assert set(found.values()) == {("pass", "")} and len(found) == 4 and status == 0


@needs_qemu
@pytest.mark.full
def test_strict_runs_all(trapline):
    expect_hang(trapline, "hang/bad:*")
    found, status = run(trapline, "hang", "--strict", "--timeout", "1")
    assert found["hang/bad:cpl0"] == found["hang/bad:cpl3"] == ("crash", "hung: no result for 1 s")
    assert status == 1


@needs_qemu
@pytest.mark.full
def test_named_alone_it_runs(trapline):
    expect_hang(trapline, "hang/bad:*")
    assert run(trapline, "hang/bad:cpl3") == ({"hang/bad:cpl3": ("known", HUNG)}, 0)
    assert run(trapline, "-k", "bad and cpl3", "hang", "--timeout", "0.3")[0] == {
        "hang/bad:cpl3": ("known", "because (hung: no result for 0.3 s)")}


@needs_qemu
@pytest.mark.full
def test_what_does_not_hang_is_judged(trapline):
    """The points before the one that hangs pass; those behind it are taken for it."""
    expect_hang(trapline, "hang/*")
    found, status = run(trapline, "hang")
    assert found["hang/before:cpl0"][0] == found["hang/before:cpl3"][0] == "fixed"
    assert found["hang/bad:cpl0"] == ("known", HUNG)
    assert {found[p] for p in ("hang/bad:cpl3", "hang/after:cpl0", "hang/after:cpl3")} == {
        like("hang/bad:cpl0")} and status == 0


@needs_qemu
@pytest.mark.full
def test_mended_machine_runs_all(trapline):
    expect_hang(trapline, "good/passes:*")
    found, status = run(trapline, "good/passes")
    assert {verdict for verdict, _ in found.values()} == {"fixed"} and len(found) == 2 and status == 0


@needs_qemu
@pytest.mark.parametrize("guest, reason", [("quiet_exit", "died: it wrote 0x10"), ("panic", "unexpected #PF")])
def test_death_of_another_kind_is_none(trapline, guest, reason):
    expect_hang(trapline, f"{guest}/bad:*")
    found, status = run(trapline, f"{guest}/bad")
    assert len(found) == 2 and status == 1
    for verdict, said in found.values():
        assert verdict == "crash" and said.startswith(reason)


@needs_qemu
def test_silence_before_the_plan_is_none(trapline):
    """A guest that does not come up, or does so late, says nothing of the case: it has its usual time."""
    trapline.config.with_name("stopped.cfg").write_text("[good]\nfile = good\nqemu_params = -S\n")
    expect_hang(trapline, "good/*")
    found, status = run(trapline, "--config", "stopped.cfg", "--timeout", "1")
    assert found["good/passes:cpl0"] == ("crash", "hung: no result for 1 s")
    assert status == 1 and {verdict for verdict, _ in found.values()} == {"crash"}


@needs_qemu
@pytest.mark.full
def test_crash_covers_a_hang_and_runs_each(trapline):
    expect_hang(trapline, "hang/bad:*", '"crash"')
    found, status = run(trapline, "hang/bad", "--timeout", "0.5")
    assert set(found.values()) == {("known", "because (hung: no result for 0.5 s)")} and status == 0


@needs_qemu
@pytest.mark.full
def test_what_hangs_sometimes_says_nothing_of_others(trapline):
    expect_hang(trapline, "hang/bad:*", more="sometimes = true\n")
    found, status = run(trapline, "hang/bad")
    assert set(found.values()) == {("known", HUNG)} and len(found) == 2 and status == 0


@needs_qemu
@pytest.mark.full
def test_each_repetition_tries_once(trapline):
    expect_hang(trapline, "hang/bad:*")
    started = time.monotonic()
    results, done = trapline.results("--machine", "tcg", "--repeat", "3", "-j", "1", "hang/bad")
    assert time.monotonic() - started > 3 * 0.625 and done.returncode == 0
    assert {(r["verdict"], *(run["count"] for run in r["runs"])) for r in results.values()} == {("known", 3)}
    assert results["hang/bad:cpl0@tcg"]["reason"] == HUNG


@needs_qemu
@pytest.mark.full
def test_other_sections_know_it_too(trapline):
    """An entry may name the image, which several sections run."""
    trapline.config.with_name("two.cfg").write_text("[hang]\nfile = hang\n[again]\nfile = hang\nsmp = 2\n")
    expect_hang(trapline, "hang/bad:*")
    found, status = run(trapline, "--config", "two.cfg", "-k", "bad", "-j", "3")
    assert found.pop("hang/bad:cpl0") == ("known", HUNG) and status == 0
    assert set(found.values()) == {like("hang/bad:cpl0")} and len(found) == 3


@needs_qemu
def test_reports_say_it(trapline):
    expect_hang(trapline, "hang/bad:*")
    done = trapline("--machine", "tcg", "-v", "hang/bad", "--junitxml", "hang.xml", "--html", "hang.html")
    assert "not run: like hang/bad:cpl0, which hung) [some-bug]" in done.stdout and done.returncode == 0
    skipped = [e.get("message") for e in ElementTree.parse(trapline.build / "hang.xml").iter("skipped")]
    assert like("hang/bad:cpl0")[1] in skipped and len(skipped) == 2
    assert "not run: like hang/bad:cpl0" in (trapline.build / "hang.html").read_text()
    said = trapline("--machine", "tcg", "hang/bad", "--ktap").stdout
    assert "not run: like hang/bad:cpl0" in said


@pytest.mark.parametrize("bug, verdict", [("kvm-a", "known"), ("tcg-a", "blocked")])
def test_bug_of_the_emulator_blocks(bug, verdict):
    entry = Known("here", ("g/*",), ("lab-x",), None, ("hang",), "it spins", bug, "")
    machine = type("Machine", (), {"foreign_bugs": ("tcg-",)})()
    one, other = (SimpleNamespace(point_id=f"g/{n}:cpl0", machine=machine, repetition=0) for n in "ab")
    patience = Patience(2, everything=True)
    assert patience.instead(other, entry) is None
    patience.hung_as_known(entry, one)
    result = patience.instead(other, entry)
    assert (result.verdict, result.known) == (verdict, entry)
    assert result.reason == "it spins (not run: like g/a:cpl0, which hung)"
