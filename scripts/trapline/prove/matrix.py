# SPDX-License-Identifier: BSD-2-Clause
"""What --prove finds out: bugs by cases, and whether that is enough.

A case here is one of a guest's image, "int3/int3_warm", in whatever environments and layers it runs.
"""

from dataclasses import dataclass, field


@dataclass
class Catch:
    """One point that shows a bug: its id, and what came instead of what the rule demands."""

    point: str
    observed: str


@dataclass
class Bug:
    """What one bug of the model did to the cases. `machine` is the name of the one that has it."""

    id: str
    machine: str
    claimed: set = field(default_factory=set)   # cases whose CATCHES names it
    met: set = field(default_factory=set)       # cases in which the model asked for it
    tried: set = field(default_factory=set)
    caught: dict = field(default_factory=dict)  # case: Catch

    @property
    def broken_claims(self):
        return sorted(self.claimed - self.caught.keys())

    @property
    def proven(self):
        return bool(self.caught) and not self.broken_claims


@dataclass
class Matrix:
    """The outcome.

    `cases` are all cases by id, `evidence` what else shows of a case that it can fail, a sentence by case
    id; `unsound` are Results that are bad although no bug was set.
    """

    bugs: list
    cases: dict
    evidence: dict
    unsound: list
    quick: bool = False
    seconds: float = 0.0

    @property
    def catching(self):
        """Cases that caught a bug of the model that they claim: one that breaks their rule, not any."""
        return set().union(*(b.claimed & b.caught.keys() for b in self.bugs))

    @property
    def idle_cases(self):
        """Cases of which nothing shows that they can fail."""
        return sorted(self.cases.keys() - self.catching - self.evidence.keys())

    @property
    def holds(self):
        return (not self.unsound and all(b.proven for b in self.bugs)
                and (self.quick or not self.idle_cases))

    def document(self):
        """The matrix as one object for JSON."""
        return {
            "holds": self.holds, "quick": self.quick, "seconds": round(self.seconds, 1),
            "bugs": {b.id: {"machine": b.machine, "claimed_by": sorted(b.claimed),
                            "met_by": sorted(b.met), "tried_on": sorted(b.tried),
                            "caught_by": {c: {"point": k.point, "observed": k.observed}
                                          for c, k in sorted(b.caught.items())}}
                     for b in self.bugs},
            "cases": {id_: {"rule": case.rule, "where": case.where,
                            "catches": sorted(b.id for b in self.bugs if id_ in b.caught),
                            "evidence": self.evidence.get(id_, "")}
                      for id_, case in self.cases.items()},
            "idle_cases": self.idle_cases,
            "unsound": [{"point": r.target.id, "observed": r.observed or r.reason}
                        for r in self.unsound],
        }
