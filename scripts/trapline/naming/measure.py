# SPDX-License-Identifier: BSD-2-Clause
"""How often the right bug is named: docs/naming.md has what came of it.

    scripts/naming-rates [--unknown FILE] [RUN.json ...]

Each bug of signatures.json is given to naming as if nobody knew which it is: all that fails under it, then one guest
alone, then one case alone; with the help of CATCHES and without; and once with its own signature taken away, when
anything that is named is wrong. With --unknown the failures are those of another file of signatures, made on another
machine (scripts/signatures --inside bochs-svm).

A RUN.json is a run of a real machine, with expectations: what fails there as expected is taken for unknown,
and named once with all entries and once without those that speak of the machine itself.
"""

import argparse
import os
import sys
from collections import Counter
from fnmatch import fnmatchcase

from .. import guests
from ..baseline import load
from ..errors import UsageError
from ..verdicts import FAIL, KNOWN
from . import namer, signatures
from .match import name
from .run import Outcome, Run, runs


def main(argv, root):
    """The command; its exit status."""
    parser = argparse.ArgumentParser(prog="naming-rates", description=__doc__.partition("\n")[0])
    parser.add_argument("--unknown", metavar="FILE")
    parser.add_argument("runs", nargs="*", metavar="RUN.json")
    options = parser.parse_args(argv)
    build = os.path.join(root, "build")
    try:
        names = namer.of_tree(root, os.path.join(build, "cache"))
        known = signatures.load(signatures.path_in(root))
        if options.runs:
            for path in options.runs:
                of_run(load(path), names, known, sys.stdout)
            return 0
        unknown = signatures.load(options.unknown) if options.unknown else known
        of_model(known, unknown, names.entries, claims_of(names.sections, build), sys.stdout)
        return 0
    except UsageError as error:
        sys.stderr.write(f"naming-rates: {error}\n")
        return 2


def claims_of(sections, build):
    """CATCHES by "GUEST/CASE"."""
    found = {}
    for section in sections.values():
        for point in guests.load(build, section.file, os.path.join(build, "cache")).points:
            found[f"{section.name}/{point.case.name}"] = point.case.catches
    return found


# -- the model's bugs -----------------------------------------------------------------------------

def as_run(signature, claims, wanted=lambda point: True):
    """The Run that a machine with this bug gives."""
    outcomes = []
    for point in signature.known | signature.fails.keys():
        if wanted(point):
            outcomes.append(Outcome(point, (point,), point, signature.fails.get(point),
                                    tuple(claims.get(point.partition(":")[0], ()))))
    return Run("unknown", outcomes)


def verdict(bug, run, known, entries, claims):
    """"first", "alike" (first, with others that the run cannot tell from it), "wrong" or "nothing"; and the name."""
    namings = name(run, known, entries, claims)
    best = namings[0].best if namings else None
    if best is None:
        return "nothing", ""
    if bug in (best.bug, *(m.bug for m in namings[0].alike)):
        return ("alike" if namings[0].alike else "first"), best.bug
    return "wrong", best.bug


def of_model(known, unknown, entries, claims, out):
    """Print the rates, and which bugs are named wrongly when all is run."""
    rows, wrong = [], []
    for help_ in (True, False):
        word = "with CATCHES" if help_ else "without"
        whole, guest, case, unlisted = Counter(), Counter(), Counter(), Counter()
        for bug, signature in unknown.items():
            if not signature.fails:
                continue
            run = as_run(signature, claims)
            what, said = verdict(bug, run, known, entries, help_)
            whole[what] += 1
            if what in ("wrong", "nothing"):
                wrong.append(f"{word}: {bug} is taken for {said or 'nothing known'}")
            others = {b: s for b, s in known.items() if b != bug}
            unlisted[verdict(bug, run, others, entries, help_)[0]] += 1
            for part in sorted({p.partition("/")[0] for p in signature.fails}):
                run = as_run(signature, claims, lambda p, part=part: p.partition("/")[0] == part)
                guest[verdict(bug, run, known, entries, help_)[0]] += 1
            for part in sorted({p.partition(":")[0] for p in signature.fails}):
                run = as_run(signature, claims, lambda p, part=part: p.partition(":")[0] == part)
                case[verdict(bug, run, known, entries, help_)[0]] += 1
        rows += [(f"everything, {word}", whole), (f"one guest alone, {word}", guest),
                 (f"one case alone, {word}", case), (f"everything, its signature unknown, {word}", unlisted)]
    for what, counter in rows:
        total = sum(counter.values())
        out.write(f"{what:<50} {total:>5} tried: " + ", ".join(
            f"{counter[w]} {w} ({100 * counter[w] / max(total, 1):.1f} %)"
            for w in ("first", "alike", "wrong", "nothing")) + "\n")
    for line in wrong:
        out.write(line + "\n")


# -- real machines --------------------------------------------------------------------------------

def of_run(doc, names, known, out):
    """Print what the known failures of a real run are taken for."""
    files = {n: s.file for n, s in names.sections.items()}
    truth = {f"{r['case']}:{r['environment']}@{r['machine']}": r["bug"] for r in doc["results"]}
    results = [dict(r, verdict=FAIL) if r["verdict"] == KNOWN and r["observed"] else r for r in doc["results"]]
    for machine, run in runs(results, files).items():
        own = [e for e in names.entries if any(fnmatchcase(machine, m) for m in e.machines)]
        for word, without in (("all entries", lambda e: False), ("without its own entries", own.__contains__)):
            for help_ in (True, False):
                _score(machine, run, truth, name(run, known, names.entries, help_, without),
                       f"{word}, {'with' if help_ else 'without'} CATCHES", out)


def _score(machine, run, truth, namings, what, out):
    bugs = Counter(truth[f"{o.point}@{machine}"] for o in run.failing)
    named, said = Counter(), []
    for naming in namings:
        if naming.best is None:
            continue
        group = Counter(truth[f"{o.point}@{machine}"] for o in naming.best.explained)
        right = {naming.best.bug, *(m.bug for m in naming.alike)} & group.keys()
        named["right" if right else "wrong"] += 1
        said.append(f"{naming.best.bug}{'' if right else ' (it is ' + group.most_common(1)[0][0] + ')'}")
    out.write(f"{machine}, {what}: {len(bugs)} bugs in {len(run.failing)} failing points; named "
              f"{named['right']} rightly, {named['wrong']} wrongly: {', '.join(said) or 'none'}\n")
