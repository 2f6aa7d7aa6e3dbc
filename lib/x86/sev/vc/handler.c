/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The #VC handler: what the hypervisor would have intercepted is asked of it by the GHCB, and done here
 * with its answer (insn.c, port.c, mmio.c, execute.c).
 *
 * Nothing is believed. The bytes at RIP must fit the exit code, or the event goes to the recorder as
 * the vector 29 that it is. An answer that no hypervisor may give ends the guest, with the reason.
 *
 * Sources: GHCB specification rev. 2.04, section 4.1; APM 2, "#VC Exception"; APM 3 for what each
 * instruction does.
 */
#include "serve.h"
#include "vc.h"
#include "x86/arch/exceptions.h"
#include "x86/cpu/cpu.h"
#include "x86/cpu/percpu.h"

struct vc_cpu vc_cpus[MAX_CPUS];

static uint8_t stacks[MAX_CPUS][GHCB_LEVELS][VC_STACK_BYTES]
	__attribute__((section(".noinit"), aligned(4096)));

_Static_assert(offsetof(struct percpu, descriptors.tss.ist[VC_IST]) == PERCPU_VC_IST,
	       "entry.S moves the #VC stack");

static void (*watcher)(const struct trap_frame *frame);

static void load_regs(struct vc *vc)
{
	const struct regs *r = &vc->frame->regs;

	vc->regs = (struct insn_regs){
		.gpr = {r->rax, r->rcx, r->rdx, r->rbx, vc->frame->iret.rsp, r->rbp, r->rsi, r->rdi,
			r->r8, r->r9, r->r10, r->r11, r->r12, r->r13, r->r14, r->r15},
		.rip = vc->frame->iret.rip,
	};
}

static void store_regs(struct vc *vc)
{
	const uint64_t *g = vc->regs.gpr;

	vc->frame->regs = (struct regs){
		.rax = g[INSN_RAX],
		.rbx = g[INSN_RBX],
		.rcx = g[INSN_RCX],
		.rdx = g[INSN_RDX],
		.rsi = g[INSN_RSI],
		.rdi = g[INSN_RDI],
		.rbp = g[INSN_RBP],
		.r8 = g[8],
		.r9 = g[9],
		.r10 = g[10],
		.r11 = g[11],
		.r12 = g[12],
		.r13 = g[13],
		.r14 = g[14],
		.r15 = g[15],
	};
	vc->frame->iret.rsp = g[INSN_RSP];
}

/* -- For those who serve. ---------------------------------------------------------------------- */

enum vc_result vc_raise_at(struct vc *vc, unsigned vector, int error)
{
	vc->raise = (struct vc_raise){.vector = vector, .error = error};
	return VC_RAISED;
}

enum vc_result vc_judge(struct vc *vc, const struct ghcb_call *call, bool sensible)
{
	if (!sensible || call->outcome.verdict == GHCB_MALFORMED)
		ghcb_refuse(call);
	if (call->outcome.verdict == GHCB_EXCEPTION)
		return vc_raise_at(vc, call->outcome.vector,
				   call->outcome.vector == VECTOR_UD ? VC_NO_ERROR
								     : call->outcome.error_code);
	return VC_NEXT;
}

enum vc_result vc_ask(struct vc *vc, struct ghcb_call *call)
{
	return vc_judge(vc, call, ghcb_call(call));
}

enum vc_result vc_string_step(struct vc *vc, uint64_t count)
{
	insn_string_step(&vc->insn, &vc->regs, count, vc->frame->iret.rflags & X86_EFLAGS_DF);
	return vc->insn.rep != INSN_REP_NONE && insn_count(&vc->insn, &vc->regs) ? VC_AGAIN
										 : VC_NEXT;
}

/* -- All of them. ------------------------------------------------------------------------------ */

static enum vc_result serve_insn(struct vc *vc, uint64_t code)
{
	switch (code) {
	case SVM_EXIT_READ_DR7:
	case SVM_EXIT_WRITE_DR7:
		return vc_serve_dr7(vc, code == SVM_EXIT_WRITE_DR7);
	case SVM_EXIT_RDTSC:
	case SVM_EXIT_RDTSCP:
	case SVM_EXIT_RDPMC:
		return vc_serve_counter(vc, code);
	case SVM_EXIT_CPUID:
		return vc_serve_cpuid(vc);
	case SVM_EXIT_INVD:
	case SVM_EXIT_WBINVD:
		return vc_serve_plain(vc, code);
	case SVM_EXIT_IOIO:
		return vc_serve_ioio(vc);
	case SVM_EXIT_MSR:
		return vc_serve_msr(vc);
	case SVM_EXIT_VMMCALL:
		return vc_serve_vmmcall(vc);
	case SVM_EXIT_MONITOR:
		return vc_serve_monitor(vc);
	case SVM_EXIT_MWAIT:
	case SVM_EXIT_MWAIT_ARMED:
		return vc_serve_mwait(vc);
	case SVM_EXIT_NPF:
		return vc_serve_mmio(vc);
	case SVM_EXIT_RSM:
	case SVM_EXIT_INVLPGA:
	case SVM_EXIT_VMRUN:
	case SVM_EXIT_VMLOAD:
	case SVM_EXIT_VMSAVE:
	case SVM_EXIT_STGI:
	case SVM_EXIT_CLGI:
	case SVM_EXIT_SKINIT:
	case SVM_EXIT_XSETBV:
	case SVM_EXIT_RDPRU:
		/* The GHCB has no event for what this machine does not offer. */
		return vc_raise_at(vc, VECTOR_UD, VC_NO_ERROR);
	}
	return VC_FOREIGN;
}

