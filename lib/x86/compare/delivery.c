/* SPDX-License-Identifier: BSD-2-Clause */
#include "delivery.h"

#include "touch.h"
#include "x86/arch/exceptions.h"
#include "x86/cpu/cpu.h"
#include "x86/cpu/desc.h"
#include "x86/cpu/percpu.h"

#define GATE_TYPE 0x0f
#define GATE_TRAP 0x0f

#define BIT(part) (1ull << PART_##part)
#define REGISTERS 15

_Static_assert(PART_R15 == REGISTERS - 1, "the general registers come first");
_Static_assert(PART_COUNT <= 64, "struct event has 64 bits for them");
/* What is compared in the order of touch.h. */
_Static_assert((int)PART_FRAME_RSP == TOUCHES_RSP && (int)PART_CR2 == TOUCHES_CR2,
	       "the parts are numbered as touch.h has them");

const char *const part_names[PART_COUNT] = {
#define DELIVERY_NAME(id, name) [PART_##id] = name,
	DELIVERY_PARTS(DELIVERY_NAME)
#undef DELIVERY_NAME
};

#define ARITHMETIC_FLAGS 0x8d5ul
/* PUSHF shows neither, and a fault's frame has RF where nothing had it before. */
#define UNSEEN_FLAGS (X86_EFLAGS_RF | 1ul << 17)

static inline uint16_t read_selector(unsigned which)
{
	uint16_t selector;

	switch (which) {
	case PART_DS:
		asm volatile("mov %%ds, %0" : "=r"(selector));
		return selector;
	case PART_ES:
		asm volatile("mov %%es, %0" : "=r"(selector));
		return selector;
	case PART_FS:
		asm volatile("mov %%fs, %0" : "=r"(selector));
		return selector;
	case PART_GS:
		asm volatile("mov %%gs, %0" : "=r"(selector));
		return selector;
	case PART_SS:
		asm volatile("mov %%ss, %0" : "=r"(selector));
		return selector;
	default:
		asm volatile("mov %%cs, %0" : "=r"(selector));
		return selector;
	}
}

/* -- Before. ----------------------------------------------------------------------------------- */

static void fill(uint64_t *value, unsigned number)
{
	if (!*value)
		*value = 0x7e57000000000000ul | 0x5eed0000 | number << 8 | 0x5a;
}

void delivery_begin(struct before *b, struct regs *regs, const struct iret_frame *iret)
{
	uint64_t *values = &regs->rax;

	if (b->touches_of != b->text) {
		b->touches_of = b->text;
		b->touches = text_touches(b->text);
	}
	for (unsigned i = 0; i < REGISTERS; i++)
		if (!(b->touches & TOUCHES(i)))
			fill(&values[i], i);
	b->regs = *regs;
	b->iret = *iret;
	b->ds = read_selector(PART_DS);
	b->es = read_selector(PART_ES);
	b->fs = read_selector(PART_FS);
	b->gs = read_selector(PART_GS);
	b->idt = read_idtr().base;
	b->cr2 = read_cr2();
}

/* -- At an event. ------------------------------------------------------------------------------ */

struct look {
	struct before *before;
	struct differences *differences;
	const struct trap_frame *frame;
	uint64_t wrong;
};

static void must_be(struct look *look, enum part part, uint64_t now, uint64_t right)
{
	struct difference one = {
		.where = part <= PART_FRAME_SS ? "before the handler of" : "in the handler of",
		.name = part_names[part],
		.vector = look->frame->vector & 0xff,
		.now = now,
		.right = right,
	};

	if (now == right)
		return;
	look->wrong |= 1ull << part;
	difference_add(look->differences, &one);
}

static bool is_of_snippet(const struct before *b, uint64_t rip)
{
	return rip - b->base < b->bytes;
}

