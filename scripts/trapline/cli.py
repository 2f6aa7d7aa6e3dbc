# SPDX-License-Identifier: BSD-2-Clause
"""The command line, and what it comes to: 0 as expected, 1 something failed, 2 usage or set-up.

Whatever is the user's to mend ends in one sentence on stderr, before anything has been booted.
"""

import argparse
import os
import signal
import sys
from dataclasses import dataclass

from . import bugs as bugs_
from . import config, expectations, guests, select
from .errors import UsageError, nearest, unknown
from .machines import known
from .machines.base import Tools

_EPILOG = """\
GUEST is a section of unittests.cfg, or one of its cases: int3, int3/cold_stack,
int3/cold_stack:cpl0. EXPR is pytest's: parts of an id with and, or, not and brackets.
Exit status: 0 all as expected, 1 something failed or crashed, 2 usage or set-up. With --bisect:
0 good, 1 bad, 125 cannot tell, whatever the reason.
"""


@dataclass
class Plan:
    """Everything a run needs, checked."""

    root: str
    config_path: str
    targets: list
    machines: list
    slots: int
    timeout: float | None
    expectations: list
    baseline: object = None     # baseline.Baseline
    repeat: int = 1
    unnamed: bool = False       # each machine ran what it runs if none is named


class _Parser(argparse.ArgumentParser):
    """argparse with one sentence per error."""

    def error(self, message):
        raise UsageError(message)


def _number(word, valid, what):
    def convert(text):
        try:
            value = word(text)
            if not valid(value):
                raise ValueError
        except ValueError:
            raise UsageError(f"{what} '{text}' is not {valid.__doc__}") from None
        return value
    return convert


def _positive(value):
    """a number above zero"""
    return 0 < value <= 86400


def parser():
    """The parser of every option."""
    p = _Parser(prog="run_tests.sh", allow_abbrev=False, epilog=_EPILOG,
                formatter_class=argparse.RawDescriptionHelpFormatter,
                description="Judge how a hypervisor delivers events.")
    add = p.add_argument
    add("guests", nargs="*", metavar="GUEST", help="what to run (default: everything)")
    add("-k", dest="expression", metavar="EXPR", help="only points whose id matches")
    add("-g", "--group", action="append", default=[], metavar="GROUP",
        help="only guests of this group")
    add("-j", "--jobs", type=_number(int, _positive, "-j"), metavar="N",
        help="boots at the same time (default: one per CPU)")
    add("--machine", default=None, metavar="NAME[,NAME]",
        help="where to run (default auto); 'list' shows what there is")
    add("--lab-params", nargs="+", default=[], metavar="P=V[,V]",
        help="run the lab's machines with every combination of these KVM module parameters")
    add("--list", action="store_true", help="show the ids of the points, with -v their rules")
    add("--explain", metavar="CASE", help="show what a case checks and why")
    add("--timeout", type=_number(float, _positive, "--timeout"), metavar="S",
        help="cut a guest off after S seconds without a result")
    add("--strict", action="store_true", help="ignore expectations/")
    add("--bisect", metavar="CASE[,CASE]",
        help="for git bisect run: exit status 0 good, 1 bad, 125 cannot tell")
    add("--repeat", type=_number(int, _positive, "--repeat"), default=1, metavar="N",
        help="run everything N times; a point whose runs differ is flaky")
    add("--baseline", metavar="F", help="fail only on what is worse than in this JSON report")
    add("--save-baseline", metavar="F", help="write the report that --baseline takes")
    add("--tolerance", type=_number(float, _positive, "--tolerance"), metavar="PERCENT",
        help="how much more than in the baseline a measured median may be (default 25)")
    add("--ktap", action="store_true", help="print KTAP and nothing else")
    add("--junitxml", metavar="F", help="write a JUnit report")
    add("--json", metavar="F", help="write everything as JSON")
    add("--html", metavar="F", help="write a page to look at: cases and machines, traces drawn")
    add("--qemu", metavar="PATH", help="QEMU to use")
    add("--bochs", metavar="PATH", help="Bochs to use")
    add("--bug", action="append", default=[], metavar="ID",
        help="a bug that the model hypervisor is to have")
    add("--prove", action="store_true",
        help="give the model every bug it can have, and see that the cases catch them")
    add("--quick", action="store_true", help="with --prove: try a bug only on what claims it")
    add("-v", "--verbose", action="store_true", help="show traces of what passes, too")
    add("-q", "--quiet", action="store_true", help="show only what is bad")
    # For the runner's own tests, and for guests of other trees.
    for option in ("--root", "--config", "--build", "--expectations", "--bugs"):
        add(option, help=argparse.SUPPRESS)
    return p


