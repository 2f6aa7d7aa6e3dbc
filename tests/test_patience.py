# SPDX-License-Identifier: BSD-2-Clause
"""A run on which everything hangs ends, says so, and has tried what it could."""

import json
import time
from types import SimpleNamespace

import pytest
from conftest import needs_qemu
from trapline import patience
from trapline.baseline import Baseline
from trapline.patience import BELIEVED_AFTER, TIMEOUT, Patience
from trapline.verdicts import BAD, CRASHED, KNOWN, UNTRIED, Result

MACHINE = SimpleNamespace(name="tcg", slowness=1.0)
HUNDREDS = 500


def target(guest, case, environment="cpl0", image=None, repetition=0, machine=MACHINE):
    section = SimpleNamespace(name=guest, file=image or guest, timeout=None)
    return SimpleNamespace(section=section, image=SimpleNamespace(name=image or guest), machine=machine,
                           point=SimpleNamespace(case=SimpleNamespace(name=case)), repetition=repetition,
                           point_id=f"{guest}/{case}:{environment}")


def tried(of, targets, fate):
    """What becomes of `targets`, one after the other: `fate`, a word ("lives", "dies", "hangs") or what gives
    one for a target, or the reason why it was not tried.
    """
    found = []
    for t in targets:
        instead = of.instead(t)
        word = instead.reason if instead else fate(t) if callable(fate) else fate
        if word == "lives":
            of.lived(t, 0.001, "pass")
        elif not instead:
            of.died(t, Result(t, CRASHED), word == "hangs", True)
        found.append(word)
    return found


def test_sound_guests_have_all_the_time():
    of = Patience(2)
    one = target("g", "a")
    assert of.seconds(one, False) == of.seconds(one, True) == TIMEOUT
    assert set(tried(of, [target("g", f"c{i}") for i in range(HUNDREDS)], "lives")) == {"lives"}
    assert of.seconds(one, True) == TIMEOUT and of.sentences() == {}


def test_crashes_leave_patience_with_hangs():
    of = Patience(2)
    tried(of, [target("g", f"c{i}") for i in range(20)], "dies")
    assert of.seconds(target("h", "a"), True) == TIMEOUT


def test_after_a_hang_there_is_less_patience_on_that_machine():
    of = Patience(2)
    tried(of, [target("g", "a")], "hangs")
    other = target("h", "b", machine=SimpleNamespace(name="model", slowness=2.0))
    assert of.seconds(target("h", "b"), True) == TIMEOUT * BELIEVED_AFTER
    assert of.seconds(target("h", "b"), False) > TIMEOUT * BELIEVED_AFTER
    assert of.seconds(other, True) == 2 * TIMEOUT


def test_slow_points_of_a_loaded_host_have_their_time():
    of = Patience(2)
    tried(of, [target("g", "a")], "hangs")
    of.lived(target("g", "b"), 0.5, "pass")
    assert of.seconds(target("g", "c"), True) == patience.SLOWER * 0.5
    of.lived(target("g", "b"), 100.0, "pass")
    assert of.seconds(target("g", "c"), True) == TIMEOUT, "but never more than the usual"
    of.lived(target("h", "b"), 9.0, "fail")          # a wait in vain tells nothing of the host


def test_guests_that_wait_in_vain_are_told_to_wait_less():
    of = Patience(2)
    for i in range(4):
        assert of.words(target("h", "a")) == []
        of.lived(target("g", f"c{i}"), 2.5, "fail")
    assert of.words(target("h", "a")) == ["patience=short"]
    assert Patience(2, everything=True).words(target("h", "a")) == ["patience=all"]


def test_a_guest_in_which_everything_dies_is_given_up():
    for fate, tries in (("hangs", 6), ("dies", 24)):
        of = Patience(2)
        found = tried(of, [target("g", f"c{i}") for i in range(HUNDREDS)], fate)
        assert found.count(fate) == tries
        assert set(found[tries:]) == {f"given up, for all {tries} points that were tried hung or died"}
        assert tried(of, [target("h", "a")], "lives") == ["lives"], "another guest is tried"
        assert of.sentences()["tcg"] == [
            f"{HUNDREDS - tries} points not tried: g given up, for all {tries} points that were tried hung or died",
            "--all tries everything"]


def test_what_lives_is_tried_as_long_as_cases_behind_it_hang():
    """Every tenth case hangs, everywhere: the other nine have their verdicts in every guest."""
    of = Patience(2)

    def fate(t):
        return "hangs" if t.point.case.name.endswith("0") else "lives"
    for layer in range(6):
        targets = [target(f"g-{layer}", f"c{i}", image="g") for i in range(100)]
        for t, became in zip(targets, tried(of, targets, fate)):
            assert became == "lives" or t.point.case.name.endswith("0"), (t.point_id, became)


def test_like_is_like():
    of = Patience(1)
    tried(of, [t for i in range(40) for t in (target("g", "lives", str(i)), target("g", f"c{i}"))],
          lambda t: "lives" if "lives" in t.point_id else "hangs")
    (reason,) = tried(of, [target("g-2", "c0", image="g")], "hangs")
    assert reason == "like g/c0:cpl0, which hung" or "given up" in reason


