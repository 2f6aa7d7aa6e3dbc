# SPDX-License-Identifier: BSD-2-Clause
"""What each kernel of the lab does wrong: the tables of docs/lab.md, made by running the guests."""

import json
import os
import re
import shutil
import subprocess
import tempfile

from .. import bugs as bugs_
from ..errors import UsageError, unknown
from . import store, xens

ROOT = os.path.normpath(os.path.join(os.path.dirname(__file__), "..", "..", ".."))
KVM_BUGS = re.compile(r"(kvm|nsvm|svm|vmrun)-(?!sev|avic)")
XEN_BUGS = re.compile(r"(xen|xsa)-")
_KINDS = {"-intel": "Intel", "-bochs": "AMD, Bochs", "-amd": "AMD, NRIPS", "-sev": "SEV", "-sev-es": "SEV-ES",
          "-sev-snp": "SEV-SNP"}
# Between these lines, --write replaces what a file holds.
BEGIN, END = "<!-- scripts/lab table begins -->", "<!-- scripts/lab table ends -->"
XEN_BEGIN, XEN_END = "<!-- scripts/lab table --xen begins -->", "<!-- scripts/lab table --xen ends -->"


# Whose cases see nothing behind others: ESR of an old Xen must not have been set before.
ALONE = ("xsa-462",)


