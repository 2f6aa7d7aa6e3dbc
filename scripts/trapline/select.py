# SPDX-License-Identifier: BSD-2-Clause
"""Which points on which machines."""

import ast
import re
from dataclasses import dataclass, field

from .errors import UsageError, nearest, unknown

_OPERATORS = ("and", "or", "not")
_NODES = (ast.Expression, ast.BoolOp, ast.boolop, ast.UnaryOp, ast.Not, ast.Name, ast.Load)


@dataclass(eq=False)
class Target:
    """One point on one machine: what a result is about, and a pytest item."""

    section: object         # config.Section
    image: object           # guests.Image
    point: object           # guests.Point
    machine: object         # machines.base.Machine
    repetition: int = 0     # of --repeat
    missing: str = ""       # in the baseline only: why it counts, and there is no image
    point_id: str = field(init=False)   # "int3/cold_stack:cpl0"
    id: str = field(init=False)         # "int3/cold_stack:cpl0@tcg"
    said_name: str = field(init=False)  # what the guest calls it: its image may have two sections

    def __post_init__(self):
        self.point_id = f"{self.section.name}/{self.point.name}"
        self.id = f"{self.point_id}@{self.machine.name}"
        self.said_name = f"{self.image.name}/{self.point.name}" if self.image else ""

    @property
    def case_id(self):
        return f"{self.section.name}/{self.point.case.name}"


def sections(all_sections, words, groups):
    """Sections that `words` (GUEST or GUEST/CASE…) and `groups` leave, in order."""
    for word in words:
        if word.partition("/")[0] not in all_sections:
            raise unknown("guest", word, all_sections)
    chosen = [s for name, s in all_sections.items()
              if not words or any(w.partition("/")[0] == name for w in words)]
    known = sorted({g for s in all_sections.values() for g in s.groups})
    for group in groups:
        if group not in known:
            raise unknown("group", group, known)
    found = [s for s in chosen if not groups or set(groups) & set(s.groups)]
    if not found:
        raise UsageError(f"no guest named is in group {', '.join(groups)}")
    return found


def lacking(target):
    """What the machine of `target` lacks altogether for it, as "VMX", or None: known without a boot."""
    section, machine, case = target.section, target.machine, target.point.case
    what = section.lacking(machine) or machine.lacks(target.point.layer)
    if what:
        return what
    given = min(section.smp, machine.max_cpus or section.smp)
    wanted = max((int(w[5:]) for w in case.needs if re.fullmatch(r"cpus=\d+", w)), default=1)
    if wanted <= given:
        return None
    return f"{wanted} CPUs in {section.name}" if given == section.smp else f"{wanted} CPUs"


def points(section, image):
    """Points of `image` that `section` runs. UsageError if the image lacks a layer."""
    for layer in section.layers:
        if layer not in image.layers:
            raise unknown(f"layer of guest '{image.name}' in section '{section.name}'", layer,
                          image.layers)
    layers = section.layers or image.layers[:1]
    return [p for p in image.points if p.layer in layers]


def targets(chosen, images, machines, words, expression, more=None):
    """Targets of sections `chosen` on `machines`, narrowed by `words` and -k `expression`.

    `more` is asked for further targets besides the list of all. UsageError if a word or the
    expression selects nothing.
    """
    every = [Target(s, images[s.file], p, m)
             for m in machines for s in chosen for p in points(s, images[s.file])]
    if more:
        every += more(every)
    found = every
    if not words and expression is None:
        found = [t for t in every if not t.machine.usual
                 or any(_named(t, word) for word in t.machine.usual)]
    if any("/" in word for word in words):
        for word in words:
            if "/" in word and not any(_named(t, word) for t in every):
                raise unknown("case", word, _names(every, word))
        found = [t for t in found if any(_named(t, word) for word in words)]
    if expression is not None:
        matches = _compile(expression)
        found = [t for t in found if matches(t.id)]
        if not found:
            raise UsageError(f"-k '{expression}' selects no case"
                             + nearest(_first_word(expression), _names(every, "")))
    return found


def _named(target, word):
    return word in (target.section.name, target.case_id, target.point_id, target.id)


def _names(every, word):
    """Names like the one the user was typing."""
    if "@" in word:
        return list(dict.fromkeys(t.id for t in every))
    if ":" in word:
        return list(dict.fromkeys(t.point_id for t in every))
    if "/" in word:
        return list(dict.fromkeys(t.case_id for t in every))
    return list(dict.fromkeys([t.point.case.name for t in every] +
                              [t.section.name for t in every]))


def _first_word(expression):
    words = [w for w in re.findall(r"[\w/:.@-]+", expression) if w not in _OPERATORS]
    return words[0] if words else expression


def _compile(expression):
    """A function of an id from a -k expression as pytest's: parts of it, and, or, not, brackets."""
    words = []

    def named(match):
        if match[0] in _OPERATORS:
            return match[0]
        words.append(match[0].lower())
        return f"w{len(words)}"
    try:
        tree = ast.parse(re.sub(r"[^\s()]+", named, expression).strip(), mode="eval")
    except SyntaxError:
        tree = None
    if tree is None or not all(isinstance(node, _NODES) for node in ast.walk(tree)):
        raise UsageError(f"-k '{expression}' is not an expression of words, and, or, not and ()")
    code = compile(tree, "-k", "eval")
    names = [f"w{i + 1}" for i in range(len(words))]
    told = {}                                   # thousands of ids, and only a few answers

    def matches(id_):
        folded = id_.lower()
        found = tuple([word in folded for word in words])
        if found not in told:
            told[found] = eval(code, {"__builtins__": {}}, dict(zip(names, found)))
        return told[found]
    return matches


def explained(chosen, images, word):
    """(section, case) pairs that `word` (CASE, GUEST/CASE, or a whole id) names."""
    plain = word.partition("@")[0]
    found, names = [], []
    for section in chosen:
        cases = {}
        for point in points(section, images[section.file]):
            cases.setdefault(point.case, []).append(point)
        for case in cases:
            full = f"{section.name}/{case.name}"
            names += [full, case.name]
            if plain in (case.name, full, *(f"{section.name}/{p.name}" for p in cases[case])):
                found.append((section, case))
    if not found:
        raise unknown("case", word, names)
    return found
