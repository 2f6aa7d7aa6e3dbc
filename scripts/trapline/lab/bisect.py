# SPDX-License-Identifier: BSD-2-Clause
"""Between which two kernels, or Xens, did a case begin to pass, or to fail?

They are those that scripts/lab has, and, with --debian, every version that the suites hold;
those are fetched when their turn comes. One that cannot tell (the case is skipped, or blocked by
the emulator) is passed over.
"""

import json
import os
import subprocess
import sys
import tempfile

from ..errors import UsageError
from . import debian, store, xens

GOOD, BAD, CANNOT_TELL = "good", "bad", "cannot tell"
STATUS = {GOOD: 0, BAD: 1, CANNOT_TELL: 125}

_ROOT = os.path.normpath(os.path.join(os.path.dirname(__file__), "..", "..", ".."))
key = debian.version_key


def judge(results):
    """What the results of one run (of the JSON report) say of a kernel, and why, in one line."""
    verdicts = [r["verdict"] for r in results]
    for result in results:
        if result["verdict"] in ("fail", "crash"):
            return BAD, f"{result['environment']}: " + (
                result["reason"] or f"observed {result['observed']}")
    if "pass" in verdicts or "fixed" in verdicts:
        return GOOD, "; ".join(dict.fromkeys(r["observed"] for r in results if r["observed"]))
    reasons = [f"{r['verdict']}: {r['reason']}" for r in results]
    return CANNOT_TELL, reasons[0] if reasons else "no such case"


def run(machine, case, more=()):
    """judge() of `case` on `machine`. UsageError if the run itself was wrong."""
    with tempfile.TemporaryDirectory(prefix="trapline-") as folder:
        path = os.path.join(folder, "results.json")
        done = subprocess.run(
            [os.path.join(_ROOT, "run_tests.sh"), "--machine", machine, "--strict", "-q",
             "--json", path, *more, case],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if done.returncode not in (0, 1):
            raise UsageError(done.stderr.strip().removeprefix("run_tests.sh: ")
                             or f"run_tests.sh ended with {done.returncode}")
        with open(path, encoding="utf-8") as file:
            report = json.load(file)
    lacks = [what for m in report["machines"].values() for what in m.get("lacks", ())]
    if lacks and not report["results"]:
        return CANNOT_TELL, f"{machine} has no {', '.join(lacks)}"
    return judge(report["results"])


class Kernels:
    """What is bisected: the kernels of a flavour. `add(name, version, suite)` fetches one."""

    called = "kernels"

    def __init__(self, flavour, add):
        self._flavour = flavour
        self._add = add

    def of_suite(self):
        """Versions in the suite that debian.configure() named."""
        return [debian.upstream(s["Version"]) for s in debian.kernel_packages(self._flavour)]

    @staticmethod
    def stored():
        """(version, name) of each that is here."""
        return [(store.load(name).version, name) for name in store.names()]

    def add(self, version, suite):
        """Fetches one of a suite; its name in the store."""
        self._add(version, version, suite)
        return version


class Xens:
    """What is bisected: Xens. Their versions have what Debian writes behind the number of a release: 4.17.5+23-g…"""

    called = "Xens"

    @staticmethod
    def _version(release):
        return release.rpartition("-")[0] or release

    def of_suite(self):
        return [self._version(s["Version"]) for s in xens.packages()]

    def stored(self):
        return [(self._version(xens.load(name).release), name) for name in xens.names()]

    @staticmethod
    def add(version, suite):
        name = xens.PREFIX + version.replace("~", "-")
        with store.locked():
            debian.configure(suite)
            xens.fetch(name, suite, version, say=lambda line: None)
        return name


class Candidates:
    """Versions to try, ascending, each with what must be done to have it. `what` is Kernels or Xens."""

    def __init__(self, first, last, suites, what):
        self._what = what
        self._where = {}                # version: name in the store, or ("suite", version)
        for suite in suites:
            debian.configure(suite)
            debian.update()
            for version in what.of_suite():
                if key(first) <= key(version) and self._below(version, last):
                    self._where[version] = (suite, version)
        for version, name in what.stored():
            if key(first) <= key(version) and self._below(version, last):
                self._where[version] = name
        self.versions = sorted(self._where, key=key)

    @staticmethod
    def _below(version, last):
        # "6.1" as an upper end means all of 6.1.
        return key(version) <= key(last) or version.startswith(last + ".")

    def name(self, version):
        """Its name in the store, fetched first where it must be."""
        where = self._where[version]
        if not isinstance(where, str):
            where = self._where[version] = self._what.add(version, where[0])
        return where


def bisect(candidates, test, say):
    """(last of the old kind, first of the new, kind of the new), or None where there is no change.

    `test(version)` is a verdict with its reason; `say(version, verdict, reason)` is told each. Where both
    ends are bad, but not in the same way, it is the way that is looked for.
    """
    known, reasons = {}, {}

    def ask(i):
        if i not in known:
            known[i], reasons[i] = test(candidates[i])
            say(candidates[i], known[i], reasons[i])
        return known[i]

    low, high = 0, len(candidates) - 1
    while low < high and ask(low) == CANNOT_TELL:
        low += 1
    while high > low and ask(high) == CANNOT_TELL:
        high -= 1
    if low >= high:
        return None
    kind = known
    if ask(low) == ask(high):
        if ask(low) == GOOD or reasons[low] == reasons[high]:
            return None
        kind = reasons
    while True:
        between = [i for i in range(low + 1, high) if known.get(i) != CANNOT_TELL]
        if not between:
            return candidates[low], candidates[high], kind[high]
        middle = between[len(between) // 2]
        if ask(middle) == CANNOT_TELL:
            continue
        if kind[middle] == kind[low]:
            low = middle
        else:
            high = middle


def command(options, what):
    """scripts/lab bisect, over Kernels or Xens."""
    candidates = Candidates(options.first, options.last, options.debian.split(",") if options.debian else [], what)
    if len(candidates.versions) < 2:
        raise UsageError(f"fewer than two {what.called} from {options.first} to {options.last}: add some, "
                         "or give --debian SUITE,…")
    print(f"{len(candidates.versions)} {what.called} from {candidates.versions[0]} to "
          f"{candidates.versions[-1]}", flush=True)
    suffix = _suffix(options.kind) + "".join(f"+{p}" for p in options.params)

    def test(version):
        try:
            name = candidates.name(version)
        except UsageError as error:     # lists can name a package that the mirror no longer has
            return CANNOT_TELL, str(error)
        return run(f"lab-{name}{suffix}", options.case)

    width = max(map(len, candidates.versions))
    found = bisect(candidates.versions, test, lambda version, verdict, reason: print(
        f"{version:<{width}}  {verdict:<11}  {reason}", flush=True))
    if found is None:
        print(f"no change between {candidates.versions[0]} and {candidates.versions[-1]} can be seen")
        return 1
    before, after, kind = found
    print(f"first that is {kind}: {after} (the last that is not: {before})"
          if kind in STATUS else f"first with '{kind}': {after} (the last without: {before})")
    return 0


def _suffix(kind):
    return f"-{kind}" if kind else ""


def attempt(options, add_built):
    """scripts/lab try, for `git bisect run`: 0 good, 1 bad, 125 cannot tell."""
    name = f"try-{os.getpid()}"
    try:
        add_built(name)
        verdict, reason = run("lab-" + name + _suffix(options.kind), options.case)
    except UsageError as error:
        verdict, reason = CANNOT_TELL, str(error)
    finally:
        if name in store.names():
            store.remove(name)
    print(f"{verdict}: {reason}", file=sys.stderr)
    return STATUS[verdict]
