# SPDX-License-Identifier: BSD-2-Clause
"""The boots of --prove.

1. Every native point without a bug.
2. Once more with the model taking note of the bugs that it was asked for while the point ran ("reach"). A bug
   cannot show where nobody asks for it, so it is tried nowhere else. Points that take longer than SLOW are
   left out: only what they claim is tried on them.
3. Each bug on one point of each case that met it, and of each that claims it.
4. What claims a bug and has not caught it gets its other points.

--quick is 1, 3 and 4, for claims alone, and without a bug it runs only those points that a bug is tried on: one
of each case before step 3, the others of a case before step 4 if that comes to it.

A case may be in two sections, with two CPUs and with four: the one that takes less time, or has fewer CPUs as
long as nothing is known of the time, comes first. All boots of a step run side by side.
"""

from collections import defaultdict
from dataclasses import dataclass, replace

from .. import select
from ..guests import NATIVE
from ..machines.model import Model, ModelSevEs, ModelSevSnp, switches
from ..scheduler import Scheduler
from ..verdicts import ABSENT, BAD, PASS, SKIP
from .matrix import Bug, Catch

SLOW = 0.1              # seconds
UNKNOWN = 0.01          # seconds for each CPU: a point of which nothing is known, in the order of boots
LEAST_TIMEOUT = 3.0     # seconds; a guest under a bug may hang
MARGIN = 5              # times what its slowest point takes without a bug
REACHED = "reached "


def class_of(bug_id):
    """The machine that can have the bug: what concerns encryption needs a guest under SEV-ES or SNP."""
    words = set(bug_id.split("-"))
    if "snp" in words:
        return ModelSevSnp
    return ModelSevEs if words & {"ghcb", "vc", "vmgexit", "bit"} else Model


def case_id(target):
    return target.said_name.partition(":")[0]


@dataclass(frozen=True)
class Cell:
    """A bug, the id of a case, and the ids of that case's points to try it on, the best first."""

    bug: Bug
    case: str
    points: list


