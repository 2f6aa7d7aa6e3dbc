# SPDX-License-Identifier: BSD-2-Clause
"""--prove: that the tests can fail.

The model hypervisor runs the native guests without a bug and with each bug that it knows (run.py). It must
be so:

* without a bug everything passes;
* each bug is caught by every case whose CATCHES names it;
* each case catches a bug of the model that it claims, or was seen failing elsewhere (evidence.py).

With --quick a bug is tried on the cases that claim it and on no other, and a case without a bug is named
but does not fail the run. The matrix goes to the terminal, with --json and --html to files.
"""

import json
import os
import sys
import time

from .. import select
from ..reports import files
from . import evidence
from .matrix import Matrix
from .run import Proof


def prove(sections, images, tools, slots, expectations, broken, progress, quick=False,
          narrowed=False):
    """Runs everything; Matrix. `progress(what, done, all)` is told after each point.

    `narrowed`: not all guests are there, and what only the others claim is not asked for.
    """
    start = time.monotonic()
    cases, points = {}, {}
    for section in sections:
        image = images[section.file]
        for point in select.points(section, image):
            case = f"{image.name}/{point.case.name}"
            cases[case] = point.case
            points.setdefault(case, set()).update(
                {f"{section.name}/{point.name}", f"{image.name}/{point.name}"})
    # First, since it may refuse a file, and the proof takes minutes.
    seen = evidence.seen(list(points.items()), expectations, broken)
    proof = Proof(sections, images, tools, slots, expectations, progress)
    bugs = proof.run(quick)
    if narrowed:
        bugs = [b for b in bugs if b.claimed]
    return Matrix(bugs, cases, seen, proof.unsound, quick, time.monotonic() - start)


def _names(names, most=6):
    names = list(names)
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")


def show(matrix, out):
    """The matrix as text."""
    width = max((len(b.id) for b in matrix.bugs), default=0)
    for bug in matrix.bugs:
        out.write(f"{bug.id:<{width}}  {'ok' if bug.proven else 'NOT PROVEN':<10}  caught by "
                  f"{len(bug.caught):>3} of {len(bug.tried):>3} cases, "
                  f"{len(bug.claimed & bug.caught.keys())} of {len(bug.claimed)} that claim it\n")
        if bug.broken_claims:
            out.write(f"{'':<{width}}  not by     {_names(bug.broken_claims)}\n")
    for result in matrix.unsound:
        out.write(f"without a bug, {result.target.id} does not pass: "
                  f"{result.observed or result.reason}\n")
    if matrix.idle_cases:
        out.write(f"{len(matrix.idle_cases)} cases catch nothing: "
                  f"{_names(matrix.idle_cases, 12)}\n")
    by_evidence = matrix.evidence.keys() & matrix.cases.keys() - matrix.catching
    out.write(f"\nprove: {sum(b.proven for b in matrix.bugs)} of {len(matrix.bugs)} bugs caught by "
              f"all that claim them; of {len(matrix.cases)} cases {len(matrix.catching)} caught one, "
              f"{len(by_evidence)} fail elsewhere, {len(matrix.idle_cases)} neither; "
              f"{matrix.seconds:.0f} s\n")


def _progress(what, done, total):
    if sys.stderr.isatty():
        end = "\n" if done == total else ""
        sys.stderr.write(f"\r{what}: {done} of {total} points{end}")


def main(sections, images, tools, slots, catalogue, expectations, root, json_path=None,
         html_path=None, quick=False, narrowed=False):
    """Prove, show, write; exit status 0 if everything holds, else 1."""
    broken = evidence.defects(os.path.join(root, "tests", "defects.toml"), tools.cache)
    if narrowed:
        broken = evidence.of_guests(broken, {s.file for s in sections})
    matrix = prove(sections, images, tools, slots, expectations, broken, _progress, quick,
                   narrowed)
    show(matrix, sys.stdout)
    if json_path:
        files.write(json_path, json.dumps(matrix.document(), indent=1, ensure_ascii=False) + "\n")
    if html_path:
        from ..reports import matrix as page

        files.write(html_path, page.render(matrix, catalogue))
    return 0 if matrix.holds else 1
