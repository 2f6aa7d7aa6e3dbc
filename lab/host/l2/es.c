/* SPDX-License-Identifier: BSD-2-Clause */
#include "es.h"

#include "base/log.h"
#include "base/options.h"
#include "base/sev_cpuid.h"
#include "es_fpu.h"
#include "guard.h"
#include "memory/rmp.h"
#include "memory/views.h"
#include "vectoring.h"

#include "x86/nested/svm/vmsa_regs.h"

#include "string.h"

#define CONTROL_AREA 0x400
/* So far the VMSA is laid out as the save area of a VMCB. */
#define SAME_LAYOUT 0x270
/* What KVM puts into the page of VM_HSAVE_PA: a VMCB's save area, and behind that one of the VMSA's layout. */
#define HOST_STATE 0x400
#define SEV_FEATURES_SNP 1ul

static struct vmcb sealed;
/* Bits of L1's MSR map that must be set while L2 runs, and what they were. APM 2, "MSR Intercepts". */
static const struct guarded watched[] = {
	{0x800 + (MSR_EFER & 0x1fff) / 4, 2 << (MSR_EFER & 3) * 2}, /* writes */
	{0x1000 + (MSR_GHCB & 0x1fff) / 4,
	 0xf << (MSR_GHCB & 3) * 2}, /* and SEV_STATUS, the next */
};
#define WATCHED (sizeof(watched) / sizeof(watched[0]))
_Static_assert(MSR_SEV_STATUS == MSR_GHCB + 1 && (MSR_GHCB & 3) < 3, "one byte for both");

static uint64_t read_xcr0(void)
{
	uint32_t low, high;

	asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
	return (uint64_t)high << 32 | low;
}

static void write_xcr0(uint64_t value)
{
	asm volatile("xsetbv" : : "a"((uint32_t)value), "d"((uint32_t)(value >> 32)), "c"(0));
}

void es_before(struct l2 *l)
{
	struct vmcb *b = l->b;

	b->intercept_cr_write |= 1u << 0 | 1u << 4 | 1u << 8;
	l2_intercept(l, SVM_INTERCEPT_MSR);
	l2_intercept(l, SVM_INTERCEPT_VMMCALL);
	if (l->space.snp_asid)
		b->intercept_exceptions |= EXCEPTION(VECTOR_UD);
}

/* Until an exit is L1's. False: the CPU refused the state. */
static bool run(struct l2 *l, struct vmcb *theirs, struct vmsa *s)
{
	struct vmcb *b = l->b;
	bool on = true;

	while (on) {
		b->next_rip = s->next_rip;
		vmload(b);
		on = !l2_enter(l);
		vmsave(b);
		if (on) {
			l->cpu->count.again++;
			continue;
		}
		if (b->exit_code == SVM_EXIT_INVALID)
			return false;
		vectoring_correct(l);
		if (l->soft.on)
			s->next_rip = l->soft.next;
		if (tracing)
			say("ES exit %#lx %#lx %#lx rip %#lx vectoring %#x\n", b->exit_code,
			    b->exit_info1, b->exit_info2, b->rip, b->exit_int_info.what);
		on = es_exit(l, theirs);
		l->cpu->count.again += on;
	}
	return true;
}

/* What L1 is to know. */
static void report(const struct vmcb *b, struct vmcb *theirs)
{
	theirs->exit_code = b->exit_code;
	theirs->exit_info1 = b->exit_info1;
	theirs->exit_info2 = b->exit_info2;
	theirs->exit_int_info = b->exit_int_info;
	theirs->int_control = b->int_control;
	theirs->int_state = (b->int_state & SVM_INTERRUPT_SHADOW) |
			    (b->rflags & X86_EFLAGS_IF ? SVM_GUEST_INTERRUPT_MASK : 0);
	theirs->inject.what = 0;
	theirs->tlb_control = 0;
	theirs->next_rip = 0;
	theirs->instruction_bytes[0] = 0;
}

/* L1's own registers are those that it has put into its host save area. */
static void restore_host(struct cpu *c)
{
	uint8_t *page = (uint8_t *)c->hsave;

	if (!memory_is_l1s(c->hsave, PAGE))
		stop("L1 has run a guest under SEV-ES with VM_HSAVE_PA at %#lx, which is not its memory",
		     c->hsave);
	views_show(c->hsave, 0);
	vmload(page);
	c->regs = vmsa_get_regs((const struct vmsa *)(page + HOST_STATE));
}

void es_run(struct l2 *l, struct vmcb *theirs)
{
	uint64_t at = theirs->vmsa & ~C_BIT, xcr0 = read_xcr0();
	struct vmsa *s = (struct vmsa *)at;
	uint8_t msrs[WATCHED], *map = (uint8_t *)(theirs->msrpm & ~(PAGE - 1));

	if (at & (PAGE - 1) || !memory_is_l1s(at, PAGE) || !l2_wants(l, SVM_INTERCEPT_MSR)) {
		theirs->exit_code = SVM_EXIT_INVALID;
		return;
	}
	views_show(at, l->space.key);
	if (s->sev_features & SEV_FEATURES_SNP)
		l->space.snp_asid = theirs->asid;
	if (l->space.snp_asid && (!rmp_is_enabled() || !rmp_is_vmsa(at, theirs->asid))) {
		theirs->exit_code = SVM_EXIT_INVALID;
		return;
	}
	memcpy(&sealed, theirs, CONTROL_AREA);
	memcpy((uint8_t *)&sealed + CONTROL_AREA, s, SAME_LAYOUT);
	sealed.lbr_control = 0;
	l->b = &sealed;
	l->space.state = &sealed;
	l->cpu->regs = vmsa_get_regs(s);
	if (s->xcr0 & 1 && s->xcr0 != xcr0)
		write_xcr0(s->xcr0);
	es_fpu_load(s);
	guard_set(map, watched, WATCHED, msrs);
	if (run(l, theirs, s)) {
		memcpy(s, (uint8_t *)&sealed + CONTROL_AREA, SAME_LAYOUT);
		vmsa_set_regs(s, &l->cpu->regs);
		es_fpu_save(s);
		s->xcr0 = read_xcr0();
	}
	guard_put_back(map, watched, WATCHED, msrs);
	report(&sealed, theirs);
	restore_host(l->cpu);
	write_xcr0(xcr0);
}
