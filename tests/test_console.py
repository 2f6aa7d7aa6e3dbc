# SPDX-License-Identifier: BSD-2-Clause
"""What a run prints, made of results that no machine gave: pages with one line changed each."""

import io
import re
from types import SimpleNamespace

import pytest
from trapline.bugs import Bug
from trapline.expectations import Known
from trapline.guests import Case, Point
from trapline.reports import Summary, seen
from trapline.reports.console import Console
from trapline.select import Target
from trapline.verdicts import ABSENT, BLOCKED, CRASHED, FAIL, FIXED, KNOWN, PASS, SKIP, Result


def machine(name="box"):
    return SimpleNamespace(name=name, usual=(), usual_reason="", version=lambda: "Box 1",
                           foreign_bugs=(), underneath=None)


BOX = machine()


def target(case, environment="cpl0", guest="g", on=BOX, layer="native", section=None):
    section = SimpleNamespace(name=section or guest, file=guest)
    name = environment if layer == "native" else f"{layer}-{environment}"
    point = Point(0, Case(case, (environment,), "SDM", ("some-bug",), (), "x86/g.c:7"), name, layer)
    return Target(section, SimpleNamespace(name=guest, elf="g.elf"), point, on)


def failed(case, *words, observed="#UD@insn", **more):
    return Result(target(case, *words, **more), FAIL, expected="#BP@after", observed=observed)


def entry(bug, version=None, link=""):
    return Known(f"box.toml: {bug}", ("*",), ("box",), version, ("#UD@insn",), f"why of {bug}", bug, link)


def known(case, bug, *words, **more):
    return Result(target(case, *words, **more), KNOWN, f"why of {bug}", observed="#UD@insn", known=entry(bug))


def catalogue(*ids):
    return {id_: Bug(id_, f"what {id_} is", "t", "r", "b", "Box 0 to 1; later not tried", "e") for id_ in ids}


def printed(results, machines=(BOX,), given_up=None, **more):
    out = io.StringIO()
    console = Console(list(machines), stream=out, **more)
    present = [r for r in results if r.verdict != ABSENT]
    absent = [r for r in results if r.verdict == ABSENT]
    console.begin([result.target for result in results])
    for result in results:
        (console.absent if result.verdict == ABSENT else console.result)(result)
    console.end(Summary(present, absent, total=len(results), given_up=given_up or {}))
    return out.getvalue()


# Places for others

def test_the_names_of_failures_are_printed():
    one, two = machine("one"), machine("two")
    bad = failed("wrong", on=one)
    good, elsewhere = Result(target("right", on=one), PASS), Result(target("right", on=two), PASS)
    asked = []

    def naming(*words):
        asked.append(words)
        return ["looks like some-bug"]
    text = printed([bad, good, elsewhere], [one, two], naming=naming)
    assert asked == [(one, [bad], [bad, good])], "a machine with nothing bad has nothing to name"
    assert text.count("looks like some-bug\n") == 1


def test_what_was_cut_short_is_said():
    text = printed([Result(target("right"), PASS)], given_up={"box": ["g: 7 points not tried, nothing arrives"]})
    assert "\ncut    short: g: 7 points not tried, nothing arrives\nbox: cut short, 1 point: 1 pass " in text


# Blocks

def test_one_block_for_a_case_and_a_kind_of_failure():
    text = printed([
        failed("wrong", "cpl0"), failed("wrong", "cpl3"), failed("wrong", "compat", observed="(none)"),
        failed("wrong", "cpl0", layer="svm", section="g-svm"), failed("wrong", "cpl3", layer="svm", section="g-svm"),
        failed("wrong", "cpl0", layer="svm-nonpt", section="g-nonpt"),
        failed("wrong", "cpl3", layer="svm-nonpt", section="g-nonpt"),
        failed("wrong", "cpl0", section="g-2cpus"), Result(target("wrong", "legacy"), PASS)])
    heads = re.findall("^fail .*", text, re.M)
    assert heads == ["fail   g/wrong@box  in 7 of 9: cpl0 cpl3; svm svm-nonpt: cpl0 cpl3; g-2cpus: cpl0",
                     "fail   g/wrong:compat@box"]
    assert text.count("       expected  #BP@after\n") == 2 and "       observed  (none)\n" in text
    assert "       again     ./run_tests.sh --machine box g/wrong:cpl0\n" in text
    assert "\nnew    1 case on box with failures that no expectation knows\n" in text


def test_crashes_that_differ_in_addresses_only_are_one_kind():
    def crash(environment, address):
        point = target("dies", environment)
        return Result(point, CRASHED, f"unexpected #PF(0x2) at {address} <body+0x12> in {point.said_name}")
    text = printed([crash("cpl0", "0x101234"), crash("cpl3", "0x10abcd")])
    assert re.findall("^crash .*", text, re.M) == ["crash  g/dies@box  in 2 of 2: cpl0 cpl3"]
    text = printed([crash("cpl0", "0x1"), Result(target("dies", "cpl3"), CRASHED, "hung: no result for 2 s")])
    assert len(re.findall("^crash .*", text, re.M)) == 2


def test_other_kinds_of_failure_go_first():
    text = printed([failed(f"c{i}") for i in range(50)] + [failed("other", observed="(none)")])
    assert text.index("g/other:cpl0@box") < text.index("g/c1:cpl0@box")


# A screenful

