# SPDX-License-Identifier: BSD-2-Clause
"""Results for people: which bugs a machine has, and the story behind each failure that is new.

A screenful, on a terminal and in a log alike; with verbosity 1 a line for each point as it comes, with -1
only what is bad. Lines begin with a word to grep for. Colours and a progress bar on a terminal only.
"""

import math
import os
import sys

from ..verdicts import BAD, BLOCKED, FIXED, FLAKY, KNOWN, MISSING, PASS, SKIP, UNTRIED
from . import Report, details, seen, tally
from .blocks import blocks, case_of
from .progress import Log

_STYLES = {"pass": "green", "fail": "bold red", "crash": "bold magenta", "skip": "yellow",
           "known": "cyan", "fixed": "bold cyan", "flaky": "bold yellow", "missing": "bold red",
           "untried": "bold magenta", "blocked": "dim", "new": "bold red", "cut": "bold red"}
_ALIKE = 3              # so many skips of a guest in a row, for one reason, have a line each
# Lines: what a machine without new failures may take, and what failures may add to that. At least so many of
# the known bugs are told in any case.
_SCREEN, _MORE, _LEAST = 58, 38, 20
_ID, _TITLE, _NARROW = 27, 36, 100       # columns: of an id, of what a bug is at least, of a narrow terminal
_SHORT = 6              # failures told in one line each when the room is used up, reasons, entries


def wants_rich(stream):
    """Whether `stream` is a terminal that may get colours."""
    return not os.environ.get("TRAPLINE_PLAIN") and stream.isatty() and os.environ.get("TERM", "dumb") != "dumb" \
        and "NO_COLOR" not in os.environ


def nameless(_machine, _bad, _results):
    """The `naming` of a console that nobody gave one."""
    return []


def plural(number, noun):
    """"1 case", "2 cases"."""
    return f"{number} {noun}{'s' * (number != 1)}"


