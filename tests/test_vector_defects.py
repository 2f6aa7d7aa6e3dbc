# SPDX-License-Identifier: BSD-2-Clause
"""Break what the vector guests stand on, and see them notice.

As in test_defects.py: each defect makes a sound machine look like a broken one, in a copy of the
sources; the named cases, which pass without it, must not pass with it.
"""

import re
import subprocess

import pytest
from conftest import full_but
from sources import copy_sources, put_defect
from test_defects import QEMU, QEMU_OPTIONS

pytestmark = pytest.mark.skipif(not QEMU, reason="qemu-system-x86_64 is not installed")

ARGUMENTS = b"TRAPLINE-ARGS-1\n"  # docs/contract.md

# What is broken: guest, file, the right text, the wrong one, cases that must notice.
DEFECTS = {
    "an interrupt on 17 pushes an error code": (
        "ipi", "lib/x86/record/event.c",
        ".has_error = frame->vector & FRAME_HAS_ERROR,",
        ".has_error = frame->vector & FRAME_HAS_ERROR || (uint8_t)frame->vector == 17,",
        ["self_by_id:cpl0", "other_by_id:cpl3"],
    ),
    "interrupts of class 1 are not in service": (
        "ipi", "lib/x86/record/recorder.c",
        "if (vector < 16 && !setup.watch_low_vectors)",
        "if (vector < 32)",
        ["self_by_shorthand:cpl0", "all_by_id:cpl0"],
    ),
    "an interrupt that INT n of its number leaves pending pushes an error code": (
        "ipi_exception", "lib/x86/record/event.c",
        ".has_error = frame->vector & FRAME_HAS_ERROR,",
        ".has_error = frame->vector & FRAME_HAS_ERROR || (uint8_t)frame->vector == 17,",
        ["int_n_while_pending:compat"],
    ),
    "the TPR does not hold back class 1": (
        "ipi_priority", "x86/apic/ipi_priority.c",
        "set(v & 0xf0);", "set(v < 0x20 ? 0 : v & 0xf0);",
        ["held_by_tpr:cpl0", "held_by_cr8:cpl3"],
    ),
    "IF does not hold interrupts back": (
        "ipi", "x86/apic/self.h",
        '"area off; mov $64', '"area off; sti; mov $64',
        ["self_by_id:cpl0", "self_by_logical_id:cpl3"],
    ),
    "EOI does nothing": (
        "ipi_priority", "lib/x86/record/recorder.c",
        "	apic_eoi();\n	for (unsigned word", "	for (unsigned word",
        ["held_by_service:cpl0", "held_by_own_class:cpl3"],
    ),
    "one vector gets lost on its way to others": (
        "ipi", "x86/apic/round.h",
        "		send(destination, command | v);",
        "		if (v != 0x1d)\n			send(destination, command | v);",
        ["other_by_id:cpl0", "all_by_shorthand:cpl0", "other_in_cluster:cpl0"],
    ),
    "a CPU gets what is not for it": (
        "ipi", "x86/apic/round.h",
        "		send(destination, command | v);",
        "		send(v == 0x1d ? percpu[1].apic_id : destination,\n"
        "		     v == 0x1d ? v : command | v);",
        ["nobody_by_id:cpl0", "nobody_in_cluster:cpl0", "self_by_shorthand_alone:cpl0"],
    ),
    "INT 14 writes CR2": (
        "vectors", "x86/vectors/vectors.c",
        "	try_vector(&int_n, 1, VECTOR_PF);", "	try_vector(&int_n, 1, VECTOR_PF), write_cr2(0);",
        ["int_14_leaves_cr2:cpl0"],
    ),
    "INT 21 pushes an error code": (
        "vectors", "lib/x86/record/event.c",
        ".has_error = frame->vector & FRAME_HAS_ERROR,",
        ".has_error = frame->vector & FRAME_HAS_ERROR || (uint8_t)frame->vector == 21,",
        ["int_n:cpl0", "int_n_tpr:cpl3", "within_limit:compat"],
    ),
    "an NMI does not block the next": (
        "ipi_nmi", "x86/apic/ipi_nmi.c",
        '	go_on_without_iret(frame, mark_address(&nmi_then_iret, "inside"));',
        "	(void)frame;\n	return BY_RULE;",
        ["blocked_until_iret:cpl0"],
    ),
    "a pending NMI is lost": (
        "ipi_nmi", "x86/apic/ipi_nmi.c",
        "		for (int i = 0; i < 3; i++)\n			nmi_to_self();", "		calls++;",
        ["collapse:cpl0", "collapse:compat"],
    ),
    "one message gets lost on its way to others": (
        "msi", "x86/apic/round.h",
        "		send(destination, command | v);",
        "		if (v != 0x1d)\n			send(destination, command | v);",
        ["other_by_id:cpl0", "other_by_id:compat", "other_level_by_id:cpl0", "last_by_id:cpl0",
         "all_by_id:cpl0", "other_by_logical_id:cpl0", "last_by_logical_id:cpl0"],
    ),
    "a CPU gets a message that is not for it": (
        "msi", "x86/apic/round.h",
        "		send(destination, command | v);",
        "		send(v == 0x1d ? percpu[1].apic_id : destination,\n"
        "		     v == 0x1d ? v : command | v);",
        ["nobody_by_id:cpl0"],
    ),
    "messages of class 1 are dropped": (
        "msi", "lib/x86/devices/edu.c",
        "void edu_send(uint32_t address, uint32_t data)\n{",
        "void edu_send(uint32_t address, uint32_t data)\n{\n	if ((data & 0xf0) == 0x10)\n		return;",
        ["edge:cpl0", "edge:compat", "level:cpl3", "other_by_id:cpl3"],
    ),
    "TMR is never set": (
        "ioapic", "lib/x86/record/recorder.c",
        "event.level = apic_bit(APIC_TMR, event.vector);", "event.level = false;",
        ["level:cpl0", "level_again:cpl3", "level_then_ipi:cpl0", "other_level:cpl0"],
    ),
    "legal vectors are reported as illegal": (
        "illegal", "lib/x86/devices/apic.c",
        "	return apic_read(APIC_ESR);", "	return apic_read(APIC_ESR) | ESR_SEND_ILLEGAL;",
        ["legal_vectors:cpl0"],
    ),
}


