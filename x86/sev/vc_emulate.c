/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The #VC handler's instruction decoder and its arithmetic against the CPU: the same instruction, executed and
 * emulated, must leave the same registers, flags and memory.
 *
 * The rule. A device register is an operand like any other. Under SEV-ES the CPU does not execute an
 * instruction that touches one; the handler of #VC does, from its bytes alone. So for each form that it claims
 * the result must be the CPU's own, whatever the operands are.
 *
 * So each case runs everywhere, with RAM in the place of the device: the code stops before the instruction and
 * behind it (UD2); the first time it is stepped into, the second time the handler's code does it
 * (vc_emulate()), and both states behind it are compared. This is also what shows an emulator whose own
 * arithmetic is wrong, and on real hardware that the handler may be believed in the other guests.
 *
 * A wrong handler forgets that MOVZX reads less than it writes, clears the upper half of a register after a move
 * of 8 bits, takes AH for SPL, computes CF of an ADC without the old one, or moves a string the wrong way.
 */
#include "trapline.h"

#include "x86/sev/vc/serve.h"

#define RULE \
	"APM 3, the instruction's page: executed and emulated, registers, flags and memory are the same"

/*
 * Room for one instruction; what it does not need stays NOP. The comment names what such an instruction may write
 * besides what any bytes may (compare/touch.h).
 */
SNIPPET(body, "mark stop; ud2; mark insn; .skip 15, 0x90; mark after; ud2; cld; nop"
	      "/* %rbp %r8 %r9 %r10 %r11 %r12 %r13 %r14 %r15 */");

/* -- Forms: each assembled, with its length in front, behind the other, up to a length of 0. --- */

asm(".macro form insn:vararg\n"
    "	.byte	997f - 996f\n"
    "996:	\\insn\n"
    "997:\n"
    ".endm\n");

/* clang-format off */
#define FORMS(name, text64, text32)                     \
	asm(".pushsection .rodata\n"                    \
	    #name "_64:\n" text64 "	.byte	0\n"    \
	    ".code32\n"                                 \
	    #name "_32:\n" text32 "	.byte	0\n"    \
	    ".code64\n"                                 \
	    ".popsection\n");                           \
	extern const uint8_t name##_64[], name##_32[];

/* With an address of the environment's own size, and in 64-bit code also with one of 32 bits. */
#define FORMS_AT(name, text) FORMS(name, text("rbx") text("ebx"), text("ebx"))

#define LOADS(b)                                                                             \
	"form mov (%" b "), %cl\n form mov (%" b "), %ch\n form mov (%" b "), %cx\n"         \
	"form mov (%" b "), %ecx\n form mov 8(%" b "), %edx\n form mov -16(%" b "), %dh\n"   \
	"form mov 0x84(%" b "), %al\n form ds mov (%" b "), %ecx\n"               \
	"form movzbl (%" b "), %ecx\n form movzbw (%" b "), %cx\n form movzwl (%" b "), %ecx\n" \
	"form movsbl (%" b "), %ecx\n form movsbw (%" b "), %cx\n form movswl (%" b "), %ecx\n"
FORMS_AT(loads, LOADS)

#define STORES(b)                                                                            \
	"form mov %cl, (%" b ")\n form mov %ch, (%" b ")\n form mov %cx, (%" b ")\n"         \
	"form mov %ecx, (%" b ")\n form mov %edx, 3(%" b ")\n form movb $0x9a, (%" b ")\n"   \
	"form movw $0x9abc, (%" b ")\n form movl $0x9abcdef0, (%" b ")\n"
FORMS_AT(stores, STORES)

#define ONE(op, b)                                                                           \
	"form " op " %cl, (%" b ")\n form " op " %cx, (%" b ")\n form " op " %ecx, (%" b ")\n" \
	"form " op " (%" b "), %ch\n form " op " (%" b "), %cx\n form " op " (%" b "), %ecx\n" \
	"form " op "b $0x81, (%" b ")\n form " op "w $0x8001, (%" b ")\n"                    \
	"form " op "l $0x80000001, (%" b ")\n form " op "l $-3, (%" b ")\n"
#define ARITHMETIC(b)                                                                        \
	ONE("add", b) ONE("or", b) ONE("adc", b) ONE("sbb", b)                               \
	ONE("and", b) ONE("sub", b) ONE("xor", b) ONE("cmp", b)
FORMS_AT(arithmetic, ARITHMETIC)

#define UNARY(b)                                                                             \
	"form notb (%" b ")\n form notw (%" b ")\n form notl (%" b ")\n"                     \
	"form negb (%" b ")\n form negw (%" b ")\n form negl (%" b ")\n"                     \
	"form incb (%" b ")\n form incw (%" b ")\n form incl (%" b ")\n"                     \
	"form decb (%" b ")\n form decw (%" b ")\n form decl (%" b ")\n"                     \
	"form test %cl, (%" b ")\n form test %ecx, (%" b ")\n form testb $0x80, (%" b ")\n"  \
	"form testw $0x8000, (%" b ")\n form testl $0x80000000, (%" b ")\n"
