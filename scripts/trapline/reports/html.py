# SPDX-License-Identifier: BSD-2-Clause
"""The whole run as one HTML file that asks nobody for anything: a matrix of cases and machines.

It is made from the JSON document alone (and the catalogue of bugs), so that a run can be shown
long after it was made, and a merged run as well. page/ holds the template, the style and the
script; page/report.js draws the traces.
"""

from collections import Counter

from ..guests import ENVIRONMENTS, layer_and_environment
from ..verdicts import BAD, VERDICTS
from . import files, page
from .json import document

GLYPHS = {"pass": "✓", "fail": "✗", "crash": "!", "flaky": "~", "missing": "?", "untried": "…", "skip": "–",
          "known": "≈", "fixed": "★", "blocked": "□"}
# The most striking first: a row, a guest and a bar show the worst they have.
ORDER = ("crash", "fail", "missing", "untried", "flaky", "fixed", "known", "blocked", "skip", "pass")
_FIELDS = ("environment", "machine", "verdict", "expected", "observed", "reason", "rule", "bug",
           "where")


class Html(files.FileReport):
    """The page of a run."""

    def __init__(self, path, told):
        super().__init__(path)
        self._told = told

    def text(self, summary):
        return render(document(summary, self._told.machines), self._told.bugs)


def render(doc, bugs):
    """The page for the JSON document `doc`; `bugs` are bugs.Bug by id."""
    machines = list(doc["machines"])
    machines += [m for m in dict.fromkeys(r["machine"] for r in doc["results"])
                 if m not in machines]
    results = doc["results"]
    columns = _columns(results, machines)
    # Every guest is a table of its own, which the browser lays out when it comes into sight; so
    # that they stand in line, the widths are fixed: of the names, and of all columns together.
    longest = max((len(r["case"].partition("/")[2]) for r in results), default=4)
    names = 40 + round(7.9 * max(longest, 12))
    width = names + 78 + sum(46 + 36 * (len(es) - 1) for _, es in columns)
    counts = Counter(r["verdict"] for r in results)
    return page.environment().get_template("page.html").render(
        doc=doc, style=page.asset("style.css"), script=page.asset("report.js"),
        data=page.embedded(_data(doc, results, bugs)), machines=_machines(doc, machines, results, bugs),
        columns=columns, names=names, width=width, guests=_guests(results, columns), counts=_ordered(counts),
        glyphs=GLYPHS, bad=sum(counts[v] for v in BAD), total=len(results),
        slowest=_slowest(results))


def _ordered(counts):
    known = [v for v in ORDER if counts[v]]
    return [(v, counts[v]) for v in known + sorted(set(counts) - set(ORDER)) if counts[v]]


def _columns(results, machines):
    """(machine, environments that it has results in, whatever the layer) in order."""
    seen = {machine: set() for machine in machines}
    for result in results:
        seen[result["machine"]].add(layer_and_environment(result["environment"])[1])
    order = {e: i for i, e in enumerate(ENVIRONMENTS)}
    return [(m, sorted(seen[m], key=lambda e: (order.get(e, 99), e))) for m in machines if seen[m]]


def _bugs(results, machine, bugs):
    """(id, what it is, how many cases show it) of the known bugs seen on `machine`, the most frequent first."""
    cases = {}
    for result in results:
        if result["machine"] == machine and result["verdict"] == "known" and result["bug"]:
            # A guest may have several sections of unittests.cfg; its cases are counted once.
            cases.setdefault(result["bug"], set()).add((result["where"], result["case"].partition("/")[2]))
    return [(id_, bugs[id_].title if id_ in bugs else "", len(found))
            for id_, found in sorted(cases.items(), key=lambda pair: (-len(pair[1]), pair[0]))]


def _machines(doc, machines, results, bugs):
    counts = {m: Counter() for m in machines}
    for result in results:
        counts[result["machine"]][result["verdict"]] += 1
    return [{"name": m, "counts": _ordered(counts[m]), "total": sum(counts[m].values()),
             "version": doc["machines"].get(m, {}).get("version", ""),
             "seconds": doc["machines"].get(m, {}).get("seconds"),
             "lacks": doc["machines"].get(m, {}).get("lacks", {}), "bugs": _bugs(results, m, bugs),
             "given_up": doc["machines"].get(m, {}).get("given_up", [])} for m in machines]


def _guests(results, columns):
    """What the table shows: guests, their cases, and per column the number of a result."""
    guests = {}
    for number, result in enumerate(results):
        cases = guests.setdefault(result["guest"], {})
        layer, environment = layer_and_environment(result["environment"])
        cell = cases.setdefault((result["case"], layer), {"where": result["where"], "cells": {},
                                                          "seconds": 0.0})
        cell["cells"][result["machine"], environment] = (number, result["verdict"])
        cell["seconds"] = max(cell["seconds"], result["seconds"])
    table = []
    for guest, cases in guests.items():
        rows = []
        layers = {layer for _, layer in cases}
        for (case, layer), row in cases.items():
            cells = [(*row["cells"].get((m, e), (None, "")), i == 0)
                     for m, environments in columns for i, e in enumerate(environments)]
            rows.append({"name": case.partition("/")[2] or case, "cells": cells,
                         "layer": layer if len(layers) > 1 else "",
                         "where": row["where"], "seconds": row["seconds"]})
        counts = Counter(v for row in rows for _, v, _ in row["cells"] if v)
        table.append({"name": guest, "rows": rows, "counts": _ordered(counts),
                      "total": sum(counts.values())})
    return table


def _slowest(results):
    slow = sorted(results, key=lambda r: -r["seconds"])[:10]
    return [{"id": identity(r), "seconds": r["seconds"]} for r in slow if r["seconds"] >= 0.001]


def identity(result):
    """The id of a result of the document: "int3/cold_stack:cpl0@tcg"."""
    return f"{result['case']}:{result['environment']}@{result['machine']}"


def _data(doc, results, bugs):
    """What the script works on. Strings that come often are written once."""
    numbers = {}

    def number(text):
        return numbers.setdefault(text, len(numbers))

    rows = [[number(r["case"]), *(number(r[f]) for f in _FIELDS), round(r["seconds"], 6),
             [number(b) for b in r["catches"]],
             [[a["trace"], a["reference"]] for a in r["allowed"]], r["notes"], r["dump"],
             [[v["name"], v["number"], v["unit"]] for v in r["values"]],
             r.get("runs") or []] for r in results]
    named = dict.fromkeys(b for r in results for b in (*r["catches"], r["bug"]) if b)
    return {"strings": list(numbers), "results": rows, "order": [*ORDER, *(
                v for v in VERDICTS if v not in ORDER)],
            "bugs": {b: {f: getattr(bugs[b], f) for f in (
                "title", "trigger", "right", "buggy", "versions", "link")}
                for b in named if b in bugs},
            "machines": {m: {"version": d.get("version", ""), "command": d.get("command", "")}
                         for m, d in doc["machines"].items()}}
