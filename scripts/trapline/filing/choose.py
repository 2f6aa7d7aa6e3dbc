# SPDX-License-Identifier: BSD-2-Clause
"""Which point of a run a report is made of."""

from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from ..errors import UsageError, nearest
from ..guests import ENVIRONMENTS, layer_and_environment
from ..verdicts import CRASHED, FAIL, FLAKY, KNOWN

FAILING = (FAIL, KNOWN, CRASHED, FLAKY)


@dataclass
class Subject:
    """What a report is about: `result` is the one point that is packed, `alike` all that fail for the same bug.

    `bug` is an id of the catalogue, or "" if the run says of no bug that it is this.
    """

    result: dict
    alike: list = field(default_factory=list)
    bug: str = ""

    @property
    def point(self):
        """"int3/int3_warm:cpl0"."""
        return point_of(self.result)


def point_of(result):
    return f"{result['case']}:{result['environment']}"


def choose(doc, word, catalogue, machine=None):
    """The Subject that `word` means: a bug's id, GUEST/CASE, or a point with or without @MACHINE.

    UsageError if nothing of that name fails in the run.
    """
    failing = [r for r in doc["results"] if r["verdict"] in FAILING and machine in (None, r["machine"])]
    if word in catalogue:
        found = [r for r in failing if r["bug"] == word]
        bug = word
        if not found:
            found, bug = [r for r in failing if word in r["catches"] and not r["bug"]], ""
        if not found:
            raise UsageError(f"nothing in this run fails for {word}{_there(failing)}")
    else:
        found = [r for r in failing if word in (r["case"], point_of(r), f"{r['case']}@{r['machine']}",
                                                f"{point_of(r)}@{r['machine']}")]
        if not found:
            _explain(doc, word, catalogue, failing)
        bugs = {r["bug"] for r in found}
        bug = bugs.pop() if len(bugs) == 1 else ""
    first = min(found, key=lambda r: _hardness(r, bug))
    alike = [r for r in failing if r["machine"] == first["machine"] and (r["bug"] == bug if bug else r in found)]
    return Subject(first, alike, bug or first["bug"])


def _hardness(result, bug):
    """Order of points: best is one that needs no nested guest, was written to find the bug, is judged by one legal
    trace, and has a short one."""
    layer, environment = layer_and_environment(result["environment"])
    return (result["verdict"] == CRASHED, result["verdict"] == FLAKY, bool(layer), bug not in result["catches"],
            bool(result["allowed"]), len(result["observed"]) + len(result["expected"]),
            ENVIRONMENTS.index(environment) if environment in ENVIRONMENTS else 0)


def _explain(doc, word, catalogue, failing):
    """Raises the UsageError that says why nothing was found."""
    same = [r for r in doc["results"] if word in (r["case"], point_of(r)) or
            fnmatchcase(f"{point_of(r)}@{r['machine']}", word)]
    if same:
        verdicts = " and ".join(sorted({r["verdict"] for r in same}))
        raise UsageError(f"{word} does not fail in this run: {verdicts}")
    names = [*catalogue, *{r["case"] for r in doc["results"]}]
    hint = nearest(word, names)
    raise UsageError(f"'{word}' is no bug of bugs.toml and no case of this run{hint or _there(failing)}")


def _there(failing):
    bugs = sorted({r["bug"] for r in failing if r["bug"]})
    if not bugs:
        cases = sorted({r["case"] for r in failing})
        return f"; what fails in it: {', '.join(cases[:4])}" + (", ..." if len(cases) > 4 else "") if cases else \
            "; nothing fails in it"
    return f"; bugs in it: {', '.join(bugs[:6])}" + (", ..." if len(bugs) > 6 else "")