FORMS_AT(unary, UNARY)

#define EXCHANGE(b)                                                                          \
	"form xchg %cl, (%" b ")\n form xchg %ch, (%" b ")\n form xchg %cx, (%" b ")\n"      \
	"form xchg %ecx, (%" b ")\n form xadd %cl, (%" b ")\n form xadd %cx, (%" b ")\n"     \
	"form xadd %ecx, (%" b ")\n form cmpxchg %cl, (%" b ")\n form cmpxchg %cx, (%" b ")\n" \
	"form cmpxchg %ecx, (%" b ")\n form lock cmpxchg %ecx, (%" b ")\n"                   \
	"form lock xadd %ecx, (%" b ")\n form lock orl $1, (%" b ")\n form lock incl (%" b ")\n"
FORMS_AT(exchange, EXCHANGE)

#define STRINGS                                                                              \
	"form stosb\n form stosw\n form stosl\n form lodsb\n form lodsw\n form lodsl\n"      \
	"form movsb\n form movsw\n form movsl\n form rep stosl\n form rep stosb\n"           \
	"form rep movsb\n form rep movsl\n form rep lodsw\n"
FORMS(strings,
      STRINGS "form stosq\n form lodsq\n form movsq\n form rep movsq\n"
	      "form addr32 rep stosw\n form addr32 movsb\n form addr32 rep lodsl\n",
      STRINGS)

/* Absolute addresses, an index, 64 bits, registers of REX, and other segments: 64-bit code and 32-bit code. */
FORMS(addresses,
      "form movabs area + 64, %al\n form movabs area + 64, %ax\n form movabs area + 64, %eax\n"
      "form movabs area + 64, %rax\n form movabs %al, area + 64\n form movabs %rax, area + 64\n"
      "form mov area + 64, %ecx\n form mov %cl, area + 64\n form mov (%rbx, %r11, 8), %edx\n"
      "form mov -8(%rbx, %r11, 1), %r8d\n form mov (%r9), %r10w\n form mov 8(%r9, %r11, 4), %r9b\n"
      "form mov (%r13), %r14\n form mov (%r12), %r15d\n form mov %r8b, (%r12)\n"
      "form mov (%rbx), %sil\n form mov %bpl, (%rbx)\n form movzbq (%rbx), %rcx\n"
      "form movsbq (%rbx), %r8\n form movzwq (%rbx), %r8\n form movswq (%rbx), %rcx\n"
      "form movslq (%rbx), %rcx\n form mov %rcx, (%rbx)\n form movq $-0x7fff1234, (%rbx)\n"
      "form addq $-5, (%rbx)\n form adc %rcx, (%rbx)\n form sbb (%rbx), %r10\n"
      "form negq (%rbx)\n form lock xadd %r8, (%rbx)\n form cmpxchg %r9, (%rbx)\n"
      "form xchg %rcx, (%r12)\n form mov -4(%rip), %ecx\n form mov %fs:(%rbx), %ecx\n"
      "form addr32 mov %fs:8(%ebx), %rdx\n",
      "form mov area + 64, %al\n form mov area + 64, %ax\n form mov area + 64, %eax\n"
      "form mov %al, area + 64\n form mov %eax, area + 64\n form mov area + 64, %ecx\n"
      "form mov (%ebx, %edx, 8), %edx\n form mov -8(%ebx, %edx), %cl\n form mov area(,%edx, 4), %ecx\n"
      "form mov %cl, %es:(%ebx)\n form mov %cs:(%ebx), %ecx\n")
/* clang-format on */

/* -- One instruction, one set of values. ------------------------------------------------------- */

#define FS_BASE 24
#define AREA_BYTES 512
#define MIDDLE 64

#define CF X86_EFLAGS_CF
#define AF (1u << 4)
#define ZF (1u << 6)
#define SF (1u << 7)
#define OF X86_EFLAGS_OF
#define FLAGS (CF | 1u << 2 | AF | ZF | SF | X86_EFLAGS_DF | OF)

static const struct row {
	uint64_t memory, rax, rcx, flags;
} rows[] = {
	{0, 0, 0, CF},
	{0x8877665544332211, 0x8877665544332211, 0x0123456789abcdef, 0},
	{~0ul, 1, 1, CF | ZF},
	{0x7fffffff7fff7f7f, 0x7f, 0x8000000080008080, OF | SF},
	{0x8000000080008080, 0x80, 0x7fffffff7fff7f7f, CF | AF},
};

struct state {
	struct regs regs;
	uint64_t rflags;
	uint8_t memory[AREA_BYTES];
};

uint8_t area[AREA_BYTES] __attribute__((aligned(4096)));
static struct state executed, emulated;
static struct state *taken;
static bool claimed;

static enum vc_result ram(struct vc *vc, const struct insn_operand *o, bool write, uint64_t *value)
{
	uint64_t linear = insn_linear(&vc->insn, o, &vc->regs, vc_segment_base, vc->frame);

