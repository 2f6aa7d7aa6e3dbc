/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What L1 puts into the VMCS at the snippet's first call, and what it finds there at each: for the guests
 * about the guest-state area. They have defined CALL before they include this.
 */
#ifndef X86_VMX_STATE_H
#define X86_VMX_STATE_H

#define PENDING_VECTOR 0x31
#define APIC_ICR_ADDRESS 0xfee00300ul
#define SEND "mov %eax, (%edi);"

/* One that goes on long enough for it to come, and has then an event of its own. */
#define SNIPPET_SEND(name) \
	SNIPPET(name, "mark call; " CALL "; mark target; " SEND "area sent; nop; nop; nop; nop; "   \
		      "mark insn; int3; mark after; nop")

/* L2 sends itself something by its APIC: SEND in a snippet. */
static inline void sends(uint32_t what)
{
	apic_enable(0);
	apic_write(APIC_ICR_HIGH, apic_id() << 24);
	setup.regs.rdi = APIC_ICR_ADDRESS;
	setup.regs.rax = what | ICR_ASSERT;
}

static struct {
	uint32_t interruptibility, activity, pending_debug, event;
	uint32_t pin, cpu, exit; /* controls */
	uint64_t rflags;
	bool pend;
} in;

static struct {
	uint64_t interruptibility, pending_debug;
} out;

static inline void put_in(struct l2 *v)
{
	out.interruptibility = vmread(VMCS_GUEST_INTERRUPTIBILITY);
	out.pending_debug = vmread(VMCS_GUEST_PENDING_DEBUG);
	if (v->exits > 1)
		return;
	vmset(VMCS_GUEST_INTERRUPTIBILITY, in.interruptibility);
	vmset(VMCS_GUEST_ACTIVITY, in.activity);
	vmset(VMCS_GUEST_PENDING_DEBUG, in.pending_debug);
	vmset(VMCS_GUEST_RFLAGS, in.rflags);
	vmset(VMCS_PIN_CONTROLS, in.pin);
	vmset(VMCS_CPU_CONTROLS, in.cpu);
	vmset(VMCS_EXIT_CONTROLS, in.exit);
	if (in.event)
		l2_inject(v, in.event, 0, 0);
	if (in.pend)
		interrupt_pending(PENDING_VECTOR);
}

static inline void nothing_in(void)
{
	memset(&in, 0, sizeof(in));
	memset(&out, 0xff, sizeof(out));
	l2_setup.on_call = put_in;
}

static inline void try_state(const struct snippet *snippet, uint32_t interruptibility,
			     uint32_t activity, uint64_t rflags)
{
	nothing_in();
	in.interruptibility = interruptibility;
	in.activity = activity;
	in.rflags = rflags;
	run_snippet(snippet);
}

#endif
