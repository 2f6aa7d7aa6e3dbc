# SPDX-License-Identifier: BSD-2-Clause
"""expectations/*.toml: the cases known to fail, machine by machine.

    machines = ["tcg"]                  # globs; "lab-*" is KVM's machines, "lab-xen-*" Xen's

    [[known]]
    case = "int3/*_gate:cpl0"           # glob over the point's id, or a list of such
                                        # (its section's name in front, or its guest's)
    version = "<9.1"                    # optional: the machine's version, as in Python packaging
    machine = "bochs-vmx"               # optional: narrows `machines`; a glob, or a list of such
    observed = "#GP(0x302)@insn"        # the failing trace, a list of such, or "crash";
                                        # "..." in it stands for any text. "hang": a crash by time,
                                        # which one point of the entry shows for all. "death": not even
                                        # run, because the emulator underneath does not survive it.
                                        # "the host's kernel: WARNING...": what the lab's kernel says
                                        # while the guest itself sees nothing wrong
    sometimes = true                    # optional: it passes as well, and "fixed" is not said then
    reason = "…"
    bug = "tcg-idt-errcode-64"          # an id of bugs.toml; this or a link is a must
    link = "https://…"
"""

import operator
import os
import re
from dataclasses import dataclass
from fnmatch import fnmatchcase

from . import tables
from .errors import UsageError, unknown
from .text import clean

CRASH = "crash"
HANG = "hang"
DEATH = "death"
HOST = "the host's kernel: "            # lab/boot.py says it
_REQUIRED = {"case": (str, list), "observed": (str, list), "reason": str}
_OPTIONAL = {"version": str, "machine": (str, list), "link": str, "bug": str, "sometimes": bool}
_ANYTHING = "..."
_XEN = "lab-xen-"


@dataclass(frozen=True)
class Known:
    """One entry. `observed` is a tuple of traces, or of the words "crash", "hang" and "death"."""

    where: str
    cases: tuple
    machines: tuple
    version: object             # SpecifierSet or None
    observed: tuple
    reason: str
    bug: str
    link: str
    sometimes: bool = False
    from_a_run = False          # a baseline's entries are

    def applies(self, machine, number):
        """Whether it speaks of this machine of version `number` at all."""
        return self.names(machine) and (self.version is None or bool(number) and
                                        self.version.contains(number, prereleases=True))

    def names(self, machine):
        """Whether it speaks of this machine, of whatever version."""
        return any(_is_meant(machine, m) for m in self.machines)

    def covers(self, point_id):
        """Whether it speaks of this point, wherever that runs."""
        return any(fnmatchcase(point_id, c) for c in self.cases)

    def shows(self, seen):
        """Whether trace `seen`, or CRASH or HANG, is one that it names."""
        return any(seen == trace or _ANYTHING in trace and re.fullmatch(
            ".*".join(map(re.escape, trace.split(_ANYTHING))), seen) for trace in self.observed)

    @property
    def of_host(self):
        """Whether it is about what the lab's kernel says."""
        return all(trace.startswith(HOST) for trace in self.observed)

    def guests(self):
        """What its cases have in front of the "/"; None if one is a glob there."""
        found = {case.partition("/")[0] for case in self.cases}
        return None if any(set(guest) & set("*?[") for guest in found) else found


def _is_meant(machine, glob):
    """Whether `glob` fits, and is about the same hypervisor: a kernel's name and a Xen's follow the same "lab-"."""
    return machine.startswith(_XEN) == glob.startswith(_XEN) and fnmatchcase(machine, glob)


class Index:
    """Of `entries`, those that speak of `machine` of version `number`, by guest. A machine that runs inside
    `inside` is also spoken of as MACHINE@INSIDE, so that a file can tell a lab's emulators apart.

    There are hundreds of entries and thousands of points, and a glob costs more than the rest of
    a result.
    """

    def __init__(self, entries, machine, number, inside=""):
        self._anywhere, self._of = [], {}
        for place, entry in enumerate(entries):
            if entry.applies(machine, number) or \
                    inside and entry.applies(f"{machine}@{inside}", number):
                guests = entry.guests()
                for list_ in ([self._anywhere] if guests is None else
                              [self._of.setdefault(guest, []) for guest in guests]):
                    list_.append((place, entry))

    def find(self, *point_ids):
        """Entries that cover one of these names of a point, in the order of their files."""
        found = {}
        for point_id in dict.fromkeys(point_ids):
            for place, entry in self._anywhere + self._of.get(point_id.partition("/")[0], []):
                if place not in found and entry.covers(point_id):
                    found[place] = entry
        return [found[place] for place in sorted(found)]