	if (write)
		memcpy((void *)linear, value, o->size);
	else
		memcpy(value, (const void *)linear, o->size);
	return VC_NEXT;
}

static enum action at_ud2(const struct event *event, struct trap_frame *frame)
{
	enum action action = skip_ud2(event, frame);

	if (action != RESUME)
		return action;
	if (event->rip == mark_address(&body, "after")) {
		taken->regs = frame->regs;
		taken->rflags = frame->iret.rflags & FLAGS;
	} else if (taken == &emulated) {
		claimed = vc_emulate(frame, ram);
	}
	return RESUME;
}

static void go(struct state *state, const struct row *row, uint64_t count)
{
	uint64_t middle = (uint64_t)area + MIDDLE;

	for (unsigned i = 0; i < AREA_BYTES; i++)
		area[i] = 0x5a ^ i * 7;
	memcpy(area + MIDDLE, &row->memory, sizeof(row->memory));
	setup.regs = (struct regs){.rax = row->rax,
				   .rbx = middle,
				   .rcx = count ? count : row->rcx,
				   .rdx = 2,
				   .rsi = middle,
				   .rdi = middle + 256,
				   .rbp = 0x6666666666666666,
				   .r8 = row->rcx,
				   .r9 = middle,
				   .r10 = ~row->rcx,
				   .r11 = 3,
				   .r12 = middle + 8,
				   .r13 = middle + 16,
				   .r14 = ~0ul,
				   .r15 = ~0ul};
	setup.rflags = row->flags;
	taken = state;
	run(body);
	memcpy(state->memory, area, AREA_BYTES);
}

static void compare(const uint8_t *form, unsigned row)
{
	const uint64_t *e = (const uint64_t *)&executed.regs, *m = (const uint64_t *)&emulated.regs;
	/* What 32-bit code leaves in the upper halves is undefined: SDM 1, General-Purpose Registers in 64-Bit Mode. */
	uint64_t defined = setup.environment == COMPAT ? 0xffffffff : ~0ul;
	unsigned differ = 0, number = 0, bytes = 0;

	for (unsigned i = 0; i < sizeof(struct regs) / sizeof(uint64_t); i++)
		if ((e[i] ^ m[i]) & defined && !differ++)
			number = i;
	for (unsigned i = 0; i < AREA_BYTES; i++)
		bytes += executed.memory[i] != emulated.memory[i];
	check(claimed, "%02x %02x %02x %02x, row %u: not claimed", form[0], form[1], form[2],
	      form[3], row);
	check(!differ, "%02x %02x %02x %02x, row %u: register %u is %#lx executed, %#lx emulated",
	      form[0], form[1], form[2], form[3], row, number, e[number], m[number]);
	check(executed.rflags == emulated.rflags,
	      "%02x %02x %02x %02x, row %u: RFLAGS %#lx executed, %#lx emulated", form[0], form[1],
	      form[2], form[3], row, executed.rflags, emulated.rflags);
	check(!bytes, "%02x %02x %02x %02x, row %u: %u bytes of memory differ", form[0], form[1],
	      form[2], form[3], row, bytes);
}

/* All forms with all rows; count: what rCX is instead of the row's, or 0. */
static void try_forms(const uint8_t *forms64, const uint8_t *forms32, uint64_t count,
		      uint64_t flags)
{
	const uint8_t *form = setup.environment == COMPAT ? forms32 : forms64;
	unsigned runs = 0;

	setup.hook = at_ud2;
	for (; *form; form += 1 + *form) {
		for (unsigned i = 0; i < 15; i++)
			snippet_patch(&body, "insn", i, i < *form ? form[1 + i] : 0x90);
		for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++, runs += 2) {
			struct row row = rows[i];

			row.flags |= flags;
			claimed = false;
			go(&executed, &row, count);
			go(&emulated, &row, count);
			compare(form + 1, i);
		}
	}
	expect("(#UD@stop, #UD@after) x%u", runs);
}

#define EMULATE_CASE(name)                             \
	CASE(name, IN_LONG_MODE, RULE, "")             \
	{                                              \
		try_forms(name##_64, name##_32, 0, 0); \
	}

EMULATE_CASE(loads)
EMULATE_CASE(stores)
EMULATE_CASE(arithmetic)
EMULATE_CASE(unary)
EMULATE_CASE(exchange)

CASE(addresses, IN_LONG_MODE, RULE, "")
{
	wrmsr(MSR_FS_BASE, FS_BASE);
	try_forms(addresses_64, addresses_32, 0, 0);
	wrmsr(MSR_FS_BASE, 0);
}

CASE(strings_up, IN_LONG_MODE, RULE, "")
{
	try_forms(strings_64, strings_32, 3, 0);
}

CASE(strings_down, IN_LONG_MODE, RULE, "")
{
	try_forms(strings_64, strings_32, 3, X86_EFLAGS_DF);
}
