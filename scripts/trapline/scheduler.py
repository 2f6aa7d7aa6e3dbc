# SPDX-License-Identifier: BSD-2-Clause
"""Boots side by side, one per guest and machine, and again after a fatal case.

Every boot that ends badly costs at least the point it died in, so there are never more boots
than points. What remains of a guest then is shared among the free slots, because a machine
that dies in one case may well die in many.
"""

import selectors
import signal
import time
from collections import deque
from dataclasses import dataclass, field

from .args import patched, ranges
from .errors import UsageError
from .expectations import DEATH, HANG, Index
from .ktap import Said
from .machines.base import Order
from .patience import Patience, usual
from .select import Target
from .verdicts import BAD, BLOCKED, SKIP, Result, confirm, judge

SILENT = 1 / 4          # of its time: a boot that has said nothing for so long needs no slot
MAX_BOOTS_A_LOOP = 4    # started before results are read again
BREATH = 0.0005         # seconds; QEMU writes byte by byte, and waking up for each is a waste


@dataclass
class _Job:
    """Targets of one section on one machine, in order, for one boot."""

    targets: list
    hang: object = None         # the entry that says that they hang


@dataclass
class _Running:
    boot: object                # boot.Boot or its like
    job: _Job
    passed_on: int = 0          # results given away
    last: float = 0.0           # time of the last one
    times: list = field(default_factory=list)   # seconds of each
    planned: bool = False       # `last` has been set to the time of the plan


def _not_run(target, reason):
    """Result for a target that is not booted: `reason` is a sentence, or the entry that forbids it."""
    if isinstance(reason, str):
        return Result(target, SKIP, reason)
    return Result(target, BLOCKED, f"not run: {reason.reason}", known=reason)


def _prefixed(words, beginnings):
    return (word for word in words if word.startswith(beginnings or ("?",)))


def _looked_up(target, indexes, expectations):
    """Entries of `expectations` that speak of `target`; `indexes` keeps an Index for each machine."""
    machine = target.machine
    if machine not in indexes:
        indexes[machine] = Index(expectations, machine.name, machine.number(), machine.expected_in)
    return indexes[machine].find(target.point_id, target.said_name)


