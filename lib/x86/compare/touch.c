/* SPDX-License-Identifier: BSD-2-Clause */
#include "touch.h"

#include "string.h"

#include <stdbool.h>

/* As struct regs has them. */
enum { RAX, RBX, RCX, RDX, RSI, RDI, RBP, R8, R9, R10, R11, R12, R13, R14, R15 };

#define ABCD (TOUCHES(RAX) | TOUCHES(RBX) | TOUCHES(RCX) | TOUCHES(RDX))
#define STRING (TOUCHES(RAX) | TOUCHES(RCX) | TOUCHES(RSI) | TOUCHES(RDI))
#define RSP TOUCHES(TOUCHES_RSP)
#define FLAGS TOUCHES(TOUCHES_FLAGS)
#define CS_SS (TOUCHES(TOUCHES_CS) | TOUCHES(TOUCHES_SS))
#define LEAVES \
	(TOUCHES(TOUCHES_DS) | TOUCHES(TOUCHES_ES) | TOUCHES(TOUCHES_FS) | TOUCHES(TOUCHES_GS))
#define BYTES_BY_HAND (~(TOUCHES(RBP) | 0xffu << R8) & 0xffffff)

struct word {
	char text[12];
	uint32_t touches;
};

/* Registers, by what their names end in without E or R, B, W, D. */
static const struct word registers[] = {
	{"ax", TOUCHES(RAX)},
	{"al", TOUCHES(RAX)},
	{"ah", TOUCHES(RAX)},
	{"bx", TOUCHES(RBX)},
	{"bl", TOUCHES(RBX)},
	{"bh", TOUCHES(RBX)},
	{"cx", TOUCHES(RCX)},
	{"cl", TOUCHES(RCX)},
	{"ch", TOUCHES(RCX)},
	{"dx", TOUCHES(RDX)},
	{"dl", TOUCHES(RDX)},
	{"dh", TOUCHES(RDX)},
	{"si", TOUCHES(RSI)},
	{"sil", TOUCHES(RSI)},
	{"di", TOUCHES(RDI)},
	{"dil", TOUCHES(RDI)},
	{"bp", TOUCHES(RBP)},
	{"bpl", TOUCHES(RBP)},
	{"8", TOUCHES(R8)},
	{"9", TOUCHES(R9)},
	{"10", TOUCHES(R10)},
	{"11", TOUCHES(R11)},
	{"12", TOUCHES(R12)},
	{"13", TOUCHES(R13)},
	{"14", TOUCHES(R14)},
	{"15", TOUCHES(R15)},
	{"sp", RSP},
	{"cs", TOUCHES(TOUCHES_CS)},
	{"ss", TOUCHES(TOUCHES_SS)},
	{"ds", TOUCHES(TOUCHES_DS)},
	{"es", TOUCHES(TOUCHES_ES)},
	{"fs", TOUCHES(TOUCHES_FS)},
	{"gs", TOUCHES(TOUCHES_GS)},
	{"cr2", TOUCHES(TOUCHES_CR2)},
};

/* Instructions that use or change what they do not name, by what their names begin with; the first that fits. */
static const struct word instructions[] = {
	{"cpuid", ABCD},
	{"rdtsc", ABCD},
	{"rdpmc", ABCD},
	{"rdmsr", ABCD},
	{"wrmsr", ABCD},
	{"xsetbv", ABCD},
	{"xgetbv", ABCD},
	{"xsave", ABCD},
	{"monitor", ABCD},
	{"mwait", ABCD},
	{"invlpga", ABCD},
	{"vm", BYTES_BY_HAND}, /* hypercalls: whatever L1 wants to do then */
	{"mul", ABCD},
	{"div", ABCD},
	{"cbt", ABCD},
	{"cwt", ABCD},
	{"clt", ABCD},
	{"cqt", ABCD},
	{"lahf", TOUCHES(RAX)},
	{"xlat", TOUCHES(RAX)},
	{"cmpxchg", ABCD},
	{"loop", TOUCHES(RCX)},
	{"rep", STRING},
	{"ins", STRING},
	{"outs", STRING},
	{"lods", STRING},
	{"stos", STRING},
	{"movs", STRING},
	{"cmps", STRING},
	{"scas", STRING},
	{"syscall", TOUCHES(RCX) | TOUCHES(R11) | FLAGS | CS_SS},
	{"sysret", FLAGS | CS_SS | RSP},
	{"sysenter", FLAGS | CS_SS | RSP},
	{"sysexit", FLAGS | CS_SS | RSP},
	{"iret", FLAGS | CS_SS | RSP | LEAVES},
	{"lret", CS_SS | RSP | LEAVES},
	{"lcall", CS_SS | RSP},
	{"ljmp", CS_SS},
	{"lss", TOUCHES(TOUCHES_SS)},
	{"pushf", RSP},
	{"popf", RSP | FLAGS},
	{"pusha", RSP},
	{"popa", BYTES_BY_HAND | TOUCHES(RBP)},
	{"push", RSP},
	{"pop", RSP},
	{"call", RSP},
	{"ret", RSP},
	{"enter", RSP | TOUCHES(RBP)},
	{"leave", RSP | TOUCHES(RBP)},
	{"sti", FLAGS},
	{"cli", FLAGS},
	{"std", FLAGS},
	{"cld", FLAGS},
	{"stac", FLAGS},
	{"clac", FLAGS},
	{"swapgs", TOUCHES(TOUCHES_GS)},
	{".byte", BYTES_BY_HAND},
	{".word", BYTES_BY_HAND},
	{".long", BYTES_BY_HAND},
	{".quad", BYTES_BY_HAND},
	{".rept", BYTES_BY_HAND},
	{".skip", BYTES_BY_HAND},
	{".fill", BYTES_BY_HAND},
};

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static bool is_of_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_';
}

/* "%r10d": from behind the sign. */
static uint32_t of_register(const char *name, unsigned length)
{
	if (length > 2 && (*name == 'r' || *name == 'e') && name[1] != 'p') {
		name++;
		length--;
	} else if (length == 2 && *name == 'r') { /* r8, r9 */
		name++;
		length--;
	}
	if (length > 1 && *name >= '0' && *name <= '9' && name[length - 1] > '9')
		length--; /* r10d */
	for (unsigned i = 0; i < COUNT(registers); i++)
		if (strlen(registers[i].text) == length &&
		    strncmp(registers[i].text, name, length) == 0)
			return registers[i].touches;
	return 0;
}

static uint32_t of_instruction(const char *name)
{
	for (unsigned i = 0; i < COUNT(instructions); i++)
		if (*name == *instructions[i].text && starts_with(name, instructions[i].text))
			return instructions[i].touches;
	return 0;
}

uint32_t text_touches(const char *text)
{
	uint32_t touches = 0;
	bool begins = true,
	     is_name = false; /* a word that may be an instruction; one behind `mark` or `area` */

	while (*text) {
		const char *word = text;

		while (is_of_word(*text))
			text++;
		if (text == word) {
			begins |= *text == ';' || *text == '\n' || *text == ':';
			is_name &= *text == ' ';
			if (*text == '%') {
				word = text + 1;
				while (is_of_word(*++text))
					;
				touches |= of_register(word, text - word);
			} else {
				text++;
			}
			continue;
		}
		if (begins && !is_name)
			touches |= of_instruction(word);
		is_name = begins && (starts_with(word, "mark ") || starts_with(word, "area "));
		/* Prefixes are words of their own before the instruction. */
		begins = starts_with(word, "rep") || starts_with(word, "lock") || is_name;
	}
	return touches;
}
