# SPDX-License-Identifier: BSD-2-Clause
"""The rooms of docs/architecture.md, and that nothing reaches from one into another that it may not know.

The tables there are the rule. An arrow is an #include, a symbol that one object leaves to another (nm), or an
import. A room may know those that its row names, which stand above it, and nothing below.
"""

import ast
import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parent.parent
PAGE = TOP / "docs" / "architecture.md"
BUILD = TOP / "build"
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.M)
C = (".c", ".h", ".S", ".inc", ".def")
MOST_FILES = 25


@dataclass
class Room:
    """A row: `paths` are folders (with /** all below), files or modules; `uses` the rooms that it may know."""

    name: str
    paths: list
    uses: set
    open: set           # symbols that it leaves to whoever makes an image
    circles: bool       # its files may know each other in circles


def _full(short, rooms, row):
    """The room that a name or the end of one means."""
    found = [r.name for r in rooms if r.name == short] or [r.name for r in rooms if r.name.endswith("/" + short)]
    assert len(found) == 1, f"{row}: `{short}` is {'no room above it' if not found else 'ambiguous'}"
    return found[0]


def _row(cells, above):
    """A Room of a row's cells. "name: `a`, `b`" are modules of scripts/trapline, or packages there."""
    name, colon, rest = cells[0].rpartition(":")
    paths = re.findall(r"`([^`]+)`", rest)
    if colon:
        paths = [f"trapline/{path}{end}" for path in paths for end in (".py", "")]
    name = name or paths[0]
    uses = {_full(u, above, name) for u in re.findall(r"`([^`]+)`", cells[2])}
    if cells[2] == "all above":
        uses = {r.name for r in above}
    leaves = set(re.findall(r"`(\w+)`", cells[3])) if len(cells) > 3 else set()
    return Room(name, paths, uses, leaves, "in circles" in cells[1])


def tables(text):
    """[[Room]], one list for each table whose first column is "Room", in the order of the page."""
    found, rows = [], None
    for line in text.splitlines():
        cells = [c.strip() for c in line.strip().strip("|").split("|")] if line.startswith("|") else None
        if cells is None:
            rows = None
        elif cells[0] == "Room":
            rows = []
            found.append(rows)
        elif rows is not None and not set(cells[0]) <= set("-: "):
            rows.append(_row(cells, rows))
    return found


def covers(path, file):
    if path.endswith("/**"):
        return file.startswith(path[:-2])
    if path.endswith("/*"):
        return os.path.dirname(os.path.dirname(file)) == path[:-2]
    return file == path or os.path.dirname(file) == path


def room_of(rooms, file):
    """The room of a file: of several rows that cover it, the one with the longest path."""
    best = max((p for r in rooms for p in r.paths if covers(p, file)), key=lambda p: (len(p.rstrip("*/")), p), default=None)
    return next((r for r in rooms if best in r.paths), None)


def wrong(rooms, arrows):
    """Sentences: what is wrong with these arrows, [(file, file, how)]."""
    order = {room.name: n for n, room in enumerate(rooms)}
    found = []
    for a, b, how in arrows:
        from_, to = room_of(rooms, a), room_of(rooms, b)
        if from_ is None or to is None:
            found.append(f"{a if from_ is None else b} is in no room of docs/architecture.md")
        elif from_ is not to and to.name not in from_.uses:
            up = " (upwards)" if order[to.name] > order[from_.name] else ""
            found.append(f"{a}: {how} {b}: {from_.name} may not know {to.name}{up}")
    return sorted(set(found))


def circles(arrows):
    """[[file]]: files that know each other, by way of others or not."""
    knows = {}
    for a, b, _ in arrows:
        knows.setdefault(a, set()).add(b)
        knows.setdefault(b, set())

    def reach(start):
        seen, todo = set(), [start]
        while todo:
            for n in knows[todo.pop()] - seen:
                seen.add(n)
                todo.append(n)
        return seen
    reached = {n: reach(n) for n in knows}
    return sorted({tuple(sorted(m for m in reached[n] if n in reached[m])) for n in knows if n in reached[n]})


