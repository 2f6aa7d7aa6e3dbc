# SPDX-License-Identifier: BSD-2-Clause
"""What a guest says on COM1, read byte by byte and believed only where it keeps the protocol.

docs/contract.md, section 4, is the format. Before the version line anything may come (firmware
talks too); from there on, a line that is not KTAP, a second plan, a result out of order or
bytes that are no text are a violation. After a violation nothing more is read.
"""

import re
from dataclasses import dataclass, field

from .text import is_text, printable

MAX_LINE = 1023                 # bytes, without the line end
MAX_PREAMBLE = 256 * 1024       # bytes before the version line
MAX_POINT = 256 * 1024          # bytes between one result and the next
KEPT_LINES = 40                 # diagnostic lines kept per point

_VERSION = re.compile(rb"(?:^|[^\x20-\x7e])KTAP version (\d+)$")
_PLAN = re.compile(rb"1\.\.(\d{1,6})$")
_RESULT = re.compile(rb"(ok|not ok) (\d{1,6}) (?:- )?([^#\s]+)(?: # SKIP ?(.*))?$")
_TOTALS = re.compile(rb"# Totals:((?: \w+:\d+)+)\s*$")
_VALUE = re.compile(r"(\S+) (-?\d+(?:\.\d+)?) (\S+)$")


@dataclass
class Said:
    """What a guest said about one point. All strings are printable ASCII."""

    name: str = ""
    ok: bool = False
    skip: str | None = None                         # the reason
    expected: list = field(default_factory=list)    # traces
    allowed: list = field(default_factory=list)     # (trace, reference)
    observed: list = field(default_factory=list)    # traces
    trace: list = field(default_factory=list)       # traces, observed and right
    notes: list = field(default_factory=list)       # any other line, in order
    values: list = field(default_factory=list)      # (name, number, unit)
    trouble: str | None = None                      # what the host complained of meanwhile
    dropped: int = 0                                # lines beyond KEPT_LINES

    def add(self, text):
        """Take in one diagnostic line, without its "# "."""
        if len(self.expected) + len(self.allowed) + len(self.observed) + len(self.trace) \
                + len(self.notes) + len(self.values) >= KEPT_LINES:
            self.dropped += 1
            return
        word, _, rest = text.partition(" ")
        rest = rest.strip()
        if word == "allowed" and rest:
            trace, _, reference = rest.partition(" -- ")
            self.allowed.append((trace.strip(), reference.strip()))
        elif word in ("expected", "observed", "trace") and rest:
            getattr(self, word).append(rest)
        elif word == "value" and (match := _VALUE.match(rest)):
            number = float(match[2]) if "." in match[2] else int(match[2])
            self.values.append((match[1], number, match[3]))
        elif word == "note":
            self.notes.append(rest)
        elif text.strip():
            self.notes.append(text.strip())


