# SPDX-License-Identifier: BSD-2-Clause
"""The command line, and what it comes to: 0 as expected, 1 something failed, 2 usage or set-up.

Whatever is the user's to mend ends in one sentence on stderr, before anything has been booted.
"""

import os
import signal
import sys
from dataclasses import dataclass, field

from . import bugs as bugs_
from . import config, expectations, guests, select, show, witness
from .errors import UsageError, unknown
from .machines import known
from .machines.base import Tools
from .machines.choice import choose
from .naming.namer import Namer
from .options import parse
from .reports import formats


@dataclass
class Plan:
    """Everything a run needs, checked."""

    root: str
    config_path: str
    targets: list
    absent: list                # (Target, what its machine lacks altogether for it)
    machines: list
    slots: int
    timeout: float | None
    expectations: list
    baseline: object = None     # baseline.Baseline
    repeat: int = 1
    everything: bool = False    # nothing is cut short, whatever hangs
    parts: dict = field(default_factory=dict)   # of scheduler.Scheduler
    unnamed: bool = False       # each machine ran what it runs if none is named
    namer: object = None        # naming.namer.Namer


def main(argv):
    """Run the command; its exit status."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")   # whatever the locale can say
    try:
        return _main(argv)
    except UsageError as error:
        return _complain(error, argv)
    except BrokenPipeError:
        # Whoever read our output has gone (`| head`); die as any filter does.
        _die(signal.SIGPIPE)
    except KeyboardInterrupt as stop:
        _die(stop.args[0] if stop.args else signal.SIGINT)
    except Exception as error:      # pylint: disable=broad-except
        if os.environ.get("TRAPLINE_DEBUG"):
            raise
        return _complain(f"internal error: {type(error).__name__}: {error} "
                         "(TRAPLINE_DEBUG=1 shows where)", argv)
    return 2


def _complain(sentence, argv):
    sys.stderr.write(f"run_tests.sh: {sentence}\n")
    # To git bisect run, 2 would mean "bad".
    return 125 if any(word.partition("=")[0] == "--bisect" for word in argv) else 2


def _die(number):
    """End by signal `number`, so that a shell, make or git bisect sees what happened."""
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def _terminated(number, _frame):
    raise KeyboardInterrupt(number)


def _main(argv):
    options = parse(argv)
    here = os.path.dirname(os.path.abspath(__file__))
    root = os.path.abspath(options.root or os.path.join(here, "..", ".."))
    build = options.build or os.path.join(root, "build")
    tools = _tools(options, root, build)
    if options.machine == "list":
        show.machines(tools)
        return 0
    bugs = bugs_.load(_shown(options.bugs or os.path.join(root, "bugs.toml")), tools.cache)
    entries = expectations.load(
        _shown(options.expectations or os.path.join(root, "expectations")), bugs, known, tools.cache)
    config_path = os.path.abspath(options.config or os.path.join(root, "unittests.cfg"))
    all_sections = config.load(_shown(config_path))

    def load(chosen):
        return {name: guests.load(build, name, tools.cache) for name in dict.fromkeys(
            s.file for s in chosen)}

    if options.bisect is not None:
        if options.baseline or options.save_baseline:
            raise UsageError("--bisect and a baseline do not go together")
        from . import bisect
        options.guests += bisect.words(options.bisect, all_sections, load)
        options.strict = True
    chosen = select.sections(all_sections, options.guests, options.group)
    images = load(chosen)
    slots = options.jobs or len(os.sched_getaffinity(0))
    if options.explain:
        show.explain(chosen, images, options.explain, bugs, root, witness.remark)
        return 0
    if options.prove:
        from . import prove

        _check_writable(options.json, options.html)
        return prove.main(chosen, images, tools, slots, bugs, entries, root, options.json,
                          options.html, options.quick, bool(options.guests or options.group))
    machines = choose(options.machine, tools, options.lab_params)
    before = _baseline(options, machines)
    gone = before and (lambda every: before.gone(every, chosen, machines,
                                                 not options.guests and not options.group))
    targets = select.targets(chosen, images, machines, options.guests, options.expression, gone)
    if options.list:
        show.points(targets, options.verbose)
        return 0
    _check_plain(options)
    _check_writable(options.junitxml, options.save_baseline, *(getattr(options, f.option) for f in formats.FORMATS))
    targets, absent = _split(targets, before)
    plan = Plan(root, config_path, targets, absent, machines, slots, options.timeout,
                [] if options.strict else entries, before, options.repeat, options.all,
                {bug.id: bug.part for bug in bugs.values() if bug.part},
                not options.guests and options.expression is None,
                Namer(root, all_sections, list(entries), bugs))
    plan.expectations += before.entries() if before else []
    return _run(plan, options, bugs)


def _split(targets, before):
    """`targets` that may have a result, and (Target, what it lacks) of those whose machine lacks something
    altogether. One that had a verdict in the baseline `before` has one now: it is missing."""
    can, absent = [], []
    for target in targets:
        what = None if target.missing else select.lacking(target)
        if what and before:
            target.missing = before.missed(target, what)
        if what and not target.missing:
            absent.append((target, what))
        else:
            can.append(target)
    return can, absent


def _tools(options, root, build):
    settings = _config_mak(os.path.join(root, "config.mak"))
    return Tools(options.qemu or settings.get("QEMU") or Tools.qemu,
                 options.bochs or settings.get("BOCHS") or Tools.bochs,
                 os.path.join(build, "cache"), build, _model_bugs(options.bug),
                 qemu_is_default=not options.qemu)


def _run(plan, options, bugs):
    from . import loop
    from .reports.console import Console, RichConsole, wants_rich

    reports = []
    if options.ktap:
        from .reports.ktap import Ktap
        reports.append(Ktap())
    else:
        class_ = RichConsole if wants_rich(sys.stdout) else Console
        reports.append(class_(plan.machines, options.verbose - options.quiet,
                              entries=plan.expectations, catalogue=bugs, naming=plan.namer.lines))
    told = formats.Told(plan.machines, bugs, plan.namer)
    reports += formats.wanted(options, told)
    if options.save_baseline:
        from .reports.json import Json
        reports.append(Json(options.save_baseline, told))
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(number, _terminated)
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    os.environ.pop("PYTEST_ADDOPTS", None)
    os.environ.pop("PYTEST_PLUGINS", None)
    run, internal = loop.Loop(plan, reports), None
    try:
        run.begin()
        if os.environ.get("TRAPLINE_PLAIN") or not (plan.targets or options.junitxml):
            status = loop.plain(run)
        else:
            from . import plugin        # which is long in coming: boots need not wait for it
            status, internal = plugin.run(plan, run, options.junitxml)
    finally:
        run.close()
    for error in (run.stopped, run.error):
        if error is not None:
            raise error
    if internal is not None:
        if os.environ.get("TRAPLINE_DEBUG"):
            sys.stderr.write(internal + "\n")
        last = internal.strip().splitlines()[-1].removeprefix("E").strip()
        raise UsageError(f"internal error: {last} (TRAPLINE_DEBUG=1 shows where)")
    if options.bisect is not None:
        from . import bisect
        status, sentence = bisect.status(run.summary.results + run.summary.absent, run.summary.interrupted)
        sys.stderr.write(f"bisect: {sentence}\n")
        return status
    return status if status in (0, 1) else 2


def _baseline(options, machines):
    """The Baseline asked for, or None. UsageError if it has nothing to say of this run."""
    if not options.baseline:
        if options.tolerance:
            raise UsageError("--tolerance is for --baseline, which is not given")
        return None
    from .baseline import TOLERANCE, Baseline

    found = Baseline(options.baseline, options.tolerance or TOLERANCE)
    lacking = [n for n in found.machines() if n not in [m.name for m in machines]]
    if lacking and options.machine in (None, "auto") or len(lacking) == len(found.machines()):
        raise UsageError(f"{options.baseline} is of {', '.join(found.machines())}, and this run of "
                         f"{', '.join(m.name for m in machines)}; choose with --machine")
    return found


def _model_bugs(words):
    """Ids of `words` ("a,b"), each a switch of the model."""
    from .machines.model import switches

    found = tuple(id_ for word in words for id_ in word.split(","))
    for id_ in found:
        if id_ not in switches():
            raise unknown("bug", id_, switches())
    return found


def _shown(path):
    """`path` as it is shortest to read."""
    relative = os.path.relpath(path)
    return relative if len(relative) < len(path) else path


def _config_mak(path):
    """NAME=value lines of config.mak; {} without it."""
    settings = {}
    try:
        with open(path, encoding="utf-8") as file:
            for line in file:
                name, equals, value = line.strip().partition("=")
                if equals and not name.startswith("#"):
                    settings[name.strip(" :?")] = value.strip()
    except OSError:
        pass
    return settings


def _check_plain(options):
    if not os.environ.get("TRAPLINE_PLAIN"):
        return
    needs = [("--junitxml", options.junitxml, "pytest")]
    needs += [(f"--{f.option}", getattr(options, f.option), f.package) for f in formats.FORMATS if f.package]
    for option, path, package in needs:
        if path:
            raise UsageError(f"{option} needs Python's {package}, which the bundle does "
                             "without; make it from the JSON, elsewhere")


def _check_writable(*paths):
    for path in paths:
        if path is None:
            continue
        directory = os.path.dirname(os.path.abspath(path))
        if os.path.isdir(path):
            raise UsageError(f"{path}: is a directory")
        if not os.path.isdir(directory):
            raise UsageError(f"{path}: there is no directory {directory}")
        if not os.access(path if os.path.exists(path) else directory, os.W_OK):
            raise UsageError(f"{path}: cannot be written")