def passing(source, guest, cases):
    """Builds the guest and runs cases of it with two CPUs; the names of the points that pass."""
    build = source / "build"
    subprocess.run(["make", "-s", "WERROR=", f"build/{guest}.rom"],
                   cwd=source, check=True, stdout=subprocess.DEVNULL, timeout=120)
    rom = build / f"{guest}.rom"
    image = rom.read_bytes()
    words = b"cases=" + ",".join(cases).encode()
    at = image.index(ARGUMENTS + bytes(len(words))) + len(ARGUMENTS)
    rom.write_bytes(image[:at] + words + image[at + len(words):])
    run = subprocess.run([QEMU, *QEMU_OPTIONS, "-device", "edu", "-bios", rom],
                         stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                         stdin=subprocess.DEVNULL, timeout=120)
    text = run.stdout.decode("ascii", "replace")
    return set(re.findall(rf"^ok \d+ {guest}/(\S+)$", text, re.MULTILINE))


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """What passes without a defect: asked once of each guest, for all cases of it that are named here."""
    source = copy_sources(tmp_path_factory.mktemp("sound"))
    known = {}

    def ask(asked):
        if asked not in known:
            names = {case for guest, *_, cases in DEFECTS.values() if guest == asked for case in cases}
            known[asked] = passing(source, asked, sorted(names))
        return known[asked]

    return ask


@pytest.mark.parametrize("name", full_but(DEFECTS, (
    "one vector gets lost on its way to others", "an NMI does not block the next", "TMR is never set")))
def test_defect_is_noticed(name, sound, tmp_path):
    guest, file, right, wrong, must_notice = DEFECTS[name]
    source = copy_sources(tmp_path)
    put_defect(source / file, right, wrong)
    good = passing(source, guest, must_notice)
    for case in must_notice:
        assert case in sound(guest), f"{case} does not pass in the sound guest"
        assert case not in good, f"{case} passes although {name}"
