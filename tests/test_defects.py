# SPDX-License-Identifier: BSD-2-Clause
"""Break the library by hand and see the suite notice.

Each defect is a small edit in a copy of the sources; the guest is built from that copy, and the named
cases, which pass without it, must not pass with it. A recorder that cannot fail a case proves nothing.
"""

import json
import re
import shutil
import subprocess
import sys

import pytest

from conftest import full_but
from sources import ROOT, copy_sources, put_defect

QEMU = shutil.which("qemu-system-x86_64")
QEMU_OPTIONS = """-M q35 -accel tcg -cpu max -m 64 -smp 2 -nodefaults -display none -no-reboot
    -serial stdio -device isa-debug-exit,iobase=0xf4,iosize=4""".split()

needs_qemu = pytest.mark.skipif(not QEMU, reason="qemu-system-x86_64 is not installed")

LOSE_EVERY_SECOND = """\
	static bool lose;

	lose = !lose;
	if (lose)
		return;
"""

# What is broken: file, the right text, the wrong one, cases that must notice.
DEFECTS = {
    "the recorder takes a return address one byte too high": (
        "lib/x86/record/event.c",
        ".rip = frame->iret.rip,",
        ".rip = frame->iret.rip + 1,",
        ["int3_warm:cpl0", "undefined_cold_idt:cpl3", "into_warm:compat"],
    ),
    "the recorder loses every second event": (
        "lib/x86/record/trace.c",
        "	if (trace->events_used == MAX_EVENTS) {",
        LOSE_EVERY_SECOND + "	if (trace->events_used == MAX_EVENTS) {",
        ["int3_page_end:cpl0", "int3_repeated_cold_stack:cpl3"],
    ),
    "the recorder invents an error code": (
        "lib/x86/record/event.c",
        ".has_error = frame->vector & FRAME_HAS_ERROR,",
        ".has_error = true,",
        ["int3_warm:cpl0", "int_3_warm:cpl3"],
    ),
    "the stub takes every frame for one without an error code": (
        "lib/x86/cpu/entry.S",
        "	jz	1f\n",
        "",
        ["int3_page_end:cpl0", "int3_page_end:compat"],
    ),
    "INT n is not told from an exception": (
        "lib/x86/record/recorder.c",
        "	if (follows_int_n(&rec->run, event->rip, event->vector))\n		return FROM_INT_N;\n",
        "	(void)follows_int_n;\n",
        ["int_3_warm:cpl0", "int_3_cold_gdt:compat"],
    ),
    "the cold page is not the one that the delivery touches": (
        "lib/x86/harness/cold.c",
        "	use_ist(vector, page + PAGE_BYTES);",
        "	use_ist(vector, stack_top(0, STACK_EVENTS));",
        ["int3_cold_stack_ist:cpl0", "int3_repeated_cold_stack:cpl0"],
    ),
    "a control register comes back changed": (
        "lib/x86/harness/state.c",
        "	learned.cr4 = read_cr4();",
        "	learned.cr4 = read_cr4() ^ X86_CR4_DE;",
        ["first_exception:cpl0"],
    ),
    "L2 gets L1's own IDT": (
        "lib/x86/nested/svm/svm.c",
        ".base = tables->idtr.base};",
        ".base = read_idtr().base};",
        ["int3_cold_stack_ist:svm-cpl0", "int3_cold_stack_ist:svm-reflect-cpl3"],
    ),
    "L1 gives INT3 back with the address of the instruction": (
        "lib/x86/nested/svm/reflect.c",
        "		inject_trap(v, L2_EXCEPTION | VECTOR_BP, (uint64_t)byte + 1);",
        "		inject_trap(v, L2_EXCEPTION | VECTOR_BP, (uint64_t)byte);",
        ["int3_warm:svm-reflect-cpl0", "int3_cold_idt:svm-reflect-cpl3"],
    ),
    "L1 runs INT n again instead of injecting it again": (
        "lib/x86/nested/svm/reflect.c",
        "	if (state[v->cpu->index].injected) {",
        "	if (state[v->cpu->index].injected)\n		return;\n	if (0) {",
        ["int_0x80_overlap:svm-reflect-cpl0", "int3_overlap:svm-reflect-compat"],
    ),
}


def with_arguments(rom, words):
    """The ROM with its argument block filled (docs/contract.md, section 3)."""
    magic, data = b"TRAPLINE-ARGS-1\n", rom.read_bytes()
    at = data.index(magic) + len(magic)
    rom.write_bytes(data[:at] + words + b"\0" + data[at + len(words) + 1:])
    return rom


def passing(source):
    """Builds int3 from a copy of the sources and runs it; the names of the points that pass. A defect may leave the
    guest in bytes that are no code, for ever: what had come before counts."""
    build = source / "build"
    subprocess.run(
        ["make", "-s", "WERROR=", "build/int3.rom"],
        cwd=source, check=True, stdout=subprocess.DEVNULL, timeout=120,
    )
    try:
        said = subprocess.run(
            [QEMU, *QEMU_OPTIONS, "-bios", with_arguments(build / "int3.rom", b"layers=native,svm,svm-reflect")],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL, timeout=60,
        ).stdout
    except subprocess.TimeoutExpired as late:
        said = late.stdout or b""
    text = said.decode("ascii", "replace")
    return set(re.findall(r"^ok \d+ int3/(\S+)$", text, re.MULTILINE))


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return passing(copy_sources(tmp_path_factory.mktemp("sound")))


@needs_qemu
@pytest.mark.parametrize("name", full_but(DEFECTS, (
    "a control register comes back changed", "L1 runs INT n again instead of injecting it again")))