@pytest.mark.parametrize("cases, names", [(1, 0), (7, 3), (100, 0), (100, 8)])
def test_failures_add_at_most_forty_lines(cases, names):
    good = [Result(target(f"c{i}"), PASS) for i in range(cases)]
    before = printed(good).count("\n")
    bad = [failed(f"c{i}", observed=f"int {i:#x}@after") for i in range(cases)]
    def naming(*_):
        return [f"name {i}" for i in range(names)]
    text = printed(bad, naming=naming)
    assert text.count("\n") - before <= 40
    every = printed(bad, naming=naming, verbosity=-1)
    assert every.count("\nfail ") + every.startswith("fail ") == cases, "-q keeps nothing back"
    assert every.count("       observed  ") == cases
    if cases == 100:
        shown = len(re.findall("^fail ", text, re.M))
        assert f"       and {cases - shown} blocks more like these: -q shows them all" in text


@pytest.mark.parametrize("bugs", [0, 1, 39, 60, 200])
def test_what_is_known_is_a_screenful(bugs):
    ids = [f"bug-{i}" for i in range(bugs)]
    results = [known(f"c{i}", id_, guest=f"guest{i % 45}") for i, id_ in enumerate(ids)]
    results += [Result(target("common"), PASS, seconds=0.5)]
    text = printed(results, catalogue=catalogue(*ids))
    assert text.count("\n") <= 60
    for id_ in ids:
        assert re.search(rf"^known .*\b{id_}\b", text, re.M), "each is named"


# The bugs seen

def test_bugs_are_counted_in_cases_and_the_most_frequent_is_first():
    from packaging.specifiers import SpecifierSet

    results = [known("a", "rare"), known("b", "often"), known("c", "often"), known("c", "often", "cpl3")]
    entries = [entry("often", SpecifierSet("<9.1")), entry("often", SpecifierSet(">=9.1,<11")), entry("rare")]
    lines = re.findall("^known .*", printed(results, entries=entries, catalogue=catalogue("often", "rare")), re.M)
    assert lines == ["known  often  2 cases  what often is (before 11)", "known  rare   1 case   what rare is (Box 0 to 1)"]


@pytest.mark.parametrize("ranges, said", [
    (["<9.1"], "before 9.1"), (["<=6.1.172"], "to 6.1.172"), ([">=8"], "since 8"), (["<9.1", ""], ""), ([""], ""),
    ([">=6,<6.12"], "since 6, before 6.12"), (["<9", ">=9,<10"], "before 10"), ([">=10", ">=9.1,<10"], "since 9.1"),
    ([">=8,<8.2", ">=9,<10.1"], "since 8, before 10.1"), ([], "")])
def test_versions(ranges, said):
    assert seen.span(ranges) == said


def test_what_stays_is_told_by_reason():
    text = printed([
        Result(target("a"), SKIP, "no witness: it was too late"), Result(target("b"), SKIP, "no witness: it was too late"),
        Result(target("c"), FIXED, "passes, though box.toml: entry 1 expects #UD@insn", known=entry("x")),
        Result(target("d"), BLOCKED, "tcg itself", known=entry("tcg-x")), Result(target("e"), BLOCKED, "tcg itself fails it")])
    assert "\nskip   g/a and 1 case more: no witness: it was too late\n" in text
    assert "\nfixed  g/c:cpl0@box  passes, though box.toml: entry 1 expects #UD@insn\n" in text
    assert "\nblocked  2 cases by bugs of what this machine runs on: not in the catalogue (1) tcg-x (1)\n" in text


# What the machine lacks

def test_what_a_machine_lacks_is_said_once_and_is_no_result():
    absent = [Result(target(f"a{i}"), ABSENT, "VMX") for i in range(3)] + [Result(target("b"), ABSENT, "x2APIC")]
    text = printed([*absent, Result(target("c"), PASS)])
    assert "\nbox is Box 1; it has no VMX, x2APIC (4 points left out)\nbox: 1 point: 1 pass  [Box 1]\n" in text
    assert "done   g: 1 pass, 0.0 s\n" in text and "skip" not in text
    assert "VMX" not in printed([*absent, Result(target("c"), PASS)], verbosity=-1)


def test_a_guest_that_says_so_is_believed_unless_the_machine_is_known_better():
    from trapline.ktap import Said
    from trapline.machines.qemu import Tcg
    from trapline.machines.base import Tools
    from trapline.verdicts import judge

    on = Tcg(Tools())
    for skip, verdict in (("lacks x2APIC", ABSENT), ("lacks VMX", ABSENT), ("lacks SVM", SKIP),
                          ("lacks SVM that is enabled", SKIP), ("no witness: x", SKIP), ("lacks", SKIP)):
        result = judge(target("a", on=on), Said("g/a:cpl0", True, skip), 0.0)
        assert result.verdict == verdict, skip
    assert judge(target("a", on=on), Said("", True, "lacks x2APIC"), 0.0).reason == "x2APIC"


# -v, and logs

def test_verbose_is_a_line_per_point():
    text = printed([Result(target("a"), PASS), failed("b"), known("c", "x")], verbosity=1, catalogue=catalogue("x"))
    assert text.startswith("pass   g/a:cpl0@box\nfail   g/b:cpl0@box\n       rule      SDM\n")
    assert "known  g/c:cpl0@box  why of x [x]\n" in text and "done" not in text
    assert text.count("fail   ") == 1, "told when it came, not again at the end"


def test_a_log_has_a_word_on_each_guest():
    few = [Result(target("a", guest=f"g{i}"), PASS, seconds=1.25) for i in range(3)]
    assert printed(few).startswith("".join(f"done   g{i}: 1 pass, 1.2 s\n" for i in range(3)))
    many = [Result(target("a", guest=f"guest{i}"), FAIL if i == 4 else PASS, seconds=1) for i in range(40)]
    log = printed(many).split("\n\n")[0].splitlines()
    log = [line for line in log if line.startswith("done")]
    assert max(map(len, log)) <= 100 and len(log) < 12
    assert "guest4 1, 1 bad (1.0 s)" in " ".join(log) and "guest39 1 (1.0 s)" in log[-1]