static void look_at_frame(struct look *look)
{
	const struct before *b = look->before;
	const struct iret_frame *iret = &look->frame->iret;
	const uint64_t *now = &look->frame->regs.rax, *right = &b->regs.rax;
	/* Of registers above 32 bits, and of R8 to R15, nothing is said where the code has no such thing. */
	uint64_t width = b->is_32 ? 0xffffffff : ~0ul;
	uint64_t flags = ~(ARITHMETIC_FLAGS | UNSEEN_FLAGS);

	for (unsigned i = 0; i < (b->is_legacy ? (unsigned)PART_R8 : REGISTERS); i++)
		if ((now[i] ^ right[i]) & width && !(b->touches & TOUCHES(i)))
			must_be(look, i, now[i] & width, right[i] & width);
	if (!(b->touches & TOUCHES(TOUCHES_RSP)))
		must_be(look, PART_FRAME_RSP, iret->rsp, b->iret.rsp);
	if (!(b->touches & TOUCHES(TOUCHES_FLAGS)) && !b->is_of_program)
		must_be(look, PART_FRAME_FLAGS, iret->rflags & flags, b->iret.rflags & flags);
	if (!(b->touches & TOUCHES(TOUCHES_CS)))
		must_be(look, PART_FRAME_CS, iret->cs, b->iret.cs);
	if (!(b->touches & TOUCHES(TOUCHES_SS)))
		must_be(look, PART_FRAME_SS, iret->ss, b->iret.ss);
}

static void look_at_segments(struct look *look)
{
	const struct before *b = look->before;

	if (!(b->touches & TOUCHES(TOUCHES_DS)))
		must_be(look, PART_DS, read_selector(PART_DS), b->ds);
	if (!(b->touches & TOUCHES(TOUCHES_ES)))
		must_be(look, PART_ES, read_selector(PART_ES), b->es);
	if (!(b->touches & TOUCHES(TOUCHES_FS)))
		must_be(look, PART_FS, read_selector(PART_FS), b->fs);
	if (!(b->touches & TOUCHES(TOUCHES_GS)))
		must_be(look, PART_GS, read_selector(PART_GS), b->gs);
}

/* Only #PF writes it, and a #DF may stand for one. */
static void look_at_cr2(struct look *look)
{
	struct before *b = look->before;
	unsigned vector = look->frame->vector & 0xff;
	uint64_t now = read_cr2();

	if (vector != VECTOR_PF && vector != VECTOR_DF && vector != VECTOR_VC &&
	    !(b->touches & TOUCHES(TOUCHES_CR2)))
		must_be(look, PART_CR2, now, b->cr2);
	b->cr2 = now;
}

static void look_at_flags(struct look *look, bool trap_gate)
{
	uint64_t now = look->frame->rflags, was = look->frame->iret.rflags;
	uint64_t right = was & ~(uint64_t)(X86_EFLAGS_TF | X86_EFLAGS_NT | UNSEEN_FLAGS);
	static const struct {
		uint32_t bit;
		enum part part;
	} flags[] = {{X86_EFLAGS_IF, PART_IF},
		     {X86_EFLAGS_TF, PART_TF},
		     {X86_EFLAGS_NT, PART_NT},
		     {X86_EFLAGS_AC, PART_AC},
		     {X86_EFLAGS_DF, PART_DF}};

	if (!trap_gate)
		right &= ~(uint64_t)X86_EFLAGS_IF;
	if (now == right)
		return;
	for (unsigned i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		must_be(look, flags[i].part, !!(now & flags[i].bit), !!(right & flags[i].bit));
		now &= ~(uint64_t)flags[i].bit;
		right &= ~(uint64_t)flags[i].bit;
	}
	/* On its way the #VC handler has used those of arithmetic (sev/vc/entry.S). */
	if ((look->frame->vector & 0xff) == VECTOR_VC)
		now = (now & ~ARITHMETIC_FLAGS) | (right & ARITHMETIC_FLAGS);
	must_be(look, PART_FLAGS, now, right);
}

