/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * SEV-SNP: what the guest is told when a page is not as it believes. What it asks the hypervisor for is in
 * snp_ghcb.c.
 *
 * The rule. Under SEV-SNP each page of memory belongs to the guest or to the hypervisor, and one that is the
 * guest's is usable once the guest has validated it (PVALIDATE). A private access to any other page of
 * its own is #VC with error code 0x404 and the address in CR2, a fault like #PF. The hypervisor can take a
 * page away and give it back, but only unvalidated: so a guest that counts its pages sees every page that
 * was exchanged under it, by that #VC or by PVALIDATE's carry flag. CPUID is not the hypervisor's word any
 * more but that of a page that the launch has filled.
 *
 * What SEV-SNP was made against is a hypervisor that exchanges pages, or lies about the CPU, on purpose: under
 * plain SEV it could, and the guest would not see it.
 *
 * Most cases concern what the CPU does. They are here because nothing that follows can be believed
 * without it; our model (x86/model/sev/snp.c) is the only machine without AMD's hardware that has it.
 *
 * https://www.amd.com/content/dam/amd/en/documents/epyc-technical-docs/specifications/56421.pdf
 */
#include "snp_pages.h"

#include "ask_model.h"
#include "x86/sev/snp_cpuid.h"

#define RULE_ACCESS \
	"APM 2, RMP and VMPL Access Checks: a page that is not validated is #VC(0x404), its address in CR2"
#define RULE_PVALIDATE \
	"APM 3, PVALIDATE: EAX says whether it worked, CF that the page was in that state already"
#define RULE_SIZE \
	"APM 2, Large Page Management: 2 MiB asked for, 4 KiB in the RMP: FAIL_SIZEMISMATCH"
#define RULE_RMPADJUST "APM 3, RMPADJUST: only VMPLs above the own one are adjusted"
#define RULE_PRIVILEGE "APM 3, PVALIDATE and RMPADJUST: #GP(0) outside of CPL 0"
#define RULE_UD "APM 3, PVALIDATE and RMPADJUST: #UD where SEV-SNP is not active"
#define RULE_CPUID "SEV-SNP firmware ABI, CPUID Page: a leaf that is in it is what the machine has"
#define RULE_SECRETS "GHCB 2.7, Secrets Page: version, and the keys of this guest"

SNIPPET(load, "mark insn; mov (%ebx), %ecx; mark after; nop");
SNIPPET(store, "mark insn; mov %ecx, (%ebx); mark after; nop");
SNIPPET(nop_insn, "mark insn; nop; mark after; nop");
SNIPPET(int3_insn, "mark insn; int3; mark after; nop");
SNIPPET(pvalidate_insn, "mark insn; .byte 0xf2, 0x0f, 0x01, 0xff; mark after; nop");
SNIPPET(rmpadjust_insn, "mark insn; .byte 0xf3, 0x0f, 0x01, 0xfe; mark after; nop");

#define OFFSET 0x120
#define STAMP 0x5aa51221u

/* -- Accesses. --------------------------------------------------------------------------------- */

/* The page is not validated while the snippet runs. */
static void run_unvalidated(const struct snippet *snippet)
{
	setup.regs.rbx = SUBJECT + OFFSET;
	setup.regs.rcx = STAMP;
	check(snp_validate(SUBJECT, false), "PVALIDATE does not take the page back");
	run_snippet(snippet);
	/* Whoever was there in between has validated it. */
	pvalidate(SUBJECT, SNP_SIZE_4K, true);
}

#define BUGS_ACCESS CATCHES("model-snp-all-validated model-snp-error-code model-snp-no-cr2")

CASE(unvalidated_read, IN_LONG_MODE, RULE_ACCESS, BUGS_ACCESS)
{
	need_pages();
	expect("#VC(0x404,cr2=page+%#x)@insn", OFFSET);
	run_unvalidated(&load);
}

CASE(unvalidated_write, IN_LONG_MODE, RULE_ACCESS, BUGS_ACCESS)
{
	need_pages();
	expect("#VC(0x404,cr2=page+%#x)@insn", OFFSET);
	run_unvalidated(&store);
}

/* The address in CR2 is the one that the instruction used. */
CASE(unvalidated_alias, CPL0, RULE_ACCESS, BUGS_ACCESS)
{
	need_pages();
	window_map(0, SUBJECT | PTE_PAGE);
	notation_name("alias", WINDOW, PAGE_BYTES);
	expect("#VC(0x404,cr2=alias+0x8)@insn");
	check(snp_validate(SUBJECT, false), "PVALIDATE does not take the page back");
	setup.regs.rbx = WINDOW + 8;
	run(load);
	pvalidate(SUBJECT, SNP_SIZE_4K, true);
}

