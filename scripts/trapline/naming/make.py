# SPDX-License-Identifier: BSD-2-Clause
"""Makes signatures.json: every bug of the model against every point that meets it.

    scripts/signatures [-o FILE] [--inside MACHINE] [--qemu PATH] [-j N] [--bug ID[,ID]] [GUEST ...]

The whole of it takes some minutes; docs/naming.md says how many. With --bug or guests, what FILE already says of other
bugs, or of other guests, stays.
"""

import argparse
import os
import sys

from .. import config, expectations, guests, machines, select
from .. import bugs as bugs_
from ..errors import UsageError, unknown
from ..machines.base import Tools
from ..machines.model import Model, switches
from ..prove.run import Proof, class_of
from ..reports import files
from . import signatures

# Both in seconds, and longer than in a proof: what is left out here is unknown to every run that is named.
SLOW = 0.5
LEAST_TIMEOUT = 6.0


def make(root, tools, sections, images, ids, slots, inside=None, progress=lambda *_: None):
    """(signatures by bug, what they were made on) for the bugs `ids`, tried on `sections`."""
    bugs = bugs_.load(os.path.join(root, "bugs.toml"), tools.cache)
    entries = expectations.load(os.path.join(root, "expectations"), bugs, machines.known, tools.cache)
    proof = Proof(sections, images, tools, slots, entries, progress, inside, SLOW, LEAST_TIMEOUT)
    known, results = proof.signatures(ids)
    on = Model(tools, inside(tools)) if inside else Model(tools)
    return signatures.of_results(known, results, {id_: class_of(id_) for id_ in ids}), on.version()


def _progress(what, done, total):
    if sys.stderr.isatty() or done == total:
        sys.stderr.write(f"\r{what}: {done} of {total} points" + "\n" * (done == total))


def main(argv, root):
    """The command; its exit status."""
    parser = argparse.ArgumentParser(prog="signatures", description=__doc__.partition("\n")[0])
    parser.add_argument("-o", "--output", default=signatures.path_in(root), metavar="FILE")
    parser.add_argument("--inside", metavar="MACHINE", help="what the model runs on (default tcg)")
    parser.add_argument("--qemu", default=Tools.qemu, metavar="PATH")
    parser.add_argument("--bug", action="append", default=[], metavar="ID[,ID]")
    parser.add_argument("-j", "--jobs", type=int, default=len(os.sched_getaffinity(0)), metavar="N")
    parser.add_argument("guests", nargs="*", metavar="GUEST")
    options = parser.parse_args(argv)
    try:
        ids = [id_ for word in options.bug for id_ in word.split(",")] or switches()
        for id_ in ids:
            if id_ not in switches():
                raise unknown("bug", id_, switches())
        inside = None
        if options.inside:
            def inside(tools):
                return machines.known.create(options.inside, tools)
        build = os.path.join(root, "build")
        tools = Tools(options.qemu, cache=os.path.join(build, "cache"), build=build)
        sections = select.sections(config.load(os.path.join(root, "unittests.cfg")), options.guests, [])
        images = {s.file: guests.load(build, s.file, tools.cache) for s in sections}
        old = signatures.load(options.output)
        if old and options.bug and options.guests:
            raise UsageError("with some bugs and some guests, --output must be a new file")
        found, on = make(root, tools, sections, images, ids, options.jobs, inside, _progress)
        if options.guests:
            found = signatures.merged(old, found, {s.name for s in sections})
        elif options.bug:
            found = {id_: s for id_, s in {**old, **found}.items() if id_ in switches()}
        files.write(options.output, signatures.text(found, on))
    except UsageError as error:
        sys.stderr.write(f"signatures: {error}\n")
        return 2
    return 0
