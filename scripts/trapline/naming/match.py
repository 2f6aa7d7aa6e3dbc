# SPDX-License-Identifier: BSD-2-Clause
"""A run beside what is known of each bug of the catalogue.

Three things are known of bugs, and each makes candidates:

* signatures.json: what fails under it on the model hypervisor, and that nothing else does;
* expectations/: what it does to some version of some machine;
* CATCHES: the cases that say that they would notice.

A candidate is weighed case by case, over those points that it speaks of and the run has judged. A point that fails
with the trace that the candidate has for it speaks for it, one that fails otherwise does a little, one that passes
speaks against it. What fails besides speaks neither for nor against (it is as unexplained by every other
candidate that does not have it), but it is counted and said.

A hypervisor may have several bugs. So the best candidate is named, what it explains is put aside, and the rest
is weighed again, until no candidate is believable.
"""

import re
from collections import defaultdict
from dataclasses import dataclass, field

from ..expectations import CRASH, HANG
from .run import Run

SAME, OTHERWISE, PASSES = 1.0, 0.25, -1.0
DEATH_ALIKE = 0.5       # both died: that says less than a trace
BELIEVED = 0.5          # of the cases that a bug speaks of, so many must fail as it says
FEW = 3                 # fewer cases than that name a bug only where no more fail besides
NAMED_MOST = 50         # bugs named in one run


@dataclass
class Candidate:
    """One bug as one source has it.

    `says` has for each outcome of the run that it speaks of a function of a trace: whether that is what the bug does.
    `denies` are the points that fail and must not, by what the source knows.
    """

    bug: str
    source: str                 # "model", "tcg <8", "CATCHES"
    says: dict = field(default_factory=dict)        # Outcome: (predicate, whether it may pass too)
    denies: frozenset = frozenset()                 # Outcomes


@dataclass
class Match:
    """How well one bug fits. Counts are of cases; `score` means nothing but its order."""

    bug: str
    source: str
    score: float
    same: int = 0           # fail as the bug says
    otherwise: int = 0      # fail, but not so
    passed: int = 0         # should fail and pass
    others: int = 0         # fail, and the bug says nothing of them, or that they pass
    others_told: int = 0    # of the others, those that did not just die: a death is often but a consequence
    claims: int = 0         # failing cases whose CATCHES names it
    lead: int = 0           # the same, less those that pass
    explained: set = field(default_factory=set)     # Outcomes
    content: tuple = ()     # what it says of this run: two bugs that say the same cannot be told apart

    @property
    def cases(self):
        """Cases that ran and that it speaks of."""
        return self.same + self.otherwise + self.passed

    @property
    def believable(self):
        return self.score > 0 and self.same >= BELIEVED * self.cases and self.same > 0 and (
            self.same >= FEW or self.same >= self.others_told)


@dataclass
class Naming:
    """One group of failures: the bug that it looks like (None: nothing), what says the same, what comes next."""

    best: Match | None
    alike: list = field(default_factory=list)       # Matches that this run cannot tell from it
    next: list = field(default_factory=list)        # Matches that fit less well
    failing: int = 0                                # cases that this is about


def name(run: Run, signatures, entries, claims=True, without=lambda entry: False):
    """Namings of what fails in `run`, the best first; the last one may be of what looks like nothing.

    `signatures` are Signatures by bug, `entries` those of expectations/ that do not speak of the run's own machine
    and version, or do: they are all taken, but those of which `without(entry)` is true. `claims`: whether CATCHES
    are looked at.
    """
    left = {o for o in run.failing}
    candidates = [*_of_signatures(run, signatures), *_of_entries(run, entries, without)]
    if claims:
        candidates += _of_claims(run)
    found = []
    while left and len(found) < NAMED_MOST:
        matches = _ranked(run, candidates, left, claims)
        best = next((m for m in matches if m.believable), None)
        if best is None:
            break
        alike = [m for m in matches if m is not best and m.content == best.content and m.believable]
        rest = [m for m in matches if m is not best and m not in alike and m.score > 0
                and m.explained & best.explained]
        found.append(Naming(best, alike, rest[:3], len({o.case for o in best.explained})))
        left -= best.explained
    if left:
        matches = [m for m in _ranked(run, candidates, left, claims) if m.same + m.otherwise]
        found.append(Naming(None, [], matches[:2], len({o.case for o in left})))
    return found


def _ranked(run, candidates, left, claims):
    """The best Match of each bug, the best of all first."""
    by_bug = {}
    help_ = _claimed(run, left) if claims else {}
    for candidate in candidates:
        match = _weigh(candidate, left)
        if not match.same + match.otherwise:
            continue
        failing, passing = help_.get(candidate.bug, (0, 0))
        match.claims, match.lead = failing, failing - passing
        old = by_bug.get(match.bug)
        if old is None or (match.score, match.same) > (old.score, old.same):
            by_bug[match.bug] = match
    # CATCHES decide between equals. Weighed as evidence they would name a worse bug more often than a better one.
    return sorted(by_bug.values(), key=lambda m: (-round(m.score, 6), -m.same, -m.lead, m.bug))


