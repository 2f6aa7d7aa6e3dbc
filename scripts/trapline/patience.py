# SPDX-License-Identifier: BSD-2-Clause
"""How long a run waits for what hangs, and what it does not try after so much has died.

A guest has ten seconds for each result, which a sound one needs a thousandth of, so that the load of the host
makes no verdict. Where one hang is known of, that patience buys nothing any more, and a hypervisor on which
hundreds of points hang would take an hour to say so. Therefore:

* After a machine's first hang a guest there has a sixteenth of the usual time from its plan on (an eighth
  until its plan), but no less than some times what the slowest sound point has taken in this run. Time in
  which the host had other work for its CPUs does not count, up to as much again as is usual (boot.py).
* What points waste by dying is added up, by fixed prices and not by the clock, so that the load of the host
  does not decide. Step by step (THRIFT) less is tried then: no point of a case that has died elsewhere; nothing
  more of a guest in which a point has died; nothing more at all. A guest of which nothing survives is
  given up before that. Such points are not passed over: they are `untried`, which is as bad as a crash.
* A hang that expectations/ knows wastes nothing that counts: the points of such an entry get a boot of their
  own, and the first of them that does hang stands for those behind it, here and in other sections. What does
  not hang is judged as anything else is, so a machine that is mended is seen to be. Where a point hangs only
  sometimes, it says nothing of the others; it is just believed sooner.

* A guest gives up waiting by itself, after some seconds; where several points of a machine have failed so, it is told to
  wait a sixteenth of that (`patience=short`, docs/contract.md).

With --all, or a --timeout of the user's own, everything is tried, for the whole time each.
"""

from collections import defaultdict
from dataclasses import dataclass, field

from .verdicts import BAD, KNOWN, PASS, UNTRIED, Result, of_known

TIMEOUT = 10.0          # seconds without a result
# Part of that after which a hang is believed where others have been seen, or this one is known. In the lab
# that leaves 2.5 s for a point that takes some hundredths of one where it does not hang.
BELIEVED_AFTER = 1 / 16
PLAN_AFTER = 1 / 8      # the same for a guest that has not come up yet
SLOW, SLOW_FAILURES = 1.0, 4    # seconds; so many points that fail so slowly have waited in vain
SLOWER = 4              # times the slowest sound point: so much time everything has
CRASH_PRICE = 0.1       # seconds that a boot after a crash is counted as
# Seconds of a run's time that a machine may waste until the next step of thrift.
LIKE_IS_LIKE, GUESTS_DIE_ONCE, ENOUGH = THRIFT = (6.0, 12.0, 18.0)
NOTHING_SURVIVES = 6    # hangs, or this many crashes times CRASHES, at the beginning of a guest
CRASHES = 4
_TOLD = 5               # sentences for a machine, and one for the rest


def usual(section, machine):
    """Seconds that a guest has for a result, if nothing else is said."""
    return (section.timeout or TIMEOUT) * machine.slowness


@dataclass
class _Guest:
    """What became of one section on a machine."""

    dead: list = field(default_factory=list)        # Targets, as they died
    hung: int = 0
    survivors: int = 0

    def hopeless(self):
        return not self.survivors and self.hung * CRASHES + len(self.dead) - self.hung \
            >= NOTHING_SURVIVES * CRASHES


@dataclass
class _Account:
    """What became of one machine in one repetition."""

    wasted: float = 0.0
    hung: bool = False
    slow: int = 0               # points that failed after SLOW seconds
    slowest: float = 0.0        # seconds of the slowest point that passed
    guests: dict = field(default_factory=lambda: defaultdict(_Guest))      # by section
    cases: dict = field(default_factory=dict)       # (image, case): (Target that died first, how)