def test_defect_is_noticed(name, sound, tmp_path):
    file, right, wrong, must_notice = DEFECTS[name]
    source = copy_sources(tmp_path)
    put_defect(source / file, right, wrong)
    good = passing(source)
    for case in must_notice:
        assert case in sound, f"{case} does not pass in the sound library"
        assert case not in good, f"{case} passes although {name}"


# The same where L1 is under test. The cases are named with their section of unittests.cfg.
NESTED_DEFECTS = {
    "L1 does not block NMIs while L2 handles one": (
        "lib/x86/nested/svm/nmi.c",
        "	NMIS(v)->blocked = true;",
        "	NMIS(v)->blocked = false;",
        ["nmi-svm/blocked_until_iret:svm-reflect-cpl0", "nmi-svm/nested_int3:svm-reflect-cpl3"],
    ),
    "L2 gets the #DB of L1's step over IRET": (
        "lib/x86/nested/svm/nmi.c",
        "	return step && !",
        "	return 0 && step && !",
        ["nmi-svm/one_is_kept:svm-reflect-cpl0", "nmi-svm/nested_int3:svm-reflect-compat"],
    ),
    "L1 skips MOV to CR8 without its single-step trap": (
        "lib/x86/nested/svm/reflect.c",
        "	l2_do_cr8(v, (opcode[2] & 7) | rex_b << 3, write, (uint64_t)opcode + 3);",
        "	l2_set(v, L2_RIP, (uint64_t)opcode + 3 + 0 * (rex_b + write));",
        ["step-svm/tf_cr8:svm-reflect-cpl0"],
    ),
    "L2 gets L1's own IDT": (
        "lib/x86/nested/vmx/vmcs.c",
        "ensure(VMCS_GUEST_IDTR_BASE, start->tables.idtr.base);",
        "ensure(VMCS_GUEST_IDTR_BASE, read_idtr().base);",
        ["int3-vmx/int3_gate_not_present:vmx-cpl0", "int3-vmx/undefined_gate_not_present:vmx-noept-cpl3"],
    ),
    "L1 forgets the length of the instruction that it injects again": (
        "lib/x86/nested/vmx/vmx.c",
        "	vmwrite(VMCS_ENTRY_LENGTH, vmread(VMCS_EXIT_LENGTH));",
        "	vmwrite(VMCS_ENTRY_LENGTH, 1);",
        ["int3-vmx-reflect/int_3_cold_idt:vmx-reflect-cpl0",
         "vmx_vectoring/int_0x80_stack:vmx-compat"],
    ),
    "L1 gives INT3 back as a hardware exception": (
        "lib/x86/nested/vmx/reflect.c",
        "	if (is_trap(what)) {",
        "	what = (what & ~L2_EVENT_TYPE) | L2_EXCEPTION;\n	if (is_trap(what)) {",
        ["int3-vmx-reflect/int3_warm:vmx-reflect-cpl0",
         "int3-vmx-reflect/into_cold_stack_ist:vmx-reflect-compat"],
    ),
    "L1 takes no page away": (
        "lib/x86/nested/slat.c",
        "	*slat_entry(address) &= ~format->access;",
        "	(void)slat_entry(address);",
        ["vmx_vectoring/int3_idt:vmx-cpl0", "vmx_ve/ve:vmx-cpl3"],
    ),
    "L1 does not say what it injects": (
        "lib/x86/nested/vmx/vmx.c",
        "L2_EVENT_VALID | (next ? as_trap(what) : what)",
        "L2_EVENT_VALID | (as_trap(what), what)",
        ["vmx_inject/int3:vmx-cpl3", "vmx_inject/int3_gate_dpl0:vmx-compat"],
    ),
}


def on_bochs(cases):
    """Whether these need VMX."""
    return "vmx" in cases[0]


def nested_results(source, cases):
    """Builds the guests of these cases from a copy and runs them, VMX on Bochs: {case: its result}."""
    machine = "bochs-vmx" if on_bochs(cases) else "tcg"
    build = source / "build"
    guests = {case.split("/")[0].split("-")[0] for case in cases}
    subprocess.run(["make", "-s", "WERROR=", *[f"build/{guest}.rom" for guest in guests]],
                   cwd=source, check=True, stdout=subprocess.DEVNULL, timeout=240)
    subprocess.run([sys.executable, "-m", "trapline", "-q", "--machine", machine,
                    "--build", str(build), "--json", str(build / "results.json"), *cases],
                   env={"PYTHONPATH": str(ROOT / "scripts"), "PATH": "/usr/bin:/bin"}, cwd=ROOT,
                   stdout=subprocess.DEVNULL, timeout=120)
    results = json.loads((build / "results.json").read_text())["results"]
    return {f"{result['case']}:{result['environment']}": result for result in results}


def noticed(result):
    """It fails, or sees itself that what it is about did not happen."""
    return result["verdict"] == "fail" or \
        result["verdict"] == "skip" and result["reason"].startswith("no witness")


@pytest.mark.parametrize("name", full_but(NESTED_DEFECTS, (
    "L1 takes no page away",)))
def test_defect_of_l1_is_noticed(name, tmp_path):
    file, right, wrong, must_notice = NESTED_DEFECTS[name]
    program = "bochs-bin" if on_bochs(must_notice) else "qemu-system-x86_64"
    if not shutil.which(program):
        pytest.skip(f"{program} is not installed")
    source = copy_sources(tmp_path)
    put_defect(source / file, right, wrong)
    results = nested_results(source, must_notice)
    assert set(results) == set(must_notice)
    assert all(map(noticed, results.values())), f"{results} although {name}"
