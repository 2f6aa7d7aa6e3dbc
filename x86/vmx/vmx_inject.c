/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * L1 injects an event into its own L2 through the VM-entry interruption information.
 *
 * The rule (SDM 3C, "Event Injection", "VM-Entry Control Fields"). A VM entry with a valid field delivers
 * that event before L2's first instruction. An interrupt, an NMI or a hardware exception saves L2's RIP. A
 * software interrupt (type 4), a software exception (6: INT3, INTO) and a privileged one (5: INT1) save
 * RIP plus the VM-entry instruction length, whatever instruction stands there or does not; 4 and 6 check
 * the gate's DPL. The error code is pushed iff bit 11 is set.
 *
 * The bugs that taught it. Xen treated an injected INT 1 or INT 14 as the exception, and wrote DR6 or CR2.
 *
 * What SVM can inject as well is in inject.h; what an injected NMI blocks is in vmx_nmi.c; what must not be
 * injected is in vmx_refused.c and vmx_refused_state.c.
 *
 * A buggy hypervisor shows another return address, an error code too many or too few, an event where
 * `exit INVALID_...` should be, or one that came twice.
 */
#define GUEST_LAYERS VMX_LAYERS
#include "trapline.h"

#include "x86/nested/vmx/vmx.h"

#define RULE_INJECT \
	"SDM 3C, Event Injection: the event is delivered before the guest's first instruction"
#define RULE_SOFT \
	"SDM 3C, Details of Vectored-Event Injection: a software interrupt or exception saves RIP plus the VM-entry instruction length, whatever stands there"
#define RULE_EV \
	"SDM 3C, Details of Vectored-Event Injection: bit 11 says whether an error code is pushed"
#define RULE_DPL_SOFT \
	"SDM 3C, Details of Vectored-Event Injection: software interrupts and software exceptions check the DPL of the gate, as the instructions do"
#define RULE_NO_DPL \
	"SDM 3C, Details of Vectored-Event Injection: other events do not check the DPL of the gate"
#define RULE_DB \
	"SDM 3C, Details of Vectored-Event Injection: injection of #DB modifies neither DR6 nor DR7"
#define RULE_CR2 "SDM 3C, Details of Vectored-Event Injection: injection of #PF does not modify CR2"
#define RULE_NO_ERROR \
	"SDM 3C, Details of Vectored-Event Injection: an interrupt and a software interrupt push no error code, whatever the vector"
#define RULE_RF \
	"SDM 3C, Details of Vectored-Event Injection: the frame holds the RFLAGS of the VMCS, RF too; an interrupt does not set RF"
#define RULE_FIRST \
	"SDM 3C, Event Injection: the event comes before the first instruction, and before a breakpoint on it"
#define RULE_BLOCKED \
	"SDM 3C, Checks on Guest Non-Register State and RIP, RFLAGS: an event that the guest's state holds back cannot be injected; exit 33"

#define BUGS_ANY ""
#define BUGS_SOFT ""
#define BUGS_SOFT_COLD CATCHES("kvm-int3-retry")
#define BUGS_INT_N_LOW CATCHES("xen-intn-side-effects")
#define BUGS_INT_N_DPL CATCHES("xsa-106")
#define BUGS_INT3_DPL CATCHES("xsa-106")
#define BUGS_CR2 ""
#define BUGS_DB CATCHES("xen-intn-side-effects")
#define BUGS_RF ""

#define CALL "vmcall"
#include "../nested/inject.h"

/* -- What L2's state holds back. --------------------------------------------------------------- */

static uint64_t interruptibility;

static void inject_blocked(struct l2 *v)
{
	vmset(VMCS_GUEST_INTERRUPTIBILITY, interruptibility);
	inject(v);
}

static void try_blocked(uint64_t state, uint32_t what)
{
	interruptibility = state;
	now.what = what;
	l2_setup.on_call = inject_blocked;
	run(call);
}

CASE(nmi_in_sti_shadow, IN_LONG_MODE, RULE_BLOCKED, "")
{
	begin(X86_EFLAGS_IF, 0);
	allow("SDM 3C, Checks on Guest Non-Register State: some processors check STI blocking for an NMI, too",
	      "exit INVALID_GUEST");
	allow("SDM 3C, Checks on Guest Non-Register State: and others do not", "nmi@target");
	try_blocked(BLOCKED_BY_STI, L2_NMI | VECTOR_NMI);
}

/* What no shadow holds back goes through, and ends the shadow. */
CASE(exception_in_shadow, IN_LONG_MODE, RULE_INJECT, "")
{
	begin(X86_EFLAGS_IF, 0);
	expect("#UD@target x2");
	try_blocked(BLOCKED_BY_STI, L2_EXCEPTION | VECTOR_UD);
	try_blocked(BLOCKED_BY_MOV_SS, L2_EXCEPTION | VECTOR_UD);
}

/* -- INT1, and lengths. ------------------------------------------------------------------------ */

SNIPPET(call_int1, "mark call; vmcall; mark target; .byte 0xf1; mark after; nop");

