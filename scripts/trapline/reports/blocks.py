# SPDX-License-Identifier: BSD-2-Clause
"""Bad results by case and by kind of failure: what failed in the same way is told once.

A case here is one of a guest's image, "int3/int3_warm", in whatever environments and layers it runs,
though unittests.cfg may have several sections for them.
"""

import re
from dataclasses import dataclass

from ..guests import NATIVE
from ..verdicts import FAIL, FLAKY
from . import details

_NOTES = 6              # of a block, the rest is counted
_DUMP = 14
_VARIES = re.compile(r"0x[0-9a-f]+(?: <[^>]*>)?|\d+(?:\.\d+)? s\b")


def case_of(target):
    """"int3/int3_warm"."""
    return f"{(target.image or target.section).name}/{target.point.case.name}"


@dataclass
class Block:
    """Results of one case on one machine that are bad in one way. `of` is how many results the case has there."""

    case: str
    results: list
    of: int

    @property
    def first(self):
        return self.results[0]

    @property
    def story(self):
        """What blocks of other cases may share: what was expected, and what was observed."""
        return self.first.verdict, self.first.expected, self.first.observed or _plain(self.first)

    def headline(self):
        """"int3/int3_warm:cpl0@tcg", or the case and the ways in which it fails."""
        machine = self.first.target.machine.name
        if len(self.results) == 1:
            return self.first.target.id
        return f"{self.case}@{machine}  in {len(self.results)} of {self.of}: {ways(self.results)}"

    def lines(self, again):
        """(word, text) lines below the headline; `again(target)` is the command to run it again."""
        found, left = [], {"note": _NOTES, "dump": _DUMP}
        for word, text in details(self.first):
            if word in left:
                left[word] -= 1
                if left[word] == -1:
                    found.append((word, "..."))
                if left[word] < 0:
                    continue
            found.append((word, text))
        if not self.first.target.missing:
            found.append(("again", again(self.first.target)))
        return found


def ways(results):
    """"cpl0 cpl3; svm svm-nonpt: cpl0": environments, and what they ran in besides the plain machine."""
    places = {}
    for result in results:
        target = result.target
        layer, name = target.point.layer, target.section.name
        label = layer if layer != NATIVE else name if target.image and name != target.image.name else ""
        environment = target.point.environment.removeprefix(f"{layer}-")
        places.setdefault(label, {})[environment] = None
    alike = {}
    for label, environments in places.items():
        alike.setdefault((not label, " ".join(environments)), []).append(label)
    return "; ".join(environments if native else f"{' '.join(labels)}: {environments}"
                     for (native, environments), labels in alike.items())


def blocks(bad, every):
    """Blocks of the results `bad` in their order; `every` are all results of the same machine."""
    found, totals = {}, {}
    for result in every:
        case = case_of(result.target)
        totals[case] = totals.get(case, 0) + 1
    for result in bad:
        found.setdefault((case_of(result.target), *_kind(result)), []).append(result)
    return [Block(key[0], results, totals[key[0]]) for key, results in found.items()]


def _kind(result):
    """Equal for results that failed in the same way."""
    if result.verdict == FLAKY:
        return (FLAKY,)
    if result.verdict == FAIL and result.observed and result.observed != result.expected and not result.reason:
        return FAIL, result.expected, result.observed, *result.allowed
    return result.verdict, result.expected, result.observed, _plain(result), *result.notes[:1]


def _plain(result):
    """Its reason without what differs from one point to the next."""
    text = result.reason
    for name in (result.target.id, result.target.point_id, result.target.said_name):
        text = text.replace(name, "") if name else text
    return _VARIES.sub("", text)
