# SPDX-License-Identifier: BSD-2-Clause
"""The command `./trapline looks-like RUN.json`."""

import os
import sys

from ..baseline import load
from . import namer, say


def add(commands):
    """Add the command to the parser's `commands`."""
    command = commands.add_parser("looks-like", help="which bugs the failures of a run look like")
    command.add_argument("run", metavar="RUN.json")


def main(options, root):
    """Run it; exit status 0."""
    doc = load(options.run)
    names = namer.of_tree(root, os.path.join(root, "build", "cache"))
    found = names.name(doc["results"])
    for machine, namings in found.items():
        failing = len({f"{r['case']}" for r in doc["results"]
                       if r["machine"] == machine and r["verdict"] in ("fail", "crash", "flaky")})
        sys.stdout.write(f"{machine}: {failing} case{'s' * (failing != 1)} fail{'s' * (failing == 1)} that no "
                         "expectation knows\n")
        for line in say.lines(namings, names.catalogue, most=10 ** 6):
            sys.stdout.write(f"  {line}\n")
    if not found:
        sys.stdout.write("nothing fails in this run that no expectation knows\n")
    return 0
