/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Inside the #VC handler (handler.c): what is known of the event that is served, and what serves it, sorted by
 * instruction.
 */
#ifndef LIB_X86_VC_SERVE_H
#define LIB_X86_VC_SERVE_H

#include "mem.h"
#include "x86/cpu/frame.h"
#include "x86/cpu/percpu.h"
#include "x86/insn/insn_regs.h"
#include "x86/sev/sev.h"

/* What #VC has of each CPU, by its number: DR7 as last written; #VCs being served; NMIs (vc.h). */
struct vc_cpu {
	uint64_t dr7;
	unsigned depth;
	volatile bool nmi_deferred, nmi_completing;
};

extern struct vc_cpu vc_cpus[MAX_CPUS];

static inline struct vc_cpu *vc_this_cpu(void)
{
	return &vc_cpus[this_cpu()->index];
}

struct vc {
	struct trap_frame *frame;
	struct insn insn;
	struct insn_regs regs;
	struct vc_raise raise;
};

enum vc_result {
	VC_NEXT,    /* done: RIP moves behind the instruction */
	VC_AGAIN,   /* a part of it is done: it is executed once more */
	VC_RAISED,  /* an exception at the instruction: vc->raise */
	VC_FOREIGN, /* no #VC that we can serve */
};

/* By INSN_RAX and so on. */
static inline uint64_t *vc_reg(struct vc *vc, unsigned number)
{
	return &vc->regs.gpr[number];
}

/* As instructions do that give 32 bits in each of some registers. */
static inline void vc_set32(struct vc *vc, unsigned number, uint64_t value)
{
	vc->regs.gpr[number] = (uint32_t)value;
}

static inline bool vc_from_user(const struct vc *vc)
{
	return vc->frame->iret.cs & 3;
}

/* What the hypervisor has given back in a field of the GHCB. */
static inline uint64_t vc_answer(const struct ghcb_call *call, unsigned field)
{
	return call->answer.value[field];
}

/* VC_RAISED, with that exception; VC_NO_ERROR where it has no error code. */
enum vc_result vc_raise_at(struct vc *vc, unsigned vector, int error);

/* What an answer means for the instruction; VC_NEXT: its outputs may be used. `sensible`: of ghcb_exit(). */
enum vc_result vc_judge(struct vc *vc, const struct ghcb_call *call, bool sensible);

/* Makes a call that needs no shared buffer, and judges the answer. */
enum vc_result vc_ask(struct vc *vc, struct ghcb_call *call);

/* After so many elements of a string instruction: VC_NEXT, or VC_AGAIN where elements are left. */
enum vc_result vc_string_step(struct vc *vc, uint64_t count);

/* Reads or writes one operand in memory, o->size bytes. VC_NEXT: done; else how the instruction ends. */
typedef enum vc_result vc_access(struct vc *vc, const struct insn_operand *o, bool write,
				 uint64_t *value);

/*
 * Executes a load, store or read-modify-write, or one element of MOVS, STOS and LODS: registers, memory and
 * RFLAGS in the frame, but not RIP (execute.c).
 */
enum vc_result vc_execute(struct vc *vc, vc_access *access);

/*
 * Executes the instruction at the frame's RIP as the handler does behind #VC(0x400), with memory of the
 * caller's: registers, flags and RIP of the frame as behind it, all elements of a string done. False: it is
 * none that can be the access to a device.
 */
bool vc_emulate(struct trap_frame *frame, vc_access *access);

/* Each serves the instruction in vc->insn, which fits the exit code. */
enum vc_result vc_serve_cpuid(struct vc *vc);
enum vc_result vc_serve_msr(struct vc *vc);
enum vc_result vc_serve_counter(struct vc *vc, uint64_t exit_code);
enum vc_result vc_serve_vmmcall(struct vc *vc);
enum vc_result vc_serve_plain(struct vc *vc, uint64_t exit_code);
enum vc_result vc_serve_monitor(struct vc *vc);
enum vc_result vc_serve_mwait(struct vc *vc);
enum vc_result vc_serve_dr7(struct vc *vc, bool write);
enum vc_result vc_serve_ioio(struct vc *vc); /* port.c */
enum vc_result vc_serve_mmio(struct vc *vc); /* mmio.c */

#endif
