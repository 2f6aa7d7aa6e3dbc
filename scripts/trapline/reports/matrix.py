# SPDX-License-Identifier: BSD-2-Clause
"""The matrix of --prove as one HTML file that asks nobody for anything: cases by bugs."""

from .. import __version__
from . import page

# What a cell says, the most striking first; the sign, and the style of page/style.css that it borrows.
STATES = {
    "broken": ("✗", "fail", "claims the bug and does not catch it"),
    "claimed": ("✓", "fixed", "catches the bug, as it claims"),
    "caught": ("✓", "pass", "catches the bug"),
    "tried": ("·", "skip", "met the bug, and what came was right all the same"),
}


def render(matrix, catalogue):
    """The page for a prove.Matrix; `catalogue` are bugs.Bug by id."""
    doc = matrix.document()
    ids = list(doc["bugs"])
    return page.environment().get_template("matrix.html").render(
        doc=doc, version=__version__, style=page.asset("style.css"),
        own_style=page.asset("matrix.css"), script=page.asset("matrix.js"), states=STATES,
        bugs=[_bug(id_, doc["bugs"][id_], catalogue) for id_ in ids],
        guests=_guests(doc, ids), counts=_counts(doc),
        proven=sum(b.proven for b in matrix.bugs))


def _bug(id_, bug, catalogue):
    known = catalogue.get(id_)
    words = {w: getattr(known, w) for w in ("title", "trigger", "right", "buggy", "versions")} \
        if known else {}
    return {"id": id_, "machine": bug["machine"], "caught": len(bug["caught_by"]),
            "claimed": len(bug["claimed_by"]),
            "proven": bug["caught_by"] and set(bug["claimed_by"]) <= bug["caught_by"].keys(),
            **words}


def _state(bug, case):
    if case in bug["caught_by"]:
        return "claimed" if case in bug["claimed_by"] else "caught"
    if case in bug["claimed_by"]:
        return "broken"
    return "tried" if case in bug["tried_on"] else ""


def _guests(doc, ids):
    """Guests with their cases; a case has a cell for each bug: (state, what it says)."""
    guests = {}
    for case, facts in doc["cases"].items():
        guest, _, name = case.partition("/")
        cells = []
        for id_ in ids:
            bug = doc["bugs"][id_]
            state = _state(bug, case)
            catch = bug["caught_by"].get(case)
            cells.append((state, f"{catch['point']}: {catch['observed']}" if catch else ""))
        guests.setdefault(guest, []).append({
            "name": name, "cells": cells, "evidence": facts["evidence"], "rule": facts["rule"],
            "where": facts["where"], "idle": case in doc["idle_cases"],
            "catches": len(facts["catches"])})
    return guests


def _counts(doc):
    """Cases that caught a bug that they claim, that fail elsewhere only, that do neither."""
    caught = set().union(*(b["caught_by"].keys() & set(b["claimed_by"])
                           for b in doc["bugs"].values()))
    idle = len(doc["idle_cases"])
    return len(caught), len(doc["cases"]) - len(caught) - idle, idle
