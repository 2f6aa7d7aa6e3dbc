# SPDX-License-Identifier: BSD-2-Clause
"""What a run prints, made of results that no machine gave: pages with one line changed each."""

import io
from types import SimpleNamespace

from trapline.guests import Case, Point
from trapline.reports import Summary
from trapline.reports.console import Console
from trapline.select import Target
from trapline.verdicts import FAIL, PASS, Result


def machine(name="box"):
    return SimpleNamespace(name=name, usual=(), usual_reason="", version=lambda: "Box 1",
                           foreign_bugs=(), underneath=None)


def target(on, case, environment="cpl0", guest="g"):
    section = SimpleNamespace(name=guest, file=guest)
    point = Point(0, Case(case, (environment,), "SDM", ("some-bug",), (), "x86/g.c:7"), environment)
    return Target(section, SimpleNamespace(name=guest, elf="g.elf"), point, on)


def printed(machines, results, given_up=None, **more):
    out = io.StringIO()
    console = Console(machines, stream=out, **more)
    summary = Summary(results=results, total=len(results), given_up=given_up or {})
    console.begin([result.target for result in results])
    for result in results:
        console.result(result)
    console.end(summary)
    return out.getvalue()


def test_the_names_of_failures_are_printed():
    one, two = machine("one"), machine("two")
    bad = Result(target(one, "wrong"), FAIL, expected="#BP@after", observed="#UD@insn")
    good, elsewhere = Result(target(one, "right"), PASS), Result(target(two, "right"), PASS)
    asked = []

    def naming(*words):
        asked.append(words)
        return ["looks like some-bug"]
    text = printed([one, two], [bad, good, elsewhere], naming=naming)
    assert asked == [(one, [bad], [bad, good])], "a machine with nothing bad has nothing to name"
    assert text.count("looks like some-bug\n") == 1


def test_what_was_cut_short_is_said():
    one = machine("one")
    text = printed([one], [Result(target(one, "right"), PASS)],
                   given_up={"one": ["g: 7 points not tried, nothing arrives"]})
    assert "\ncut    short: g: 7 points not tried, nothing arrives\none: cut short, 1 point: 1 pass " in text
