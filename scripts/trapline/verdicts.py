# SPDX-License-Identifier: BSD-2-Clause
"""From what a guest said about a point to a verdict."""

from dataclasses import dataclass, field

from .expectations import CRASH, HANG

PASS, FAIL, SKIP, CRASHED, KNOWN, FIXED = "pass", "fail", "skip", "crash", "known", "fixed"
BLOCKED = "blocked"
FLAKY = "flaky"             # differs from one repetition to the next
MISSING = "missing"         # had a verdict in the baseline, has none now
UNTRIED = "untried"         # so much else hung or died that this was not even run (patience.py)
# What the point is about, the machine lacks altogether: no result, and no verdict of a report. The Result's
# reason is the name of it, "x2APIC".
ABSENT = "absent"
LACKS = "lacks "            # what a guest's reason for a skip begins with then
VERDICTS = (PASS, FAIL, SKIP, CRASHED, KNOWN, FIXED, BLOCKED, FLAKY, MISSING, UNTRIED)
BAD = (FAIL, CRASHED, FLAKY, MISSING, UNTRIED)      # these make the exit status 1


@dataclass
class Result:
    """The verdict on one Target. Strings are printable; `seconds` is of the point alone."""

    target: object              # select.Target
    verdict: str
    reason: str = ""            # of skip, crash, known, fixed and untried
    expected: str = ""
    allowed: list = field(default_factory=list)     # (trace, reference)
    observed: str = ""
    notes: list = field(default_factory=list)
    values: list = field(default_factory=list)      # (name, number, unit)
    dump: list = field(default_factory=list)        # register dump of a crash
    seconds: float = 0.0
    known: object = None        # the expectations.Known it met
    broke: bool = False         # a crash of the machine itself: says nothing of the case
    runs: list = field(default_factory=list)    # of --repeat: see repeat.runs


def of_known(entry, machine):
    """The verdict on what fails as `entry` says: the machine's own bug, or that of what is underneath."""
    return BLOCKED if entry.bug.startswith(machine.foreign_bugs or ("?",)) else KNOWN


def judge(target, said, seconds, crash=None, dump=(), expectations=(), broke=False, hung=False):
    """Result for `target`.

    `said` is its ktap.Said, complete if `crash` is None, else what had come before the death;
    `crash` is then the reason, `broke` says that it is the machine's own, and `hung` that it is time.
    `expectations` are the entries that speak of it.
    """
    observed = "; ".join(said.observed or said.trace)
    result = Result(target, PASS, observed=observed, allowed=said.allowed, values=said.values,
                    expected="; ".join(said.expected), notes=list(said.notes), seconds=seconds,
                    broke=broke)
    if said.dropped:
        result.notes.append(f"({said.dropped} more lines)")
    if crash is not None:
        result.verdict, result.reason, result.dump = CRASHED, crash, list(dump)
        seen = (CRASH, HANG) if hung else (CRASH,)
    elif said.trouble:
        result.verdict, result.reason = FAIL, said.trouble
        # Known it can only be where the guest itself saw nothing wrong.
        seen = (said.trouble,) if said.ok else ()
    elif said.skip is not None:
        result.verdict, result.reason = SKIP, said.skip
        what = said.skip.removeprefix(LACKS).strip()
        if said.skip.startswith(LACKS) and what:
            if target.machine.offers(what):
                result.reason = f"the guest finds no {what}, which {target.machine.name} is to have"
            else:
                result.verdict, result.reason = ABSENT, what
        return result
    elif said.ok:
        if said.trace and not result.expected and not said.allowed:
            result.expected = "; ".join(said.trace)
        entry = next((e for e in expectations if not e.sometimes), None)
        if entry:
            result.verdict, result.known = FIXED, entry
            result.reason = f"passes, though {entry.where} expects {' or '.join(entry.observed)}"
        return result
    else:
        result.verdict = FAIL
        seen = (observed,)
    for entry in expectations:
        if any(map(entry.shows, seen)):
            result.known = entry
            crash_reason = f" ({result.reason})" if crash is not None else ""
            result.verdict = of_known(entry, target.machine)
            result.reason = entry.reason + crash_reason
            return result
    of_guests = [e for e in expectations if not e.of_host]
    if of_guests:
        result.notes.append(f"known to fail, but differently: {of_guests[0].where} expects "
                            + " or ".join(of_guests[0].observed))
    return result


def confirm(result, native):
    """`result` is bad; `native` is of the same point on the machine underneath, which decides."""
    name = native.target.machine.name
    if native.verdict == FAIL:
        result.verdict = BLOCKED
        result.reason = f"{name} itself fails it: " + (
            f"observed {native.observed}" if native.observed else native.reason or "see its notes")
    elif native.verdict == CRASHED:
        result.verdict, result.reason = BLOCKED, f"{name} itself fails it: {native.reason}"
    elif native.verdict == ABSENT:
        result.notes.append(f"{name} itself has no {native.reason}")
    elif native.verdict == SKIP:
        result.notes.append(f"{name} itself cannot tell: {native.reason}")