def run(machine, words, keep, mark=""):
    """The JSON report of a run on one machine; from folder `keep`, if it is there already (`mark`: as another)."""
    with tempfile.TemporaryDirectory(prefix="trapline-") as folder:
        path = os.path.join(keep or folder, f"{machine}{mark}.json")
        if not os.path.exists(path):
            new = os.path.join(folder, "results.json")
            done = subprocess.run(
                [os.path.join(ROOT, "run_tests.sh"), "--machine", machine, "-q", "-j1", "--json", new,
                 *words],
                stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
            if done.returncode not in (0, 1):
                raise UsageError(done.stderr.strip().removeprefix("run_tests.sh: ")
                                 or f"run_tests.sh ended with {done.returncode}")
            shutil.move(new, path)
        with open(path, encoding="utf-8") as file:
            return json.load(file)


def caught():
    """{bug: {case: point}}, one environment of each case, the first; from the images."""
    from .. import config, guests, select

    build = os.path.join(ROOT, "build")
    sections = config.load(os.path.join(ROOT, "unittests.cfg"))
    found = {}
    for section in sections.values():
        image = guests.load(build, section.file, os.path.join(build, "cache"))
        for point in select.points(section, image):
            for bug in point.case.catches:
                found.setdefault(bug, {}).setdefault(
                    (section.name, point.case.name), f"{section.name}/{point.name}")
    return found


def word(bug, results):
    """present, absent, blocked or skipped, of one bug's results on one kernel. What expectations/ knows to
    be another bug says nothing of this one."""
    others = [r for r in results if r["verdict"] == "known" and r["bug"] != bug]
    results = [r for r in results if r not in others]
    verdicts = [r["verdict"] for r in results]
    bad = [r for r in results if r["verdict"] in ("fail", "crash", "known")]
    if bad:
        return "**present**" if len(bad) == len(results) else \
            f"**present** ({len(bad)} of {len(results)} cases)"
    if "pass" in verdicts or "fixed" in verdicts:
        return "absent" if set(verdicts) <= {"pass", "fixed", "skip"} else \
            f"absent ({verdicts.count('blocked')} blocked)"
    # Without any result, the machine lacks what its cases need.
    return "blocked" if "blocked" in verdicts else "hidden by other bugs" if others and not verdicts else "skipped"


def outcome(result):
    """One cell of the table of differences; `result` is None where the machine lacks what the case needs."""
    if result is None:
        return "cannot run"
    if result["verdict"] in ("pass", "fixed"):
        return "right"
    text = result["observed"] or result["reason"]
    text = text[:60].replace("|", "\\|")
    verdict = "fail" if result["verdict"] == "known" else result["verdict"]
    return f"{verdict}: `{text}`" if text else verdict


def markdown(rows):
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    lines.insert(1, "|" + " --- |" * len(rows[0]))
    return "\n".join(lines) + "\n"


def differences(by_point, machines):
    """Rows of the points that fail, or differ between machines; those of several guests that are one
    case with one outcome share a row."""
    rows = {}
    for point, results in by_point.items():
        cells = tuple(outcome(results.get(m)) for m in machines)
        if len(set(cells)) > 1 or cells[0].startswith(("fail", "crash")):
            guest, _, case = point.partition("/")
            rows.setdefault((case.partition(":")[0], cells), []).append((guest, point))
    found = []
    for (_, cells), points in rows.items():
        others = [guest for guest, _ in points[1:]]
        found.append([f"`{points[0][1]}`" + (f", {', '.join(others)}" if others else ""), *cells])
    return found


def columns(options):
    """Names of the machines, in order: those asked for, or each kernel's first."""
    if options.machines:
        return options.machines.split(",")
    if options.xen:
        return [f"lab-{name}" for name in xens.names()] or no_xens()
    names = options.kernels.split(",") if options.kernels else store.names()
    if not names:
        raise UsageError("no kernels yet: see scripts/lab add --help")
    suffix = "".join(f"+{p}" for p in options.params)
    return [f"lab-{store.load(name).name}{suffix}" for name in names]


def no_xens():
    raise UsageError("no Xens yet: see scripts/lab add --help")


def head(machine, report):
    """A column's head: "6.1.192 intel ept=0"."""
    facts = report["machines"][machine]
    version = re.search(r"(?:Linux|Xen) ([\d.]+)", facts["version"])[1]
    name, *params = machine.split("+")
    kind = next((k for k in _KINDS if name.endswith(k)), "")
    return " ".join([version, _KINDS.get(kind, "AMD"), *params])


def command(options):
    """scripts/lab table."""
    machines = columns(options)
    catalogue = bugs_.load(os.path.join(ROOT, "bugs.toml"))
    found = caught()
    for bug in options.bugs:
        if bug not in catalogue:
            raise unknown("bug", bug, catalogue)
    wanted = {bug: list(found[bug].values()) for bug in
              options.bugs or [b for b in catalogue if (XEN_BUGS if options.xen else KVM_BUGS).match(b)]
              if bug in found}
    if not wanted:
        raise UsageError("no case catches any of these bugs")
    if options.keep and not os.path.isdir(options.keep):
        raise UsageError(f"{options.keep}: is no folder")
    cases = dict.fromkeys(p for bug, ids in wanted.items() if bug not in ALONE for p in ids)
    alone = [p for bug in ALONE for p in wanted.get(bug, ())]
    by_point, heads, emulators = {}, [], []
    for machine in machines:
        reports = [run(machine, [point], options.keep, f"-{n}") for n, point in enumerate(alone)]
        report = run(machine, [*cases, *options.cases], options.keep) if cases or options.cases else reports[0]
        heads.append(head(machine, report))
        emulators.append(report["machines"][machine]["version"].split(", in ")[-1])
        for result in [*report["results"], *(r for other in reports for r in other["results"])]:
            point = f"{result['case']}:{result['environment']}"
            by_point.setdefault(point, {})[machine] = result
    rows = [["bug", *heads]]
    for bug, ids in wanted.items():
        rows.append([f"`{bug}`", *(word(bug, [by_point[p][m] for p in ids if m in by_point.get(p, ())])
                                   for m in machines)])
    text = f"By bug of bugs.toml, on {' and '.join(dict.fromkeys(emulators))}:\n\n" + markdown(rows)
    rows = [["case", *heads], *differences(by_point, machines)]
    if len(rows) > 1 and not options.brief:
        text += "\nThe cases of these that fail, or differ between machines:\n\n" + markdown(rows)
    if options.write:
        write(options.write, text, *((XEN_BEGIN, XEN_END) if options.xen else (BEGIN, END)))
    else:
        print(text, end="")
    return 0


def write(path, text, begins, ends):
    """Put `text` between the lines `begins` and `ends` of a file."""
    try:
        with open(path, encoding="utf-8") as file:
            before, begin, rest = file.read().partition(begins)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
    _, end, after = rest.partition(ends)
    if not begin or not end:
        raise UsageError(f"{path}: has no lines '{begins}' and '{ends}'")
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"{before}{begin}\n\n{text}\n{end}{after}")
