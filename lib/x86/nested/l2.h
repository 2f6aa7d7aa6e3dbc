/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest of the guest (L2), by SVM or VMX alike: what a case needs to act as its hypervisor (L1). It sees
 * the VM exits of its snippet and injects events; what only one vendor has is in svm/svm.h and vmx/vmx.h.
 *
 *	SNIPPET(call, "mark call; vmmcall; mark target; nop");
 *
 *	static void inject(struct l2 *v)
 *	{
 *		l2_inject(v, L2_INTR | 0x50, 0, 0);
 *	}
 *
 *	l2_setup.on_call = inject;
 *	expect("extint 0x50@target");
 *	run(call);
 */
#ifndef LIB_X86_L2_H
#define LIB_X86_L2_H

#include "l1.h"
#include "slat.h"
#include "x86/cpu/frame.h"
#include "x86/record/layer.h"

#include <stdbool.h>
#include <stdint.h>

struct vmcb;

/* One CPU's L2. */
struct l2 {
	struct regs regs; /* but for RSP, which only the VMCB or VMCS holds */
	struct percpu *cpu;
	unsigned exits;	   /* of this run */
	struct vmcb *vmcb; /* under SVM; the VMCS of VMX is the current one */
	bool slat;	   /* behind a second level of address translation */
};

enum l2_action {
	L2_UNEXPECTED, /* the exit goes into the trace and ends the run */
	L2_RESUME,
	L2_END, /* ends the run, without a word */
};

typedef enum l2_action l2_exit_hook(struct l2 *v);

/* How the next run goes on L1's side; reset before each case. */
struct l2_setup {
	/* When VMCB or VMCS is filled, before the first entry. */
	void (*before)(struct l2 *v);
	/* At each VMMCALL or VMCALL of the snippet, which is intercepted then; L2 goes on behind it. */
	void (*on_call)(struct l2 *v);
	/* At each other exit but the snippet's end. Like on_call, it runs with interrupts off (GIF, IF). */
	l2_exit_hook *on_exit;
	bool show_exits; /* the exits that on_exit resumes are part of the trace, too */
	bool keep_injection; /* what an exit has left of an injection stays for the hooks and the next entry */
	uint64_t host_rflags; /* L1's RFLAGS at VMRUN, besides the fixed bit */
};

extern struct l2_setup l2_setup;

/*
 * An event in one word: its vector, one of these types, and the bits below. EVENTINJ and EXITINTINFO have
 * this form, and so have the interruption-information fields of VMX, which know two types more.
 */
#define L2_EVENT_VALID (1u << 31)
#define L2_EVENT_HAS_ERROR (1u << 11)
#define L2_EVENT_TYPE (7u << 8)
#define L2_EVENT_VECTOR 0xffu
#define L2_INTR (0u << 8)
#define L2_NMI (2u << 8)
#define L2_EXCEPTION (3u << 8)
#define L2_SOFT_INT (4u << 8)

/*
 * Injects the event at the next entry. A trap (INT n, INT3, INTO; on VMX INT1 as well) returns to `next`,
 * however the vendor says that; 0: it is none.
 */
void l2_inject(struct l2 *v, uint32_t what, uint32_t error, uint64_t next);

/* Injects what the exit interrupted (EXITINTINFO, IDT-vectoring information), if anything. */
void l2_inject_again(struct l2 *v, uint64_t next);

/* L1 has done an instruction of L2's: its #DB, with these bits of DR6, comes before the next one. */
void l2_trap(struct l2 *v, uint32_t dr6);

/* What of L2's state both vendors have, though each in its own place. */
enum l2_field {
	L2_RIP,
	L2_RFLAGS,
	L2_CR2,
	L2_DR6,
	L2_DR7,
	L2_IDT_LIMIT,
	L2_SHADOW,	  /* nonzero in the shadow of STI or MOV SS */
	L2_CS_L,	  /* nonzero in 64-bit code; cannot be set */
	L2_FAULT_ADDRESS, /* of a #PF that exited, which has not written CR2; cannot be set */
};

uint64_t l2_get(const struct l2 *v, enum l2_field field);
void l2_set(struct l2 *v, enum l2_field field, uint64_t value);

/* Vector of the exception that the exit is about, or -1. */
int l2_exception(const struct l2 *v);

void l2_intercept_exceptions(struct l2 *v, uint32_t vectors);

/* Lets L1 take what is pending for it: NMIs alone, or interrupts as well. */
void l2_window(bool interrupts);

/* An exit by an NMI blocks NMIs until an IRET: this is one, that goes nowhere. */
void l2_unblock_nmis(void);

/* Puts the exit into this CPU's trace. */
void l2_show_exit(struct l2 *v);

/* -- For the layers. --------------------------------------------------------------------------- */

/* What L2 begins as: a copy of L1 that stands at `rip`. */
struct l2_start {
	struct l1_registers registers;
	struct l1_tables tables;
	struct l1_segment cs, ss, ds, es;
	uint64_t rip, rsp;
};

/* What the vendors do differently. */
struct l2_vendor {
	void (*begin)(struct l2 *v, const struct l2_start *start);
	void (*intercept_calls)(struct l2 *v); /* NULL: they exit anyway */
	void (*enter)(struct l2 *v);	       /* one VM entry, and the exit behind it */
	bool (*has_left)(const struct l2 *v);  /* the exit is the one behind snippet_enter */
	bool (*is_call)(const struct l2 *v);
	int (*exception)(const struct l2 *v); /* vector of the exception of the exit, or -1 */
	void (*forget_injection)(struct l2 *v);
	void (*settle)(void); /* L2 has ended; what it left pending for L1 may come now */
	/* Its registers, if they can be known; L1 is as before begin(). */
	bool (*end)(struct l2 *v, struct l1_registers *registers);

	void (*describe)(const struct l2 *v, struct event *exit);
	void (*inject)(struct l2 *v, uint32_t what, uint32_t error, uint64_t next);
	void (*inject_again)(struct l2 *v, uint64_t next);
	void (*trap)(struct l2 *v, uint32_t dr6);
	uint64_t (*get)(const struct l2 *v, enum l2_field field);
	void (*set)(struct l2 *v, enum l2_field field, uint64_t value);
	void (*intercept_exceptions)(struct l2 *v, uint32_t vectors);
	void (*window)(bool interrupts);

	const uint8_t *l2_return; /* where snippet_enter returns to in L2 */
};

/* For a vendor whose functions have the members' names; the rest is what the other has not, or has in assembly. */
#define L2_VENDOR_FUNCTIONS                                                                 \
	.begin = begin, .enter = enter, .has_left = has_left, .is_call = is_call,           \
	.exception = exception, .forget_injection = forget_injection, .settle = settle,     \
	.end = end, .describe = describe, .inject = inject, .inject_again = inject_again,   \
	.trap = trap, .get = get, .set = set, .intercept_exceptions = intercept_exceptions, \
	.window = window

/* A layer's own part; both may be NULL. */
struct l2_hooks {
	void (*prepare)(struct l2 *v); /* sees VMCB or VMCS before the case does */
	l2_exit_hook *on_exit;	       /* the exits that the case does not resume by itself */
};

/*
 * Runs snippet_enter as L2 on this CPU, until it returns there or an exit that nobody has an answer to
 * ends it. `v` belongs to this CPU; v->slat says how.
 */
void l2_run(const struct l2_vendor *vendor, struct l2 *v, struct entry *entry,
	    const struct l2_hooks *layer_hooks);

/* What the layers reset before each case. */
void l2_reset(const struct slat_format *format);

#endif
