# SPDX-License-Identifier: BSD-2-Clause
"""How many points of which guests pass on which machines of the lab: the table of docs/sev-host.md."""

import os
from collections import Counter

from .. import config
from ..errors import UsageError, unknown
from . import table

BEGIN, END = "<!-- scripts/lab tally begins -->", "<!-- scripts/lab tally ends -->"
_ORDER = ("pass", "known", "blocked", "fail", "crash", "fixed", "flaky")


def rows_of(groups, guests, sections):
    """{row's title: names of sections} for groups and guests."""
    found = {}
    for group in groups:
        names = [s.name for s in sections.values() if group in s.groups]
        if not names:
            raise unknown("group", group, {g for s in sections.values() for g in s.groups})
        found[f"`-g {group}`"] = names
    for guest in guests:
        if guest not in sections:
            raise unknown("guest", guest, sections)
        found[f"`{guest}`"] = [guest]
    if not found:
        raise UsageError("tally needs guests, or --groups")
    return found


def cell(results):
    """What became of these results; what was skipped is not counted."""
    counts = Counter(r["verdict"] for r in results)
    said = [f"{counts[verdict]} {verdict}" for verdict in _ORDER if counts[verdict]]
    return ", ".join(said) or "skipped"


def command(options):
    """scripts/lab tally."""
    sections = config.load(os.path.join(table.ROOT, "unittests.cfg"))
    rows = rows_of(options.groups.split(",") if options.groups else [], options.guests, sections)
    words = list(dict.fromkeys(name for names in rows.values() for name in names))
    heads, columns, emulators = [], [], []
    for machine in options.machines.split(","):
        report = table.run(machine, words, options.keep)
        heads.append(table.head(machine, report))
        emulators.append(report["machines"][machine]["version"].split(", in ")[-1])
        columns.append([cell([r for r in report["results"] if r["case"].partition("/")[0] in names])
                        for names in rows.values()])
    lines = [["guests", *heads], *([title, *cells] for title, cells in zip(rows, zip(*columns)))]
    text = f"On {' and '.join(dict.fromkeys(emulators))}; without what is skipped:\n\n" + table.markdown(lines)
    if options.write:
        table.write(options.write, text, BEGIN, END)
    else:
        print(text, end="")
