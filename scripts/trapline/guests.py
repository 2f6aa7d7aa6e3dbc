# SPDX-License-Identifier: BSD-2-Clause
"""A guest's cases and points, read from its ELF file without booting it.

docs/contract.md, section 2, is the format. Reading an ELF file takes longer than booting a
guest, so the list is kept in the build directory until size or time of the file change.
"""

import os
import struct
from dataclasses import dataclass, field

from . import cache
from .errors import UsageError
from .text import clean

ENVIRONMENTS = ("cpl0", "cpl3", "compat", "legacy", "legacy-cpl0", "legacy-cpl3", "real", "big-real",
                "cpl1", "cpl2", "legacy-cpl1", "legacy-cpl2", "v86")
# Not under long mode: these have no layers.
OTHER_MODES = ("legacy-cpl0", "legacy-cpl3", "real", "big-real", "legacy-cpl1", "legacy-cpl2", "v86")
SECTION = ".trapline.cases"
LAYERS = ".trapline.layers"
NATIVE = "native"
_CACHE_FORMAT = 2


@dataclass(frozen=True)
class Case:
    """One named check of a guest. `needs` are words like "cpus=2"."""

    name: str
    environments: tuple
    rule: str
    catches: tuple
    needs: tuple
    where: str


@dataclass(frozen=True)
class Point:
    """One case in one environment of one layer; `index` is its number for `points=`."""

    index: int
    case: Case
    environment: str            # "cpl0", "svm-cpl0"
    layer: str = NATIVE

    @property
    def name(self):
        return f"{self.case.name}:{self.environment}"


@dataclass
class Image:
    """One guest as built: `name`, its files, and its points in order of their index."""

    name: str
    elf: str
    rom: str
    layers: tuple = (NATIVE,)
    points: list = field(default_factory=list)


def layer_and_environment(name):
    """("svm-nonpt", "cpl0") of "svm-nonpt-cpl0"; ("", "legacy-cpl0"), since other modes have no layers."""
    if name in ENVIRONMENTS:
        return "", name
    layer, _, environment = name.rpartition("-")
    return layer, environment


def load(build, name, cache_dir):
    """Image of guest `name` in directory `build`. UsageError if it is missing or malformed."""
    image = Image(name, os.path.join(build, name + ".elf"), os.path.join(build, name + ".rom"))
    try:
        stat = os.stat(image.elf)
    except OSError as error:
        raise UsageError(f"guest '{name}' is not built: {image.elf}: {error.strerror}") from None
    key = [_CACHE_FORMAT, stat.st_size, stat.st_mtime_ns]
    kept = os.path.join(cache_dir, name + ".cases.json")
    found = cache.load(kept, key)
    if found is None:
        found = _listing(*_read(image.elf))
        cache.store(kept, key, found)
    image.layers = tuple(found["layers"])
    cases = [Case(c[0], tuple(c[1]), c[2], tuple(c[3]), tuple(c[4]), c[5]) for c in found["cases"]]
    for layer in image.layers:
        prefix = "" if layer == NATIVE else layer + "-"
        for case in cases:
            for environment in case.environments:
                if prefix and environment in OTHER_MODES:
                    continue
                image.points.append(Point(len(image.points), case, prefix + environment, layer))
    return image


def listing(image):
    """What load() keeps of an Image, for JSON."""
    return _listing(image.layers, {p.case.name: p.case for p in image.points}.values())


def _listing(layers, cases):
    return {"layers": list(layers),
            "cases": [[c.name, c.environments, c.rule, c.catches, c.needs, c.where] for c in cases]}


def _read(path):
    """Layers and cases of the ELF file, each in table order."""
    from elftools.common.exceptions import ELFError
    from elftools.elf.elffile import ELFFile

    try:
        with open(path, "rb") as file:
            elf = ELFFile(file)
            section = elf.get_section_by_name(SECTION)
            if section is None:
                raise UsageError(f"{path}: no section {SECTION}")
            records = _records(path, section.data())
            section = elf.get_section_by_name(LAYERS)
            layers = _layers(path, section.data()) if section is not None else (NATIVE,)
            symbols = elf.get_section_by_name(".symtab")
            begin = _symbol(path, symbols, "test_cases_begin")
            end = _symbol(path, symbols, "test_cases_end")
    except (ELFError, OSError) as error:
        raise UsageError(f"{path}: not a readable ELF file: {error}") from None
    if not records:
        raise UsageError(f"{path}: has no cases")
    size, rest = divmod(end - begin, len(records))
    positions = {address: (address - begin) // size if size else -1 for address, _ in records}
    if rest or size <= 0 or sorted(positions.values()) != list(range(len(records))) or \
            any((address - begin) % size for address in positions):
        raise UsageError(f"{path}: section {SECTION} does not fit the table at test_cases_begin")
    cases = [case for _, case in sorted(records, key=lambda r: positions[r[0]])]
    names = set()
    for case in cases:
        if case.name in names:
            raise UsageError(f"{path}: two cases named '{case.name}'")
        names.add(case.name)
    return layers, cases


def _layers(path, data):
    layers = tuple(clean(name.decode("utf-8", "replace")) for name in data.split(b"\0")[:-1])
    if not layers or "" in layers or len(set(layers)) < len(layers) or not data.endswith(b"\0"):
        raise UsageError(f"{path}: section {LAYERS} is not a list of names")
    return layers


def _records(path, data):
    records, offset = [], 0
    while offset < len(data):
        strings = data[offset + 8:].split(b"\0", 6)
        if len(strings) < 7:
            raise UsageError(f"{path}: section {SECTION} ends within a record")
        address, = struct.unpack_from("<Q", data, offset)
        offset += 8 + sum(len(s) + 1 for s in strings[:6])
        name, environments, rule, catches, needs, where = (
            clean(s.decode("utf-8", "replace")) for s in strings[:6])
        words = {word.strip().lower().replace("_", "-") for word in environments.split("|")}
        if not words <= set(ENVIRONMENTS):
            wrong = ", ".join(sorted(words - set(ENVIRONMENTS)))
            raise UsageError(f"{path}: case '{name}' ({where}): unknown environment '{wrong}'")
        records.append((address, Case(
            name, tuple(e for e in ENVIRONMENTS if e in words), rule,
            tuple(catches.split()), tuple(needs.split()), where)))
    return records


def _symbol(path, table, name):
    found = table.get_symbol_by_name(name) if table is not None else None
    if not found:
        raise UsageError(f"{path}: no symbol {name}")
    return found[0]["st_value"]


def prose(where, root):
    """The page of prose that the source file of a case opens with, as lines, or [].

    `where` is "x86/int3/int3.c:120" relative to `root`. Licence comments are passed over.
    """
    import re

    try:
        with open(os.path.join(root, where.rpartition(":")[0]), encoding="utf-8") as file:
            source = file.read(65536)
    except (OSError, UnicodeDecodeError):
        return []
    position = 0
    while match := re.compile(r"\s*/\*(.*?)\*/", re.S).match(source, position):
        position = match.end()
        if "SPDX-License-Identifier" in match[1] and len(match[1].splitlines()) < 4:
            continue
        lines = [clean(re.sub(r"^\s*\*? ?", "", line).rstrip()) for line in match[1].splitlines()]
        while lines and not lines[0]:
            lines.pop(0)
        while lines and not lines[-1]:
            lines.pop()
        return lines
    return []
