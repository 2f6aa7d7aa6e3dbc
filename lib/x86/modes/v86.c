/* SPDX-License-Identifier: BSD-2-Clause */
#include "v86.h"

#include "mode.h"

#include "x86/arch/exceptions.h"
#include "x86/cpu/cpu.h"
#include "x86/cpu/percpu.h"
#include "x86/record/notation.h"
#include "x86/record/recording.h"

#include "string.h"

#define VECTORS 256
#define HLT 0xf4

/* SDM 3B, "Handling an Interrupt or Exception Through a Protected-Mode Trap or Interrupt Gate". */
struct v86_frame {
	uint32_t eip, cs, eflags, esp, ss, es, ds, fs, gs;
};

struct v86_tss v86_tss __attribute__((aligned(4096)));
struct v86_program v86_program;

static struct handler_state found, right;

void v86_vector(unsigned vector, uint16_t cs, uint16_t ip)
{
	uint32_t entry = ip | (uint32_t)cs << 16;
	uint64_t address = 4 * (uint64_t)vector;

	/* Address 0 is no object of C's. */
	asm volatile("movl %0, (%1)" : : "r"(entry), "r"(address) : "memory");
}

void v86_begin(void)
{
	memset(&v86_tss, 0, sizeof(v86_tss));
	memset(v86_tss.to_monitor, 0xff, sizeof(v86_tss.to_monitor));
	v86_tss.io_map[sizeof(v86_tss.io_map) - 1] = 0xff;
	v86_tss.io_map_base = offsetof(struct v86_tss, io_map);
	v86_tss.ss0 = KERNEL_DS;
	load_long_tss(&this_cpu()->descriptors, &v86_tss, sizeof(v86_tss));
	memset((void *)(LOW_BASE + LOW_CODE), HLT, VECTORS * VECTOR_STUB_BYTES);
	for (unsigned v = 0; v < VECTORS; v++)
		v86_vector(v, LOW_SELECTOR, LOW_CODE + v * VECTOR_STUB_BYTES);
}

void v86_prepare(void)
{
	struct descriptors *d = &this_cpu()->descriptors;

	if (d->loaded_tss != (const struct tss *)&v86_tss)
		v86_begin();
	v86_tss.esp0 = d->tss.rsp[0];
	notation_handlers(mode_stub(0));
}

/* -- Frames. ----------------------------------------------------------------------------------- */

static bool has_error_code(const uint32_t *words)
{
	return !(words[2] & X86_EFLAGS_VM && (words[1] & 0xffff) == LOW_SELECTOR);
}

/* EFLAGS is the third, or behind an error code the fourth; snippets and handlers of the program have one CS. */
bool v86_is_frame(const uint32_t *words)
{
	return !has_error_code(words) ||
	       (words[3] & X86_EFLAGS_VM && (words[2] & 0xffff) == LOW_SELECTOR);
}

static uint64_t linear(uint32_t selector, uint32_t offset)
{
	return ((uint64_t)(selector & 0xffff) << 4) + offset;
}

static void look_at_handler(const struct v86_frame *raw, bool has_error)
{
	struct before *before = &this_recording()->run.before;

	found = (struct handler_state){
		.cs = outside.cs,
		.ss = outside.ss & 0xffff,
		.ds = outside.ds & 0xffff,
		.es = outside.es & 0xffff,
		.fs = outside.fs & 0xffff,
		.gs = outside.gs & 0xffff,
		.esp = outside.esp,
		.frame_ds = raw->ds & 0xffff,
		.frame_es = raw->es & 0xffff,
		.frame_fs = raw->fs & 0xffff,
		.frame_gs = raw->gs & 0xffff,
	};
	right = (struct handler_state){
		.cs = BOOT_CS32,
		.ss = KERNEL_DS,
		.esp = v86_tss.esp0 - sizeof(*raw) - (has_error ? sizeof(uint32_t) : 0),
		.frame_ds = LOW_SELECTOR,
		.frame_es = V86_ES,
		.frame_fs = V86_FS,
		.frame_gs = V86_GS,
	};
	before->found = &found;
	before->right = &right;
}

/* The program's handlers are HLTs, each at its vector's place. */
static bool is_of_program(const struct v86_frame *raw)
{
	return (outside.vector & 0xff) == VECTOR_GP &&
	       raw->eip < LOW_CODE + VECTORS * VECTOR_STUB_BYTES &&
	       raw->eip % VECTOR_STUB_BYTES == 0;
}

/* Handlers begin with the program's VIF and VIP, which POPF leaves alone: IRET at CPL 0 writes them. */
static void leave_virtual_flags(void)
{
	if (!(outside.eflags & (X86_EFLAGS_VIF | X86_EFLAGS_VIP)))
		return;
	asm volatile(
		"mov %%rsp, %%rax; pushq %0; pushq %%rax; pushq %1; pushq %2; lea 1f(%%rip), %%rax\n"
		"push %%rax; iretq; 1:"
		:
		: "i"(KERNEL_DS), "i"(X86_EFLAGS_FIXED), "i"(KERNEL_CS)
		: "rax", "memory", "cc");
}

static struct trap_frame frame_of(const struct v86_frame *raw)
{
	return (struct trap_frame){
		.rflags = outside.eflags,
		.vector = outside.vector,
		.iret =
			{
				.rip = linear(raw->cs, raw->eip),
				.cs = raw->cs,
				.rflags = raw->eflags,
				.rsp = linear(raw->ss, raw->esp),
				.ss = raw->ss,
			},
	};
}

/* What the program's handler found on its stack. */
static struct trap_frame frame_of_program(const struct v86_frame *raw)
{
	const uint16_t *words = (const uint16_t *)linear(raw->ss, raw->esp & 0xffff);

	v86_program = (struct v86_program){true, raw->eflags, words[2]};
	return (struct trap_frame){
		.rflags = raw->eflags,
		.vector = (raw->eip - LOW_CODE) / VECTOR_STUB_BYTES,
		.iret =
			{
				.rip = linear(words[1], words[0]),
				.cs = words[1],
				.rflags = (raw->eflags & 0xffff0000) | words[2],
				.rsp = (uint64_t)(words + 3),
				.ss = raw->ss,
			},
	};
}

struct trap_frame v86_read_frame(const uint32_t *words)
{
	bool has_error = has_error_code(words);
	const struct v86_frame *raw = (const struct v86_frame *)(words + has_error);
	struct before *before = &this_recording()->run.before;
	struct trap_frame frame;

	leave_virtual_flags();
	v86_program.handles = before->is_of_program = has_error && is_of_program(raw);
	if (v86_program.handles)
		return frame_of_program(raw);
	look_at_handler(raw, has_error);
	frame = frame_of(raw);
	if (has_error) {
		frame.vector |= FRAME_HAS_ERROR;
		frame.error = words[0];
	}
	return frame;
}

uint32_t v86_write_frame(const struct iret_frame *iret, uint64_t top)
{
	struct v86_frame *frame = (struct v86_frame *)(top - sizeof(*frame));

	*frame = (struct v86_frame){
		.eip = iret->rip - linear(iret->cs, 0),
		.cs = iret->cs,
		.eflags = iret->rflags,
		.esp = iret->rsp - linear(iret->ss, 0),
		.ss = iret->ss,
		.es = V86_ES,
		.ds = LOW_SELECTOR,
		.fs = V86_FS,
		.gs = V86_GS,
	};
	return (uint32_t)(uint64_t)frame;
}