class Patience:
    """Of one run with `slots` boots at a time; `timeout` is the user's own, in seconds, or None."""

    def __init__(self, slots, everything=False, timeout=None):
        self._slots = slots
        self._timeout = timeout
        self._tries_all = everything or timeout is not None
        self._accounts = defaultdict(_Account)      # (machine's name, repetition)
        self._known = {}        # (entry, machine, repetition): Target that hung
        self._untried = defaultdict(dict)       # machine's name: {what is told: Targets that were not tried}

    def _account(self, target):
        return self._accounts[target.machine.name, target.repetition]

    # How long

    def whole(self, target):
        """Seconds for a result where nothing speaks against it."""
        return self._timeout or usual(target.section, target.machine)

    def spare(self, target):
        """Seconds that may be added to what seconds() says before the plan, as far as the host was busy otherwise."""
        whole = self.whole(target)
        return whole - self.seconds(target, False) + (whole if self._timeout is None else 0.0)

    def seconds(self, target, planned):
        """What the guest of `target` has for a result, before its plan or after it."""
        whole = self.whole(target)
        account = self._account(target)
        if self._tries_all or not account.hung:
            return whole
        part = whole * (BELIEVED_AFTER if planned else PLAN_AFTER)
        return min(whole, max(part, SLOWER * account.slowest))

    @staticmethod
    def expected_hang(target):
        """The same for a guest that has its plan, where the target is known to hang."""
        return usual(target.section, target.machine) * BELIEVED_AFTER

    def words(self, target):
        """Arguments for the guest of `target`, on how long it is to wait for anything."""
        if self._tries_all:
            return ["patience=all"]
        return ["patience=short"] if self._account(target).slow >= SLOW_FAILURES else []

    # What happened

    def lived(self, target, seconds, verdict):
        """`target` came to a result of its own, after `seconds`."""
        account = self._account(target)
        account.guests[target.section.name].survivors += 1
        if verdict == PASS:
            account.slowest = max(account.slowest, seconds)
        elif verdict in BAD and seconds > SLOW * target.machine.slowness:
            account.slow += 1

    def died(self, target, result, hung, planned):
        """The guest ended at `target`; True if that is the machine's first hang."""
        if result.verdict not in BAD and not (result.verdict == KNOWN and result.known.from_a_run):
            return False
        account = self._account(target)
        first = hung and not account.hung
        account.hung |= hung
        price = usual(target.section, target.machine) * (BELIEVED_AFTER if planned else PLAN_AFTER) \
            if hung else CRASH_PRICE * target.machine.slowness
        account.wasted += price / self._slots
        guest = account.guests[target.section.name]
        guest.dead.append(target)
        guest.hung += hung
        if planned:
            account.cases.setdefault((target.image.name, target.point.case.name),
                                     (target, "hung" if hung else "died"))
        return first

    def hung_as_known(self, entry, target):
        """`target` hung, as `entry` says."""
        if not entry.sometimes:
            self._known.setdefault((entry, target.machine, target.repetition), target)

    # What is not tried

    def instead(self, target, entry=None):
        """Result for `target` if it is not to be run, else None. `entry` is the one that says it hangs."""
        first = entry and self._known.get((entry, target.machine, target.repetition))
        if first:
            return Result(target, of_known(entry, target.machine),
                          f"{entry.reason} (not run: like {first.point_id}, which hung)", known=entry)
        if self._tries_all:
            return None
        reason, told = self._why_not(target)
        if reason is None:
            return None
        self._untried[target.machine.name].setdefault(told or f"{target.section.name} {reason}", []).append(target)
        return Result(target, UNTRIED, reason)

    def _why_not(self, target):
        """(why it is not tried, what is told of all such: that and the guest if there is nothing); None twice if it is."""
        account = self._account(target)
        guest = account.guests[target.section.name]
        if account.wasted >= ENOUGH:
            dead = sum(len(g.dead) for g in account.guests.values())
            reason = f"given up, for {dead} points hung or died on {target.machine.name}"
            return reason, f"the rest {reason}"
        if guest.hopeless():
            return f"given up, for all {len(guest.dead)} points that were tried hung or died", None
        if account.wasted >= GUESTS_DIE_ONCE and guest.dead:
            return (f"given up, for {guest.dead[0].point_id} hung or died, like many on {target.machine.name}",
                    "guests given up in which a point had hung or died, like many elsewhere")
        if account.wasted >= LIKE_IS_LIKE:
            like, how = account.cases.get((target.image.name, target.point.case.name), (None, ""))
            if like is not None and like != target:
                return f"like {like.point_id}, which {how}", "cases that had hung or died elsewhere"
        return None, None

    def sentences(self):
        """What was cut short: {machine's name: sentences}."""
        found = {}
        for name, told in self._untried.items():
            order = sorted(told.items(), key=lambda pair: -len(pair[1]))
            lines = [f"{_points(len(targets))} not tried: {what}" for what, targets in order[:_TOLD]]
            rest = sum(len(targets) for _, targets in order[_TOLD:])
            lines += [f"{_points(rest)} not tried for the like of it"] if rest else []
            found[name] = [*lines, "--all tries everything"]
        return found


def _points(number):
    return f"{number} point{'s' * (number != 1)}"
