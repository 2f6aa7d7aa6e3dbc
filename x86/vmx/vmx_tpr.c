/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The TPR shadow and the TPR threshold.
 *
 * The rule (SDM 3C, "Virtualizing CR8-Based TPR Accesses", "TPR Virtualization", "VM Exits Induced by the TPR
 * Threshold"). With the TPR shadow L2's CR8 is bits 7:4 of VTPR, in the page that L1 names, and L1's own TPR is not
 * touched; L1's controls for loads and stores of CR8 come first. A load that puts it below the threshold is an exit
 * behind the instruction. Where APIC accesses are virtualized too, a threshold above VTPR is an exit right at the entry,
 * behind the delivery of what L1 injects. VTPR holds back no interrupt of the APIC.
 *
 * The bugs that taught it: none that we know; but no other case sets the TPR shadow. A hypervisor that loses the exit leaves
 * L1 with an interrupt that it holds back for ever.
 *
 * A buggy hypervisor shows no `exit TPR_THRESHOLD`, or one in the wrong place; the notes have CR8, VTPR and L1's TPR.
 */
#define GUEST_LAYERS VMX_LAYERS
#include "trapline.h"

#include "x86/nested/vmx/vmx.h"

#define RULE_SHADOW \
	"SDM 3C, Virtualizing CR8-Based TPR Accesses: with the TPR shadow CR8 is bits 7:4 of VTPR, and not the APIC's"
#define RULE_THRESHOLD \
	"SDM 3C, TPR Virtualization: a load of CR8 to below the TPR threshold exits behind the instruction"
#define RULE_ENTRY \
	"SDM 3C, VM Exits Induced by the TPR Threshold: at the entry, behind what is injected, where APIC accesses are virtualized"
#define RULE_CONTROLS \
	"SDM 3C, Instructions That Cause VM Exits Conditionally: CR8-load and CR8-store exiting, with the TPR shadow or without"

#define PENDING_VECTOR 0x31
#define VTPR 0x80

static uint8_t virtual_apic[PAGE_BYTES] __attribute__((aligned(4096)));
static uint8_t apic_accesses[PAGE_BYTES] __attribute__((aligned(4096)));

SNIPPET_BOTH(
	read_write,
	"mark call; vmcall; mark target; mov %cr8, %rbx; mark insn; mov %rax, %cr8; mark after; nop; "
	"mark again; vmcall; mark last; nop",
	"nop");

static struct {
	uint8_t vtpr, threshold;
	uint32_t cpu, secondary, event;
	bool pend;
} in;

static uint64_t cr8_read;

static void shadow_tpr(struct l2 *v)
{
	if (v->exits > 1) {
		cr8_read = v->regs.rbx;
		l2_window(true);
		return;
	}
	virtual_apic[VTPR] = in.vtpr;
	vmwrite(VMCS_VIRTUAL_APIC, (uint64_t)virtual_apic);
	if (in.secondary) {
		vmwrite(VMCS_APIC_ACCESS, (uint64_t)apic_accesses);
		vmset(VMCS_SECONDARY_CONTROLS, in.secondary);
	}
	vmwrite(VMCS_TPR_THRESHOLD, in.threshold);
	vmset(VMCS_CPU_CONTROLS, CPU_TPR_SHADOW | in.cpu);
	if (in.event)
		l2_inject(v, in.event, 0, 0);
	if (in.pend)
		interrupt_pending(PENDING_VECTOR);
}

/* L1 lowers the threshold, so that L2 goes on. */
static enum l2_action lower(struct l2 *v)
{
	if (vmx_reason(v) != VMX_TPR_THRESHOLD)
		return L2_UNEXPECTED;
	vmwrite(VMCS_TPR_THRESHOLD, 0);
	return L2_RESUME;
}

static void begin(uint8_t vtpr, uint8_t threshold, uint8_t cr8)
{
	need_of_machine(vmx_limits(VMCS_CPU_CONTROLS) >> 32 & CPU_TPR_SHADOW, "TPR shadow");
	memset(&in, 0, sizeof(in));
	in.vtpr = vtpr;
	in.threshold = threshold;
	cr8_read = ~0ul;
	setup.regs.rax = cr8;
	l2_setup.show_exits = true;
	l2_setup.on_call = shadow_tpr;
	l2_setup.on_exit = lower;
}

static void check_tpr(uint64_t cr8, uint8_t vtpr)
{
	check(cr8_read == cr8, "L2 reads CR8 as %#lx, not %#lx", cr8_read, cr8);
	check(virtual_apic[VTPR] == vtpr, "VTPR is %#x, not %#x", virtual_apic[VTPR], vtpr);
	check(read_cr8() == 0, "L1's own CR8 is %#lx", read_cr8());
}

CASE(shadow, CPL0, RULE_SHADOW, "")
{
	begin(0x57, 0, 9);
	expect("(none)");
	run(read_write);
	check_tpr(5, 0x90);
}

CASE(below_threshold, CPL0, RULE_THRESHOLD, "")
{
	begin(0x50, 4, 3);
	expect("exit TPR_THRESHOLD@after");
	run(read_write);
	check_tpr(5, 0x30);
}

CASE(at_threshold, CPL0, RULE_THRESHOLD, "")
{
	begin(0x50, 4, 4);
	expect("(none)");
	run(read_write);
	check_tpr(5, 0x40);
}

CASE(above_threshold, CPL0, RULE_THRESHOLD, "")
{
	begin(0x50, 4, 15);
	expect("(none)");
	run(read_write);
	check_tpr(5, 0xf0);
}

CASE(load_exits, CPL0, RULE_CONTROLS, "")
{
	begin(0x50, 4, 3);
	in.cpu = CPU_CR8_LOAD;
	expect("exit CR_ACCESS@insn");
	run(read_write);
	check(virtual_apic[VTPR] == 0x50, "VTPR is %#x, not 0x50", virtual_apic[VTPR]);
}

CASE(store_exits, CPL0, RULE_CONTROLS, "")
{
	begin(0x50, 4, 3);
	in.cpu = CPU_CR8_STORE;
	expect("exit CR_ACCESS@target");
	run(read_write);
}

/* -- At the entry. ----------------------------------------------------------------------------- */

static void virtualize_accesses(void)
{
	need_of_machine(vmx_has_secondary(SECONDARY_APIC_ACCESSES), "virtualized APIC accesses");
	in.secondary = SECONDARY_APIC_ACCESSES;
}

CASE(entry_below_threshold, CPL0, RULE_ENTRY, "")
{
	begin(0x50, 6, 9);
	virtualize_accesses();
	expect("exit TPR_THRESHOLD@target");
	run(read_write);
	check_tpr(5, 0x90);
}

CASE(entry_at_threshold, CPL0, RULE_ENTRY, "")
{
	begin(0x50, 5, 9);
	virtualize_accesses();
	expect("(none)");
	run(read_write);
}

CASE(entry_injected, CPL0, RULE_ENTRY, "")
{
	begin(0x50, 6, 9);
	virtualize_accesses();
	in.event = L2_NMI | VECTOR_NMI;
	expect("exit TPR_THRESHOLD@handler[0x2], nmi@target");
	run(read_write);
}

/* -- Interrupts. ------------------------------------------------------------------------------- */

CASE_NEEDS("apic=1", holds_back_nothing, CPL0, RULE_SHADOW, "")
{
	apic_enable(0);
	begin(0xf0, 0, 15);
	in.pend = true;
	setup.rflags = X86_EFLAGS_IF;
	expect("intr 0x31@target");
	run(read_write);
}
