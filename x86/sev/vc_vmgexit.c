/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * VMGEXIT itself, and events that come across it.
 *
 * The rule. VMMCALL with F3 or F2 in front is VMGEXIT under SEV-ES: an exit, and no #VC; without, it is VMMCALL,
 * which is #VC. An interrupt or NMI that comes while the hypervisor answers is delivered behind VMGEXIT, once.
 * Its handler may use the GHCB itself: a #VC there, or a call. What the interrupted owner of the page had in it,
 * the answer above all, must be there again when the handler is over.
 *
 * A buggy hypervisor takes one for the other, or loses what came meanwhile. A buggy guest reads the answer to its
 * handler's question as its own: Linux keeps a copy of the page for that.
 *
 * https://www.amd.com/content/dam/amd/en/documents/epyc-technical-docs/specifications/56421.pdf
 */
#include "vc_handler.h"

#include "x86/sev/ghcb_msr.h"

#define RULE_VMGEXIT "APM 3, VMGEXIT: VMMCALL with F2 or F3 is an exit, and no #VC"
#define RULE_ACROSS \
	"GHCB 4.1: an event that comes meanwhile is delivered behind VMGEXIT, and its handler leaves the page as it was"

SNIPPET(vmgexit_f2, "wrmsr; mark insn; .byte 0xf2, 0x0f, 0x01, 0xd9; mark after; rdmsr");
SNIPPET(vmgexit_f3, "wrmsr; mark insn; .byte 0xf3, 0x0f, 0x01, 0xd9; mark after; rdmsr");

static void try_vmgexit(const struct snippet *snippet)
{
	uint64_t before;

	need_es();
	need_native(GUEST_NEEDS_NATIVE);
	setup.show_vc = true;
	expect("(none)");
	setup.regs = (struct regs){.rcx = MSR_GHCB, .rax = GHCB_MSR_SEV_INFO_REQUEST};
	before = rdmsr(MSR_GHCB);
	run_snippet(snippet);
	wrmsr(MSR_GHCB, before);
	check((setup.result.rax & 0xfff) == GHCB_MSR_SEV_INFO, "EAX is %#lx, no SEV information",
	      setup.result.rax);
}

CASE(vmgexit_f3, CPL0, RULE_VMGEXIT, CATCHES("model-ghcb-info-once"))
{
	try_vmgexit(&vmgexit_f3);
}

CASE(vmgexit_f2, CPL0, RULE_VMGEXIT, CATCHES("model-vmgexit-as-vmmcall"))
{
	try_vmgexit(&vmgexit_f2);
}

/* -- Events across it. ------------------------------------------------------------------------- */

#define VECTOR 0x51
#define POISON 0x9e

SNIPPET(vmgexit_and_wait, "sti; mark insn; .byte 0xf3, 0x0f, 0x01, 0xd9; area wait; " WAIT);

/*
 * The call is a write to the command register of the local APIC, with this CPU as its target. The handler of what comes
 * makes a call of its own in the middle of it.
 */
static void try_across(uint32_t command)
{
	uint32_t id = identification();
	volatile struct ghcb_page *page;
	struct ghcb_answer answer;
	struct ghcb_use use;
	unsigned changed = 0;

	setup.hook = port_in_handler;
	in_handler = 0;
	apic_write(APIC_ICR_HIGH, apic_id() << 24);
	page = ghcb_open(&use);
	ghcb_clear(page);
	ghcb_set(page, GHCB_EXIT_CODE, GHCB_EVENT_MMIO_WRITE);
	ghcb_set(page, GHCB_EXIT_INFO_1, 0xfee00000 + APIC_ICR);
	ghcb_set(page, GHCB_EXIT_INFO_2, sizeof(command));
	ghcb_set(page, GHCB_SCRATCH, ghcb_gpa() + GHCB_SHARED_BUFFER);
	for (unsigned i = 0; i < GHCB_SHARED_BUFFER_SIZE; i++)
		page->shared_buffer[i] = i < sizeof(command) ? command >> 8 * i : POISON;
	page->version = sev_ghcb_version();
	page->usage = GHCB_USAGE_STANDARD;
	wrmsr(MSR_GHCB, ghcb_gpa());
	run_until(vmgexit_and_wait, 1);
	ghcb_take_answer(page, &answer);
	for (unsigned i = sizeof(command); i < GHCB_SHARED_BUFFER_SIZE; i++)
		changed += page->shared_buffer[i] != POISON;
	check(rdmsr(MSR_GHCB) == ghcb_gpa(), "the MSR is %#lx", rdmsr(MSR_GHCB));
	ghcb_close(&use);
	check(in_handler == id, "EAX is %#x in the handler, not %#x", in_handler, id);
	check(answer.value[GHCB_EXIT_CODE] == GHCB_EVENT_MMIO_WRITE &&
		      (uint32_t)answer.value[GHCB_EXIT_INFO_1] == GHCB_RESULT_DONE,
	      "the page is about event %#lx, result %#lx", answer.value[GHCB_EXIT_CODE],
	      answer.value[GHCB_EXIT_INFO_1]);
	check(!changed, "%u bytes of the shared buffer changed", changed);
}

CASE_NEEDS("apic=1", intr_across, CPL0, RULE_ACROSS, CATCHES("model-ipi-no-isr"))
{
	need_es();
	need_native(GUEST_NEEDS_NATIVE);
	expect("intr %#x@wait", VECTOR);
	try_across(VECTOR | ICR_ASSERT);
}

CASE_NEEDS("apic=1", nmi_across, CPL0, RULE_ACROSS,
	   CATCHES("model-nmi-lost model-ghcb-nmi-complete-ignored"))
{
	need_es();
	need_native(GUEST_NEEDS_NATIVE);
	expect("nmi@wait x2");
	try_across(ICR_NMI | ICR_ASSERT);
	try_across(ICR_NMI | ICR_ASSERT);
}