def _weigh(candidate, left):
    match = Match(candidate.bug, candidate.source, 0.0)
    cases = defaultdict(list)
    content = []
    for outcome, (fits, sometimes) in candidate.says.items():
        if outcome.trace is None:
            if not sometimes:
                cases[outcome.case].append(PASSES)
                content.append((outcome.point, ""))
        elif outcome in left:
            good = fits(outcome.trace)
            weight = OTHERWISE if not good else DEATH_ALIKE if outcome.trace == CRASH else SAME
            cases[outcome.case].append(weight)
            content.append((outcome.point, weight))
            match.explained.add(outcome)
    for weights in cases.values():
        mean = sum(weights) / len(weights)
        match.score += mean
        if any(w in (SAME, DEATH_ALIKE) for w in weights):
            match.same += 1
        elif any(w == OTHERWISE for w in weights):
            match.otherwise += 1
        else:
            match.passed += 1
    others = left - match.explained
    match.others = len({o.case for o in others})
    match.others_told = len({o.case for o in others if o.trace != CRASH})
    match.content = tuple(sorted(content, key=str))
    return match


def _claimed(run, left):
    """{bug: (cases that claim it and fail, cases that claim it and pass)}."""
    cases = {}
    for outcome in run.outcomes:
        for bug in outcome.catches:
            failing = cases.setdefault(bug, {})
            failing[outcome.case] = failing.get(outcome.case, False) or outcome in left
    return {bug: (sum(c.values()), len(c) - sum(c.values())) for bug, c in cases.items()}


# -- candidates -----------------------------------------------------------------------------------

def _of_signatures(run, signatures):
    for signature in signatures.values():
        says = {}
        for point, trace in signature.fails.items():
            outcome = run.native.get(point)
            if outcome is not None:
                says[outcome] = (trace.__eq__, False)
        denies = frozenset(o for p, o in run.native.items()
                           if o.trace is not None and p in signature.known and p not in signature.fails)
        if says:
            yield Candidate(signature.bug, "model", says, denies)


def _of_entries(run, entries, without):
    """A candidate for each bug, machine and range of versions that expectations/ knows it on."""
    failing, passing = run.failing, [o for o in run.outcomes if o.trace is None]
    by_bug = defaultdict(list)
    for entry in entries:
        if entry.bug and not without(entry):
            by_bug[entry.bug].append(entry)
    for bug, list_ in by_bug.items():
        if not any(_covered(entry, failing) for entry in list_):
            continue
        contexts = set()
        for machine in {m for e in list_ for m in e.machines}:
            here = [e for e in list_ if machine in e.machines]
            for version in versions(here):
                part = tuple(e for e in here if e.version is None or e.version.contains(version, prereleases=True))
                if not part or part in contexts:
                    continue
                contexts.add(part)
                says = {}
                for entry in part:
                    for outcome in [*_covered(entry, failing), *_covered(entry, passing)]:
                        says[outcome] = _either(says.get(outcome), (_shows(entry), entry.sometimes))
                ranges = {str(e.version) for e in part if e.version is not None}
                yield Candidate(bug, f"{machine} {min(ranges)}" if ranges else machine, says)


def _either(one, other):
    if one is None:
        return other
    return (lambda trace: one[0](trace) or other[0](trace)), one[1] or other[1]


def _shows(entry):
    def shows(trace):
        return entry.shows(trace) or trace == CRASH and HANG in entry.observed
    return shows


def _covered(entry, outcomes):
    guests = entry.guests()
    return [o for o in outcomes
            if (guests is None or any(n.partition("/")[0] in guests for n in o.names))
            and any(map(entry.covers, o.names))]


def versions(entries):
    """Versions that tell the ranges of `entries` apart: each limit, and just below and above it."""
    found = {"0"}
    for entry in entries:
        for number in re.findall(r"\d[\d.]*", str(entry.version or "")):
            parts = [int(p) for p in number.split(".") if p]
            below = [*parts[:-1], parts[-1] - 1, 999] if parts[-1] else [*parts[:-2], max(parts[-2] - 1, 0), 999] \
                if len(parts) > 1 else parts
            found |= {number.rstrip("."), ".".join(map(str, below)), ".".join(map(str, [*parts, 999]))}
    return sorted(found)


def _of_claims(run):
    """Of bugs that nothing else knows of: the cases that would notice, without a trace."""
    says = defaultdict(dict)
    for outcome in run.outcomes:
        for bug in outcome.catches:
            says[bug][outcome] = (lambda trace: False), True
    for bug, outcomes in says.items():
        if any(o.trace is not None for o in outcomes):
            yield Candidate(bug, "CATCHES", outcomes)
