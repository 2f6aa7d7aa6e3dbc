# SPDX-License-Identifier: BSD-2-Clause
"""Trapline as a pytest plugin: unittests.cfg is the collection root, targets are items.

pytest's own loop runs one item after the other; ours starts boots side by side and reports an
item when its line arrives. Everything else (reports, JUnit, exit status) is pytest's.
"""

import pytest

from .reports import details
from .verdicts import BAD, BLOCKED, FAIL, KNOWN, SKIP


class ConfigFile(pytest.File):
    """unittests.cfg."""

    plan = None

    def collect(self):
        guests = {}
        for target in self.plan.targets:
            guests.setdefault(target.section.name, []).append(target)
        for name, targets in guests.items():
            guest = Guest.from_parent(self, name=name)
            guest.targets = targets
            yield guest


class Guest(pytest.Collector):
    """One section."""

    targets = ()

    def collect(self):
        for target in self.targets:
            item = Point.from_parent(self, name=target.point.name, nodeid=target.id)
            item.target = target
            yield item


class Point(pytest.Item):
    """One point on one machine."""

    target = None

    def runtest(self):
        raise NotImplementedError("points run in pytest_runtestloop")

    def reportinfo(self):
        file, line = _place(self.target)
        return file, line, self.nodeid


def _place(target):
    """("x86/int3/int3.c", 119): lines from 0, as pytest counts them."""
    file, _, line = target.point.case.where.rpartition(":")
    return (file, int(line) - 1) if file and line.isdigit() else (target.image.elf, None)


class Plugin:
    """One run of `plan` (cli.Plan) by `loop` (loop.Loop)."""

    def __init__(self, plan, loop):
        self._plan = plan
        self._loop = loop
        self._items = {}
        self.internal = None        # text of an internal error

    def pytest_collect_file(self, file_path, parent):
        if str(file_path) == self._plan.config_path:
            collector = ConfigFile.from_parent(parent, path=file_path)
            collector.plan = self._plan
            return collector
        return None

    def pytest_exception_interact(self, call):
        """While it collects, pytest takes an interruption for an error of the collector."""
        if isinstance(call.excinfo.value, KeyboardInterrupt):
            raise call.excinfo.value

    def pytest_runtestloop(self, session):
        self._items = {item.target: item for item in session.items}
        assert len(self._items) == len(self._plan.targets)
        self._loop.on_result = lambda result: self._result(session, result)
        self._loop.run()
        _machines_in_junit(session.config, self._loop.summary)
        return True

    def pytest_keyboard_interrupt(self, excinfo):
        if isinstance(excinfo.value, KeyboardInterrupt):
            self._loop.stopped = excinfo.value  # before or after the loop

    def pytest_internalerror(self, excrepr):
        self.internal = str(excrepr)

    def pytest_collectreport(self, report):
        if report.failed and self.internal is None:
            self.internal = str(report.longrepr)

    def _result(self, session, result):
        item = self._items[result.target]
        hook = session.config.hook
        file, line = _place(result.target)
        location = (file, line, item.nodeid)
        if session.config.pluginmanager.hasplugin("junitxml"):
            _name_in_junit(session.config, result.target)
        hook.pytest_runtest_logstart(nodeid=item.nodeid, location=location)
        for when in ("call", "teardown"):
            hook.pytest_runtest_logreport(report=_report(item, location, result, when))
        hook.pytest_runtest_logfinish(nodeid=item.nodeid, location=location)


def _report(item, location, result, when):
    outcome, longrepr, properties = "passed", None, []
    if when == "call":
        story = "\n".join(f"{word:<9} {text}" for word, text in details(result))
        if result.verdict in BAD:
            outcome = "failed"
            said = {FAIL: result.observed and f"observed {result.observed}, "
                                              f"expected {result.expected}"}.get(result.verdict, f"{result.verdict}: {result.reason}")
            longrepr = (said + "\n" if said else "") + story
        elif result.verdict in (SKIP, KNOWN, BLOCKED):
            outcome = "skipped"
            longrepr = (location[0], location[1], result.reason)
        properties = [("verdict", result.verdict)] + details(result)
    report = pytest.TestReport(
        nodeid=item.nodeid, location=location, keywords={item.nodeid: 1}, outcome=outcome,
        longrepr=longrepr, when=when, duration=result.seconds if when == "call" else 0.0,
        user_properties=properties)
    if when == "call" and result.verdict == KNOWN:
        report.wasxfail = result.reason
    return report


def _junit(config):
    """pytest's JUnit report, or None; another pytest's own names will do."""
    try:
        from _pytest.junitxml import xml_key

        return config.stash.get(xml_key, None)
    except (ImportError, AttributeError):
        return None


def _machines_in_junit(config, summary):
    """Properties of the test suite: what each machine lacks, and what was cut short there."""
    xml = _junit(config)
    if xml is not None:
        for machine in dict.fromkeys(r.target.machine.name for r in summary.absent):
            xml.add_global_property(f"{machine} has no", ", ".join(summary.lacks(machine)))
        for machine, sentences in summary.given_up.items():
            xml.add_global_property(f"{machine} was cut short", "; ".join(sentences))


def _name_in_junit(config, target):
    """JUnit's names from ours: class "int3@tcg", name "cold_stack:cpl0"."""
    xml = _junit(config)
    if xml is not None:
        reporter = xml.node_reporter(target.id)
        reporter.add_attribute("classname", f"{target.section.name}@{target.machine.name}")
        reporter.add_attribute("name", target.point.name)


# Built-in plugins that have nothing to do here; each costs a little at start.
_UNUSED = ("cacheprovider", "debugging", "doctest", "faulthandler", "legacypath", "logging",
           "monkeypatch", "nose", "pastebin", "recwarn", "setuponly", "setupplan", "skipping",
           "stepwise", "threadexception", "tmpdir", "unittest", "unraisableexception", "warnings",
           "capture")


def run(plan, loop, junitxml):
    """Run `loop` of `plan`; pytest's exit status, and the text of an internal error or None."""
    plugin = Plugin(plan, loop)
    args = ["-c", "/dev/null", "--rootdir", plan.root, "-p", "no:terminal", "-o",
            "junit_family=xunit2", "-o", "junit_suite_name=trapline"]
    for unused in _UNUSED:
        args += ["-p", f"no:{unused}"]
    if junitxml:
        args.append(f"--junitxml={junitxml}")
    else:
        args += ["-p", "no:junitxml"]
    args.append(plan.config_path)
    status = int(pytest.main(args, plugins=[plugin]))
    if status == pytest.ExitCode.NO_TESTS_COLLECTED and not plan.targets:
        status = 0                  # the machines lack what all of it is about
    return status, plugin.internal
