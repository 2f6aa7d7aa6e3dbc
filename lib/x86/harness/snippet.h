/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A snippet is the few instructions under test. It is assembled twice, as 64-bit and as 32-bit code,
 * can be placed anywhere (so it must not name its own absolute addresses), and ends in a UD2 at the
 * mark `end`, which gives the CPU back from every environment alike. `mark NAME` names the address of
 * the next instruction:
 *
 *	SNIPPET(int3, "mark insn; int3; mark after");
 *
 * `area NAME` is a mark as well, but every address up to the next mark is the same place to the trace:
 * a loop in which events are waited for.
 */
#ifndef LIB_X86_SNIPPET_H
#define LIB_X86_SNIPPET_H

#include "x86/record/code.h"
#include "x86/record/setup.h"

#include <stdint.h>

struct snippet {
	const char *name;
	struct code code64, code32, code16;
};

asm(".macro area name\n"
    "	mark	\\name 1\n"
    ".endm\n"
    ".macro mark name is_area=0\n"
    "777:\n"
    ".pushsection .rodata.marks, \"a\"\n"
    "	.quad	777b, 778f, \\is_area\n"
    ".pushsection .rodata.mark_names, \"a\"\n"
    "778:	.asciz	\"\\name\"\n"
    ".popsection\n"
    ".popsection\n"
    ".endm\n");

/* clang-format off */
#define SNIPPET_CODE(name, bits, text)                                    \
	asm(".pushsection .rodata.marks, \"a\"\n"                         \
	    "snippet_" #name "_" #bits "_marks:\n"                        \
	    ".popsection\n"                                               \
	    ".pushsection .text.snippets, \"ax\"\n"                       \
	    ".code" #bits "\n"                                            \
	    "snippet_" #name "_" #bits ":\n" text "\n"                    \
	    "mark end\n"                                                  \
	    "ud2\n"                                                       \
	    "snippet_" #name "_" #bits "_end:\n"                          \
	    ".code64\n"                                                   \
	    ".popsection\n"                                               \
	    ".pushsection .rodata.marks, \"a\"\n"                         \
	    "snippet_" #name "_" #bits "_marks_end:\n"                    \
	    ".popsection\n");                                             \
	extern const uint8_t snippet_##name##_##bits[], snippet_##name##_##bits##_end[]; \
	extern const struct mark snippet_##name##_##bits##_marks[],       \
		snippet_##name##_##bits##_marks_end[];

#define SNIPPET_CODE_NAMES(name, bits, text)                              \
	{                                                                 \
		snippet_##name##_##bits, snippet_##name##_##bits##_end,   \
			snippet_##name##_##bits##_marks, snippet_##name##_##bits##_marks_end, text \
	}

/* Where the modes need different text. */
#define SNIPPET_ALL(name, text64, text32, text16)                         \
	SNIPPET_CODE(name, 64, text64)                                    \
	SNIPPET_CODE(name, 32, text32)                                    \
	SNIPPET_CODE(name, 16, text16)                                    \
	static const struct snippet name = {                              \
		#name, SNIPPET_CODE_NAMES(name, 64, text64), SNIPPET_CODE_NAMES(name, 32, text32), \
		SNIPPET_CODE_NAMES(name, 16, text16)}

/* With no text for 16-bit code, which the case then must not list. */
#define SNIPPET_BOTH(name, text64, text32)                                \
	SNIPPET_CODE(name, 64, text64)                                    \
	SNIPPET_CODE(name, 32, text32)                                    \
	static const struct snippet name = {                              \
		#name, SNIPPET_CODE_NAMES(name, 64, text64), SNIPPET_CODE_NAMES(name, 32, text32), {0}}
/* clang-format on */

#define SNIPPET(name, text) SNIPPET_ALL(name, text, text, text)

/*
 * Runs the snippet in the case's environment on this CPU; its events go to this CPU's trace. Returns
 * how many there were.
 */
unsigned run_snippet(const struct snippet *snippet);
#define run(snippet) run_snippet(&(snippet))

/*
 * Runs the snippet in CPL0 with the given registers, in no layer and outside the case's trace: to put the machine in
 * order, or to ask it something. Returns how many events there were; `first` (may be NULL) is a copy
 * of the first.
 */
unsigned run_unrecorded(const struct snippet *snippet);
unsigned probe_snippet(const struct snippet *snippet, struct regs *regs, struct event *first);

/*
 * The end of a snippet that waits: stays in the area `wait` until the recorder has seen enough interrupts
 * or the deadline has passed, and goes on at the mark `after`. Uses EAX, ECX, EDX, ESI and EDI.
 */
#define WAIT                                                                                      \
	"area wait; 99: pause; dec %ecx; jz 98f; rdtsc; sub %esi, %eax; sbb %edi, %edx; jb 99b; " \
	"98: mark after; nop; nop"

/*
 * Runs a snippet that ends in WAIT until there were so many interrupts and NMIs; gives up after
 * DEADLINE_TICKS, and sooner once that was in vain in this case. Then the trace shows what is missing.
 */
unsigned run_until_interrupts(const struct snippet *snippet, unsigned interrupts);
#define run_until(snippet, interrupts) run_until_interrupts(&(snippet), interrupts)

/* The same, for `ticks` of the TSC, to see that nothing comes. */
unsigned run_for_ticks(const struct snippet *snippet, uint64_t ticks);
#define run_for(snippet, ticks) run_for_ticks(&(snippet), ticks)

/* Writes an operand of the snippet, `offset` bytes behind a mark: one snippet for every INT n. */
void snippet_patch(const struct snippet *snippet, const char *mark, unsigned offset, uint8_t byte);

/* What each run does around the snippet, right before it is entered and once it was left. */
void snippet_around(void (*before)(void), void (*after)(void));

/* The code that this environment uses. */
const struct code *snippet_code(const struct snippet *snippet);

/* Offset of a mark from the snippet's first byte; panics if there is none. */
uint64_t mark_offset(const struct snippet *snippet, const char *mark);

/* Address of a mark where the snippet will run. */
uint64_t mark_address(const struct snippet *snippet, const char *mark);

/* CPL of the environment. */
unsigned environment_ring(void);

/* True in the environments that run at CPL3. */
bool environment_is_user(void);

/* True where the 32-bit text of a snippet runs. */
bool environment_is_32(void);

/* True where its 16-bit text runs. */
bool environment_is_16(void);

/* Adds IOPL 3 outside of ring 0 to setup.rflags, so that STI, CLI, POPF and port I/O do there what they do at CPL0. */
void grant_iopl(void);

/* The selector that CS holds in the environment. */
uint16_t code_selector(void);

/* The selector that SS holds in the environment, to be loaded by MOV SS and POP SS. */
uint16_t stack_selector(void);

/* LSS of (R|E)AX from (R|E)BX: where lss_operand() lies. It loads that selector. */
#define TEXT_lss ".byte 0x0f, 0xb2, 0x03\n"
const void *lss_operand(void);

/* SYSCALL from either size of code goes to a mark of the snippet, at CPL0; FMASK as given. */
void aim_syscall(const struct snippet *snippet, const char *mark, uint64_t mask);

#endif