def sources():
    return [str(p.relative_to(TOP)) for folder in ("lib", "x86", "lab")
            for p in sorted((TOP / folder).rglob("*")) if p.suffix in C]


def includes(files, read=lambda file: (TOP / file).read_text()):
    """[(file, file, "includes")] of C and assembly; a header is next to its reader, in lib/ or at the room's top."""
    arrows, known = [], set(files)
    for file in files:
        here = os.path.dirname(file)
        for name in INCLUDE.findall(read(file)):
            places = [os.path.normpath(os.path.join(p, name)) for p in (here, "lib", "x86/model", "lab/host")]
            found = next((p for p in places if p in known), None)
            assert found, f"{file}: where is {name}?"
            arrows.append((file, found, "includes"))
    return arrows


def symbols(files, left_open):
    """[(file, file, "uses NAME of")] between the objects in build/, and those that have no object."""
    objects = {BUILD / Path(f).with_suffix(".o"): f for f in files if f.endswith((".c", ".S"))}
    missing = [f for o, f in objects.items() if not o.exists()]
    there = [o for o in objects if o.exists()]
    listed = subprocess.run(["nm", "-A", *map(str, there)], capture_output=True, text=True, check=True).stdout
    defined, used = {}, []
    for line in listed.splitlines():
        path, _, rest = line.rpartition(":")
        *_, kind, name = rest.split()
        file = objects[Path(path)]
        if kind == "U":
            used.append((file, name))
        elif kind in "TDBRVWC":
            defined.setdefault(name, []).append(file)
    arrows = []
    for file, name in used:
        if name in left_open:
            continue
        # The model and the monitor have names of their own, which guests do not see.
        places = [d for d in defined.get(name, ()) if d.startswith("lib/") or d.split("/")[:2] == file.split("/")[:2]]
        arrows += [(file, d, f"uses {name} of") for d in places if d != file]
    return arrows, missing


def linked():
    """Those of sources() of which `make` makes an object each; a lab's init and dom0 are linked at once."""
    return [f for f in sources() if not f.startswith("lab/") or f.startswith("lab/host/")]


def modules():
    """[(file, file, "imports")] of scripts/trapline, lazy imports too."""
    base = TOP / "scripts"
    files = {str(p.relative_to(base)): p for p in (base / "trapline").rglob("*.py")}

    def file_of(name):
        path = name.replace(".", "/")
        return next((f for f in (path + ".py", path + "/__init__.py") if f in files), None)
    arrows = []
    for file, path in sorted(files.items()):
        package = file.split("/")[:-1]
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.ImportFrom) and node.level:
                stem = ".".join(package[:len(package) - node.level + 1] + ([node.module] if node.module else []))
                names = [f"{stem}.{a.name}" if file_of(f"{stem}.{a.name}") else stem for a in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module]
            elif isinstance(node, ast.Import):
                names = [a.name for a in node.names]
            arrows += [(file, to, "imports") for to in map(file_of, names) if to and to != file]
    return list(files), arrows


@pytest.fixture(scope="module")
def rooms():
    c, python = tables(PAGE.read_text())
    return c, python


def test_row_may_name_only_what_stands_above_it():
    page = "| Room | What | Uses |\n|---|---|---|\n| `a` | | `b` |\n| `b` | | |\n"
    with pytest.raises(AssertionError, match="no room above it"):
        tables(page)


def test_includes(rooms):
    files = sources()
    assert len(files) > 200
    arrows = includes(files)
    assert wrong(rooms[0], arrows) == []
    assert circles(arrows) == []


def test_every_file_has_a_room(rooms):
    assert [f for f in sources() if room_of(rooms[0], f) is None] == []
    assert [f for f in modules()[0] if room_of(rooms[1], f) is None] == []


