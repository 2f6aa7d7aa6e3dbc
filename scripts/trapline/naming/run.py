# SPDX-License-Identifier: BSD-2-Clause
"""What a run says, as naming needs it: point by point, failed or passed, and nothing else.

Known failures, blocked and skipped points, and crashes of the machine itself, speak for no bug and against none.
"""

from dataclasses import dataclass, field

from ..guests import ENVIRONMENTS, layer_and_environment
from ..verdicts import CRASHED, FAIL, FIXED, FLAKY, PASS
from .signatures import seen

FAILING = (FAIL, CRASHED, FLAKY)
PASSING = (PASS, FIXED)


@dataclass(frozen=True)
class Outcome:
    """One judged point. `names` are those that expectations/ may know it by; `trace` is None if it passed."""

    point: str              # "int3-svm/int3_warm:svm-cpl0"
    names: tuple
    native: str             # the point of a native section that does the same: "int3/int3_warm:cpl0"
    trace: str | None
    catches: tuple = ()

    @property
    def case(self):
        return self.point.partition(":")[0]


@dataclass
class Run:
    """All Outcomes of one machine, and those of native points: where only a layer has been judged, that one."""

    machine: str
    outcomes: list = field(default_factory=list)
    native: dict = field(default_factory=dict)

    def __post_init__(self):
        for outcome in sorted(self.outcomes, key=lambda o: (o.point != o.native, o.trace is None)):
            self.native.setdefault(outcome.native, outcome)

    @property
    def failing(self):
        return [o for o in self.outcomes if o.trace is not None]


def runs(results, files):
    """Run by machine, from results as the JSON report has them.

    `files` is the guest image's name by section (unittests.cfg); a section that it lacks counts as its own.
    """
    homes = {}
    for section, file in files.items():
        if section == file or file not in homes:
            homes[file] = section
    found = {}
    for result in results:
        outcomes = found.setdefault(result["machine"], [])
        if result.get("broke"):
            continue                    # a machine that did not come up says nothing of a guest
        if result["verdict"] in FAILING:
            trace = seen(result["verdict"], result["observed"])
        elif result["verdict"] in PASSING:
            trace = None
        else:
            continue
        section, _, case = result["case"].partition("/")
        environment = result["environment"]
        file = files.get(section, section)
        plain = layer_and_environment(environment)[1]
        layered = environment not in ENVIRONMENTS
        home = homes.get(file, section) if layered else section
        point = f"{section}/{case}:{environment}"
        outcomes.append(Outcome(
            point, tuple(dict.fromkeys((point, f"{file}/{case}:{environment}"))),
            f"{home}/{case}:{plain}", trace, tuple(result["catches"])))
    return {machine: Run(machine, outcomes) for machine, outcomes in found.items()}
