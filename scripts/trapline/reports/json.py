# SPDX-License-Identifier: BSD-2-Clause
"""The whole run as one JSON object: for gates, baselines and later reading."""

import json

from .. import __version__, fingerprint
from . import Summary, files


SCHEMA = 2          # of docs/report.schema.json; docs/reports.md says what changed


def document(summary: Summary, machines, namer=None):
    """The object that is written. `namer` (naming.namer.Namer) names what fails unexpectedly."""
    host = fingerprint.host()
    shown = {m.name: _machine(m, summary) for m in machines}
    results = [_result(r) for r in summary.results]
    return {
        "schema": SCHEMA,
        "trapline": __version__,
        "commit": fingerprint.commit(summary.root),
        "started": summary.started,
        "fingerprint": fingerprint.digest(host, shown),
        "host": host,
        "machines": shown,
        "interrupted": summary.interrupted,
        "seconds": round(summary.seconds, 4),
        "looks_like": namer.document(results) if namer else {},
        "results": results,
    }


def _machine(machine, summary):
    found = {"version": machine.version(), "command": machine.shown("build/GUEST.rom", 1),
             "seconds": round(summary.machine_seconds.get(machine.name, 0.0), 4)}
    program = fingerprint.program(machine.program())
    if program:
        found["program"] = program
    found["lacks"] = summary.lacks(machine.name)
    if machine.name in summary.given_up:
        found["given_up"] = list(summary.given_up[machine.name])
    if machine.facts():
        found["host"] = machine.facts()     # where the guests ran is not this host
    return found


def _result(result):
    target = result.target
    case = target.point.case
    found = {
        "case": target.case_id, "guest": target.section.name,
        "environment": target.point.environment, "machine": target.machine.name,
        "verdict": result.verdict, "expected": result.expected,
        "allowed": [{"trace": t, "reference": r} for t, r in result.allowed],
        "observed": result.observed, "reason": result.reason, "rule": case.rule,
        "catches": list(case.catches), "bug": result.known.bug if result.known else "",
        "notes": result.notes, "dump": result.dump,
        "values": [{"name": n, "number": v, "unit": u} for n, v, u in result.values],
        "where": case.where, "seconds": round(result.seconds, 6),
    }
    if result.broke:
        found["broke"] = True
    if result.runs:
        found["runs"] = result.runs
    return found


class Json(files.FileReport):
    """The document of a run."""

    def __init__(self, path, told):
        super().__init__(path)
        self._told = told

    def text(self, summary):
        return json.dumps(document(summary, self._told.machines, self._told.namer), indent=1, ensure_ascii=False) + "\n"