class Console(Report):
    """Writes to stdout. `verbosity`: -1 only what is bad, 0, 1 a line per point, 2 with traces of what is good.

    `entries` are all expectations and `catalogue` is bugs.toml by id: they say what the known bugs are.

    `naming(machine, bad, results)` says which bugs the failures look like that nobody expected: it is
    called at the end, for each machine that has some, with the Results that are bad and all Results
    of that machine, and returns the lines to print, each at most some 100 columns wide, without
    a line end. An empty list prints nothing.
    """

    def __init__(self, machines, verbosity=0, stream=None, naming=nameless, entries=(), catalogue=None):
        self._machines = machines
        self._naming = naming
        self._entries = entries
        self._catalogue = catalogue or {}
        self._verbosity = verbosity
        self._stream = stream or sys.stdout
        self._skips = []        # the last results, if they are skips of one guest for one reason
        self._log = None

    def begin(self, targets):
        if self._verbosity == 0 and self._logs():
            self._log = Log(targets, self._stream, len(self._machines) > 1)

    def absent(self, result):
        if self._log:
            self._log.count(result)

    def result(self, result):
        """Count it; with -v print its line and, where it is bad, what explains it."""
        if self._log:
            self._log.count(result)
        if self._verbosity <= 0:
            return
        if self._skips and _alike(self._skips[0]) != _alike(result):
            self._say_skips()
        if result.verdict in (SKIP, UNTRIED) and self._verbosity == 1:
            self._skips.append(result)
            return
        lines = [self._line(result.verdict, self._headline(result))]
        if result.verdict in BAD or self._verbosity > 1:
            lines += [self._detail(word, text) for word, text in details(result)
                      if not (word == "reason" and result.verdict not in BAD)]
            lines += [self._detail("again", again(result.target))
                      for _ in [0] if result.verdict in BAD and not result.target.missing]
        self._print(*lines)

    def end(self, summary):
        """Print for each machine what is bad, the bugs seen and what it all came to."""
        self._say_skips()
        if self._log:
            self._log.close()
        for machine in self._machines:
            results = [r for r in summary.results if r.target.machine is machine]
            self._machine(machine, results, summary)
        if summary.interrupted:
            self._print(f"interrupted: {len(summary.results)} of {plural(summary.total, 'point')} have a result")

    # What a machine came to

    def _machine(self, machine, results, summary):
        # What was not even tried is told by what was cut short.
        bad = [r for r in results if r.verdict in BAD and r.verdict != UNTRIED]
        named = list(self._naming(machine, bad, results)) if bad else []
        told = blocks(bad, results)
        if told and self._verbosity <= 0:
            self._failures(told, _MORE - len(named) - 2 if self._verbosity == 0 else None)
        if self._verbosity >= 0:
            self._known(machine, results, summary)
        if bad:
            cases = {block.case for block in told}
            self._print(self._line("new", f"{plural(len(cases), 'case')} on {machine.name} with failures that no "
                                          "expectation knows"))
            self._print(*(f"       {line}" for line in named))
        for sentence in summary.given_up.get(machine.name, ()):
            self._print(self._line("cut", f"short: {sentence}"))
        self._counts(machine, results, summary)

    def _counts(self, machine, results, summary):
        seconds = summary.machine_seconds.get(machine.name)
        time = f" in {seconds:.2f} s" if seconds is not None else ""
        cut = "cut short, " if summary.given_up.get(machine.name) else ""
        self._print(f"{machine.name}: {cut}{plural(len(results), 'point')}{time}: {tally(results) or 'none'}"
                    f"  [{machine.version()}]")
        if summary.unnamed and machine.usual:
            self._print(f"  not all, for no guest was named: {machine.usual_reason}")

    def _failures(self, told, room):
        """Blocks in full while there is `room` for their lines (None: always), then a line for each, then a
        number. A kind of failure that has not been told goes before one that has."""
        seen_, order = set(), {}
        for block in told:
            order.setdefault(block.story in seen_, []).append(block)
            seen_.add(block.story)
        ordered = order.get(False, []) + order.get(True, [])
        used, full = 0, 0
        for block in ordered:
            lines = block.lines(again)
            later = min(len(ordered) - full - 1, _SHORT + 1)
            if room is not None and full and used + 1 + len(lines) + later > room:
                break
            self._print(self._line(block.first.verdict, self._block_headline(block)),
                        *(self._detail(word, text) for word, text in lines
                          if not (word == "reason" and block.first.verdict in (FLAKY, MISSING))))
            used, full = used + 1 + len(lines), full + 1
        short, rest = ordered[full:full + _SHORT], ordered[full + _SHORT:]
        for block in short:
            self._print(self._line(block.first.verdict, self._fit(self._block_headline(block), 7)))
        if rest:
            self._print(f"       and {plural(len(rest), 'block')} more like these: -q shows them all, --json keeps them")

    @staticmethod
    def _block_headline(block):
        if block.first.verdict in (FLAKY, MISSING):
            return f"{block.headline()}  {block.first.reason}"
        return block.headline()

    # What is known

    def _known(self, machine, results, summary):
        lacks = summary.lacks(machine.name)
        without = f"; it has no {', '.join(lacks)} ({plural(sum(lacks.values()), 'point')} left out)" if lacks else ""
        self._print("", f"{machine.name} is {machine.version()}{without}")
        lines = [*self._blocked(results), *self._fixed(results), *self._skipped(results)]
        bugs = seen.bugs([r for r in results if r.verdict == KNOWN and r.known], self._entries, self._catalogue)
        room = max(_SCREEN - (self._log.lines if self._log else 0) - len(lines) - 4, _LEAST)
        shown, rest = len(bugs), []
        while shown + len(rest) > room and shown:
            shown -= 1
            rest = _folded(f"and {len(bugs) - shown} more in fewer cases:", [b.id for b in bugs[shown:]])
        self._print(*self._bug_lines(bugs[:shown]), *(self._line(KNOWN, text) for text in rest), *lines)

    def _bug_lines(self, bugs):
        ids = min(max((len(bug.id) for bug in bugs), default=0), _ID)
        numbers = max((len(str(len(bug.cases))) for bug in bugs), default=0)
        for bug in bugs:
            if self._width < _NARROW:
                head = f"{bug.id} ({len(bug.cases)}): "
            else:
                noun = "case " if len(bug.cases) == 1 else "cases"
                head = f"{bug.id:<{ids}}  {len(bug.cases):>{numbers}} {noun}  "
            versions = f" ({bug.versions})" if bug.versions else ""
            title = self._fit(bug.title, 7 + len(head) + len(versions))
            if len(title) < min(len(bug.title), _TITLE):
                title, versions = self._fit(bug.title, 7 + len(head)), ""       # what it is says more
            yield self._line(KNOWN, head + title + versions)

    def _blocked(self, results):
        """Lines for what says nothing of this machine, because what it stands on has the bug."""
        blocked = [r for r in results if r.verdict == BLOCKED]
        if not blocked:
            return []
        names = {}
        for result in blocked:
            name = result.known.bug if result.known and result.known.bug else "not in the catalogue"
            names.setdefault(name, set()).add(case_of(result.target))
        order = sorted(names, key=lambda name: (-len(names[name]), name))
        cases = {case_of(r.target) for r in blocked}
        return [self._line(BLOCKED, text) for text in _folded(
            f"{plural(len(cases), 'case')} by bugs of what this machine runs on:",
            [f"{name} ({len(names[name])})" for name in order])]

    def _fixed(self, results):
        fixed = blocks([r for r in results if r.verdict == FIXED], results)
        lines = [self._line(FIXED, f"{block.headline()}  {block.first.reason}") for block in fixed[:_SHORT]]
        if len(fixed) > _SHORT:
            lines.append(self._line(FIXED, f"and {plural(len(fixed) - _SHORT, 'case')} more: -v shows them"))
        return lines

    def _skipped(self, results):
        """A line for each reason why something could have been judged and was not."""
        reasons = {}
        for result in results:
            if result.verdict == SKIP:
                reasons.setdefault(result.reason, {})[case_of(result.target)] = None
        order = sorted(reasons.items(), key=lambda pair: -len(pair[1]))
        lines = []
        for reason, cases in order[:_SHORT]:
            first, more = next(iter(cases)), len(cases) - 1
            lines.append(self._line(SKIP, self._fit(
                first + (f" and {plural(more, 'case')} more" if more else "") + f": {reason}", 7)))
        if len(order) > _SHORT:
            lines.append(self._line(SKIP, f"and {plural(len(order) - _SHORT, 'reason')} more: -v shows them"))
        return lines

    # A line per point

    def _say_skips(self):
        skips, self._skips = self._skips, []
        if len(skips) <= _ALIKE:
            for result in skips:
                self._print(self._line(result.verdict, self._headline(result)))
            return
        first = skips[0]
        self._print(self._line(first.verdict, f"{first.target.section.name}@{first.target.machine.name}  "
                                     f"{len(skips)} points: {first.reason}"))

    @staticmethod
    def _headline(result):
        if result.verdict in (SKIP, KNOWN, FIXED, BLOCKED, FLAKY, MISSING, UNTRIED) and result.reason:
            bug = f" [{result.known.bug}]" if result.verdict == KNOWN and result.known.bug else ""
            return f"{result.target.id}  {result.reason}{bug}"
        if result.verdict == PASS and result.seconds >= 1:
            return f"{result.target.id}  {result.seconds:.1f} s"
        return result.target.id

    # How it is written

    def _logs(self):
        """Whether progress is told in lines."""
        return True

    @property
    def _width(self):
        """Columns of a line."""
        return math.inf             # of a log

    def _fit(self, text, used):
        """`text`, or as much of it as a line takes of which `used` columns are."""
        width = max(self._width - used, 20)
        return text if len(text) <= width else text[:width - 1] + "…"

    def _line(self, verdict, text):
        return f"{verdict:<5}  {text}"

    def _detail(self, word, text):
        return f"       {word:<8}  {text}"

    def _print(self, *lines):
        """All of `lines` at once: readers see a result whole."""
        if lines:
            self._stream.write("".join(line + "\n" for line in lines))
            self._stream.flush()


