# SPDX-License-Identifier: BSD-2-Clause
"""One guest on a lab kernel, to the scheduler what boot.Boot is.

The host goes back to its machine when the guest is over, if both are in order. A guest that hangs is
cancelled; if the host does not answer to that, it is the host that hangs.
"""

import time

from .. import ktap
from ..boot import GRACE
from ..expectations import HOST

BOOT_TIMEOUT = 30.0     # seconds from start to ready, times the machine's slowness
CANCEL_TIMEOUT = 3.0    # seconds for a cancelled guest to be gone, likewise
_KEPT_TROUBLE = 24      # lines of the log told with a complaint


class LabBoot:
    """A guest running on `host`, or waiting for the host to be ready.

    stream, reason, hung, blocked, started, alive, fds, deadline, ready, limit, expired and close are as
    in boot.Boot.
    """

    def __init__(self, machine, host, order, names, timeout):
        self.machine = machine
        self.stream = ktap.Stream(names)
        self.reason = None
        self.hung = False
        self.blocked = False            # the reason is the emulator, not the kernel in it
        self.alive = True
        self.started = time.monotonic()
        self._host = host
        self._order = order
        self._timeout = timeout
        self._cut = None                # why we ended it
        self._cancelled = False
        self._said = ""                 # the VMM's reason
        self._tainted = None
        self._trouble = 0               # lines of the log that still belong to a complaint
        self._troubled = False
        self._beneath = 0               # where the log of what is beneath the kernel was at the start
        if host.facts is None:
            self.deadline = self.started + BOOT_TIMEOUT * machine.slowness
        else:
            self._go()

    @property
    def fds(self):
        return self._host.fds if self.alive else set()

    def ready(self, fd):
        for kind, text in self._host.ready(fd):
            if self.alive:
                self._take(kind, text)

    def limit(self, seconds):
        if seconds < self._timeout and not self._over() and not self._cancelled:
            self._timeout = seconds
            self.deadline = time.monotonic() + seconds

    def expired(self):
        if self._host.facts is None:
            self._cut = f"{self.machine.host_name} did not come up: {self._host.last_words()}"
            self.deadline = float("inf")
            self._host.kill()
        elif self._cancelled:
            self._cut = (self._cut or "the guest did not end") + f", and {self.machine.host_name} with it"
            self.deadline = float("inf")        # its output's end comes next
            self._host.kill()
        else:
            if not self._over():
                self.hung = True
                self._cut = f"hung: no result for {self._timeout:g} s"
            self._cancel()

    @property
    def broke(self):
        """Whether the lab's kernel did not get as far as running guests."""
        return self._host.facts is None or bool(self._host.facts["error"])

    def close(self):
        self._host.close()
        self.alive = False

    # Its parts

    def _go(self):
        self._beneath = self._host.said_beneath()
        self._host.order(self._ordered())
        self.deadline = time.monotonic() + self._timeout

    def _ordered(self):
        """What the host is told to run the guest."""
        return f"run {self._order}"

    def _cancel(self):
        self._cancelled = True
        self._host.order("cancel")
        self.deadline = time.monotonic() + CANCEL_TIMEOUT * self.machine.slowness

    def _over(self):
        return self.stream.closed or self.stream.bail is not None

    def _take(self, kind, text):
        if kind == "H":
            facts = self._host.facts
            if facts["error"]:
                self._refuse(f"{self.machine.host_name} is not ready: {facts['error']}")
            elif reason := self.machine.refused(facts):
                facts["error"] = reason
                self._refuse(reason)
            else:
                self.machine.learnt(facts)
                self._go()
        elif kind == "D":
            self._feed(text)
        elif kind == "R":
            self._said = text.decode("utf-8", "replace")
        elif kind == "L":
            self._logged(text)
        elif kind == "E":
            self._tainted = text.decode().strip().partition("=")[2]
            self._finish()
        elif kind == "X":
            self._died()

    def _refuse(self, reason):
        """The host runs no guests."""
        self._cut = reason
        self._host.kill()

    def _feed(self, data):
        over = self._over()
        if self.stream.violation or self._cancelled:
            return
        if self.stream.feed(data):
            self.deadline = time.monotonic() + self._timeout
        if self.stream.violation:
            self._cancel()
        elif self._over() and not over:
            self.deadline = time.monotonic() + GRACE * self.machine.slowness

    def _logged(self, line):
        """A line of the host kernel's log; a complaint fails the point that runs."""
        if self._host.facts is None:
            return
        point = self.stream.pending
        if len(self.stream.results) == len(self.stream.names):
            point = self.stream.results[-1]
        if self.machine.trouble.search(line) and not self._trouble:
            self._trouble, self._troubled = _KEPT_TROUBLE, True
            point.trouble = point.trouble or f"{HOST}{line}"
        if self._trouble and "[ cut here ]" not in line:
            point.notes.append(f"host: {line}")
            self._trouble = 0 if self.machine.trouble_end in line else self._trouble - 1

    def _finish(self):
        """The guest is gone, the host is there."""
        self.stream.end()
        if self.hung and self._said.startswith("cancelled, "):
            self._cut += f" ({self._said.removeprefix('cancelled, ')})"
        self.reason = self.stream.why(self._cut, self._said or "it said no reason")
        if self._tainted != self._host.facts["tainted"] and not self._troubled:
            point = self.stream.results[-1] if self.stream.results else self.stream.pending
            point.trouble = f"{HOST}it is tainted: {self._tainted}"
            self._troubled = True
        self._tell_beneath()
        self.alive = False
        # A kernel that has complained once may keep quiet the second time.
        self.machine.release(self._host, good=not self._troubled)

    def _tell_beneath(self):
        """What the monitor beneath the kernel has said meanwhile, to the point that the guest died in."""
        if self.reason and not self.stream.closed:
            self.stream.pending.notes += [f"monitor: {line}" for line in self._host.beneath(self._beneath)]

    def _died(self):
        self.stream.end()
        host = self._host
        what = f"{self.machine.host_name} died"
        if not self._panic() and host.returncode:
            what = f"the emulator under {self.machine.host_name} died ({host.dead})"
            self.blocked = not self._cut
        if host.facts is None and not self._cut:
            what = f"the lab's emulator ended before {self.machine.host_name} was up ({host.dead})"
        self.reason = self._cut or f"{what}: {self._panic() or host.last_words()}"
        self._tell_beneath()
        self.alive = False
        self.machine.release(host, good=False)

    def _panic(self):
        log = self._host.log if self._host.facts is None else self._host.since_ready
        return next((line for line in log if self.machine.trouble.search(line)), None)
