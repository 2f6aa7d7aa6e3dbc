# SPDX-License-Identifier: BSD-2-Clause
"""Names of failures as lines for people and as an object for JSON."""

import textwrap

WIDTH = 100
_ALIKE_SHOWN = 4
_MOST_LINES = 14        # of a run, on the console
NOTHING = "like nothing in the catalogue"


def source(match):
    """Where it is known from what `match` says of its bug."""
    if match.source == "model":
        return "as on the model"
    if match.source == "CATCHES":
        return "only by the cases that claim it"
    return f"as expectations/ has it on {match.source}"


def speaks(match):
    """What speaks for and against a Match, half a sentence."""
    if match.source == "CATCHES":
        text = "1 case that claims it fails" if match.claims == 1 else f"{match.claims} cases that claim it fail"
    else:
        number = match.same or match.otherwise
        text = f"{number} of its {match.cases} {_cases(match.cases)} fail{'s' * (number == 1)} " + (
            "as it makes them" if match.same else "but otherwise")
    more = []
    if match.same and match.otherwise:
        more.append(f"{match.otherwise} fail{'s' * (match.otherwise == 1)} otherwise")
    if match.passed:
        more.append(f"{match.passed} pass{'es' * (match.passed == 1)}")
    if match.others:
        more.append(f"{match.others} other{'s' * (match.others != 1)} fail{'s' * (match.others == 1)}")
    return text + (", " + ", ".join(more) if more else "")


def _cases(number):
    return "case" if number == 1 else "cases"


def lines(namings, catalogue, most=_MOST_LINES):
    """Lines for the namings of one machine (match.name), at most `most` of them."""
    found = []
    for naming in namings:
        block = _block(naming, catalogue)
        if found and len(found) + len(block) > most:
            rest = [n for n in namings[namings.index(naming):] if n.best]
            found.append(f"and {', '.join(n.best.bug for n in rest)}" if rest else
                         f"and {naming.failing} more {_cases(naming.failing)} {NOTHING}")
            break
        found += block
    return [textwrap.shorten(line, WIDTH, placeholder=" ...") if not line.startswith(" ") else
            "  " + textwrap.shorten(line.strip(), WIDTH - 2, placeholder=" ...") for line in found]


def _block(naming, catalogue):
    if naming.best is None:
        block = [f"{naming.failing} failing {_cases(naming.failing)}: {NOTHING}"]
        return block + [f"  nearest {_one(m)}" for m in naming.next[:1]]
    best = naming.best
    title = catalogue[best.bug].title if best.bug in catalogue else ""
    block = [f"looks like {best.bug}: {title}", f"  {speaks(best)} ({source(best)})"]
    if naming.alike:
        names = [m.bug for m in naming.alike]
        block.append("  this run cannot tell it from " + ", ".join(names[:_ALIKE_SHOWN])
                     + (f" and {len(names) - _ALIKE_SHOWN} more" if len(names) > _ALIKE_SHOWN else ""))
    return block + [f"  or {_one(m)}" for m in naming.next[:1] if m.same]


def _one(match):
    return f"{match.bug}: {speaks(match)} ({source(match)})"


def document(namings):
    """The same for JSON."""
    return [{"failing": n.failing, "best": n.best and _match(n.best),
             "indistinguishable": [_match(m) for m in n.alike], "next": [_match(m) for m in n.next]}
            for n in namings]


def _match(match):
    return {"bug": match.bug, "known_from": match.source, "as_it_says": match.same, "otherwise": match.otherwise,
            "passes": match.passed, "others": match.others, "claims": match.claims,
            "score": round(match.score, 2)}
