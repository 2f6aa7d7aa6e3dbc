# SPDX-License-Identifier: BSD-2-Clause
"""One KTAP stream for all guests and machines, on stdout.

A known failure is "ok … # XFAIL", as kselftest prints it: neither the kernel's parsers nor
prove count it as bad. Diagnostics stand before the result they belong to.
"""

import sys
from collections import Counter

from ..verdicts import BAD, BLOCKED, CRASHED, FAIL, FIXED, FLAKY, KNOWN, MISSING, PASS, SKIP
from . import details


class Ktap:
    """Writes to stdout, each result as it comes."""

    def __init__(self, stream=None):
        self._stream = stream or sys.stdout
        self._number = 0

    def begin(self, total):
        self._print("KTAP version 1", f"1..{total}")

    def tick(self):
        pass

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
        n = Counter(r.verdict for r in summary.results)
        self._print(f"# Totals: pass:{n[PASS]} fail:{n[FAIL] + n[FLAKY] + n[MISSING]} "
                    f"xfail:{n[KNOWN]} xpass:{n[FIXED]} "
                    f"skip:{n[SKIP] + n[BLOCKED]} error:{n[CRASHED]}")

    def _print(self, *lines):
        self._stream.write("".join(line + "\n" for line in lines))
        self._stream.flush()
