# SPDX-License-Identifier: BSD-2-Clause
"""The bugs that were seen on a machine: those that its failures are known by."""

from dataclasses import dataclass, field

from .blocks import case_of

_SHORT = 42             # characters of what the catalogue says of versions


@dataclass
class Bug:
    """One bug seen: its id (or the link that stands for it), what it is, the cases that show it, and the
    versions that have it, as half a sentence or ""."""

    id: str
    title: str
    cases: set = field(default_factory=set)
    versions: str = ""


def bugs(results, entries, catalogue):
    """Bugs, the most cases first, of Results that met an expectation.

    `entries` are all expectations (their version ranges say since and until when), `catalogue` is bugs.toml
    by id.
    """
    found = {}
    for result in results:
        entry = result.known
        id_ = entry.bug or entry.link or entry.where
        if id_ not in found:
            listed = catalogue.get(entry.bug)
            title = listed.title if listed else entry.reason
            found[id_] = Bug(id_, title, versions=_versions(id_, result.target.machine, entries, listed))
        found[id_].cases.add(case_of(result.target))
    return sorted(found.values(), key=lambda bug: (-len(bug.cases), bug.id))


def _versions(id_, machine, entries, listed):
    names = [machine.name, f"{machine.name}@{machine.underneath.name}"] if machine.underneath else [machine.name]
    ranges = [entry.version for entry in entries
              if id_ in (entry.bug, entry.link) and any(map(entry.names, names))]
    said = span([str(r) if r is not None else "" for r in ranges])
    if said or not listed:
        return said
    short = listed.versions.partition(";")[0].partition(" (")[0].strip()
    return short if len(short) <= _SHORT else ""


def span(ranges):
    """"before 9.1", "since 8", "since 8, before 10" for version ranges such as "<9.1" or ">=8,<10", one
    after the other; "" if they leave both ends open."""
    low, high = [], []
    for text in ranges:
        limits = dict(_limit(part) for part in text.split(",") if part)
        low.append(limits.get(">"))
        high.append(limits.get("<"))
    said = []
    if low and all(low):
        said.append(f"since {min(low)[1]}")
    if high and all(high):
        number, text, inclusive = max(high)
        del number
        said.append(f"{'to' if inclusive else 'before'} {text}")
    return ", ".join(said)


def _limit(part):
    """(">" or "<", (number, text, inclusive))."""
    text = part.strip().lstrip("<>=!~")
    number = tuple(int(n) for n in text.split(".") if n.isdigit())
    sign = part.strip()[:1]
    if sign == "<":
        return "<", (number, text, "=" in part)
    return (">" if sign in "=>~" else "!"), (number, text)