class Stream:
    """Reader of one boot's serial output; `names` are those of the points asked for, in order.

    State after each feed():
        results     Said of every point that has a result, in order
        pending     Said of the point that has none yet: its diagnostics so far
        banner      diagnostic lines between plan and first result that are the guest's own
        planned     the plan has come
        closed      the closing line has come
        bail        text behind "Bail out!", or None
        panic       lines of the register dump
        violation   what broke the protocol, as a sentence, or None
        unfinished  the line that the output ended in, if it had no line end
    """

    def __init__(self, names):
        self.names = names
        self.results = []
        self.pending = Said()
        self.banner = []
        self.started = self.planned = self.closed = False
        self.bail = None
        self.panic = []
        self.violation = None
        self.unfinished = ""
        self._line = bytearray()
        self._preamble = b""        # the last bytes of it
        self._bytes = 0             # since the last result

    def feed(self, data):
        """Take in `data` (bytes); True if it brought the guest on (version, plan or result)."""
        progress = False
        lines = data.split(b"\n")
        for i, part in enumerate(lines):
            if self.violation:
                break
            self._bytes += len(part) + 1
            limit = MAX_POINT if self.started else MAX_PREAMBLE
            if self._bytes > limit:
                self._break(f"more than {limit // 1024} KiB of output without a result")
                break
            self._line += part
            ends = i < len(lines) - 1
            # Without its end, the last byte may still turn out to be a carriage return.
            line = bytes(self._line[:MAX_LINE + 2]).removesuffix(b"\r" if ends else b"")
            if len(line) > MAX_LINE + (not ends):
                if self.started:
                    self._break(f"a line of more than {MAX_LINE} bytes: '{printable(line, 60)}'")
                    break
                del self._line[:-MAX_LINE]
            if ends:
                self._line.clear()
                progress |= self._take(line)
        return progress

    def end(self):
        """No more output will come."""
        if self._line and self.started and not self.violation:
            line = bytes(self._line)
            if self.closed:
                self._break(f"output after the closing line: '{printable(line, 60)}'")
            else:
                self.unfinished = printable(line, 60)
            self._line.clear()

    def preamble(self):
        """The last lines before the version line, as one printable string."""
        return printable((self._preamble + bytes(self._line)).strip()[-200:], 60)

    @property
    def complete(self):
        """Every point has a result, the closing line has come, and nothing was wrong."""
        return self.closed and not self.violation and self.bail is None

    def settled(self, cut):
        """Whether the manner of the end does not matter: `cut` is why it was cut off, or None."""
        return bool(self.violation or cut or self.bail is not None or self.closed)

    def why(self, cut, end):
        """What was wrong with the whole, as a sentence, or None. `end` says how it ended."""
        if self.violation or cut:
            return self.violation or cut
        if self.bail is not None:
            return self.bail
        if self.closed:
            return None
        if not self.started:
            before = self.preamble()
            return f"died before its version line: {end}" + (f", after '{before}'" if before
                                                             else "")
        if self.unfinished:
            end += f", within the line '{self.unfinished}'"
        if not self.planned:
            return f"died before its plan: {end}"
        if len(self.results) == len(self.names):
            return f"no closing line: {end}"
        return f"died: {end}"

    def _break(self, sentence):
        self.violation = sentence
        self._line.clear()

    def _take(self, line):
        if not self.started:
            match = _VERSION.search(line)
            if not match:
                self._preamble = (self._preamble + line + b"\n")[-512:]
                return False
            if match[1] != b"1":
                self._break(f"KTAP version {printable(match[1], 10)}, not 1")
                return False
            self.started = True
            self._bytes = 0
            return True
        if self.bail is not None:
            return False            # a dying guest may go on talking
        if not is_text(line):
            self._break(f"bytes that are no text: '{printable(line, 60)}'")
        elif self.closed:
            if line.strip():
                self._break(f"output after the closing line: '{printable(line, 60)}'")
        elif line.startswith(b"# Totals:"):
            self._totals(line)
        elif line.startswith(b"#"):
            text = printable(line[1:].strip())
            if text.startswith("panic"):
                if len(self.panic) < KEPT_LINES:
                    self.panic.append(text)
            elif not self.results and not self.banner and text.startswith("guest "):
                self.banner.append(text)
            else:
                self.pending.add(text)
        elif line.startswith(b"Bail out!"):
            self.bail = printable(line[9:].strip(), 500) or "no reason given"
        elif match := _RESULT.match(line):
            return self._result(match)
        elif match := _PLAN.match(line):
            return self._plan(int(match[1]))
        elif line.strip():
            if _VERSION.search(line):
                self._break("a second version line")
            else:
                self._break(f"a line that is not KTAP: '{printable(line, 60)}'")
        return False

    def _plan(self, number):
        if self.planned:
            self._break(f"a second plan, 1..{number}")
        elif number != len(self.names):
            self._break(f"plan 1..{number}, but {len(self.names)} points were asked for")
        else:
            self.planned = True
            self._bytes = 0
        return self.planned and not self.violation

    def _result(self, match):
        number, name = int(match[2]), printable(match[3], 100)
        due = len(self.results) + 1
        if not self.planned:
            self._break("a result before the plan")
        elif due > len(self.names):
            self._break(f"result {number} after the last one")
        elif number != due:
            self._break(f"result {number} where {due} was due")
        elif name != self.names[due - 1]:
            self._break(f"result of {name} where {self.names[due - 1]} was due")
        else:
            said, self.pending = self.pending, Said()
            said.name, said.ok = name, match[1] == b"ok"
            if match[4] is not None:
                said.skip = printable(match[4].strip(), 500) or "no reason given"
            self.results.append(said)
            self._bytes = 0
            return True
        return False

    def _totals(self, line):
        match = _TOTALS.match(line)
        if not match:
            self._break(f"a closing line that cannot be read: '{printable(line, 60)}'")
            return
        if len(self.results) != len(self.names) or not self.planned:
            self._break(f"closing line after {len(self.results)} of {len(self.names)} results")
            return
        claimed = dict(word.split(b":") for word in match[1].split())
        skipped = sum(s.skip is not None for s in self.results)
        passed = sum(s.ok and s.skip is None for s in self.results)
        counted = {b"pass": passed, b"skip": skipped,
                   b"fail": len(self.results) - passed - skipped}
        for key, count in counted.items():
            if int(claimed.get(key, -1)) != count:
                self._break(f"closing line is wrong: {printable(match[1].strip(), 60)}")
                return
        self.closed = True