class Scheduler:
    """Runs `targets` with at most `slots` boots at a time.

    `on_result(Result)` is called as each becomes known, `on_tick()` a few times a second.
    `timeout` overrides every other, in seconds; with it or `everything`, nothing is cut short (patience.py).
    `parts` has, for each bug of a part that hypervisors bring themselves, which (bugs.PARTS).
    `machine_seconds` has, for each machine's name, the time from its first start to its last end, and
    `given_up` sentences on what was not tried there.
    """

    def __init__(self, targets, slots, on_result, expectations=(), timeout=None, on_tick=None,
                 everything=False, parts=None):
        self._slots = slots
        self._on_result = on_result
        self._on_tick = on_tick or (lambda: None)
        self._expectations = expectations
        self._known = {}                # machine: Index
        self._dreaded = {}              # machine: Index of what is better not run
        self._patience = Patience(slots, everything, timeout)
        self._parts = parts or {}
        self._queue = deque()
        self._running = {}              # Boot: _Running
        self._roms = {}
        self._symbols = {}
        self._spans = {}                # machine name: [start, end]
        self._doubts = {}               # Target on the machine underneath: Result that waits for it
        self._machines = {t.machine for t in targets}
        self._selector = selectors.DefaultSelector()
        self.boots = 0
        jobs = {}
        for target in targets:
            jobs.setdefault((target.section.name, target.machine.name, target.repetition), []).append(target)
        for group in jobs.values():
            section, machine = group[0].section, group[0].machine
            parts = {}
            for target in group:
                reason = section.unfit(machine) or self._dread(target, DEATH)
                hang = None if reason else self._dread(target, HANG)
                parts.setdefault((reason, hang), []).append(target)
            self._queue += [(part if reason else _Job(part, hang), reason)
                            for (reason, hang), part in parts.items()]

    @property
    def machine_seconds(self):
        return {name: end - start for name, (start, end) in self._spans.items()}

    @property
    def given_up(self):
        return self._patience.sentences()

    def begin(self):
        """Fill the slots. What the boots say waits for run()."""
        for entry in list(self._queue):
            job, reason = entry
            if reason or len(self._running) >= self._slots or self._is_tried(job):
                continue
            self._queue.remove(entry)
            try:
                self._boot(job)
            except OSError:
                self._queue.appendleft(entry)   # run() will meet it again, and tell
                return

    def run(self):
        """Until every target has its result. Whatever ends it, no boot outlives it."""
        try:
            while self._queue or self._running:
                self._start()
                self._wait()
        finally:
            self.close()

    def close(self):
        """End every boot; nothing, if there is none."""
        old = [(s, signal.signal(s, signal.SIG_IGN)) for s in (signal.SIGINT, signal.SIGTERM)]
        try:
            for boot in self._running:
                boot.close()
            self._running.clear()
            for machine in self._machines:
                machine.close()
            self._selector.close()
        finally:
            for number, handler in old:
                signal.signal(number, handler)

    def _start(self):
        started = 0
        while self._queue and self._busy() < self._slots and started < MAX_BOOTS_A_LOOP:
            job, reason = self._queue.popleft()
            if reason:
                for target in job:
                    self._on_result(_not_run(target, reason))
                continue
            self._leave_out(job)
            if not job.targets:
                continue
            started += 1
            if self._is_tried(job):
                self._queue.append((job, None))
                continue
            try:
                self._boot(job)
            except OSError as error:
                self._not_started(job, error)

    def _busy(self):
        """Boots that need a slot: what hangs is waited for while others run, as many again at most."""
        now = time.monotonic()
        silent = sum(now - max(r.last, r.boot.started) > SILENT * usual(r.job.targets[0].section, machine)
                     for r in self._running.values() if (machine := r.job.targets[0].machine).waits_for_free)
        return len(self._running) - min(silent, self._slots)

    def _leave_out(self, job):
        """Results for those of a job's targets that are not to be tried; what is left of it."""
        left = []
        for target in job.targets:
            # What is asked of the machine underneath is owed to the one above.
            instead = None if target in self._doubts else self._patience.instead(target, job.hang)
            if instead:
                self._on_result(instead)
            else:
                left.append(target)
        job.targets = left

    def _is_tried(self, job):
        """Whether another boot is about to tell whether these hang, as is known of them."""
        machine = job.targets[0].machine
        return job.hang is not None and any(
            r.job.hang is job.hang and r.job.targets[0].machine is machine for r in self._running.values())

    def _boot(self, job):
        first = job.targets[0]
        section, image, machine = first.section, first.image, first.machine
        cpus = min(section.smp, machine.max_cpus or section.smp)
        words = ["points=" + ranges(t.point.index for t in job.targets), f"cpus={cpus}",
                 *machine.guest_words, *self._patience.words(first)]
        try:
            rom = patched(self._rom(image), words, image.rom)
        except ValueError:
            # More words than the block holds: in two boots, then.
            half = len(job.targets) // 2
            self._queue.appendleft((_Job(job.targets[half:], job.hang), None))
            self._queue.appendleft((_Job(job.targets[:half], job.hang), None))
            return
        timeout = self._patience.seconds(first, planned=False)
        now = time.monotonic()
        self._spans.setdefault(machine.name, [now, now])
        self.boots += 1
        boot = machine.start(
            Order(rom, cpus, section.qemu_params, image.rom, tuple(words), gdb=section.gdb),
            [t.said_name for t in job.targets], timeout)
        boot.spare = self._patience.spare(first)
        self._running[boot] = _Running(boot, job, last=boot.started)
        for fd in boot.fds:
            self._selector.register(fd, selectors.EVENT_READ, boot)

    def _not_started(self, job, error):
        machine = job.targets[0].machine
        self._spans[machine.name][1] = time.monotonic()
        reason = f"{machine.name} cannot be started: {error.strerror or error}"
        for target in job.targets:
            self._emit(target, Said(), 0.0, crash=reason, broke=True)

    def _rom(self, image):
        if image.name not in self._roms:
            try:
                with open(image.rom, "rb") as file:
                    self._roms[image.name] = file.read()
            except OSError as error:
                raise UsageError(f"{image.rom}: {error.strerror}") from None
        return self._roms[image.name]

    def _wait(self):
        if not self._running:
            return
        wait = min(b.deadline for b in self._running) - time.monotonic()
        events = self._selector.select(max(0.0, min(wait, 0.25)))
        if events:
            time.sleep(BREATH)
        for key, _ in events:
            boot = key.data
            if boot.alive:
                before = set(boot.fds)
                # A descriptor closed by its boot may come again under the same number.
                for fd in before:
                    if fd == key.fd:
                        boot.ready(fd)
                self._follow(boot, before)
        now = time.monotonic()
        for boot in [b for b in self._running if b.deadline <= now]:
            boot.expired()
        for running in list(self._running.values()):
            if not running.boot.alive:
                self._finished(running)
        self._on_tick()

    def _follow(self, boot, before):
        """After `boot` read something: closed descriptors and new results."""
        for fd in before - set(boot.fds):
            try:
                self._selector.unregister(fd)
            except KeyError:
                pass
        running = self._running[boot]
        stream = boot.stream
        self._clock(running)
        # The last result waits for the end: without a closing line it counts for nothing.
        while running.passed_on < min(len(stream.results), len(stream.names) - 1):
            self._pass_on(running)

    def _clock(self, running):
        """Note when results came. A point's time begins with the line before it."""
        now = time.monotonic()
        stream = running.boot.stream
        if stream.planned and not running.planned:
            running.planned, running.last = True, now
            first = running.job.targets[0]
            running.boot.limit(self._patience.seconds(first, planned=True))
            if running.job.hang:        # not before: a guest that does not come up is another matter
                running.boot.limit(self._patience.expected_hang(first))
        while len(running.times) < len(stream.results):
            running.times.append(now - running.last)
            running.last = now

    def _pass_on(self, running):
        i = running.passed_on
        running.passed_on += 1
        target, seconds = running.job.targets[i], running.times[i]
        result = self._emit(target, running.boot.stream.results[i], seconds)
        self._patience.lived(target, seconds, result.verdict)

    def _finished(self, running):
        boot, job = running.boot, running.job
        targets = job.targets
        del self._running[boot]
        stream, reason = boot.stream, boot.reason
        self._clock(running)
        now = time.monotonic()
        first = targets[0]
        self._spans[first.machine.name][1] = now
        if reason is None:
            while running.passed_on < len(targets):
                self._pass_on(running)
            self._ask_underneath(targets)
            return
        reason, dump = self._explained(first.image, reason, stream.panic)
        done = min(len(stream.results), len(targets) - 1)
        while running.passed_on < done:
            self._pass_on(running)
        died_in = len(targets) if not stream.planned else done + 1
        for i in range(done, died_in):
            complete = i < len(stream.results)
            said = stream.results[i] if complete else stream.pending
            if not complete:
                stream.pending = Said()
            result = self._emit(targets[i], said, now - running.last, blocked=boot.blocked,
                                crash=reason, dump=dump, broke=boot.broke,
                                hung=boot.hung and stream.planned)
            if boot.hung and job.hang and result.known is job.hang:
                self._patience.hung_as_known(job.hang, targets[i])
            if i == done and self._patience.died(targets[i], result, boot.hung, stream.planned):
                self._hurry(first.machine)
            # One death, told once.
            running.last, dump = now, []
            reason = f"the guest had no plan: see {targets[done].id}"
        self._ask_underneath(targets)
        rest = targets[died_in:]
        if rest:
            free = 1 if job.hang else self._slots - len(self._running) - len(self._queue)
            parts = max(1, min(free, len(rest)))
            size = -(-len(rest) // parts)
            jobs = [(_Job(rest[i:i + size], job.hang), None) for i in range(0, len(rest), size)]
            self._queue.extendleft(reversed(jobs))

    def _hurry(self, machine):
        """What runs on `machine` has been waited for as for the first hang, which is known by now."""
        for running in self._running.values():
            target = running.job.targets[0]
            if target.machine is machine:
                running.boot.limit(self._patience.seconds(target, running.planned))

    def _explained(self, image, reason, panic):
        """Reason and register dump with names beside addresses of the guest."""
        from .symbols import Symbols

        if image.elf not in self._symbols:
            self._symbols[image.elf] = Symbols(image.elf)
        symbols = self._symbols[image.elf]
        return symbols.annotate(reason), [symbols.annotate(line) for line in panic]

    def _emit(self, target, said, seconds, blocked=False, **more):
        """Judges the target, and gives the Result away unless the machine underneath is to be asked first."""
        if target in self._doubts:
            result = self._doubts.pop(target)
            confirm(result, judge(target, said, seconds, **more))
            self._on_result(result)
            return result
        result = judge(target, said, seconds, expectations=self._entries(target), **more)
        below = target.machine.underneath
        if blocked and result.verdict in BAD:
            result.verdict = BLOCKED
        if below and result.verdict in BAD and not said.trouble:
            reason = target.section.unfit(below)
            native = Target(target.section, target.image, target.point, below)
            entries = self._entries(native)
            entry = next((e for e in entries if not e.sometimes and not self._brings(target, [e.bug])), None)
            if not entry and (own := self._brings(target, [e.bug for e in entries] + list(_prefixed(
                    target.point.case.catches, target.machine.foreign_bugs)))):
                result.notes.append(f"what {below.name} itself does here excuses nothing: its {own} is not in use")
                self._on_result(result)
                return result
            if not reason and not entry:
                self._doubts[native] = result
                return result
            if entry:
                result.verdict, result.known = BLOCKED, entry
                result.reason = f"{below.name} itself fails it, as {entry.where} says"
            else:
                result.notes.append(f"not tried on {below.name} itself: {reason}")
        self._on_result(result)
        return result

    def _brings(self, target, bugs):
        """The part that `target`'s machine has itself and one of `bugs` is in, or None."""
        return next((self._parts[bug] for bug in bugs if self._parts.get(bug) in target.machine.brings), None)

    def _entries(self, target):
        """The expectations that speak of this target."""
        return _looked_up(target, self._known, self._expectations)

    def _dread(self, target, what):
        """The entry that says that the machine underneath does not survive this one (DEATH), or that it
        hangs (HANG); None if there is none."""
        if what == DEATH and not target.machine.underneath:
            return None
        dreaded = (e for e in self._expectations if {DEATH, HANG} & set(e.observed))
        return next((e for e in _looked_up(target, self._dreaded, dreaded) if what in e.observed), None)

    def _ask_underneath(self, targets):
        """After a boot: what failed in it runs on the machine that its machine stands on."""
        doubted = [native for native, result in self._doubts.items() if result.target in targets]
        if doubted:
            self._queue.appendleft((_Job(doubted), None))
