/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The layers `svm`, `svm-nonpt` and `svm-reflect`, and what a case needs to act as L1 itself: look at
 * the VM exits of its snippet, change the VMCB, inject events.
 *
 *	SNIPPET(call, "mark call; vmmcall; mark target; nop");
 *
 *	static void inject(struct svm_vcpu *v)
 *	{
 *		svm_inject(v, SVM_INTR | 0x50, 0);
 *	}
 *
 *	svm_setup.on_call = inject;
 *	expect("extint 0x50@target");
 *	run(call);
 */
#ifndef LIB_X86_SVM_SVM_H
#define LIB_X86_SVM_SVM_H

#include "../frame.h"
#include "../layer.h"
#include "npt.h"
#include "vmcb.h"

#include <stdbool.h>
#include <stdint.h>

/* One CPU's L2. */
struct svm_vcpu {
	struct vmcb *vmcb;
	struct regs regs; /* L2's, but for RAX, which is the VMCB's */
	struct percpu *cpu;
	unsigned exits; /* of this run */
};

enum svm_action {
	SVM_UNEXPECTED, /* the exit goes into the trace and ends the run */
	SVM_RESUME,
	SVM_END, /* ends the run, without a word */
};

typedef enum svm_action svm_exit_hook(struct svm_vcpu *v);

/* How the next run goes on L1's side; reset before each case. */
struct svm_setup {
	/* When the VMCB is filled, before the first VMRUN. */
	void (*before)(struct svm_vcpu *v);
	/* At each VMMCALL of the snippet, which is intercepted then; L2 goes on behind it. */
	void (*on_call)(struct svm_vcpu *v);
	/* At each other exit but the snippet's end. Like on_call, it runs with GIF clear. */
	svm_exit_hook *on_exit;
	bool show_exits;      /* the exits that on_exit resumes are part of the trace, too */
	uint64_t host_rflags; /* L1's RFLAGS at VMRUN, besides the fixed bit */
};

extern struct svm_setup svm_setup;

/* EVENTINJ for the next VMRUN: SVM_INTR, …, with vector and SVM_EVENT_HAS_ERROR. */
void svm_inject(struct svm_vcpu *v, uint32_t what, uint32_t error);

/*
 * Injects what the exit interrupted (EXITINTINFO), as APM 2, "Intercepts During IDT Interrupt Delivery",
 * has it. Software interrupts, INT3 and INTO return to `next`: through nRIP where the CPU has it, else
 * by moving L2's RIP. Without nRIP that is as good as it gets (APM 2, "Event Injection").
 */
void svm_reinject(struct svm_vcpu *v, uint64_t next);

void svm_intercept(struct svm_vcpu *v, unsigned intercept);
void svm_intercept_exceptions(struct svm_vcpu *v, uint32_t vectors);

/* Lets L1 take what is pending for it: NMIs with GIF alone, interrupts with IF set as well. */
void svm_window(bool interrupts);

static inline void stgi(void)
{
	asm volatile("stgi" : : : "memory");
}

static inline void clgi(void)
{
	asm volatile("clgi" : : : "memory");
}

/* What CPUID Fn8000_000A says of this CPU. */
bool svm_has_npt(void);
bool svm_has_next_rip(void);

/* The name of an exit code: "NPF", "SHUTDOWN"; NULL for exceptions and for codes without one. */
const char *svm_exit_name(uint64_t code);

/* Puts the exit into this CPU's trace. */
void svm_show_exit(struct svm_vcpu *v);

/* run.S */
void svm_vmrun(struct regs *regs, uint64_t vmcb, uint64_t host_rflags);
extern const uint8_t svm_vmrun_insn[], svm_vmrun_next[], svm_l2_return[], svm_l2_done[];

#endif
