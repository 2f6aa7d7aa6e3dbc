# SPDX-License-Identifier: BSD-2-Clause
"""Which machines --machine and --lab-params mean."""

import itertools
import sys

from . import known
from ..errors import UsageError


def choose(words, tools, lab_params=()):
    """The machines of `words` ("tcg,auto"; None is "auto"), each once.

    UsageError, with every reason, if one of them cannot be used here; what `auto` leaves out is said on stderr.
    """
    names = [n.strip() for n in ("auto" if words is None else words).split(",")]
    if lab_params:
        names = _variants(names, lab_params)
    if "auto" in names:
        for name, reason in known.left_out(tools).items():
            sys.stderr.write(f"run_tests.sh: {name} is left out: {reason}\n")
    chosen, reasons = {}, []
    for name in names:
        if name == "auto":
            chosen.update((m.name, m) for m in known.auto(tools))
            continue
        machine = known.create(name, tools)
        reason = machine.probe()
        if reason:
            reasons.append(f"machine '{machine.name}' cannot be used here: {reason}")
        chosen[machine.name] = machine
    if reasons:
        raise UsageError("; ".join(reasons))
    if not chosen:
        raise UsageError("no machine can run guests here: "
                         + "; ".join(f"{n}: {known.create(n, tools).probe()}" for n in known.names()))
    return list(chosen.values())


def _variants(names, words):
    """Machine names `names` with every combination of parameters added to those that take them."""
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