CASE(unvalidated_fetch, IN_LONG_MODE, RULE_ACCESS, BUGS_ACCESS)
{
	const struct code *code = snippet_code(&nop_insn);

	need_pages();
	memcpy(pages[0], code->start, code->end - code->start);
	setup.address = pages[0];
	setup.placed = true;
	expect("#VC(0x404,cr2=insn)@insn");
	run_unvalidated(&nop_insn);
}

static enum action validate_it(const struct event *event, struct trap_frame *frame)
{
	(void)frame;
	if (event->vector != VECTOR_VC)
		return BY_RULE;
	check(snp_validate(SUBJECT, true), "PVALIDATE in the handler");
	return RESUME;
}

/* A fault: the instruction is executed once the page is there. */
CASE(validated_late, IN_LONG_MODE, RULE_ACCESS, BUGS_ACCESS)
{
	need_pages();
	setup.hook = validate_it;
	memset(pages[0], 0, PAGE_BYTES);
	expect("#VC(0x404,cr2=page+%#x)@insn", OFFSET);
	run_unvalidated(&store);
	check(*(volatile uint32_t *)(pages[0] + OFFSET) == STAMP, "the store was not repeated");
}

/* The frame of the #BP has no place: #VC at the INT3, which is executed again. */
CASE(int3_stack, IN_LONG_MODE,
     "APM 2, #VC Exception: a fault in the delivery of a benign exception is delivered in its place",
     CATCHES("model-snp-all-validated model-snp-event-lost"))
{
	need_pages();
	setup.hook = validate_it;
	use_ist(VECTOR_BP, SUBJECT + PAGE_BYTES);
	expect("#VC(0x404,cr2=page+0xff8)@insn, #BP@after");
	run_unvalidated(&int3_insn);
}

/* -- PVALIDATE and RMPADJUST. ------------------------------------------------------------------ */

CASE(pvalidate_twice, CPL0, RULE_PVALIDATE, CATCHES("model-snp-no-cf"))
{
	static const struct {
		bool valid, unchanged;
	} steps[] = {{true, true}, {false, false}, {false, true}, {true, false}, {true, true}};

	need_pages();
	for (unsigned i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		struct pvalidate_result r = pvalidate(SUBJECT, SNP_SIZE_4K, steps[i].valid);

		check(r.code == SNP_DONE && r.unchanged == steps[i].unchanged,
		      "step %u, to %u: EAX %u, CF %u", i, steps[i].valid, r.code, r.unchanged);
	}
}

/* All that a launch has validated is of 4 KiB. */
CASE(pvalidate_large, CPL0, RULE_SIZE, CATCHES("model-snp-size-ignored"))
{
	struct pvalidate_result r;

	need_pages();
	r = pvalidate(SNP_RAM_END - BLOCK_BYTES, SNP_SIZE_2M, false);
	check(r.code == SNP_FAIL_SIZE, "EAX %u, not %u", r.code, SNP_FAIL_SIZE);
	r = pvalidate(SNP_RAM_END - BLOCK_BYTES, SNP_SIZE_4K, true);
	check(r.code == SNP_DONE && r.unchanged, "its first page was changed: EAX %u, CF %u",
	      r.code, r.unchanged);
}

CASE(pvalidate_unaligned, CPL0,
     "APM 3, PVALIDATE: FAIL_INPUT for 2 MiB that are not aligned to 2 MiB",
     CATCHES("model-snp-size-ignored"))
{
	struct pvalidate_result r;

	need_pages();
	r = pvalidate(SNP_RAM_END - BLOCK_BYTES + PAGE_BYTES, SNP_SIZE_2M, false);
	check(r.code == SNP_FAIL_INPUT, "EAX %u, not %u", r.code, SNP_FAIL_INPUT);
}

static void try_as_user(const struct snippet *snippet)
{
	need_pages();
	expect("#GP(0x0)@insn");
	setup.regs = (struct regs){.rax = SUBJECT, .rdx = 1};
	run_snippet(snippet);
}

CASE(pvalidate_user, CPL3 | COMPAT, RULE_PRIVILEGE, CATCHES("model-snp-pvalidate-user"))
{
	try_as_user(&pvalidate_insn);
}