static void look_at_handler(struct look *look, const struct gate *gate)
{
	const struct iret_frame *iret = &look->frame->iret;
	const struct tss *tss = this_cpu()->descriptors.loaded_tss;
	uint16_t cs = read_selector(PART_CS), ss = read_selector(PART_SS);
	bool goes_in = (cs & 3) != (iret->cs & 3);
	unsigned ist = gate->ist & 7;
	uint64_t top = ist ? tss->ist[ist] : goes_in ? tss->rsp[cs & 3] : iret->rsp;

	look_at_flags(look, (gate->attributes & GATE_TYPE) == GATE_TRAP);
	must_be(look, PART_CS, cs, (gate->selector & ~3) | (cs & 3));
	if (goes_in || ss || !ist)
		must_be(look, PART_SS, ss, goes_in ? cs & 3 : iret->ss);
	/* The stack of #VC moves (sev/vc/entry.S). */
	if (ist != VC_IST)
		must_be(look, PART_RSP, (uint64_t)(iret + 1), top & ~15ul);
}

/* SDM 3B, "Handling an Interrupt or Exception Through a Protected-Mode Trap or Interrupt Gate". */
static void look_at_v86_handler(struct look *look, const struct handler_state *found,
				const struct handler_state *right)
{
	const struct before *b = look->before;

	must_be(look, PART_CS, found->cs, right->cs);
	must_be(look, PART_SS, found->ss, right->ss);
	must_be(look, PART_RSP, found->esp, right->esp);
	must_be(look, PART_DS, found->ds, right->ds);
	must_be(look, PART_ES, found->es, right->es);
	must_be(look, PART_FS, found->fs, right->fs);
	must_be(look, PART_GS, found->gs, right->gs);
	if (!(b->touches & TOUCHES(TOUCHES_DS)))
		must_be(look, PART_FRAME_DS, found->frame_ds, right->frame_ds);
	if (!(b->touches & TOUCHES(TOUCHES_ES)))
		must_be(look, PART_FRAME_ES, found->frame_es, right->frame_es);
	if (!(b->touches & TOUCHES(TOUCHES_FS)))
		must_be(look, PART_FRAME_FS, found->frame_fs, right->frame_fs);
	if (!(b->touches & TOUCHES(TOUCHES_GS)))
		must_be(look, PART_FRAME_GS, found->frame_gs, right->frame_gs);
}

/*
 * Modes without 64-bit handlers are left before the recorder sees the event (x86/modes); of the handler, RFLAGS is
 * known. Its gates are long mode's in another form.
 */
static void look_at_legacy_handler(struct look *look)
{
	const struct before *b = look->before;
	const struct gate *gate = &idt[look->frame->vector & 0xff];

	look_at_flags(look, (gate->attributes & GATE_TYPE) == GATE_TRAP);
	if (b->found)
		look_at_v86_handler(look, b->found, b->right);
}

uint64_t delivery_look(struct before *before, struct differences *differences,
		       const struct trap_frame *frame, bool in_l1)
{
	static const struct gate l1_gate = {.selector = KERNEL_CS, .attributes = 0xee};
	struct look look = {.before = before, .differences = differences, .frame = frame};
	const struct gate *gates = (const struct gate *)before->idt;

	if (in_l1) {
		look_at_handler(&look, &l1_gate);
		return look.wrong;
	}
	if (is_of_snippet(before, frame->iret.rip))
		look_at_frame(&look);
	look_at_cr2(&look);
	if (before->is_of_program)
		return look.wrong;
	if (before->is_legacy) {
		look_at_legacy_handler(&look);
		return look.wrong;
	}
	look_at_segments(&look);
	look_at_handler(&look, &gates[frame->vector & 0xff]);
	return look.wrong;
}

void delivery_end(struct before *before, const struct trap_frame *frame)
{
	if (!is_of_snippet(before, frame->iret.rip))
		return;
	before->regs = frame->regs;
	before->iret = frame->iret;
}
