# SPDX-License-Identifier: BSD-2-Clause
"""How far a run is, for a log: a word on each guest when its last point has a result.

A line for each while there are few, and several on a line where there are many, so that a log remains a
screenful.
"""

from collections import Counter
from dataclasses import dataclass, field

from ..verdicts import ABSENT, BAD

_FEW = 8                # guests that have a line each
_WIDTH = 96


@dataclass
class _Guest:
    left: int = 0
    counts: Counter = field(default_factory=Counter)
    seconds: float = 0.0


class Log:
    """Counts the results of `targets` and writes to `stream`. `machines`: name the machine, too."""

    def __init__(self, targets, stream, machines=False):
        self._stream = stream
        self._machines = machines
        self._guests = {}
        for target in targets:
            self._guests.setdefault(self._name(target), _Guest()).left += 1
        self._few = len(self._guests) <= _FEW
        self._column = 0
        self.lines = 0              # written so far

    def count(self, result):
        """Take in one Result, also an absent one."""
        name = self._name(result.target)
        guest = self._guests[name]
        guest.left -= 1
        guest.counts[result.verdict] += 1
        guest.seconds += result.seconds
        if not guest.left and set(guest.counts) != {ABSENT}:
            self._write(name, guest)

    def close(self):
        """No more will come: end the line that is begun."""
        if self._column:
            self._stream.write("\n")
            self._stream.flush()
            self._column = 0

    def _name(self, target):
        name = (target.image or target.section).name
        return f"{name}@{target.machine.name}" if self._machines else name

    def _write(self, name, guest):
        counts = Counter(guest.counts)
        del counts[ABSENT]
        bad = sum(counts[verdict] for verdict in BAD)
        if self._few:
            tally = ", ".join(f"{n} {verdict}" for verdict, n in counts.items())
            self._stream.write(f"done   {name}: {tally}, {guest.seconds:.1f} s\n")
            self.lines += 1
        else:
            text = f"{name} {counts.total()}" + (f", {bad} bad" if bad else "") + f" ({guest.seconds:.1f} s)"
            if self._column and self._column + len(text) > _WIDTH:
                self.close()
            if not self._column:
                text, self.lines = f"done   {text}", self.lines + 1
            else:
                text = f", {text}"
            self._stream.write(text)
            self._column += len(text)
        self._stream.flush()
