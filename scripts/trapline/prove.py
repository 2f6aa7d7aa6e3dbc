# SPDX-License-Identifier: BSD-2-Clause
"""--prove: that the tests can fail.

The model hypervisor runs every native guest once without a bug and once with each bug that it
knows. A case catches a bug if one of its points passes without it and not with it. It must be so:

* each bug is caught by every case whose CATCHES names it;
* each case catches a bug of the model, or claims one that a real hypervisor has (bugs.toml).

With --quick a bug is tried on the cases that claim it and on no other; what catches nothing is then not
looked for. The matrix goes to the terminal, and with --json to a
file.
"""

import json
import sys
import time
from dataclasses import dataclass, field, replace

from . import select
from .guests import NATIVE
from .machines.model import Model, ModelSevEs, ModelSevSnp, switches
from .scheduler import Scheduler
from .verdicts import BAD, PASS

TIMEOUT = 3.0           # seconds; a guest under a bug hangs more often than not


@dataclass
class Bug:
    """What one bug did: ids of cases, "int3/int3_warm"."""

    id: str
    claimed: set = field(default_factory=set)
    caught: set = field(default_factory=set)

    @property
    def broken_claims(self):
        return sorted(self.claimed - self.caught)


@dataclass
class Matrix:
    """The outcome: Bugs, the cases that pass without a bug by id, Results that do not."""

    bugs: list
    cases: dict
    unsound: list
    seconds: float = 0.0

    @property
    def uncaught(self):
        return [b.id for b in self.bugs if not b.caught]

    @property
    def broken_claims(self):
        return [(b.id, case) for b in self.bugs for case in b.broken_claims]

    def idle_cases(self, catalogue):
        """Cases that catch nothing here and claim no bug that was seen in a real hypervisor."""
        caught = set().union(*(b.caught for b in self.bugs))
        return sorted(name for name, case in self.cases.items() if name not in caught
                      and not any(not b.startswith("model-") and b in catalogue
                                  for b in case.catches))

    def holds(self, catalogue, quick):
        return not (self.unsound or self.uncaught or self.broken_claims
                    or not quick and self.idle_cases(catalogue))


def _targets(sections, images, machine, wanted=None):
    """Native points of all guests on `machine`; `wanted(point_id, case)` chooses."""
    targets = []
    for section in sections:
        if (section.layers and NATIVE not in section.layers) or section.unfit(machine):
            continue
        image = images[section.file]
        for point in select.points(section, image):
            if point.layer != NATIVE:
                continue
            target = select.Target(section, image, point, machine)
            if wanted is None or wanted(target):
                targets.append(target)
    return targets


def _run(targets, slots, expectations=()):
    results = []
    Scheduler(targets, slots, results.append, expectations, timeout=TIMEOUT).run()
    return results


def _class_of(bug_id):
    """The machine that can have the bug: what concerns encryption needs a guest under SEV-ES or SNP."""
    words = set(bug_id.split("-"))
    if "snp" in words:
        return ModelSevSnp
    return ModelSevEs if words & {"ghcb", "vc", "vmgexit", "bit"} else Model


def _with_bug(class_, tools, bug_id):
    machine = class_(replace(tools, bugs=(bug_id,)))
    machine.name = f"{class_.name} with {bug_id}"
    machine.underneath = None       # only points that pass without the bug are run
    return machine


def _claimants(sections, images, bug_ids):
    """Sections with a case that claims one of the bugs."""
    return [s for s in sections
            if any(set(p.case.catches) & bug_ids for p in images[s.file].points)]


def prove(sections, images, tools, slots, expectations, progress, quick=False):
    """Runs everything; Matrix. `progress(done, all)` is told after each bug."""
    start = time.monotonic()
    matrix = Matrix([], {}, [])
    every = switches()
    for class_ in (Model, ModelSevEs, ModelSevSnp):
        ids = [id_ for id_ in every if _class_of(id_) is class_]
        able = sections if class_ is Model else _claimants(sections, images, set(ids))
        base = _run(_targets(able, images, class_(tools)), slots, expectations)
        sound = {r.target.point_id for r in base if r.verdict == PASS}
        cases = {r.target.case_id: r.target.point.case for r in base if r.verdict == PASS}
        matrix.cases.update(cases)
        matrix.unsound += [r for r in base if r.verdict in BAD]
        for id_ in ids:
            bug = Bug(id_, {name for name, case in cases.items() if id_ in case.catches})
            wanted = _targets(
                able, images, _with_bug(class_, tools, id_),
                lambda t: t.point_id in sound and (not quick or t.case_id in bug.claimed))
            bug.caught = {r.target.case_id for r in _run(wanted, slots) if r.verdict != PASS}
            matrix.bugs.append(bug)
            progress(len(matrix.bugs), len(every))
    matrix.seconds = time.monotonic() - start
    return matrix


def _names(names, most=6):
    names = list(names)
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")


def show(matrix, catalogue, out, quick=False):
    """The matrix as text."""
    width = max(len(b.id) for b in matrix.bugs)
    for bug in matrix.bugs:
        state = "ok" if bug.caught and not bug.broken_claims else "NOT PROVEN"
        out.write(f"{bug.id:<{width}}  {state:<10}  caught by {len(bug.caught):>3} cases, "
                  f"{len(bug.claimed & bug.caught)} of {len(bug.claimed)} that claim it\n")
        if bug.broken_claims:
            out.write(f"{'':<{width}}  not by     {_names(bug.broken_claims)}\n")
    for result in matrix.unsound:
        out.write(f"without a bug, {result.target.point_id} does not pass: "
                  f"{result.observed or result.reason}\n")
    idle = matrix.idle_cases(catalogue)
    if idle and not quick:
        out.write(f"{len(idle)} cases catch nothing: {_names(idle, 12)}\n")
    caught = set().union(*(b.caught for b in matrix.bugs))
    proven = sum(1 for b in matrix.bugs if b.caught and not b.broken_claims)
    out.write(f"\nprove: {proven} of {len(matrix.bugs)} bugs caught by all that claim them, "
              f"{len(caught)} of {len(matrix.cases)} cases caught one, "
              f"{matrix.seconds:.0f} s\n")


def write_json(matrix, catalogue, path):
    """The matrix as one object: bugs → cases that caught and cases that claim them."""
    data = {"seconds": round(matrix.seconds, 1),
            "bugs": {b.id: {"caught_by": sorted(b.caught), "claimed_by": sorted(b.claimed)}
                     for b in matrix.bugs},
            "idle_cases": matrix.idle_cases(catalogue),
            "unsound": [r.target.point_id for r in matrix.unsound]}
    with open(path, "w", encoding="utf-8") as file:
        json.dump(data, file, indent=1)
        file.write("\n")


def main(sections, images, tools, slots, catalogue, expectations, json_path=None, quick=False):
    """Prove, show, write; exit status 0 if everything holds, else 1."""
    def progress(done, all_):
        if sys.stderr.isatty():
            sys.stderr.write(f"\r{done} of {all_} bugs" + ("\n" if done == all_ else ""))

    matrix = prove(sections, images, tools, slots, expectations, progress, quick)
    show(matrix, catalogue, sys.stdout, quick)
    if json_path:
        write_json(matrix, catalogue, json_path)
    return 0 if matrix.holds(catalogue, quick) else 1