class RichConsole(Console):
    """The same on a terminal."""

    def __init__(self, *words, **more):
        super().__init__(*words, **more)
        self._progress = self._console = self._task = None
        self._bad, self._last = 0, ""

    def begin(self, targets):
        from rich.console import Console as Terminal
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
        from rich.progress import TimeElapsedColumn

        self._console = Terminal(file=self._stream, highlight=False, markup=False, emoji=False)
        # No thread of its own: the runner forks.
        self._progress = Progress(
            BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
            TextColumn("{task.description}", markup=False), console=self._console,
            auto_refresh=False, transient=True)
        self._task = self._progress.add_task("", total=len(targets))
        self._progress.start()

    def tick(self):
        self._progress.refresh()

    def absent(self, result):
        self._progress.update(self._task, advance=1)

    def result(self, result):
        if result.verdict in BAD:
            self._bad, self._last = self._bad + 1, result.target.id
        self._progress.update(self._task, advance=1,
                              description=f"{self._bad} bad, last {self._last}" if self._bad else "")
        super().result(result)

    def end(self, summary):
        self._progress.stop()
        super().end(summary)

    def _logs(self):
        return False

    @property
    def _width(self):
        return self._console.width

    def _line(self, verdict, text):
        from rich.text import Text

        return Text.assemble((f"{verdict:<5}", _STYLES.get(verdict.partition(" ")[0], "")), "  ", text)

    def _detail(self, word, text):
        from rich.text import Text

        style = {"observed": "red", "expected": "green", "reason": "magenta"}.get(word, "")
        return Text.assemble("       ", (f"{word:<8}", "dim"), "  ", (text, style))

    def _print(self, *lines):
        if lines:
            self._console.print(*lines, sep="\n", soft_wrap=True)


def _folded(head, words, width=100):
    """`head` and `words`, as lines of at most `width` columns; none for no words."""
    lines = []
    for word in words:
        if lines and len(lines[-1]) + 1 + len(word) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(f"{'' if lines else head + ' '}{word}")
    return lines


def _alike(result):
    """What the skips of one line have in common."""
    return result.verdict, result.target.section, result.target.machine, result.reason


def again(target):
    """The command that runs one target again."""
    return f"./run_tests.sh --machine {target.machine.name} {target.point_id}"