def test_symbols(rooms):
    if not (BUILD / "lib.a").exists():
        pytest.skip("nothing is built")
    files = linked()
    left_open = set().union(*(r.open for r in rooms[0]))
    arrows, missing = symbols(files, left_open)
    # One for each guest are efi.S and rom.S, floor.S is linked at once; the tree may be newer than build/.
    assert len(missing) <= 3 + 5, f"build/ is old: make, then try again; no object for {missing}"
    assert len(arrows) > 500
    assert wrong(rooms[0], arrows) == []
    for circle in circles([a for a in arrows if not a[0].startswith("x86/")]):
        inside = {room_of(rooms[0], f).name for f in circle}
        assert len(inside) == 1 and room_of(rooms[0], circle[0]).circles, f"a circle: {circle}"


def test_imports(rooms):
    arrows = modules()[1]
    assert len(arrows) > 150
    assert wrong(rooms[1], arrows) == []
    assert circles(arrows) == []


def all_of_c():
    return includes(sources()) + symbols(linked(), set())[0]


def test_no_row_allows_more_than_is_used(rooms):
    if not (BUILD / "lib.a").exists():
        pytest.skip("nothing is built")
    for table, arrows in ((rooms[0], all_of_c()), (rooms[1], modules()[1])):
        used = {(getattr(room_of(table, a), "name", ""), getattr(room_of(table, b), "name", "")) for a, b, _ in arrows}
        spare = [f"{room.name} does not use {u}" for room in table for u in room.uses
                 if (room.name, u) not in used and len(room.uses) < table.index(room)]
        assert spare == []


def test_folders_are_small():
    for top in ("lib", "x86"):
        for folder in [TOP / top, *(TOP / top).rglob("*/")]:
            files = [p for p in folder.iterdir() if p.suffix in C]
            assert len(files) <= MOST_FILES, f"{folder.relative_to(TOP)} has {len(files)} files"


# -- That it can fail. -------------------------------------------------------------------------------

def turned(file, line):
    """The includes with one more line in a file."""
    return includes(sources(), lambda f: (TOP / f).read_text() + (line if f == file else ""))


@pytest.mark.parametrize("file, header, says", [
    ("lib/x86/cpu/percpu.h", "x86/record/event.h", "lib/x86/cpu may not know lib/x86/record (upwards)"),
    ("lib/x86/devices/apic.c", "x86/sev/sev.h", "lib/x86/devices may not know lib/x86/sev (upwards)"),
    ("lib/x86/harness/cold.c", "x86/nested/l2.h", "lib/x86/harness may not know lib/x86/nested (upwards)"),
    ("lib/x86/nested/svm/svm.c", "x86/nested/vmx/vmcs.h", "may not know lib/x86/nested/vmx"),
    ("lib/report.c", "x86/cpu/cpu.h", "lib may not know lib/x86/cpu (upwards)"),
    ("lab/kvm/board.c", "../host/base/log.h", "lab/kvm may not know lab/host/base"),
])
def test_include_turned_round_is_seen(rooms, file, header, says):
    new = [w for w in wrong(rooms[0], turned(file, f'\n#include "{header}"\n')) if w.startswith(file)]
    assert len(new) == 1 and says in new[0]


def test_circle_is_seen():
    arrows = turned("lib/x86/record/event.h", '\n#include "trace.h"\n')
    assert circles(arrows) == [("lib/x86/record/event.h", "lib/x86/record/trace.h")]


def test_call_upwards_is_seen(rooms):
    arrow = ("lib/x86/cpu/desc.c", "lib/x86/harness/testcase.c", "uses need of")
    assert wrong(rooms[0], [arrow]) == ["lib/x86/cpu/desc.c: uses need of lib/x86/harness/testcase.c: "
                                        "lib/x86/cpu may not know lib/x86/harness (upwards)"]


def test_import_upwards_is_seen(rooms):
    assert "upwards" in wrong(rooms[1], [("trapline/verdicts.py", "trapline/cli.py", "imports")])[0]


def test_file_without_room_is_seen(rooms):
    assert wrong(rooms[0], [("lib/x86/attic/a.c", "lib/string.h", "includes")]) == [
        "lib/x86/attic/a.c is in no room of docs/architecture.md"]
