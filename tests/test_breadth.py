# SPDX-License-Identifier: BSD-2-Clause
"""breadth=edges: the same traces from fewer vectors, and what goes wrong there is still seen."""

import re
import subprocess

import pytest
from conftest import full_but
from sources import copy_sources, put_defect
from test_defects import QEMU, QEMU_OPTIONS
from test_vector_defects import ARGUMENTS

pytestmark = pytest.mark.skipif(not QEMU, reason="qemu-system-x86_64 is not installed")

# Loops over vectors of every kind: all of them, gates that are left out, two CPUs, neighbours, two runs each.
CASES = {
    "vectors": ["int_n:cpl0", "gate_not_present:cpl3", "beyond_limit:compat"],
    "ipi": ["self_by_id:cpl0", "other_by_id:cpl0", "nobody_by_id:cpl0"],
    "ipi_priority": ["held_by_tpr:cpl0", "held_by_own_class:cpl0", "order:cpl3"],
    "illegal": ["legal_vectors:cpl0", "self_by_shorthand:cpl0"],
}
# What is broken: guest, file, the right text, the wrong one, case, what its trace must show.
DEFECTS = {
    "an edge is lost": (
        "ipi", "x86/apic/round.h", "		send(destination, command | v);",
        "		if (v != 0x1e)\n			send(destination, command | v);",
        "other_by_id:cpl0", "[0x1e] (none)"),
    "another vector comes than was sent": (
        "ipi", "x86/apic/round.h", "		send(destination, command | v);",
        "		send(destination, command | (v == 0x1e ? 0x1c : v));",
        "other_by_id:cpl0", "[0x1c] intr v@wait, unsent=0x1"),
    "an edge is another vector's neighbour": (
        "ipi_priority", "x86/apic/ipi_priority.c", "set(v & 0xf0);", "set(v == 0x7f ? 0 : v & 0xf0);",
        "held_by_tpr:cpl0", "[0x7f] "),
}


def traces(source, guest, cases, breadth):
    """What the guest says of these points: {name: (verdict, trace)}, and how its report begins."""
    build = source / "build"
    subprocess.run(["make", "-s", "WERROR=", f"build/{guest}.rom"], cwd=source, check=True,
                   stdout=subprocess.DEVNULL, timeout=120)
    image = (build / f"{guest}.rom").read_bytes()
    words = f"cases={','.join(cases)} {breadth}".encode()
    at = image.index(ARGUMENTS + bytes(len(words))) + len(ARGUMENTS)
    rom = build / f"{guest}-breadth.rom"
    rom.write_bytes(image[:at] + words + image[at + len(words):])
    text = subprocess.run([QEMU, *QEMU_OPTIONS, "-bios", rom], stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL,
                          timeout=120).stdout.decode("ascii", "replace")
    found = {}
    for trace, verdict, name in re.findall(
            rf"^# (?:trace|observed) (.*)\n(?:#.*\n)*(ok|not ok) \d+ {guest}/(\S+)", text, re.MULTILINE):
        found[name] = verdict, trace
    return found, "\n".join(text.splitlines()[:3])


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return copy_sources(tmp_path_factory.mktemp("sound"))


@pytest.mark.parametrize("guest", full_but(CASES, ("ipi", "vectors")))
def test_same_traces(guest, source):
    every, head = traces(source, guest, CASES[guest], "")
    edges, head_of_edges = traces(source, guest, CASES[guest], "breadth=edges")
    assert set(every) == set(CASES[guest]) and edges == every
    assert "by their edges" in head_of_edges and "by their edges" not in head


@pytest.mark.parametrize("name", full_but(DEFECTS, ("an edge is lost",)))
def test_defect_is_seen(name, source, tmp_path):
    guest, file, right, wrong, case, shown = DEFECTS[name]
    assert traces(source, guest, [case], "breadth=edges")[0][case][0] == "ok"
    broken = copy_sources(tmp_path)
    put_defect(broken / file, right, wrong)
    verdict, trace = traces(broken, guest, [case], "breadth=edges")[0][case]
    assert verdict == "not ok" and shown in trace


def test_unknown_breadth_is_refused(source):
    assert "Bail out!" in traces(source, "vectors", ["int_n"], "breadth=most")[1]
