# SPDX-License-Identifier: BSD-2-Clause
"""What can be said without running anything: --machine list, --list and --explain."""

from . import guests, select
from .machines import known


def machines(tools):
    """A table of what there is, and why not."""
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


def points(targets, verbose):
    """Their ids, with their rules if `verbose`."""
    shown = {t.point_id: t.point.case.rule for t in targets}
    width = max(map(len, shown))
    for name, rule in shown.items():
        print(f"{name:<{width}}  {rule}" if verbose else name)


def explain(chosen, images, word, bugs, root, witness):
    """What the cases that `word` names check, and why; UsageError if it names none. `witness` is witness.remark."""
    for i, (section, case) in enumerate(select.explained(chosen, images, word)):
        if i:
            print()
        name = f"{section.name}/{case.name}"
        print(name)
        rows = [("rule", case.rule), ("environments", " ".join(case.environments)),
                ("needs", " ".join(case.needs)), ("where", case.where),
                ("witness", witness(root, name))]
        for label, text in rows:
            if text:
                print(f"  {label:<13} {text}")
        for id_ in case.catches:
            _explain_bug(id_, bugs.get(id_))
        print(f"  {'run it':<13} ./run_tests.sh {name}")
        lines = guests.prose(case.where, root)
        if lines:
            print(f"\n  From {case.where.rpartition(':')[0]}:\n")
            for line in lines:
                print(f"  {line}".rstrip())


def _explain_bug(id_, bug):
    import textwrap

    print(f"  {'catches':<13} {id_}" + (f": {bug.title}" if bug else ""))
    for label, text in (("trigger", bug.trigger), ("right", bug.right), ("buggy", bug.buggy),
                        ("versions", bug.versions), ("link", bug.link)) if bug else ():
        if text:
            print(textwrap.fill(text, 92, initial_indent=f"{'':16}{label:<9} ",
                                subsequent_indent=" " * 26, break_long_words=False,
                                break_on_hyphens=False))
