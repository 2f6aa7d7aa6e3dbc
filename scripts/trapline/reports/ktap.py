# SPDX-License-Identifier: BSD-2-Clause
"""One KTAP stream for all guests and machines, on stdout.

What a machine is known to lack before a boot is not in the plan. What a guest finds it to lack is: the
plan has been printed by then, and such a point is "ok … # SKIP lacks x2APIC".

A known failure is "ok … # XFAIL", as kselftest prints it: neither the kernel's parsers nor
prove count it as bad. Diagnostics stand before the result they belong to.
"""

import sys
from collections import Counter

from ..verdicts import BAD, BLOCKED, CRASHED, FAIL, FIXED, FLAKY, KNOWN, LACKS, MISSING, PASS, SKIP, UNTRIED
from . import Report, details


class Ktap(Report):
    """Writes to stdout, each result as it comes."""

    def __init__(self, stream=None):
        self._stream = stream or sys.stdout
        self._number = self._absent = 0

    def begin(self, targets):
        self._print("KTAP version 1", f"1..{len(targets)}")

    def absent(self, result):
        self._number += 1
        self._absent += 1
        self._print(f"ok {self._number} {result.target.id} # SKIP {LACKS}{result.reason}")

    def result(self, result):
        self._number += 1
        lines = []
        if result.verdict == PASS:
            lines += [f"# {w:<9} {t}" for w, t in details(result) if w in ("value", "note")]
        elif result.verdict != SKIP:
            lines += [f"# {'crash' if w == 'reason' and result.verdict == CRASHED else w:<9} {t}"
                      for w, t in details(result)]
        word = "not ok" if result.verdict in BAD else "ok"
        directive = {SKIP: f" # SKIP {result.reason}",
                     BLOCKED: f" # SKIP blocked: {result.reason}",
                     KNOWN: f" # XFAIL {result.reason}"}.get(result.verdict, "")
        self._print(*lines, f"{word} {self._number} {result.target.id}{directive}")

    def end(self, summary):
        if summary.interrupted:
            self._print("Bail out! interrupted")
            return
        for machine in dict.fromkeys(r.target.machine.name for r in summary.absent):
            self._print(f"# {machine} has no {', '.join(summary.lacks(machine))}")
        for machine, sentences in summary.given_up.items():
            self._print(*(f"# {machine} was cut short: {sentence}" for sentence in sentences))
        n = Counter(r.verdict for r in summary.results)
        self._print(f"# Totals: pass:{n[PASS]} fail:{n[FAIL] + n[FLAKY] + n[MISSING] + n[UNTRIED]} "
                    f"xfail:{n[KNOWN]} xpass:{n[FIXED]} "
                    f"skip:{n[SKIP] + n[BLOCKED] + self._absent} error:{n[CRASHED]}")

    def _print(self, *lines):
        self._stream.write("".join(line + "\n" for line in lines))
        self._stream.flush()