class Proof:
    """One run of --prove over `sections`; see run()."""

    def __init__(self, sections, images, tools, slots, expectations, progress, inside=None, slow=SLOW,
                 least_timeout=LEAST_TIMEOUT):
        """`inside` makes the machine that the model runs on, from Tools; QEMU's TCG without it."""
        self._inside, self._slow, self._least_timeout = inside, slow, least_timeout
        self._sections = sections
        self._images = images
        self._tools = tools
        self._slots = slots
        self._expectations = expectations
        self._progress = progress
        self._native = {}                   # machine class: {point id: Target} of what can run on it
        self._seconds = {}                  # (machine class, point id): time without a bug
        self.unsound = []                   # Results that are bad without a bug
        self._sound = defaultdict(list)     # (machine class, case id): ids of points that pass, in order
        self._reached = defaultdict(set)    # (machine class, bug id): point ids

    def run(self, quick):
        """Bugs of the model, in order of bugs.def."""
        bugs = [Bug(id_, class_of(id_).name) for id_ in switches()]
        left = self._without_bug(bugs, quick)
        if not quick:
            self._listen([b.id for b in bugs])
            self._quicker_sections_first()
        cells = self._cells(bugs, quick)
        self._try([replace(c, points=c.points[:1]) for c in cells], "bugs")
        self._try(self._left_to_try(cells, left), "other environments")
        return bugs

    def signatures(self, names):
        """Every point that each of the bugs `names` may change, under that bug, in no order.

        (known, results): `known` has, for each class of machine, the ids of the points that were seen to pass there
        without a bug and of which it is known which bugs they meet; what is not in it was not tried. `results` are
        pairs of a bug's id and the Result of a point under it.
        """
        bugs = [Bug(id_, class_of(id_).name) for id_ in names]
        self._without_bug(bugs, False)
        self._listen(switches())
        wanted = {}
        for bug in bugs:
            class_ = class_of(bug.id)
            met = self._reached[class_, bug.id]
            wanted[bug.id] = {p for (c, case), points in self._sound.items() if c is class_
                              for p in points if p in met or case in bug.claimed}
        known = defaultdict(set)
        for (class_, _), points in self._sound.items():
            known[class_].update(p for p in points if self._seconds[class_, p] <= self._slow)
        return known, [(r.target.machine.tools.bugs[0], r) for r in self._with_bugs(wanted, "bugs")]

    # Steps 1 and 2

    def _without_bug(self, bugs, quick):
        """Runs the points of step 1; {(class, case id): Targets} of those that are left for later."""
        left, claims = {}, {}
        for class_ in (Model, ModelSevEs, ModelSevSnp):
            ids = {b.id for b in bugs if class_of(b.id) is class_}
            targets = [t for t in self._targets_on(self._machine(class_))
                       if (class_ is Model and not quick) or self._concerns(t, ids, quick)]
            self._native[class_] = {t.point_id: t for t in targets}
            for target in targets:
                key = class_, case_id(target)
                left.setdefault(key, []).append(target)
                claims[key] = ids & set(target.point.case.catches)
        if quick:
            for targets in left.values():
                targets.sort(key=lambda t: t.section.smp)
            self._pass([targets.pop(0) for targets in left.values()], "without a bug")
        # One that is skipped, for want of CPUs or in that environment, says nothing.
        more = [key for key in left if key not in self._sound]
        self._pass([t for key in more for t in left.pop(key)], "without a bug")
        for bug in bugs:
            bug.claimed.update(case for class_, case in self._sound if bug.id in claims[class_, case])
        return left

    def _pass(self, targets, what):
        """Runs them without a bug."""
        for result in self._scheduled(targets, what):
            key = type(result.target.machine), result.target.point_id
            if result.verdict in BAD:
                self.unsound.append(result)
            elif result.verdict == PASS:
                self._seconds[key] = result.seconds
                self._sound[key[0], case_id(result.target)].append(key[1])

    def _listen(self, names):
        """Which bugs a point meets. What fails then, in a guest in a hurry, is not taken for a catch later."""
        targets = []
        for class_, native in self._native.items():
            machine = self._machine(class_, reach=True, hurry=True)
            machine.name = f"{class_.name} listening"
            machine.underneath = None
            targets += [replace(t, machine=machine) for point, t in native.items()
                        if self._seconds.get((class_, point), self._slow + 1) <= self._slow]
        for result in self._scheduled(targets, "listening"):
            class_, point = type(result.target.machine), result.target.point_id
            if result.verdict != PASS:
                self._sound[class_, case_id(result.target)].remove(point)
                continue
            for note in result.notes:
                if note.startswith(REACHED):
                    for number in note.removeprefix(REACHED).split():
                        self._reached[class_, names[int(number)]].add(point)

    def _concerns(self, target, ids, quick):
        """Whether its guest (its case, if time is short) claims one of the bugs `ids`."""
        cases = [target.point.case] if quick else {p.case for p in target.image.points}
        return any(ids & set(c.catches) for c in cases)

    def _targets_on(self, machine):
        """Points of all guests that run on `machine` without a layer in between."""
        return [select.Target(section, self._images[section.file], point, machine)
                for section in self._sections if not section.unfit(machine)
                for point in select.points(section, self._images[section.file])
                if point.layer == NATIVE]

    def _quicker_sections_first(self):
        """Within a section the environments keep their order."""
        for (class_, case), points in self._sound.items():
            times = defaultdict(float)
            for point in points:
                times[point.partition("/")[0]] += self._seconds[class_, point]
            points.sort(key=lambda p: times[p.partition("/")[0]])

    # Steps 3 and 4

    def _cells(self, bugs, quick):
        """All that is worth it, as Cells."""
        cells = []
        for bug in bugs:
            for (class_, case), points in self._sound.items():
                if class_ is not class_of(bug.id):
                    continue
                met = [p for p in points if p in self._reached[class_, bug.id]]
                bug.met.update([case] if met else [])
                if case in bug.claimed:
                    # Those that met it first: the others are tried for the claim's sake.
                    cells.append(Cell(bug, case, met + [p for p in points if p not in met]))
                elif met and not quick:
                    cells.append(Cell(bug, case, met))
        return cells

    def _left_to_try(self, cells, left):
        """Of Cells whose first point was tried, the claims that did not hold there, with their other points.

        Points of `left` (see _without_bug) are run without a bug first.
        """
        cells = [c for c in cells if c.case in c.bug.claimed and c.case not in c.bug.caught]
        keys = dict.fromkeys((class_of(c.bug.id), c.case) for c in cells)
        self._pass([t for key in keys for t in left.get(key, ())], "without a bug, other environments")
        return [replace(c, points=[p for p in self._sound[class_of(c.bug.id), c.case]
                                   if p not in c.points[:1]]) for c in cells]

    def _try(self, cells, what):
        wanted = defaultdict(set)           # bug id: point ids
        by_id = {}
        for cell in cells:
            by_id[cell.bug.id] = cell.bug
            wanted[cell.bug.id].update(cell.points)
            cell.bug.tried.update([cell.case] if cell.points else [])
        for result in self._with_bugs(wanted, what):
            target = result.target
            if result.verdict not in (PASS, SKIP, ABSENT):
                by_id[target.machine.tools.bugs[0]].caught.setdefault(
                    case_id(target), Catch(target.point_id, result.observed or result.reason))

    def _with_bugs(self, wanted, what):
        """Results of the points that `wanted` has for each bug's id, under that bug."""
        targets = []
        for id_, points in wanted.items():
            class_ = class_of(id_)
            machine = self._machine(class_, bugs=(id_,), hurry=True)
            machine.name = f"{machine.name} with {id_}"
            machine.underneath = None       # only points that pass without the bug are run
            targets += [replace(t, machine=machine) for point, t in self._native[class_].items()
                        if point in points]
        return self._scheduled(targets, what)

    def _machine(self, class_, **what):
        """The model, told `what`."""
        tools = replace(self._tools, **what)
        return class_(tools, self._inside(tools)) if self._inside else class_(tools)

    def _scheduled(self, targets, what):
        """Results of all; the sections get the time that they need, and the longest boots come first."""
        jobs = defaultdict(list)
        for target in targets:
            jobs[target.section.name, target.machine.name].append(target)
        length = {}
        for key, group in jobs.items():
            times = [self._seconds.get((type(t.machine), t.point_id), 0.0) for t in group]
            length[key] = sum(times) or UNKNOWN * len(group) * group[0].section.smp
            if not sum(times):
                continue                    # nothing is known of it yet: the section's own
            limit = max(self._least_timeout, MARGIN * max(times)) / group[0].machine.slowness
            for target in group:
                target.section = replace(target.section, timeout=limit)
        order = sorted(jobs, key=lambda key: -length[key])
        results = []

        def take(result):
            results.append(result)
            self._progress(what, len(results), len(targets))

        Scheduler([t for key in order for t in jobs[key]], self._slots, take,
                  self._expectations, everything=True).run()
        return results
