# SPDX-License-Identifier: BSD-2-Clause
"""What each kernel of the lab does wrong: the tables of docs/lab.md, made by running the guests."""

import json
import os
import re
import subprocess
import tempfile

from .. import bugs as bugs_
from ..errors import UsageError, unknown
from . import store

_ROOT = os.path.normpath(os.path.join(os.path.dirname(__file__), "..", "..", ".."))
KVM_BUGS = re.compile(r"(kvm|nsvm|svm|vmrun)-(?!sev|avic)")
# Between these lines, --write replaces what a file holds.
BEGIN, END = "<!-- scripts/lab table begins -->", "<!-- scripts/lab table ends -->"


def run(machines, words):
    """The JSON report of a run."""
    with tempfile.TemporaryDirectory(prefix="trapline-") as folder:
        path = os.path.join(folder, "results.json")
        done = subprocess.run(
            [os.path.join(_ROOT, "run_tests.sh"), "--machine", ",".join(machines), "--strict",
             "-q", "--json", path, *words],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if done.returncode not in (0, 1):
            raise UsageError(done.stderr.strip().removeprefix("run_tests.sh: "))
        with open(path, encoding="utf-8") as file:
            return json.load(file)


def caught():
    """{bug: {case: point}}, one environment of each case, the first; from the images."""
    from .. import config, guests, select

    build = os.path.join(_ROOT, "build")
    sections = config.load(os.path.join(_ROOT, "unittests.cfg"))
    found = {}
    for section in sections.values():
        image = guests.load(build, section.file, os.path.join(build, "cache"))
        for point in select.points(section, image):
            for bug in point.case.catches:
                found.setdefault(bug, {}).setdefault(
                    (section.name, point.case.name), f"{section.name}/{point.name}")
    return found


def word(results):
    """present, absent, blocked or skipped, of one bug's results on one kernel."""
    verdicts = [r["verdict"] for r in results]
    bad = [r for r in results if r["verdict"] in ("fail", "crash")]
    if bad:
        return "**present**" if len(bad) == len(results) else \
            f"**present** ({len(bad)} of {len(results)} cases)"
    if "pass" in verdicts:
        return "absent" if set(verdicts) <= {"pass", "skip"} else \
            f"absent ({verdicts.count('blocked')} blocked)"
    return "blocked" if "blocked" in verdicts else "skipped" if verdicts else "no case"


def outcome(result):
    """One cell of the table of differences."""
    if result["verdict"] == "pass":
        return "right"
    text = result["observed"] or result["reason"]
    text = text[:60].replace("|", "\\|")
    return f"{result['verdict']}: `{text}`" if text else result["verdict"]


def markdown(rows):
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    lines.insert(1, "|" + " --- |" * len(rows[0]))
    return "\n".join(lines) + "\n"


def differences(by_point, machines):
    """Rows of the points that fail, or differ between machines; those of several guests that are one
    case with one outcome share a row."""
    rows = {}
    for point, results in by_point.items():
        cells = tuple(outcome(results[m]) for m in machines)
        if len(set(cells)) > 1 or cells[0].startswith(("fail", "crash")):
            guest, _, case = point.partition("/")
            rows.setdefault((case.partition(":")[0], cells), []).append((guest, point))
    found = []
    for (_, cells), points in rows.items():
        others = [guest for guest, _ in points[1:]]
        found.append([f"`{points[0][1]}`" + (f", {', '.join(others)}" if others else ""), *cells])
    return found


def command(options):
    """scripts/lab table."""
    names = options.kernels.split(",") if options.kernels else store.names()
    if not names:
        raise UsageError("no kernels yet: see scripts/lab add --help")
    kernels = [store.load(name) for name in names]
    suffix = "".join(f"+{p}" for p in options.params)
    machines = [f"lab-{k.name}{suffix}" for k in kernels]
    catalogue = bugs_.load(os.path.join(_ROOT, "bugs.toml"))
    found = caught()
    for bug in options.bugs:
        if bug not in catalogue:
            raise unknown("bug", bug, catalogue)
    wanted = {bug: list(found[bug].values()) for bug in
              options.bugs or [b for b in catalogue if KVM_BUGS.match(b)] if bug in found}
    if not wanted:
        raise UsageError("no case catches any of these bugs")
    cases = dict.fromkeys(p for ids in wanted.values() for p in ids)
    report = run(machines, [*cases, *options.cases])
    by_point = {}
    for result in report["results"]:
        point = f"{result['case']}:{result['environment']}"
        by_point.setdefault(point, {})[result["machine"]] = result
    heads = [f"{k.version}" for k in kernels]
    rows = [["bug", *heads]]
    for bug, ids in wanted.items():
        rows.append([f"`{bug}`", *(word([by_point[p][m] for p in ids if p in by_point])
                                   for m in machines)])
    text = f"By bug of bugs.toml, {report['machines'][machines[0]]['version'].split(', in ')[-1]}"
    text += ", `kvm_amd"
    text += "".join(f" {p}" for p in options.params) + "`:\n\n" + markdown(rows)
    rows = [["case", *heads], *differences(by_point, machines)]
    if len(rows) > 1:
        text += "\nThe cases of these that fail, or differ between kernels:\n\n" + markdown(rows)
    if options.write:
        _write(options.write, text)
    else:
        print(text, end="")
    return 0


def _write(path, text):
    try:
        with open(path, encoding="utf-8") as file:
            before, begin, rest = file.read().partition(BEGIN)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise UsageError(f"{path}: has no lines '{BEGIN}' and '{END}'")
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"{before}{begin}\n\n{text}\n{end}{after}")
