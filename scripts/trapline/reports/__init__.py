# SPDX-License-Identifier: BSD-2-Clause
"""Reports: each is told begin(), result() or absent() as they come, tick() meanwhile, and end()."""

from collections import Counter
from dataclasses import dataclass, field


class Report:
    """What every report can be told; it does what it cares for."""

    def begin(self, targets):
        """The run begins, of these select.Targets."""

    def tick(self):
        """Nothing has come for a while."""

    def result(self, result):
        """A verdicts.Result."""

    def absent(self, result):
        """One of `targets` that has no result: the machine lacks what it needs (verdicts.ABSENT)."""

    def end(self, summary):
        """The run is over."""


@dataclass
class Summary:
    """What end() is told."""

    results: list = field(default_factory=list)
    absent: list = field(default_factory=list)      # Results of what the machines lack altogether
    total: int = 0                      # points asked for that their machines may have
    seconds: float = 0.0                # wall clock of the run
    machine_seconds: dict = field(default_factory=dict)
    interrupted: bool = False
    given_up: dict = field(default_factory=dict)    # machine's name: sentences on what was cut short there
    unnamed: bool = False               # no guest or case was asked for by name
    started: str = ""                   # when
    root: str = ""                      # of our own source


    def lacks(self, machine):
        """{what `machine` (its name) lacks: points that it would need that for}, the most points first."""
        counts = Counter(r.reason for r in self.absent if r.target.machine.name == machine)
        return dict(counts.most_common())


def details(result):
    """(word, text) lines that explain a result, in the order of DESIGN's failing case."""
    case = result.target.point.case
    lines = [("rule", case.rule)]
    lines += [("expected", result.expected)] if result.expected else []
    lines += [("allowed", f"{trace} -- {reference}") for trace, reference in result.allowed]
    lines += [("observed", result.observed)] if result.observed else []
    lines += [("reason", result.reason)] if result.reason else []
    lines += [("dump", line) for line in result.dump]
    lines += [("note", line) for line in result.notes]
    lines += [("value", f"{name} {number} {unit}") for name, number, unit in result.values]
    lines += [("catches", " ".join(case.catches))] if case.catches else []
    lines += [("where", case.where)] if case.where else []
    return lines


def tally(results):
    """"4 pass, 2 fail" in the order of verdicts.VERDICTS."""
    from ..verdicts import VERDICTS

    counts = Counter(r.verdict for r in results)
    return ", ".join(f"{counts[v]} {v}" for v in VERDICTS if counts[v])
