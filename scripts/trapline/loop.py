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
from .verdicts import BAD, MISSING, Result


class Loop:
    """One run of `plan` (cli.Plan), whose targets come in the order of `targets`.

    `reports` are told, and then `on_result` is called with each result.

    Afterwards: summary, and error (UsageError) or stopped (KeyboardInterrupt, BrokenPipeError) if
    it did not come to its end.
    """

    def __init__(self, plan, targets, reports, on_result=None):
        self._plan = plan
        self._targets = targets
        self._reports = reports
        self._on_result = on_result or (lambda result: None)
        self.summary = Summary(total=len(targets), unnamed=plan.unnamed)
        self.error = self.stopped = None

    def run(self):
        """Until every target has its result."""
        plan, summary = self._plan, self.summary
        targets = [t for t in self._targets if not t.missing]
        on_result = self._judged
        if plan.repeat > 1:
            on_result = repeat.Gather(targets, plan.repeat, self._judged).take
            targets = repeat.copies(targets, plan.repeat)
        scheduler = Scheduler(targets, plan.slots, on_result, plan.expectations, plan.timeout,
                              self._tick)
        summary.started, summary.root = fingerprint.now(), plan.root
        start = time.monotonic()
        for report in self._reports:
            report.begin(len(self._targets))
        summary.interrupted = True
        try:
            for target in self._targets:
                if target.missing:
                    self._result(Result(target, MISSING, target.missing))
            scheduler.run()
            summary.interrupted = False
        except UsageError as error:
            self.error = error
        except (KeyboardInterrupt, BrokenPipeError) as stop:
            self.stopped = stop
        # They came as machines gave them; whoever reads them later wants the same order every time.
        order = {target: i for i, target in enumerate(self._targets)}
        summary.results.sort(key=lambda result: order[result.target])
        summary.seconds = time.monotonic() - start
        summary.machine_seconds = scheduler.machine_seconds
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
        self.summary.results.append(result)
        for report in self._reports:
            report.result(result)
        self._on_result(result)


def plain(plan, reports):
    """Run `plan` without pytest; (exit status, Loop)."""
    guests = {}                         # as pytest collects them: one guest after the other
    for target in plan.targets:
        guests.setdefault(target.section.name, []).append(target)
    loop = Loop(plan, [t for targets in guests.values() for t in targets], reports)
    loop.internal = None
    loop.run()
    return int(any(r.verdict in BAD for r in loop.summary.results)), loop
