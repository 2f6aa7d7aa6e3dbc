# SPDX-License-Identifier: BSD-2-Clause
"""Reports: each is told begin(), result() as they come, tick() meanwhile, and end()."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Summary:
    """What end() is told."""

    results: list = field(default_factory=list)
    total: int = 0                      # points asked for
    seconds: float = 0.0                # wall clock of the run
    machine_seconds: dict = field(default_factory=dict)
    interrupted: bool = False
    given_up: dict = field(default_factory=dict)    # machine's name: sentences on what was cut short there
    unnamed: bool = False               # no guest or case was asked for by name
    started: str = ""                   # when
    root: str = ""                      # of our own source


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
