# SPDX-License-Identifier: BSD-2-Clause
"""Rules that nothing obeys: cases whose points were judged, and never passed on any implementation but our own.

Such a rule may be a reading of the manual that is wrong. `trapline unwitnessed` makes the list of the JSON reports
of all machines: unwitnessed.json, which --explain and reports to a tracker quote, and docs/unwitnessed.md.
witnesses.toml, kept by hand, says for a case who else was seen to obey, or what a second look at the manual gave.
"""

import fnmatch
import json
import os
import sys

from . import tables
from .baseline import load
from .errors import UsageError
from .reports import files
from .verdicts import FIXED, PASS, SKIP, UNTRIED

FILE, BY_HAND, PAGE = "unwitnessed.json", "witnesses.toml", "docs/unwitnessed.md"
_OBEYS = (PASS, FIXED)
_NOT_JUDGED = (SKIP, UNTRIED)
# The model hypervisor is ours, as the cases are: that the two agree shows nothing.
_OURS = "model"


def gather(docs):
    """{case: {environment: {machine: verdict}}}: the points judged on some machine, obeyed on no foreign one.

    `docs` are the documents of --json reports. A verdict of FLAKY is half an obedience, and none."""
    judged, obeyed = {}, set()
    for doc in docs:
        for r in doc["results"]:
            if r["verdict"] in _NOT_JUDGED:
                continue
            key = r["case"], r["environment"]
            if r["verdict"] in _OBEYS and not r["machine"].startswith(_OURS):
                obeyed.add(key)
            judged.setdefault(key, {})[r["machine"]] = r["verdict"]
    found = {}
    for (case, environment), machines in sorted(judged.items()):
        if (case, environment) not in obeyed:
            found.setdefault(case, {})[environment] = machines
    return found


def versions(docs):
    """{machine: [version]} of the foreign machines that the documents are of."""
    found = {}
    for doc in docs:
        for name, machine in doc["machines"].items():
            if not name.startswith(_OURS):
                found.setdefault(name, set()).add(machine.get("version", ""))
    return {name: sorted(those) for name, those in sorted(found.items())}


def by_hand(root):
    """{pattern of cases: what was found} of witnesses.toml; UsageError where it is malformed."""
    path = os.path.join(root, BY_HAND)
    found = {}
    for pattern, table in (tables.load(path) if os.path.exists(path) else {}).items():
        if not isinstance(table, dict) or set(table) != {"says"} or not isinstance(table["says"], str):
            raise UsageError(f"{path}: [{pattern}] has `says`, a text, and nothing else")
        found[pattern] = table["says"]
    return found


def said_of(notes, case):
    """What by_hand()'s `notes` have for a case, or ""."""
    return next((text for pattern, text in notes.items() if fnmatch.fnmatchcase(case, pattern)), "")


def remark(root, case):
    """One sentence on a case that is on the list, or ""."""
    path = os.path.join(root, FILE)
    if not os.path.exists(path):
        return ""
    with open(path, encoding="utf-8") as file:
        points = json.load(file)["cases"].get(case)
    if not points:
        return ""
    where = "in " + " ".join(points) + ", " if points else ""
    told = said_of(by_hand(root), case)
    return f"{where}no implementation that was run obeys it: by the manual alone" + (f". {told}" if told else "")


def render(found, machines, notes):
    """The page: a row for each case."""
    points = sum(map(len, found.values()))
    lines = [
        "# Rules without a witness", "",
        f"{points} points of {len(found)} cases were judged, and passed on none of these machines. Each of them rests on the",
        "manual alone, as we read it: where one fails on your hypervisor, read the rule (`./run_tests.sh --explain CASE`)",
        "before you believe us. Made by `./trapline unwitnessed`; the last column is from `witnesses.toml`.", ""]
    lines += [f"* {name}: {'; '.join(those)}" for name, those in machines.items()]
    lines += ["", "| Case | Points | Judged on | A second look |", "|---|---|---|---|"]
    for case, environments in sorted(found.items()):
        verdicts = {}
        for judged in environments.values():
            for machine, verdict in judged.items():
                verdicts.setdefault(verdict, set()).add(machine)
        where = "; ".join(f"{verdict}: {', '.join(sorted(names))}" for verdict, names in sorted(verdicts.items()))
        lines.append(f"| `{case}` | {len(environments)} | {where} | {said_of(notes, case)} |")
    return "\n".join(lines) + "\n"


def add(commands):
    """Add the command to the parser's `commands`."""
    command = commands.add_parser("unwitnessed", help="the rules that no implementation was seen to obey")
    command.add_argument("runs", nargs="+", metavar="RUN.json")
    command.add_argument("--write", action="store_true", help=f"write {FILE} and {PAGE}, instead of printing the page")


def main(options, root):
    """Run it; exit status 0."""
    docs = [load(path) for path in options.runs]
    found = gather(docs)
    page = render(found, versions(docs), by_hand(root))
    if not options.write:
        sys.stdout.write(page)
        return 0
    cases = {case: sorted(environments) for case, environments in sorted(found.items())}
    text = json.dumps({"machines": versions(docs), "cases": cases}, indent=1, sort_keys=True) + "\n"
    files.write(os.path.join(root, FILE), text)
    files.write(os.path.join(root, PAGE), page)
    sys.stdout.write(f"{sum(map(len, found.values()))} points of {len(found)} cases\n")
    return 0
