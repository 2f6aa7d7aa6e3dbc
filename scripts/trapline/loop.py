# SPDX-License-Identifier: BSD-2-Clause
"""A run from its first boot to its last report; pytest is not needed for it.

plugin.py runs it as a pytest session, plain() by itself: for the bundle, on hosts where nothing may
be installed.
"""

import time

from . import fingerprint, repeat
from .errors import UsageError
from .reports import Summary
from .scheduler import Scheduler
from .verdicts import ABSENT, BAD, MISSING, Result


class Loop:
    """One run of `plan` (cli.Plan): begin(), run() and, whatever happens, close().

    `reports` are told each result, and then whatever `on_result` has been set to is called with it.

    Afterwards: summary, and error (UsageError) or stopped (KeyboardInterrupt, BrokenPipeError) if
    it did not come to its end.
    """

    def __init__(self, plan, reports):
        self._plan = plan
        self._reports = reports
        guests = {}                     # as pytest collects them: one guest after the other
        for target in plan.targets:
            guests.setdefault(target.section.name, []).append(target)
        self._targets = [t for targets in guests.values() for t in targets]
        self.on_result = lambda result: None
        self.summary = Summary(total=len(self._targets), unnamed=plan.unnamed)
        self.summary.absent += [Result(t, ABSENT, what) for t, what in plan.absent]
        self.error = self.stopped = None
        targets = [t for t in self._targets if not t.missing]
        on_result = self._judged
        if plan.repeat > 1:
            on_result = repeat.Gather(targets, plan.repeat, self._judged).take
            targets = repeat.copies(targets, plan.repeat)
        self._scheduler = Scheduler(targets, plan.slots, on_result, plan.expectations,
                                    plan.timeout, self._tick, plan.everything, plan.parts)
        self._start = time.monotonic()
        self._reporting = False

    def begin(self):
        """Start the first boots. What the caller does until run() costs no time of its own."""
        self.summary.started, self.summary.root = fingerprint.now(), self._plan.root
        self._scheduler.begin()

    def close(self):
        """Nothing that was started outlives this, and no run ends without a report."""
        self._scheduler.close()
        if not self._reporting:
            self._begin_reports()
            self._end_reports()

    def run(self):
        """Until every target has its result."""
        self._begin_reports()
        try:
            for target in self._targets:
                if target.missing:
                    self._result(Result(target, MISSING, target.missing))
            self._scheduler.run()
            self.summary.interrupted = False
        except UsageError as error:
            self.error = error
        except (KeyboardInterrupt, BrokenPipeError) as stop:
            self.stopped = stop
        self._end_reports()

    def _begin_reports(self):
        self._reporting = self.summary.interrupted = True
        for report in self._reports:
            report.begin(self._targets)

    def _end_reports(self):
        # They came as machines gave them; whoever reads them later wants the same order every time.
        summary = self.summary
        order = {target: i for i, target in enumerate(self._targets)}
        summary.results.sort(key=lambda result: order[result.target])
        summary.seconds = time.monotonic() - self._start
        summary.machine_seconds = self._scheduler.machine_seconds
        summary.given_up = self._scheduler.given_up
        for report in self._reports:
            try:
                report.end(summary)
            except BrokenPipeError as stop:
                self.stopped = stop

    def _tick(self):
        for report in self._reports:
            report.tick()

    def _judged(self, result):
        self._result(self._plan.baseline.judge(result) if self._plan.baseline else result)

    def _result(self, result):
        if result.verdict == ABSENT:
            self.summary.absent.append(result)
            for report in self._reports:
                report.absent(result)
            return
        self.summary.results.append(result)
        for report in self._reports:
            report.result(result)
        self.on_result(result)


def plain(loop):
    """Run `loop` without pytest; the exit status."""
    loop.run()
    return int(any(r.verdict in BAD for r in loop.summary.results))
