/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * L2 in real mode: there is no error code there.
 *
 * The rule (APM 2, "Interrupts and Exceptions in Real Mode"; "Event Injection"). An event that is delivered in
 * real mode pushes FLAGS, CS and IP, six bytes, and returns to where it would in protected mode; L1 injects
 * exceptions there without an error code (EV=0).
 *
 * The bugs that taught it. KVM from 5.13 to 6.2 cleared the error code of an exception for a guest in real mode, and
 * not the bit that has it pushed (6c41468c7c12).
 *
 * The cases are in real_mode.h, for VMX as well. A buggy hypervisor shows a frame of another size, or another return
 * address.
 */
#define GUEST_LAYERS SVM_LAYERS
#include "trapline.h"

#include "x86/nested/svm/svm.h"

#define RULE_REAL \
	"APM 2, Real-Mode Interrupt Control Transfers: FLAGS, CS and IP are pushed, and no error code"
#define RULE_INJECTED \
	"APM 2, Event Injection: in real mode an event goes through the vector table, as one of L2's own"

#define BUGS_SOFT CATCHES("nsvm-next-rip bochs-eventinj-rip")

#define CALL "vmmcall"

/* SVM has L2 in real mode wherever it has an L2. */
static void need_real_mode(void)
{
}

/* The exit says in EXITINFO1 what it would push in protected mode, and has no bit for whether it would. */
static uint32_t real_fault_of_exit(const struct l2 *v)
{
	return L2_EXCEPTION | l2_exception(v);
}

#include "../nested/real_mode.h"

#define ATTRIBUTES_REAL 0x93

static struct vmcb kept;

static void real_mode_enter(struct l2 *v, uint16_t ip)
{
	const struct svm_segment segment = {REAL_SELECTOR, ATTRIBUTES_REAL, 0xffff, REAL_BASE};
	struct vmcb *vmcb = v->vmcb;

	kept = *vmcb;
	vmcb->efer &= ~(EFER_LME | EFER_LMA);
	vmcb->cr0 &= ~(X86_CR0_PG | X86_CR0_PE);
	vmcb->cs = vmcb->ss = vmcb->ds = vmcb->es = segment;
	vmcb->idtr.base = REAL_BASE;
	vmcb->idtr.limit = REAL_VECTORS_BYTES - 1;
	vmcb->rip = ip;
	vmcb->rsp = REAL_STACK;
	vmcb->rflags = X86_EFLAGS_FIXED | setup.rflags;
}

static void real_mode_leave(struct l2 *v)
{
	memcpy((uint8_t *)v->vmcb + offsetof(struct vmcb, es),
	       (const uint8_t *)&kept + offsetof(struct vmcb, es),
	       sizeof(struct vmcb) - offsetof(struct vmcb, es));
}

static uint16_t real_mode_sp(const struct l2 *v)
{
	return v->vmcb->rsp;
}
