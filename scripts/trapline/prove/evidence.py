# SPDX-License-Identifier: BSD-2-Clause
"""What shows that a case can fail, besides a bug of the model.

* expectations/*.toml: it is known to fail on a hypervisor, with the trace that was observed there;
* tests/defects.toml: a test breaks the library or the guest by hand, and sees that the case notices.
"""

import os
from fnmatch import fnmatchcase

from .. import tables
from ..errors import UsageError

_DEFECT = {"what": str, "file": str, "right": str, "wrong": str, "cases": dict}
_OPTIONAL = {"machine": str}


def defects(path, cache_dir=None):
    """The entries of tests/defects.toml; none where there is no such file (the bundle)."""
    if not os.path.exists(path):
        return []
    data = tables.load(path, cache_dir)
    tables.check_keys(data, {"defect": list}, {}, path)
    for number, entry in enumerate(data["defect"], 1):
        tables.check_keys(entry, _DEFECT, _OPTIONAL, f"{path}: defect {number}")
    return data["defect"]


def globs(defect):
    """The cases that an entry names, as "guest/glob"."""
    return [f"{guest}/{case}" for guest, cases in defect["cases"].items() for case in cases]


def of_guests(broken, names):
    """The entries, as far as they are about these guests."""
    kept = ({**d, "cases": {g: c for g, c in d["cases"].items() if g in names}} for d in broken)
    return [d for d in kept if d["cases"]]


def seen(points, expectations, broken):
    """Sentence by case id, for those of `points` (id, all names, case id) that were seen failing.

    `points` are (case id, names that expectations know a point by, machine-independent).
    """
    found = {}
    for entry in expectations:
        for case, names in points:
            if case not in found and any(fnmatchcase(n, glob) for n in names
                                         for glob in entry.cases):
                found[case] = (f"fails on {' '.join(entry.machines)}"
                               + (f" {entry.version}" if entry.version else "")
                               + f": {entry.bug or entry.link}")
    known = {case for case, _ in points}
    for defect in broken:
        for glob in globs(defect):
            matched = [c for c in known if fnmatchcase(c, glob)]
            if not matched:
                raise UsageError(f"tests/defects.toml: no case '{glob}' ({defect['what']})")
            for case in matched:
                found.setdefault(case, f"fails where {defect['what']} (tests/defects.toml)")
    return found