def parse(argv):
    """Options of `argv`. UsageError names the nearest option of a mistyped one."""
    p = parser()
    options, rest = p.parse_known_intermixed_args(argv)
    for word in rest:
        names = [n for n in p._option_string_actions if n.startswith("--")]
        names = [n for n in names if p._option_string_actions[n].help != argparse.SUPPRESS]
        raise UsageError(f"unknown option '{word}'{nearest(word.partition('=')[0], names)}")
    # argparse gives the option all words that follow it.
    options.guests += [w for w in options.lab_params if "=" not in w]
    options.lab_params = [w for w in options.lab_params if "=" in w]
    for word in options.guests:
        if word.startswith("-"):
            raise UsageError(f"unknown option '{word}'")
    return options


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
    cache = os.path.join(build, "cache")
    settings = _config_mak(os.path.join(root, "config.mak"))
    tools = Tools(options.qemu or settings.get("QEMU") or Tools.qemu,
                  options.bochs or settings.get("BOCHS") or Tools.bochs, cache, build,
                  _model_bugs(options.bug), qemu_is_default=not options.qemu)
    config_path = os.path.abspath(options.config or os.path.join(root, "unittests.cfg"))

    if options.machine == "list":
        _list_machines(tools)
        return 0
    bugs = bugs_.load(_shown(options.bugs or os.path.join(root, "bugs.toml")), cache)
    entries = expectations.load(
        _shown(options.expectations or os.path.join(root, "expectations")), bugs, known, cache)
    all_sections = config.load(_shown(config_path))

    def load(chosen):
        return {name: guests.load(build, name, cache) for name in dict.fromkeys(
            s.file for s in chosen)}

    if options.bisect is not None:
        if options.baseline or options.save_baseline:
            raise UsageError("--bisect and a baseline do not go together")
        from . import bisect
        options.guests += bisect.words(options.bisect, all_sections, load)
        options.strict = True
    chosen = select.sections(all_sections, options.guests, options.group)
    images = load(chosen)
    if options.explain:
        _explain(chosen, images, options.explain, bugs, root)
        return 0
    if options.prove:
        from . import prove

        for path in (options.json, options.html):
            _check_writable(path)
        return prove.main(chosen, images, tools, options.jobs or len(os.sched_getaffinity(0)),
                          bugs, entries, root, options.json, options.html, options.quick,
                          bool(options.guests or options.group))
    machines = _machines(options.machine, tools, options.lab_params)
    before = _baseline(options, machines)
    gone = before and (lambda every: before.gone(every, chosen, machines,
                                                 not options.guests and not options.group))
    targets = select.targets(chosen, images, machines, options.guests, options.expression, gone)
    if options.list:
        _list(targets, options.verbose)
        return 0
    if os.environ.get("TRAPLINE_PLAIN"):
        for option, path, package in (("--junitxml", options.junitxml, "pytest"),
                                      ("--html", options.html, "jinja2")):
            if path:
                raise UsageError(f"{option} needs Python's {package}, which the bundle does "
                                 "without; make it from the JSON, elsewhere")
    for path in (options.json, options.html, options.junitxml, options.save_baseline):
        _check_writable(path)
    plan = Plan(root, config_path, targets, machines,
                options.jobs or len(os.sched_getaffinity(0)),
                options.timeout, [] if options.strict else entries, before, options.repeat,
                not options.guests and options.expression is None)
    plan.expectations += before.entries() if before else []
    return _run(plan, options, bugs)


def _run(plan, options, bugs):
    from . import loop
    from .reports.console import Console, RichConsole, wants_rich

    reports = []
    if options.ktap:
        from .reports.ktap import Ktap
        reports.append(Ktap())
    else:
        class_ = RichConsole if wants_rich(sys.stdout) else Console
        reports.append(class_(plan.machines, options.verbose - options.quiet))
    for path in (options.json, options.save_baseline):
        if path:
            from .reports.json import Json
            reports.append(Json(path, plan.machines))
    if options.html:
        from .reports.html import Html
        reports.append(Html(options.html, plan.machines, bugs))
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(number, _terminated)
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    os.environ.pop("PYTEST_ADDOPTS", None)
    os.environ.pop("PYTEST_PLUGINS", None)
    run, internal = loop.Loop(plan, reports), None
    try:
        run.begin()
        if os.environ.get("TRAPLINE_PLAIN"):
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
        status, sentence = bisect.status(run.summary.results, run.summary.interrupted)
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


