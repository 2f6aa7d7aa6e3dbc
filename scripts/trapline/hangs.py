# SPDX-License-Identifier: BSD-2-Clause
"""What is known to hang costs one time-out in a run, not one for each point.

The points of an entry of expectations/ that says "hang" get a boot of their own. The first of them that does
hang stands for those behind it, here and in other sections: they are not run, and reported like it. What does
not hang is judged as anything else is, so a machine that is mended is seen to be. Where a point hangs only
sometimes, it says nothing of the others; it is just believed sooner.
"""

from .verdicts import Result, of_known

# Part of the usual time after which a hang that is known is believed. In the lab that leaves 2.5 s for a point
# that takes some hundredths of one where it does not hang.
BELIEVED_AFTER = 1 / 16


class KnownHangs:
    """Of one run: which entries have been seen to hang, on which machine and in which repetition."""

    def __init__(self):
        self._first = {}        # (entry, machine, repetition): Target that hung

    def seen(self, entry, target):
        """`target` hung, as `entry` says."""
        if not entry.sometimes:
            self._first.setdefault((entry, target.machine, target.repetition), target)

    def like(self, entry, target):
        """Result for `target`, of which `entry` speaks, where one like it has hung; else None."""
        first = self._first.get((entry, target.machine, target.repetition))
        if first is None:
            return None
        return Result(target, of_known(entry, target.machine),
                      f"{entry.reason} (not run: like {first.point_id}, which hung)", known=entry)