CASE(int1, IN_LONG_MODE, RULE_SOFT, CATCHES("xen-intn-side-effects"))
{
	begin_soft(0, 2);
	expect("#DB[]@after; #DB[]@after; #DB[]@far_after");
	try_soft(&call, L2_PRIVILEGED_SOFT | 1, "after");
	try_soft(&call_int1, L2_PRIVILEGED_SOFT | 1, "after");
	try_soft(&call, L2_PRIVILEGED_SOFT | 1, "far_after");
}

CASE(int1_gate_dpl0, CPL3 | COMPAT, RULE_NO_DPL, "")
{
	refuse(1);
	expect("#DB[]@after");
	try_soft(&call, L2_PRIVILEGED_SOFT | 1, "after");
}

SNIPPET(call_nops, "mark call; vmcall; mark target; .fill 16, 1, 0x90; mark after; nop");

static const uint32_t trap_types[] = {L2_SOFT_INT | 0x80, L2_SOFT_EXCEPTION | 3,
				      L2_SOFT_EXCEPTION | 4, L2_PRIVILEGED_SOFT | 1};

static void inject_with_length(struct l2 *v)
{
	inject(v);
	vmwrite(VMCS_ENTRY_LENGTH, now.next);
}

static void try_length(uint32_t what, unsigned length)
{
	now.what = what;
	now.next = length;
	l2_setup.on_call = inject_with_length;
	run(call_nops);
}

CASE(lengths, IN_LONG_MODE, RULE_SOFT, "")
{
	char expected[512];
	struct text text;

	begin(0, 0);
	setup.leave_after = 1;
	text_init(&text, expected, sizeof(expected));
	for (unsigned length = 1; length <= 15; length++) {
		text_append(&text, "%sextint 0x80@target+%#x", length > 1 ? "; " : "", length);
		try_length(L2_SOFT_INT | 0x80, length);
	}
	expect("%s", expected);
}

CASE(length_0, IN_LONG_MODE,
     "SDM 3D, Miscellaneous Data: a length of 0 is good iff bit 30 of IA32_VMX_MISC is set", "")
{
	begin(0, 0);
	setup.leave_after = 1;
	if (vmx_takes_length_0())
		expect("extint 0x80@target; #BP@target; #OF@target; #DB[]@target");
	else
		expect("exit INVALID_CONTROLS x4");
	for (unsigned i = 0; i < sizeof(trap_types) / sizeof(trap_types[0]); i++)
		try_length(trap_types[i], 0);
}

CASE(length_of_no_trap, IN_LONG_MODE,
     "SDM 3C, VM-Entry Control Fields: for other events the instruction length is neither checked nor used",
     "")
{
	begin(X86_EFLAGS_IF, 0);
	expect("#UD@target; extint 0x50@target; nmi@target");
	try_length(L2_EXCEPTION | VECTOR_UD, 16);
	try_length(L2_INTR | 0x50, 5);
	try_length(L2_NMI | VECTOR_NMI, 0x1000);
}

/* A fault, as far as VMX knows: the type decides, and not the vector. */
CASE(int3_as_hardware_exception, IN_LONG_MODE, RULE_INJECT, "")
{
	static const uint8_t vectors[] = {3, 4, 5};

	begin(0, 0);
	setup.leave_after = 1;
	expect("#BP@target; #OF@target; #BR@target");
	TRY_EACH(L2_EXCEPTION, vectors);
}

CASE(int3_as_hardware_exception_gate_dpl0, CPL3 | COMPAT, RULE_NO_DPL, "")
{
	refuse(3);
	setup.leave_after = 1;
	expect("#BP@target");
	try_inject(&call, L2_EXCEPTION | VECTOR_BP, 0);
}

/* -- What cannot be injected. ------------------------------------------------------------------ */

#define RULE_EV_BY_VECTOR \
	"SDM 3C, VM-Entry Control Fields: bit 11 is what the vector demands, unless bit 56 of IA32_VMX_BASIC is set"

CASE(error_code_missing, IN_LONG_MODE, RULE_EV_BY_VECTOR, "")
{
	static const uint8_t vectors[] = {8, 10, 11, 12, 13, 14, 17};

	begin(0, 0);
	setup.leave_after = 1;
	write_cr2(0);
	if (vmx_takes_any_error_code())
		expect("#DF@target; #TS@target; #NP@target; #SS@target; #GP@target; "
		       "#PF(no error code,cr2=0x0)@target; #AC@target");
	else
		expect("exit INVALID_CONTROLS x7");
	TRY_EACH(L2_EXCEPTION, vectors);
}

CASE(error_code_too_many, IN_LONG_MODE, RULE_EV_BY_VECTOR, "")
{
	static const uint8_t vectors[] = {0, 1, 3, 4, 5, 6, 7, 9, 16, 18, 19, 20};

	begin(0, 0);
	setup.leave_after = 1;
	if (vmx_takes_any_error_code())
		expect("#DE(0x0)@target; #DB[](0x0)@target; #BP(0x0)@target; #OF(0x0)@target; "
		       "#BR(0x0)@target; #UD(0x0)@target; #NM(0x0)@target; #9(0x0)@target; "
		       "#MF(0x0)@target; #MC(0x0)@target; #XM(0x0)@target; #VE(0x0)@target");
	else
		expect("exit INVALID_CONTROLS x12");
	TRY_EACH(L2_EXCEPTION | L2_EVENT_HAS_ERROR, vectors);
}
