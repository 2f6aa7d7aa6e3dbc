/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * #VE: an EPT violation that is an exception of L2's.
 *
 * The rule (SDM 3C, "Virtualization Exceptions"). An EPT violation can be a #VE instead of an exit, with all
 * that the exit would have said in a page of L2's; not where bit 63 of the EPT entry is set, nor while that page
 * is in use. Only the true one fills it: INT 20, an IPI on 20 and an injected exception 20 do not. The exception
 * bitmap's bit 20 catches the true one alone.
 *
 * The bugs that taught it. KVM's nested VMX took INT n for the exception of the same number (CVE-2016-9588);
 * the mistake is as easy with a vector that comes through the APIC, and for #VE its price is a guest that
 * believes in pages which its hypervisor has not taken.
 *
 * SVM has no #VE. A buggy hypervisor shows an event in the place of `exit ...`, an exit in the place of the
 * event, or a page that was written when it must not be.
 */
#define GUEST_LAYERS VMX_LAYERS
#include "trapline.h"

#include "x86/nested/vmx/vmx.h"

#define RULE_VE \
	"SDM 3C, Virtualization Exceptions: an EPT violation becomes #VE and fills the information area; INT 20 and interrupts on 20 do not"
#define RULE_NO_VE                                                                             \
	"SDM 3C, Convertible EPT Violations: not where bit 63 of the entry is set, nor while " \
	"the area is busy"

SNIPPET(call, "mark call; vmcall; mark target; nop; mark after; nop");

static uint32_t exceptions;

#define EPT_SUPPRESS_VE (1ul << 63)
#define UNTOUCHED 0x55

struct ve_info {
	uint32_t reason, busy;
	uint64_t qualification, linear, physical;
	uint16_t eptp_index;
};

static union {
	struct ve_info info;
	uint8_t bytes[PAGE_BYTES];
} ve_area __attribute__((aligned(4096)));
static uint8_t missing[PAGE_BYTES] __attribute__((aligned(4096)));

static bool suppress_ve;

static void use_ve(struct l2 *v)
{
	l2_intercept_exceptions(v, exceptions);
	vmwrite(VMCS_VE_INFO_ADDRESS, (uint64_t)&ve_area);
	vmset(VMCS_SECONDARY_CONTROLS, SECONDARY_VE);
	slat_unmap((uint64_t)missing);
	if (suppress_ve)
		*slat_entry((uint64_t)missing) |= EPT_SUPPRESS_VE;
}

SNIPPET(touch, "mark call; vmcall; mark insn; movl $0, (%edi); mark after; nop");
SNIPPET(int_0x14, "mark call; vmcall; mark insn; int $0x14; mark after; nop");

static void need_ve(void)
{
	need_of_machine(layer == &layer_vmx, "EPT in %s", layer->name);
	need_of_machine(vmx_has_secondary(SECONDARY_VE), "EPT-violation #VE");
	memset(&ve_area, UNTOUCHED, sizeof(ve_area));
	ve_area.info.busy = 0;
	suppress_ve = false;
	notation_name("missing", (uint64_t)missing, PAGE_BYTES);
}

static void try_ve(const struct snippet *snippet, uint32_t intercepted)
{
	exceptions = intercepted;
	setup.regs.rdi = (uint64_t)missing;
	l2_setup.on_call = use_ve;
	run_snippet(snippet);
	*slat_entry((uint64_t)missing) &= ~EPT_SUPPRESS_VE;
}

static void check_filled(void)
{
	const struct ve_info *i = &ve_area.info;

	check(i->reason == VMX_EPT_VIOLATION && i->busy == ~0u,
	      "the area says reason %#x, busy %#x", i->reason, i->busy);
	check((i->qualification & EPT_QUALIFICATION) ==
		      (EPT_WRITE | EPT_LINEAR_VALID | EPT_OF_LINEAR),
	      "the area's qualification is %#lx", i->qualification);
	check(i->linear == (uint64_t)missing && i->physical == (uint64_t)missing,
	      "the area's addresses are %#lx and %#lx", i->linear, i->physical);
}

static void check_untouched(void)
{
	bool same = ve_area.info.busy == 0;

	for (unsigned i = 0; i < sizeof(struct ve_info); i++)
		same &= ve_area.bytes[i] == UNTOUCHED || (i >= 4 && i < 8);
	check(same, "the information area was written");
}

CASE(ve, IN_LONG_MODE, RULE_VE, "")
{
	need_ve();
	expect("#VE@insn");
	try_ve(&touch, 0);
	check_filled();
}

CASE(ve_intercepted, IN_LONG_MODE, RULE_VE, "")
{
	need_ve();
	expect("exit #VE@insn");
	try_ve(&touch, EXCEPTION(VECTOR_VE));
	check_filled();
}

CASE(ve_int_20, IN_LONG_MODE, RULE_VE, CATCHES("kvm-nvmx-soft-intercept"))
{
	need_ve();
	expect("int 0x14@after");
	try_ve(&int_0x14, EXCEPTION(VECTOR_VE));
	check_untouched();
}

static void use_ve_and_pend(struct l2 *v)
{
	use_ve(v);
	interrupt_pending(VECTOR_VE);
}

CASE_NEEDS("apic=1", ve_ipi_20, IN_LONG_MODE, RULE_VE, CATCHES("kvm-nvmx-soft-intercept"))
{
	need_ve();
	apic_enable(0);
	setup.rflags = X86_EFLAGS_IF;
	exceptions = EXCEPTION(VECTOR_VE);
	l2_setup.on_call = use_ve_and_pend;
	expect("intr 0x14@target");
	run(call);
	check_untouched();
}

static void use_ve_and_inject(struct l2 *v)
{
	use_ve(v);
	l2_inject(v, L2_EXCEPTION | VECTOR_VE, 0, 0);
}

CASE(ve_injected, IN_LONG_MODE,
     "SDM 3C, Event Injection: injected events do not cause exits by the exception bitmap, nor do they fill the area",
     "")
{
	need_ve();
	exceptions = EXCEPTION(VECTOR_VE);
	l2_setup.on_call = use_ve_and_inject;
	expect("#VE@target");
	run(call);
	check_untouched();
}

CASE(ve_suppressed, IN_LONG_MODE, RULE_NO_VE, "")
{
	need_ve();
	suppress_ve = true;
	expect("exit EPT_VIOLATION(0x182,gpa=missing)@insn");
	try_ve(&touch, 0);
	check_untouched();
}

CASE(ve_area_busy, IN_LONG_MODE, RULE_NO_VE, "")
{
	need_ve();
	ve_area.info.busy = 1;
	expect("exit EPT_VIOLATION(0x182,gpa=missing)@insn");
	try_ve(&touch, 0);
	check(ve_area.info.busy == 1 && ve_area.bytes[0] == UNTOUCHED, "the area was written");
}
