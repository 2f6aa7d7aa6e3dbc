# SPDX-License-Identifier: BSD-2-Clause
"""Names what fails, in a run that is going on or one that is over."""

import os

from ..errors import UsageError


class Namer:
    """`root` is the tree, `sections` are those of unittests.cfg, `entries` all of expectations/, `catalogue` is
    bugs.toml. Nothing is loaded before it is needed, and nothing is needed where all is as expected."""

    def __init__(self, root, sections, entries, catalogue):
        self._root, self.sections, self.entries, self.catalogue = root, sections, entries, catalogue
        self._signatures = None

    def name(self, results):
        """Namings by machine, for results as the JSON report has them: of those machines where something fails.

        UsageError if signatures.json is not in order.
        """
        from . import match, signatures
        from .run import runs

        found = {}
        files = {name: section.file for name, section in self.sections.items()}
        for machine, run in runs(results, files).items():
            if run.failing:
                if self._signatures is None:
                    self._signatures = signatures.load(signatures.path_in(self._root))
                found[machine] = match.name(run, self._signatures, self.entries)
        return found

    def lines(self, machine, _bad, results):
        """What reports.console.Console calls `naming`."""
        from . import say

        try:
            found = self.name([_plain(r) for r in results])
        except UsageError as error:
            return [f"no names for what fails: {error}"]     # a run is worth its report all the same
        return say.lines(found.get(machine.name, []), self.catalogue)

    def document(self, results):
        """For the JSON report: namings by machine."""
        from . import say

        try:
            return {machine: say.document(namings) for machine, namings in self.name(results).items()}
        except UsageError:
            return {}


def of_tree(root, cache_dir=None):
    """The Namer of the tree in `root`. UsageError if its files are not in order."""
    from .. import bugs, config, expectations, machines

    catalogue = bugs.load(os.path.join(root, "bugs.toml"), cache_dir)
    return Namer(root, config.load(os.path.join(root, "unittests.cfg")),
                 expectations.load(os.path.join(root, "expectations"), catalogue, machines.known, cache_dir),
                 catalogue)


def _plain(result):
    """A verdicts.Result as far as naming needs it."""
    target = result.target
    return {"machine": target.machine.name, "case": target.case_id, "environment": target.point.environment,
            "verdict": result.verdict, "observed": result.observed, "catches": target.point.case.catches}