def _variants(names, words):
    """Machine names `names` with every combination of parameters added to those that take them."""
    import itertools

    parameters = []
    for word in words:
        name, _, values = word.partition("=")
        parameters.append([f"{name}={value}" for value in values.split(",")])
    found = []
    for name in names:
        if known.takes_variants(name):
            found += ["+".join([name, *choice]) for choice in itertools.product(*parameters)]
        else:
            found.append(name)
    if found == names:
        raise UsageError("--lab-params is for the machines of the lab, and none is asked for")
    return found


def _machines(names, tools, lab_params=()):
    if lab_params:
        names = ",".join(_variants([n.strip() for n in (names or "auto").split(",")], lab_params))
    names = [n.strip() for n in ("auto" if names is None else names).split(",")]
    if "auto" in names:
        for name, reason in known.left_out(tools).items():
            sys.stderr.write(f"run_tests.sh: {name} is left out: {reason}\n")
    if names == ["auto"]:
        machines = known.auto(tools)
        if not machines:
            raise UsageError("no machine can run guests here: "
                             + "; ".join(f"{n}: {known.create(n, tools).probe()}"
                                         for n in known.names()))
        return machines
    machines, reasons = {}, []
    for name in names:
        if name == "auto":
            for machine in known.auto(tools):
                machines[machine.name] = machine
            continue
        machine = known.create(name, tools)
        reason = machine.probe()
        if reason:
            reasons.append(f"machine '{machine.name}' cannot be used here: {reason}")
        machines[machine.name] = machine
    if reasons:
        raise UsageError("; ".join(reasons))
    return list(machines.values())


def _list_machines(tools):
    auto = [m.name for m in known.auto(tools)]
    rows = []
    for name in known.names():
        machine = known.create(name, tools)
        reason = machine.probe()
        state = f"no: {reason}" if reason else "auto" if name in auto else "yes"
        rows.append((name, state, machine.what, "" if reason else machine.version()))
    head = ("machine", "usable", "what it is", "version")
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(4)]
    for row in [head, *rows]:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())


def _list(targets, verbose):
    shown = {t.point_id: t.point.case.rule for t in targets}
    width = max(map(len, shown))
    for name, rule in shown.items():
        print(f"{name:<{width}}  {rule}" if verbose else name)


def _explain(chosen, images, word, bugs, root):
    import textwrap

    for i, (section, case) in enumerate(select.explained(chosen, images, word)):
        if i:
            print()
        name = f"{section.name}/{case.name}"
        print(name)
        rows = [("rule", case.rule), ("environments", " ".join(case.environments)),
                ("needs", " ".join(case.needs)), ("where", case.where)]
        for label, text in rows:
            if text:
                print(f"  {label:<13} {text}")
        for id_ in case.catches:
            bug = bugs.get(id_)
            print(f"  {'catches':<13} {id_}" + (f": {bug.title}" if bug else ""))
            for label, text in (("trigger", bug.trigger), ("right", bug.right),
                                ("buggy", bug.buggy), ("versions", bug.versions),
                                ("link", bug.link)) if bug else ():
                if text:
                    print(textwrap.fill(text, 92, initial_indent=f"{'':16}{label:<9} ",
                                        subsequent_indent=" " * 26, break_long_words=False,
                                        break_on_hyphens=False))
        print(f"  {'run it':<13} ./run_tests.sh {name}")
        lines = guests.prose(case.where, root)
        if lines:
            print(f"\n  From {case.where.rpartition(':')[0]}:\n")
            for line in lines:
                print(f"  {line}".rstrip())


def _check_writable(path):
    if path is None:
        return
    directory = os.path.dirname(os.path.abspath(path))
    if os.path.isdir(path):
        raise UsageError(f"{path}: is a directory")
    if not os.path.isdir(directory):
        raise UsageError(f"{path}: there is no directory {directory}")
    if not os.access(path if os.path.exists(path) else directory, os.W_OK):
        raise UsageError(f"{path}: cannot be written")
