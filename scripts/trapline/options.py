# SPDX-License-Identifier: BSD-2-Clause
"""The options of the command line."""

import argparse

from .errors import UsageError, nearest
from .reports.formats import FORMATS

_EPILOG = """\
GUEST is a section of unittests.cfg, or one of its cases: int3, int3/cold_stack,
int3/cold_stack:cpl0. EXPR is pytest's: parts of an id with and, or, not and brackets.
Exit status: 0 all as expected, 1 something failed or crashed, 2 usage or set-up. With --bisect:
0 good, 1 bad, 125 cannot tell, whatever the reason.
"""


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
        help="cut a guest off after S seconds without a result, and try every point")
    add("--all", action="store_true",
        help="try every point with all patience, however much hangs or dies")
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
    for format_ in FORMATS:
        add(f"--{format_.option}", metavar="F", help=format_.help)
    add("--qemu", metavar="PATH", help="QEMU to use")
    add("--bochs", metavar="PATH", help="Bochs to use")
    add("--bug", action="append", default=[], metavar="ID",
        help="a bug that the model hypervisor is to have")
    add("--prove", action="store_true",
        help="give the model every bug it can have, and see that the cases catch them")
    add("--quick", action="store_true", help="with --prove: try a bug only on what claims it")
    add("-v", "--verbose", action="count", default=0,
        help="a line for each point as it comes; -vv shows traces of what passes, too")
    add("-q", "--quiet", action="store_true", help="show only what is bad, and all of it")
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