/* The instruction at RIP fits the code, or it is no #VC of hardware. */
static enum vc_result serve(struct vc *vc, uint64_t code)
{
	struct vc_cpu *cpu = vc_this_cpu();
	enum vc_result result;

	switch (vc_classify(code)) {
	case VC_NEEDS_INSN:
		if (!vc_decode(vc->frame, &vc->insn) || !vc_fits(code, &vc->insn))
			return VC_FOREIGN;
		cpu->depth++;
		result = serve_insn(vc, code);
		cpu->depth--;
		return result;
	case VC_NEEDS_NO_INSN:
		if (code == SVM_EXIT_EXCP_DB)
			return vc_raise_at(vc, VECTOR_DB, VC_NO_ERROR);
		if (code == SVM_EXIT_EXCP_AC)
			return vc_raise_at(vc, VECTOR_AC, 0);
		return VC_FOREIGN;
	default:
		return VC_FOREIGN;
	}
}

/* Behind the instruction, or at it again; a single-step trap is due either way. */
static void move_on(struct vc *vc, enum vc_result result)
{
	struct trap_frame *frame = vc->frame;

	store_regs(vc);
	frame->iret.rflags &= ~(uint64_t)X86_EFLAGS_RF;
	if (result == VC_NEXT)
		frame->iret.rip = insn_next_rip(&vc->insn, &vc->regs);
	if (!(frame->iret.rflags & X86_EFLAGS_TF))
		return;
	write_dr6(read_dr6() | DR6_BS);
	vc_deliver(frame, &(struct vc_raise){.vector = VECTOR_DB, .error = VC_NO_ERROR});
}

bool vc_emulate(struct trap_frame *frame, vc_access *access)
{
	struct vc vc = {.frame = frame};
	enum vc_result result;

	do {
		load_regs(&vc);
		if (!vc_decode(frame, &vc.insn) || !vc_fits(SVM_EXIT_NPF, &vc.insn))
			return false;
		result = vc_execute(&vc, access);
		if (result != VC_NEXT && result != VC_AGAIN)
			return false;
		move_on(&vc, result);
	} while (result == VC_AGAIN);
	return true;
}

/* What came while the instruction was served comes behind it, as if it had been executed. */
static void take_deferred_nmi(struct trap_frame *frame)
{
	struct vc_cpu *cpu = vc_this_cpu();

	if (cpu->depth || !cpu->nmi_deferred)
		return;
	cpu->nmi_deferred = false;
	vc_deliver(frame, &(struct vc_raise){.vector = VECTOR_NMI, .error = VC_NO_ERROR});
}

void vc_handle(struct trap_frame *frame);

void vc_handle(struct trap_frame *frame)
{
	struct vc vc = {.frame = frame};
	enum vc_result result = VC_FOREIGN;

	load_regs(&vc);
	if (frame->vector & FRAME_HAS_ERROR)
		result = serve(&vc, frame->error);
	if (result == VC_FOREIGN) {
		event_record(frame);
		return;
	}
	if (watcher)
		watcher(frame);
	if (result == VC_RAISED)
		vc_deliver(frame, &vc.raise);
	else
		move_on(&vc, result);
	take_deferred_nmi(frame);
}

void vc_watch(void (*watch)(const struct trap_frame *frame))
{
	watcher = watch;
}

/* -- The CPUs. --------------------------------------------------------------------------------- */

static void use_whole_stack(unsigned index)
{
	percpu[index].descriptors.tss.ist[VC_IST] = (uint64_t)stacks[index][GHCB_LEVELS];
}

static void begin_cpu(unsigned index)
{
	use_whole_stack(index);
	vc_cpus[index].dr7 = DR7_CLEAR;
}

void vc_begin(void)
{
	if (!sev_is_es())
		return;
	percpu_at_start(begin_cpu);
	idt_keep(VECTOR_VC, vc_entry);
}

void vc_abandon(void)
{
	struct vc_cpu *cpu = vc_this_cpu();

	if (!cpu->depth)
		return;
	cpu->depth = 0;
	ghcb_abandon();
	use_whole_stack(this_cpu()->index);
}

/* -- Around other events. ---------------------------------------------------------------------- */

bool vc_hold_stack(const struct trap_frame *frame)
{
	uint64_t rip = frame->iret.rip;
	bool exposed = (rip >= (uint64_t)vc_entry && rip < (uint64_t)vc_entry_held) ||
		       (rip >= (uint64_t)vc_exit && rip < (uint64_t)vc_exit_end);

	if (!sev_is_es() || !exposed)
		return false;
	this_cpu()->descriptors.tss.ist[VC_IST] -= VC_STACK_BYTES;
	return true;
}

void vc_release_stack(bool held)
{
	if (held)
		this_cpu()->descriptors.tss.ist[VC_IST] += VC_STACK_BYTES;
}

bool vc_defer_nmi(void)
{
	struct vc_cpu *cpu = vc_this_cpu();

	cpu->nmi_deferred = cpu->depth || cpu->nmi_completing;
	return cpu->nmi_deferred;
}

bool sev_nmi_complete(void)
{
	struct ghcb_call call = {.request.exit_code = GHCB_EVENT_NMI_COMPLETE};
	struct vc_cpu *cpu = vc_this_cpu();
	bool another;

	cpu->nmi_completing = true;
	if (!ghcb_call(&call) || call.outcome.verdict != GHCB_OK)
		ghcb_refuse(&call);
	cpu->nmi_completing = false;
	another = cpu->nmi_deferred;
	cpu->nmi_deferred = false;
	return another;
}
