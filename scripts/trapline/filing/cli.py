# SPDX-License-Identifier: BSD-2-Clause
"""The command `./trapline report RUN.json BUG-or-CASE -o DIR`."""

import os
import shutil
import sys

from .. import bugs, expectations, machines
from ..baseline import load
from ..machines.base import Tools
from . import choose, folder

SAID = f"""\
{{0}}/: {folder.TEXT} says what is wrong, {folder.ROM} and the command in it show it.
"""


def add(commands):
    """Add the command to the parser's `commands`."""
    command = commands.add_parser("report", help="a folder for the hypervisor's developers")
    command.add_argument("run", metavar="RUN.json")
    command.add_argument("what", metavar="BUG-or-CASE",
                         help="an id of bugs.toml, GUEST/CASE, or GUEST/CASE:ENVIRONMENT")
    command.add_argument("-o", "--output", required=True, metavar="DIR", help="a folder that is new or empty")
    command.add_argument("--machine", metavar="NAME", help="of several machines in the run, this one")
    command.add_argument("--qemu", metavar="PATH", help="QEMU to run it with (default: that of the run)")
    command.add_argument("--bochs", metavar="PATH", help="Bochs to run it with (default: that of the run)")


def main(options, root):
    """Run it; exit status 0, or 1 if what was packed did not fail again."""
    doc = load(options.run)
    build = os.path.join(root, "build")
    tools = Tools(cache=os.path.join(build, "cache"), build=build)
    catalogue = bugs.load(os.path.join(root, "bugs.toml"), tools.cache)
    entries = expectations.load(os.path.join(root, "expectations"), catalogue, machines.known, tools.cache)
    subject = choose.choose(doc, options.what, catalogue, options.machine)
    program = doc["machines"].get(subject.result["machine"], {}).get("program", {}).get("path", "")
    if program and shutil.which(program):
        if subject.result["machine"].startswith("bochs"):
            tools.bochs = program
        else:
            tools.qemu = program
    tools.qemu, tools.bochs = options.qemu or tools.qemu, options.bochs or tools.bochs
    again = folder.write(subject, doc, options.output, root, build, tools, catalogue, entries)
    sys.stdout.write(SAID.format(options.output))
    if again.why:
        sys.stdout.write(f"It was not run again: {again.why}.\n")
    elif again.observed != folder.seen(subject.result["verdict"], subject.result["observed"]):
        sys.stdout.write(f"It did NOT fail in the same way again: {again.observed or 'it passes'}.\n")
        return 1
    return 0
