/* SPDX-License-Identifier: BSD-2-Clause */
#include "control.h"

#include "base/log.h"
#include "base/opcode.h"
#include "base/options.h"

#define MSR_TSC_AUX 0xc0000103
#define PRIORITY(int_control) ((int_control) >> 16 & 0xf)

#define MOV_FROM_CR 0x20
#define MOV_TO_CR 0x22

/* -- Virtual interrupts. --------------------------------------------------------------------------- */

static bool is_pending(const struct vmcb *b)
{
	return b->int_control & SVM_V_IRQ && b->int_control & SVM_V_INTR_MASKING;
}

/* APM 2, "Virtual Interrupts": taken only where the priority is greater than V_TPR. */
static bool is_masked(const struct vmcb *b)
{
	return is_pending(b) && !(b->int_control & SVM_V_IGNORE_TPR) &&
	       PRIORITY(b->int_control) <= (b->int_control & SVM_V_TPR);
}

void control_before(struct l2 *l)
{
	struct vmcb *b = l->b;

	l->held_back = corrects(V_TPR) && is_masked(b);
	/* MOV to CR8 may let it through; and with one pending, the emulator ends itself there. */
	if (l->held_back || (corrects(CR8_PENDING) && is_pending(b)))
		b->intercept_cr_write |= 1u << 8;
	if (l->held_back)
		b->int_control &= ~SVM_V_IRQ;
	/* QEMU 10 asks for the intercept of CR0 whichever register is read. */
	if (corrects(CR_EXIT) && l->wished.cr_read)
		b->intercept_cr_read |= 1;
	if (corrects(RDTSCP_EXIT) && l2_wants(l, SVM_INTERCEPT_RDTSCP))
		l2_intercept(l, SVM_INTERCEPT_RDTSC);
}

void control_after(struct l2 *l)
{
	if (l->held_back)
		l->b->int_control |= SVM_V_IRQ;
}

/* -- MOV from and to control registers. ------------------------------------------------------------ */

static uint64_t read_cr(const struct vmcb *b, unsigned number)
{
	switch (number) {
	case 0:
		return b->cr0;
	case 2:
		return b->cr2;
	case 3:
		return b->cr3;
	case 4:
		return b->cr4;
	default:
		return b->int_control & SVM_V_INTR_MASKING ? b->int_control & SVM_V_TPR
							   : read_cr8();
	}
}

static bool move_cr(struct l2 *l)
{
	struct vmcb *b = l->b;
	uint8_t code[15];
	struct opcode o;
	uint64_t *gpr, next;
	unsigned number;

	if (!opcode_at(&o, code, space_code(&l->space, code), code_bits(b)) || o.map != 1 ||
	    (o.number != MOV_FROM_CR && o.number != MOV_TO_CR))
		return false;
	number = opcode_reg(&o);
	gpr = cpu_gpr(l->cpu, b, opcode_rm(&o));
	next = b->rip + o.length;
	if (o.number == MOV_TO_CR) {
		if (corrects(CR_EXIT))
			b->exit_code = SVM_EXIT_WRITE_CR0 + number;
		if (l->wished.cr_write >> number & 1 || number != 8)
			return false;
		b->int_control = (b->int_control & ~SVM_V_TPR) | (*gpr & SVM_V_TPR);
		return l2_done(l, next);
	}
	if (corrects(CR_EXIT))
		b->exit_code = SVM_EXIT_READ_CR0 + number;
	if (l->wished.cr_read >> number & 1)
		return false;
	*gpr = read_cr(b, number);
	return l2_done(l, next);
}

/* -- RDTSC and RDTSCP. ----------------------------------------------------------------------------- */

static bool read_counter(struct l2 *l)
{
	struct vmcb *b = l->b;
	uint8_t code[15];
	struct opcode o;
	bool with_aux;

	if (!opcode_at(&o, code, space_code(&l->space, code), code_bits(b)) || o.map != 1)
		return false;
	with_aux = o.number == 0x01;
	if (with_aux && corrects(RDTSCP_EXIT))
		b->exit_code = SVM_EXIT(RDTSCP);
	if (l2_wants(l, with_aux && corrects(RDTSCP_EXIT) ? SVM_INTERCEPT_RDTSCP
							  : SVM_INTERCEPT_RDTSC))
		return false;
	cpu_set_pair(l->cpu, b, rdtsc() + b->tsc_offset);
	if (with_aux)
		l->cpu->regs.rcx = rdmsr(MSR_TSC_AUX);
	return l2_done(l, b->rip + o.length);
}

bool control_exit(struct l2 *l)
{
	uint64_t code = l->b->exit_code;

	if (code < SVM_EXIT_READ_DR0)
		return move_cr(l);
	return code == SVM_EXIT(RDTSC) && read_counter(l);
}
