/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * L2 in real mode, by SVM and VMX alike (svm_real.c, vmx_real.c). At the snippet's call L1 puts L2 into 16-bit
 * code, with a table of vectors in the place of the IDT; all of these call L1 again, which reads off SP and the
 * stack what was delivered, writes it into the trace, and puts L2 back behind its first call. Places are `insn`,
 * where L2 begins, and `next`.
 *
 * The file that includes this has defined
 *	CALL			the instruction that calls L1
 *	real_fault_of_exit()	the fault that has exited, as l2_inject() has it
 *	need_real_mode()	skips the case where L2 cannot be in real mode
 *	RULE_..., BUGS_...	as they are used below
 * and defines afterwards
 *	real_mode_enter()	keeps L2's state and gives it that of real mode: code, data and stack in one segment
 *	real_mode_leave()	puts back what was kept
 *	real_mode_sp()		L2's SP
 */
#ifndef X86_REAL_MODE_H
#define X86_REAL_MODE_H

/* 64 KiB of low memory that nobody uses. In real mode an event loads CS, so the address fits a selector. */
#define REAL_SELECTOR 0x2000
#define REAL_BASE ((uint64_t)REAL_SELECTOR << 4)
#define REAL_CODE 0x1000  /* offset of the code in the segment; the table of vectors is at 0 */
#define REAL_STACK 0x8000 /* offset of the stack's top */
#define REAL_VECTORS_BYTES 0x400

SNIPPET(call, "mark call; " CALL "; mark target; nop; mark after; nop");

/* clang-format off */
asm(".pushsection .rodata\n"
    ".code16\n"
    "real_code:\n"
    "real_fault: fxsave 0x6001\n"	/* #GP: not aligned to 16 bytes */
    "real_fault_next: jmp 1f\n"
    "real_int3: int3\n"
    "real_int3_next: jmp 1f\n"
    "real_int_n: int $0x80\n"
    "real_int_n_next: nop\n"
    "1: " CALL "\n"		/* nothing was delivered */
    "real_handlers: .rept 256\n"
    CALL "\n"
    ".endr\n"
    "real_code_end:\n"
    ".code64\n"
    ".popsection\n");
/* clang-format on */
extern const uint8_t real_code[], real_fault[], real_fault_next[], real_int3[], real_int3_next[],
	real_int_n[], real_int_n_next[], real_handlers[], real_code_end[];

static uint16_t real_ip(const uint8_t *label)
{
	return REAL_CODE + (label - real_code);
}

#define HANDLER_BYTES 3u /* VMMCALL and VMCALL alike */

static void real_mode_enter(struct l2 *v, uint16_t ip);
static void real_mode_leave(struct l2 *v);
static uint16_t real_mode_sp(const struct l2 *v);

static struct {
	uint16_t ip;   /* where L2 begins */
	uint32_t what; /* to inject there, as l2_inject() has it; ~0: nothing */
	uint64_t next;
	bool inside;
} real;

static void fill_segment(void)
{
	uint16_t *vectors = (uint16_t *)REAL_BASE;

	memset((void *)REAL_BASE, 0, REAL_STACK);
	memcpy((void *)(REAL_BASE + REAL_CODE), real_code, real_code_end - real_code);
	for (unsigned i = 0; i < 256; i++) {
		vectors[2 * i] = real_ip(real_handlers) + i * HANDLER_BYTES;
		vectors[2 * i + 1] = REAL_SELECTOR;
	}
}

/* L2 has called from the handler of a vector. IP, CS and FLAGS are six bytes; two more are an error code. */
static void record_delivery(struct l2 *v, unsigned vector)
{
	uint16_t sp = real_mode_sp(v), words = (REAL_STACK - sp) / 2;
	const uint16_t *stack = (const uint16_t *)(REAL_BASE + sp);
	const uint16_t *frame = stack + (words == 4);
	const uint8_t *before = (const uint8_t *)(REAL_BASE + frame[0] - 2);
	struct event event = {
		.vector = vector,
		.rip = frame[0],
		.rflags = frame[2],
		.has_error = words == 4,
		.error = stack[0],
		.origin = before[0] == 0xcd && before[1] == vector ? FROM_INT_N
			  : vector < 32				   ? FROM_EXCEPTION
								   : FROM_OUTSIDE,
	};

	check(words == 3 || words == 4, "SP is %#x in the handler", sp);
	check(frame[1] == REAL_SELECTOR, "CS in the frame is %#x", frame[1]);
	event_append(recording_of(v->cpu), &event);
}

static void enter_or_leave(struct l2 *v)
{
	uint64_t behind;

	if (!real.inside) {
		real.inside = true;
		real_mode_enter(v, real.ip);
		if (real.what != ~0u)
			l2_inject(v, real.what, 0, real.next);
		return;
	}
	behind = l2_get(v, L2_RIP) - real_ip(real_handlers);
	if (behind && behind <= 256 * HANDLER_BYTES)
		record_delivery(v, behind / HANDLER_BYTES - 1);
	real_mode_leave(v);
}

/* L2 ends in the mode that it began in. */
static enum l2_action show_and_leave(struct l2 *v)
{
	l2_show_exit(v);
	real_mode_leave(v);
	return L2_END;
}

/* `insn`: real_fault and its like, where L2 begins. */
static void begin_real_at(const uint8_t *insn, const uint8_t *next)
{
	need_real_mode();
	fill_segment();
	real.ip = real_ip(insn);
	real.what = ~0u;
	real.next = 0;
	real.inside = false;
	notation_name("insn", real.ip, 1);
	notation_name("next", real_ip(next), 1);
	l2_setup.on_call = enter_or_leave;
	l2_setup.on_exit = show_and_leave;
}

#define begin_real(insn) begin_real_at(real_##insn, real_##insn##_next)

#define EXECUTED(insn, trace)           \
	CASE(insn, CPL0, RULE_REAL, "") \
	{                               \
		begin_real(insn);       \
		expect(trace);          \
		run(call);              \
	}

EXECUTED(fault, "#GP@insn")
EXECUTED(int3, "#BP@next")
EXECUTED(int_n, "int 0x80@next")

CASE(fault_injected, CPL0, RULE_INJECTED, "")
{
	begin_real(int3);
	real.what = L2_EXCEPTION | VECTOR_GP;
	expect("#GP@insn");
	run(call);
}

CASE(interrupt_injected, CPL0, RULE_INJECTED, "")
{
	begin_real(int3);
	setup.rflags = X86_EFLAGS_IF;
	real.what = L2_INTR | 0x50;
	expect("extint 0x50@insn");
	run(call);
}

CASE(int_n_injected, CPL0, RULE_INJECTED, BUGS_SOFT)
{
	need_soft_injection();
	begin_real(fault);
	real.what = L2_SOFT_INT | 0x81;
	real.next = real_ip(real_fault_next);
	expect("extint 0x81@next");
	run(call);
}

/* L1 sees the fault, and gives back what the exit has told it. */
static void intercept_gp(struct l2 *v)
{
	l2_intercept_exceptions(v, EXCEPTION(VECTOR_GP));
}

static enum l2_action give_back(struct l2 *v)
{
	if (l2_exception(v) != VECTOR_GP)
		return show_and_leave(v);
	l2_inject(v, real_fault_of_exit(v), 0, 0);
	return L2_RESUME;
}

CASE(fault_given_back, CPL0, RULE_REAL, "")
{
	begin_real(fault);
	l2_setup.before = intercept_gp;
	l2_setup.on_exit = give_back;
	expect("#GP@insn");
	run(call);
}

#endif
