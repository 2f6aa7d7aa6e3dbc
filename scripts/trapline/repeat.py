# SPDX-License-Identifier: BSD-2-Clause
"""Several runs of the same point: one result, which says so if they disagree.

Nothing is ever run again because it failed. --repeat N runs everything N times, and a point
whose runs differ in verdict is flaky, with the counts.
"""

from collections import Counter
from dataclasses import replace
from statistics import median

from .verdicts import FLAKY, VERDICTS


def copies(targets, times):
    """`times` targets for each of `targets`, one repetition of all after the other."""
    return [replace(t, repetition=i) for i in range(times) for t in targets]


class Gather:
    """Takes the results of copies; calls `deliver` with one Result for each of `targets`."""

    def __init__(self, targets, times, deliver):
        self._originals = {t.id: t for t in targets}
        self._times = times
        self._deliver = deliver
        self._seen = {}

    def take(self, result):
        """One more result of some copy."""
        id_ = result.target.id
        results = self._seen.setdefault(id_, [])
        results.append(result)
        if len(results) == self._times:
            del self._seen[id_]
            self._deliver(combine(self._originals[id_], results))


def combine(target, results):
    """One Result of `target` from those of its repetitions."""
    tried = runs((r.verdict, r.observed) for r in results)
    verdict = overall(tried)
    # What is bad explains more than what is good.
    order = {v: i for i, v in enumerate(("crash", "fail", "missing", "untried", "known", "fixed",
                                         "blocked", "skip", "absent"))}
    shown = min(results, key=lambda r: order.get(r.verdict, 99))
    combined = replace(shown, target=target, runs=tried, values=_medians(results),
                       seconds=median(r.seconds for r in results))
    if verdict == FLAKY:
        combined.verdict, combined.reason = FLAKY, counts(tried)
    elif len(tried) > 1:
        combined.notes = [*combined.notes, f"not always the same trace: {counts(tried)}"]
    return combined


def runs(pairs):
    """Runs grouped: [{"verdict", "observed", "count"}], the most frequent first."""
    return [{"verdict": v, "observed": o, "count": n}
            for (v, o), n in Counter(pairs).most_common()]


def overall(tried):
    """The verdict of runs(): theirs, or flaky."""
    verdicts = {run["verdict"] for run in tried}
    return verdicts.pop() if len(verdicts) == 1 else FLAKY


def counts(tried):
    """"3 fail (#UD@insn), 17 pass of 20 runs"."""
    order = {v: i for i, v in enumerate(VERDICTS)}
    said = [f"{run['count']} {run['verdict']}"
            + (f" ({run['observed']})" if run["verdict"] != "pass" and run["observed"] else "")
            for run in sorted(tried, key=lambda run: -order.get(run["verdict"], 0))]
    return f"{', '.join(said)} of {sum(run['count'] for run in tried)} runs"


def _medians(results):
    """Each measured value's median over the runs that have it."""
    found = {}
    for result in results:
        for name, number, unit in result.values:
            found.setdefault((name, unit), []).append(number)
    return [(name, median(numbers), unit) for (name, unit), numbers in found.items()]
