# SPDX-License-Identifier: BSD-2-Clause
"""An earlier run as a gate: only what got worse fails.

A baseline is the JSON document of a run. What failed in it is expected to fail in the same
way, as if expectations/ said so; what failed and now passes is "fixed"; and a point that had a
verdict and now has none, because it is gone or skipped, is "missing", which is bad. Measured
medians may be larger than they were by a stated tolerance.
"""

import json
from dataclasses import dataclass

from .config import Section
from .errors import UsageError
from .expectations import CRASH
from .guests import Case, Point
from .reports.json import SCHEMA
from .select import Target
from .text import clean
from .verdicts import ABSENT, CRASHED, FAIL, FIXED, FLAKY, KNOWN, MISSING, PASS, SKIP, UNTRIED

TOLERANCE = 25.0            # percent
_NO_VERDICT = (SKIP, MISSING, UNTRIED)


@dataclass(frozen=True)
class Before:
    """What the baseline says of one point: stands where an expectations.Known may stand."""

    where: str
    point_id: str
    machine: str
    observed: tuple
    reason: str
    bug: str
    link: str = ""
    version: object = None
    flaky: bool = False
    sometimes: bool = False
    from_a_run = True
    of_host = False             # expectations.Known.of_host: it is a trace of the guest

    def shows(self, seen):
        return seen in self.observed

    def applies(self, machine, _number):
        return machine == self.machine

    def names(self, machine):
        return machine == self.machine

    def covers(self, point_id):
        return point_id == self.point_id

    def guests(self):
        return {self.point_id.partition("/")[0]}


class Baseline:
    """The run in file `path`, which must be a JSON document of ours."""

    def __init__(self, path, tolerance=TOLERANCE):
        self._path = path
        self._tolerance = tolerance
        self._results = {}
        for result in load(path)["results"]:
            point_id = f"{result['case']}:{result['environment']}"
            self._results[point_id, result["machine"]] = result

    def machines(self):
        """Names of the machines that it has results of."""
        return list(dict.fromkeys(machine for _, machine in self._results))

    def entries(self):
        """What failed, as expectations."""
        found = []
        for (point_id, machine), result in self._results.items():
            flaky = result["verdict"] == FLAKY
            if result["verdict"] not in (FAIL, CRASHED, KNOWN, FLAKY):
                continue
            runs = result.get("runs") if flaky else None
            observed = tuple(dict.fromkeys(
                self._seen(run["verdict"], run["observed"]) for run in runs or [result]
                if run["verdict"] in (FAIL, CRASHED, KNOWN)))
            what = "was flaky" if flaky else f"was {result['verdict']}"
            found.append(Before(self._path, point_id, machine, observed,
                                f"{what} in the baseline, too", result["bug"], flaky=flaky))
        return found

    @staticmethod
    def _seen(verdict, observed):
        return CRASH if verdict == CRASHED or verdict == KNOWN and not observed else observed

    def gone(self, every, chosen, machines, whole):
        """Targets for points of the baseline that are not among `every`.

        `chosen` are the sections and `machines` the machines of this run; with `whole`, every
        section was asked for, so one that no longer exists is missed as well.
        """
        names = {s.name: s for s in chosen}
        by_name = {m.name: m for m in machines}
        here = {(t.point_id, t.machine.name) for t in every}
        found = []
        for (point_id, machine), result in self._results.items():
            known = result["guest"] in names or whole
            if (point_id, machine) in here or machine not in by_name or not known or \
                    result["verdict"] in _NO_VERDICT:
                continue
            section = names.get(result["guest"]) or Section(result["guest"], 0, result["guest"])
            case = Case(result["case"].partition("/")[2], (result["environment"],),
                        result["rule"], tuple(result["catches"]), (), result["where"])
            found.append(Target(section, None, Point(-1, case, result["environment"]),
                                by_name[machine],
                                missing=f"was {result['verdict']} in the baseline, is no more"))
        return found

    def missed(self, target, what):
        """Why it counts that the machine lacks `what` for `target`; "" if it had no verdict before."""
        before = self._results.get((target.point_id, target.machine.name))
        if before is None or before["verdict"] in _NO_VERDICT:
            return ""
        return f"was {before['verdict']} in the baseline, and {target.machine.name} has no {what}"

    def judge(self, result):
        """`result`, seen in the light of the baseline."""
        before = self._results.get((result.target.point_id, result.target.machine.name))
        if before is None or result.verdict == MISSING:
            return result
        ours = isinstance(result.known, Before)
        if result.verdict == ABSENT and before["verdict"] not in _NO_VERDICT:
            result.verdict, result.reason = MISSING, self.missed(result.target, result.reason)
            return result
        if result.verdict == SKIP and before["verdict"] not in _NO_VERDICT:
            result.verdict = MISSING
            result.reason = f"was {before['verdict']} in the baseline, is skipped: {result.reason}"
        elif result.verdict == FIXED and ours:
            if result.known.flaky:
                result.verdict, result.known = PASS, None
                result.reason = ""
                result.notes.append("flaky in the baseline")
            else:
                result.reason = f"was {before['verdict']} in the baseline" + (
                    f", observed {before['observed']}" if before["observed"] else "")
        elif result.verdict == UNTRIED and before["verdict"] in (CRASHED, UNTRIED):
            result.verdict = KNOWN
            result.reason = f"was {before['verdict']} in the baseline; not tried now: {result.reason}"
        elif result.verdict == FLAKY and before["verdict"] == FLAKY:
            result.verdict = KNOWN
            result.reason = f"flaky, as in the baseline: {result.reason}"
        if result.verdict in (PASS, KNOWN, FIXED):
            self._compare_values(result, before)
        return result

    def _compare_values(self, result, before):
        old = {v["name"]: v for v in before["values"]}
        for name, number, unit in result.values:
            was = old.get(name)
            if not name.endswith(".median") or not was or was["unit"] != unit \
                    or was["number"] <= 0:
                continue
            more = (number / was["number"] - 1) * 100
            if more > self._tolerance:
                result.verdict = FAIL
                text = (f"{name} is {number:g} {unit}, {more:.0f} % more than {was['number']:g} in "
                        f"the baseline (tolerance {self._tolerance:g} %)")
                result.reason = f"{result.reason}; {text}" if result.reason else text


def load(path):
    """The JSON document in `path`. UsageError if it is none of ours."""
    try:
        with open(path, encoding="utf-8") as file:
            doc = json.load(file)
        for result in doc["results"]:
            for key in ("case", "guest", "environment", "machine", "verdict", "observed", "reason",
                        "rule", "bug", "where"):
                if not isinstance(result[key], str):
                    raise TypeError(f"'{key}' of a result is not text")
            for key in ("catches", "values", "allowed", "notes", "dump"):
                if not isinstance(result[key], list):
                    raise TypeError(f"'{key}' of a result is not a list")
            for value in result["values"]:
                if not isinstance(value["name"], str) or \
                        not isinstance(value["number"], (int, float)):
                    raise TypeError("a value is not a number")
        if not isinstance(doc["machines"], dict) or "trapline" not in doc:
            raise TypeError("'machines' is missing")
        schema = doc.get("schema", 1)       # the first one did not say
        if type(schema) is not int or schema < 1:
            raise TypeError("'schema' is not a number above zero")
        if schema > SCHEMA:
            raise UsageError(f"{path}: is a report of schema {schema}, and this Trapline reads {SCHEMA} and older")
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        why = f"no '{error.args[0]}'" if isinstance(error, KeyError) else clean(str(error))
        raise UsageError(f"{path}: is not the JSON report of a run: {why}") from None
    return doc
