# SPDX-License-Identifier: BSD-2-Clause
"""Results for people: a line each as they come, the story behind what went wrong, a summary.

Colours and a progress bar on a terminal; plain lines everywhere else.
"""

import os
import sys

from ..verdicts import BAD, BLOCKED, FIXED, FLAKY, KNOWN, MISSING, PASS, SKIP
from . import details, tally

_STYLES = {"pass": "green", "fail": "bold red", "crash": "bold magenta", "skip": "yellow",
           "known": "cyan", "fixed": "bold cyan", "flaky": "bold yellow", "missing": "bold red",
           "blocked": "dim"}
_SHOWN = 10             # bad results repeated at the end
_ALIKE = 3              # so many skips of a guest in a row, for one reason, have a line each


def wants_rich(stream):
    """Whether `stream` is a terminal that may get colours."""
    return not os.environ.get("TRAPLINE_PLAIN") and stream.isatty() and os.environ.get("TERM", "dumb") != "dumb" \
        and "NO_COLOR" not in os.environ


def nameless(_machine, _bad, _results):
    """The `naming` of a console that nobody gave one."""
    return []


class Console:
    """Writes to stdout. `verbosity`: -1 only what is bad, 0, 1 with traces of what is good.

    `naming(machine, bad, results)` says which bugs the failures look like that nobody expected: it is
    called at the end, for each machine that has some, with the Results that are bad and all Results
    of that machine, and returns the lines to print, each at most some 100 columns wide, without
    a line end. An empty list prints nothing.
    """

    def __init__(self, machines, verbosity=0, stream=None, naming=nameless):
        self._machines = machines
        self._naming = naming
        self._verbosity = verbosity
        self._stream = stream or sys.stdout
        self._skips = []        # the last results, if they are skips of one guest for one reason

    def begin(self, total):
        pass

    def tick(self):
        pass

    def result(self, result):
        """Print the line of one result and, where it is bad, what explains it."""
        if self._verbosity < 0 and result.verdict not in (*BAD, FIXED):
            return
        if self._skips and _alike(self._skips[0]) != _alike(result):
            self._say_skips()
        if result.verdict == SKIP and self._verbosity == 0:
            self._skips.append(result)
            return
        lines = [self._line(result.verdict, self._headline(result))]
        if result.verdict in BAD or self._verbosity > 0:
            lines += [self._detail(word, text) for word, text in details(result)
                      if not (word == "reason" and result.verdict not in BAD)]
        self._print(*lines)

    def end(self, summary):
        """Print what each machine came to and how to run the bad ones again."""
        self._say_skips()
        self._print("")
        for machine in self._machines:
            results = [r for r in summary.results if r.target.machine is machine]
            seconds = summary.machine_seconds.get(machine.name)
            time = f" in {seconds:.2f} s" if seconds is not None else ""
            points = f"{len(results)} point{'s' * (len(results) != 1)}"
            self._print(f"{machine.name}: {points}{time}: {tally(results) or 'none'}"
                        f"  [{machine.version()}]")
            bad = [r for r in results if r.verdict in BAD]
            for line in self._naming(machine, bad, results) if bad else ():
                self._print(f"  {line}")
            for sentence in summary.given_up.get(machine.name, ()):
                self._print(f"  cut short: {sentence}")
            if summary.unnamed and machine.usual:
                self._print(f"  not all, for no guest was named: {machine.usual_reason}")
        bad = [r.target for r in summary.results if r.verdict in BAD and not r.target.missing]
        for target in bad[:_SHOWN]:
            self._print(f"  again: {again(target)}")
        if len(bad) > _SHOWN:
            self._print(f"  and {len(bad) - _SHOWN} more")
        if summary.interrupted:
            self._print(f"interrupted: {len(summary.results)} of {summary.total} points have "
                        "a result")

    def _say_skips(self):
        skips, self._skips = self._skips, []
        if len(skips) <= _ALIKE:
            for result in skips:
                self._print(self._line(SKIP, self._headline(result)))
            return
        first = skips[0]
        self._print(self._line(SKIP, f"{first.target.section.name}@{first.target.machine.name}  "
                                     f"{len(skips)} points: {first.reason}"))

    @staticmethod
    def _headline(result):
        if result.verdict in (SKIP, KNOWN, FIXED, BLOCKED, FLAKY, MISSING) and result.reason:
            bug = f" [{result.known.bug}]" if result.verdict == KNOWN and result.known.bug else ""
            return f"{result.target.id}  {result.reason}{bug}"
        if result.verdict == PASS and result.seconds >= 1:
            return f"{result.target.id}  {result.seconds:.1f} s"
        return result.target.id

    def _line(self, verdict, text):
        return f"{verdict:<5}  {text}"

    def _detail(self, word, text):
        return f"       {word:<8}  {text}"

    def _print(self, *lines):
        """All of `lines` at once: readers see a result whole."""
        self._stream.write("".join(line + "\n" for line in lines))
        self._stream.flush()


class RichConsole(Console):
    """The same on a terminal."""

    def __init__(self, machines, verbosity=0, stream=None, naming=nameless):
        super().__init__(machines, verbosity, stream, naming)
        self._progress = self._console = self._task = None
        self._bad = 0

    def begin(self, total):
        from rich.console import Console as Terminal
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
        from rich.progress import TimeElapsedColumn

        self._console = Terminal(file=self._stream, highlight=False, markup=False, emoji=False)
        # No thread of its own: the runner forks.
        self._progress = Progress(
            BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
            TextColumn("{task.description}", markup=False), console=self._console,
            auto_refresh=False, transient=True)
        self._task = self._progress.add_task("", total=total)
        self._progress.start()

    def tick(self):
        self._progress.refresh()

    def result(self, result):
        self._bad += result.verdict in BAD
        self._progress.update(self._task, advance=1,
                              description=f"{self._bad} bad" if self._bad else "")
        super().result(result)

    def end(self, summary):
        self._progress.stop()
        super().end(summary)

    def _line(self, verdict, text):
        from rich.text import Text

        return Text.assemble((f"{verdict:<5}", _STYLES[verdict]), "  ", text)

    def _detail(self, word, text):
        from rich.text import Text

        style = {"observed": "red", "expected": "green", "reason": "magenta"}.get(word, "")
        return Text.assemble("       ", (f"{word:<8}", "dim"), "  ", (text, style))

    def _print(self, *lines):
        self._console.print(*lines, sep="\n", soft_wrap=True)


def _alike(result):
    """What the skips of one line have in common."""
    return result.verdict, result.target.section, result.target.machine, result.reason


def again(target):
    """The command that runs one target again."""
    return f"./run_tests.sh --machine {target.machine.name} {target.point_id}"