CASE(rmpadjust_own, CPL0, RULE_RMPADJUST, CATCHES("model-snp-own-vmpl"))
{
	uint32_t code;

	need_pages();
	code = rmpadjust(SUBJECT, SNP_SIZE_4K, 0);
	check(code == SNP_FAIL_PERMISSION, "EAX %u, not %u", code, SNP_FAIL_PERMISSION);
}

CASE(rmpadjust_large, CPL0, RULE_SIZE, CATCHES("model-snp-size-ignored"))
{
	uint32_t code;

	need_pages();
	code = rmpadjust(SNP_RAM_END - 2 * BLOCK_BYTES, SNP_SIZE_2M, 1);
	check(code == SNP_FAIL_SIZE, "EAX %u, not %u", code, SNP_FAIL_SIZE);
	code = rmpadjust(SNP_RAM_END - 2 * BLOCK_BYTES + PAGE_BYTES, SNP_SIZE_2M, 1);
	check(code == SNP_FAIL_INPUT, "EAX %u, not %u, where it is not aligned", code,
	      SNP_FAIL_INPUT);
}

/* In 64-bit code alone. */
CASE(rmpadjust_user, CPL3, RULE_PRIVILEGE, CATCHES("model-snp-pvalidate-user"))
{
	try_as_user(&rmpadjust_insn);
}

/* The same instructions on every other machine. */
CASE(ud, IN_LONG_MODE, RULE_UD, CATCHES("model-fault-as-trap"))
{
	need_of_machine(!sev_is_snp(), "mode without SEV-SNP");
	setup.regs.rax = SUBJECT;
	expect("#UD@insn; #UD@insn");
	run(pvalidate_insn);
	run(rmpadjust_insn);
}

/* -- What the launch has filled. --------------------------------------------------------------- */

/* Leaves that are the same on every CPU, at any time. */
CASE(cpuid_page, CPL0, RULE_CPUID, CATCHES("model-snp-cpuid-page"))
{
	static const uint32_t leaves[] = {0,	      0x80000000, 0x80000002,
					  0x80000003, 0x80000004, 0x8000001f};

	need_pages();
	for (unsigned i = 0; i < 4 * sizeof(leaves) / sizeof(leaves[0]); i++) {
		struct cpuid r = cpuid(leaves[i / 4], 0);
		uint32_t here[] = {r.a, r.b, r.c, r.d};
		struct ghcb_msr m, ask = {.code = GHCB_MSR_CPUID_REQUEST,
					  .function = leaves[i / 4],
					  .reg = i % 4};
		uint64_t request = ghcb_msr_encode(&ask);

		check(ghcb_msr_check(request, sev_msr_call(request), &m) == GHCB_MSR_OK,
		      "leaf %#x: no response", leaves[i / 4]);
		check(m.value == here[i % 4],
		      "leaf %#x, register %u: %#x in the page, %#x by the hypervisor",
		      leaves[i / 4], i % 4, here[i % 4], m.value);
	}
}

/* The answer to the next VMGEXIT is spoilt, and CPUID does not notice: there was none. */
CASE(cpuid_alone, CPL0, RULE_CPUID, CATCHES("model-snp-cpuid-page"))
{
	struct ghcb_call call = {.request.exit_code = SVM_EXIT_WBINVD};
	struct ghcb_msr m, ask = {.code = GHCB_MSR_CPUID_REQUEST,
				  .function = 0x80000002,
				  .reg = GHCB_CPUID_EBX};
	uint64_t request = ghcb_msr_encode(&ask);
	struct cpuid r;

	need_pages();
	need_model(ask_model(MODEL_CALL_BEHAVE, 0, 0, 0));
	ask_model(MODEL_CALL_SPOIL, MODEL_SPOIL_RESULT, 1, 3);
	r = cpuid(0x80000002, 0);
	ghcb_call(&call);
	check(call.outcome.verdict == GHCB_BAD_RESULT, "CPUID asked the hypervisor");
	ghcb_msr_check(request, sev_msr_call(request), &m);
	check(r.b == m.value, "EBX is %#x, %#x by the hypervisor", r.b, m.value);
}

CASE(secrets, CPL0, RULE_SECRETS, CATCHES("model-snp-no-secrets"))
{
	const volatile uint8_t *page = (const volatile uint8_t *)SNP_SECRETS_PAGE;
	unsigned set = 0;

	need_pages();
	for (unsigned i = 0; i < SNP_SECRETS_KEY_BYTES; i++)
		set += page[SNP_SECRETS_KEYS + i] != 0;
	check(page[0] >= 2, "version %u", page[0]);
	check(set, "the key of VMPL 0 is 0");
}