def load(directory, bugs, known_machine, cache_dir=None):
    """Entries of all files in `directory`. UsageError names file and entry."""
    try:
        names = sorted(n for n in os.listdir(directory) if n.endswith(".toml"))
    except FileNotFoundError:
        return []
    return [entry for name in names
            for entry in _load_file(os.path.join(directory, name), bugs, known_machine, cache_dir)]


def _load_file(path, bugs, known_machine, cache_dir):
    data = tables.load(path, cache_dir)
    tables.check_keys(data, {"machines": list}, {"known": list}, path)
    machines = tuple(data["machines"])
    if not machines:
        raise UsageError(f"{path}: 'machines' is empty")
    for machine in machines:
        _check_machine(machine, known_machine, path)
    entries = []
    for number, table in enumerate(data.get("known", ()), 1):
        where = f"{path}: entry {number}"
        case = table.get("case") if isinstance(table, dict) else None
        cases = tuple(case) if isinstance(case, list) else (case,)
        if cases and isinstance(cases[0], str):
            where += f" ({clean(cases[0])})"
        tables.check_keys(table, _REQUIRED, _OPTIONAL, where)
        if not cases or not all(isinstance(c, str) and c for c in cases):
            raise UsageError(f"{where}: 'case' is not a glob or a list of globs")
        if not table.get("bug") and not table.get("link"):
            raise UsageError(f"{where}: has neither 'bug' nor 'link'")
        if table.get("bug") and table["bug"] not in bugs:
            raise UsageError(f"{where}: {unknown('bug', table['bug'], bugs)}")
        own = table.get("machine", machines)
        own = tuple(own) if isinstance(own, (list, tuple)) else (own,)
        for machine in own:
            _check_machine(machine, known_machine, where)
        observed = table["observed"]
        observed = tuple(observed) if isinstance(observed, list) else (observed,)
        if not observed or not all(isinstance(o, str) for o in observed):
            raise UsageError(f"{where}: 'observed' is not a trace or a list of traces")
        entries.append(Known(
            where, cases, own,
            _version(table["version"], where) if "version" in table else None,
            tuple(" ".join(o.split()) for o in observed), " ".join(clean(
                table["reason"].replace("\n", " ")).split()),
            table.get("bug", ""), clean(table.get("link", "")), table.get("sometimes", False)))
    return entries


def _check_machine(machine, known_machine, where):
    if not isinstance(machine, str) or not known_machine(machine):
        raise UsageError(f"{where}: "
                         f"{unknown('machine', str(machine), known_machine.names())}")


def _version(text, where):
    try:
        from packaging.specifiers import InvalidSpecifier, SpecifierSet
    except ImportError:                         # the bundle does without
        return _PlainRange(text)

    try:
        if not re.match(r"\s*[<>=!~]", text):
            raise InvalidSpecifier
        return SpecifierSet(text)
    except InvalidSpecifier:
        raise UsageError(f"{where}: version '{clean(text)}' is not a range such as "
                         "'<9.1' or '>=7.2,<10'") from None


class _PlainRange:
    """A range such as ">=7.2,<10" of versions that are digits and dots."""

    def __init__(self, text):
        self._text = text
        self._parts = [re.fullmatch(r"\s*(<=|>=|==|!=|<|>)\s*([\d.]+)\s*", part).groups()
                       for part in text.split(",")]

    def __str__(self):
        return self._text

    def contains(self, number, prereleases=True):
        """Whether `number` lies in the range."""
        del prereleases                         # packaging's own word
        operators = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
                     "==": operator.eq, "!=": operator.ne}
        return all(operators[sign](_digits(number), _digits(limit))
                   for sign, limit in self._parts)


def _digits(number):
    found = [int(part) for part in re.findall(r"\d+", number)]
    while found and not found[-1]:
        found.pop()                             # 8.0 is 8
    return found