@pytest.mark.parametrize("fate", ["hangs", "dies"])
def test_the_whole_costs_less_than_a_minute(fate):
    """Sixty guests of two hundred points each, and each of them dies; some live between them."""
    for alive in (0, 1, 5):
        of = Patience(2)
        waste = 0.0
        for guest in range(60):
            for i in range(200):
                (became,) = tried(of, [target(f"g{guest}", f"c{i}")],
                                  "lives" if alive and i % (alive + 1) else fate)
                if became == "hangs":
                    waste += TIMEOUT * BELIEVED_AFTER
                elif became == "dies":
                    waste += patience.CRASH_PRICE
        assert 1 < waste / 2 < 25


def test_given_up_is_bad_and_says_what_to_do():
    of = Patience(2)
    tried(of, [target("g", f"c{i}") for i in range(6)], "hangs")
    result = of.instead(target("g", "c7"))
    assert result.verdict == UNTRIED and UNTRIED in BAD and result.reason
    assert of.sentences()["tcg"][-1] == "--all tries everything"


@pytest.mark.parametrize("more", [{"everything": True}, {"timeout": 3.0}])
def test_all_patience_back(more):
    of = Patience(2, **more)
    assert set(tried(of, [target("g", f"c{i}") for i in range(HUNDREDS)], "hangs")) == {"hangs"}
    assert of.seconds(target("g", "a"), True) == of.seconds(target("g", "a"), False) \
        == more.get("timeout", TIMEOUT)


def test_repetitions_are_each_their_own():
    of = Patience(2)
    tried(of, [target("g", f"c{i}") for i in range(6)], "hangs")
    assert tried(of, [target("g", "c9", repetition=1)], "lives") == ["lives"]


def test_what_was_to_be_expected_wastes_nothing():
    of = Patience(2)
    entry = SimpleNamespace(from_a_run=False)
    for i in range(HUNDREDS):
        t = target("g", f"c{i}")
        of.died(t, Result(t, KNOWN, known=entry), True, True)
    assert of.seconds(target("g", "x"), True) == TIMEOUT and of.instead(target("g", "x")) is None
    entry.from_a_run = True         # a baseline's hangs take as long as any
    for i in range(6):
        of.died(target("g", f"c{i}"), Result(None, KNOWN, known=entry), True, True)
    assert of.instead(target("g", "x")).verdict == UNTRIED


# -- Real guests ---------------------------------------------------------------------------------------

@needs_qemu
@pytest.mark.full
def test_guest_that_only_hangs(trapline):
    """All of it dies, and each section is given up, in less time than two points had before."""
    trapline.config.with_name("many.cfg").write_text(
        "".join(f"[stopped{i}]\nfile = good\nqemu_params = -S\n" for i in range(12))
        + "[good]\nfile = good\n")
    started = time.monotonic()
    results, done = trapline.results("--machine", "tcg", "--config", "many.cfg", timeout=120)
    assert done.returncode == 1 and time.monotonic() - started < 60
    of_good = {k: r["verdict"] for k, r in results.items() if k.startswith("good/")}
    assert set(of_good.values()) == {"pass", "fail", "skip"}, "what can be said is said"
    assert {r["verdict"] for k, r in results.items() if not k.startswith("good/")} <= {CRASHED, UNTRIED}


@needs_qemu
@pytest.mark.full
def test_many_hang_and_are_told(trapline):
    """More points hang than a run has patience for: exit status 1, reasons, and a line in the summary."""
    trapline.config.with_name("many.cfg").write_text(
        "".join(f"[hang{i}]\nfile = hang\n" for i in range(40)))
    words = ("--machine", "tcg", "--config", "many.cfg")
    results, done = trapline.results(*words, timeout=120)
    assert done.returncode == 1 and "cut    short: " in done.stdout and "--all tries everything" in done.stdout
    verdicts = {k.partition("@")[0]: r["verdict"] for k, r in results.items()}
    assert set(verdicts.values()) == {"pass", CRASHED, UNTRIED}
    assert {v for k, v in verdicts.items() if "/before" in k} == {"pass"}
    assert all(r["reason"] for r in results.values() if r["verdict"] == UNTRIED)


@pytest.mark.parametrize("before, now", [("pass", UNTRIED), ("fail", UNTRIED), (CRASHED, KNOWN), (UNTRIED, KNOWN)])
def test_baseline(tmp_path, before, now):
    """What could not be told then is not told now; what could be is worse."""
    one = target("g", "a")
    words = dict.fromkeys(("guest", "observed", "reason", "rule", "bug", "where"), "")
    path = tmp_path / "base.json"
    path.write_text(json.dumps({"trapline": "", "machines": {"tcg": {}}, "results": [
        {**words, "case": "g/a", "environment": "cpl0", "machine": "tcg", "verdict": before,
         **dict.fromkeys(("catches", "values", "allowed", "notes", "dump"), [])}]}))
    result = Baseline(str(path)).judge(Result(one, UNTRIED, "given up"))
    assert result.verdict == now and "given up" in result.reason
