# SPDX-License-Identifier: BSD-2-Clause
"""bugs.toml: the catalogue of real defects that cases catch."""

from dataclasses import dataclass

from . import tables
from .errors import UsageError, unknown
from .text import clean

_REQUIRED = dict.fromkeys(("title", "trigger", "right", "buggy", "versions", "evidence"), str)
_OPTIONAL = {"link": str, "part": str}
# What a hypervisor may bring itself, wherever it runs (machines/base.py, `brings`).
PARTS = ("apic", "smm")


@dataclass(frozen=True)
class Bug:
    """One defect; every field is prose, `link` may be empty, and `part` is one of PARTS or empty."""

    id: str
    title: str
    trigger: str
    right: str
    buggy: str
    versions: str
    evidence: str
    link: str = ""
    part: str = ""


def load(path, cache_dir=None):
    """Bugs by id, from `path`. UsageError names the file and the entry."""
    import re

    bugs = {}
    for id_, table in tables.load(path, cache_dir).items():
        where = f"{path}: [{id_}]"
        if not re.fullmatch(r"[a-z0-9]+(?:[-.][a-z0-9]+)*", id_):
            raise UsageError(f"{where}: an id is lower-case words joined by '-'")
        tables.check_keys(table, _REQUIRED, _OPTIONAL, where)
        if table.get("part", PARTS[0]) not in PARTS:
            raise UsageError(f"{where}: {unknown('part', table['part'], PARTS)}")
        bugs[id_] = Bug(id_, **{k: " ".join(clean(v.strip().replace("\n", " ")).split())
                                for k, v in table.items()})
    return bugs
