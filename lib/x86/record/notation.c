/* SPDX-License-Identifier: BSD-2-Clause */
#include "notation.h"

#include "breadth.h"
#include "code.h"
#include "setup.h"
#include "x86/arch/exceptions.h"
#include "x86/compare/delivery.h"
#include "x86/cpu/cpu.h"

#include "string.h"

#define MAX_NAMES 8

static const char *const exception_names[32] = {
	"#DE", "#DB", "nmi", "#BP", "#OF", "#BR", "#UD", "#NM", "#DF", "#9",  "#TS",
	"#NP", "#SS", "#GP", "#PF", "#15", "#MF", "#AC", "#MC", "#XM", "#VE", "#CP",
	"#22", "#23", "#24", "#25", "#26", "#27", "#HV", "#VC", "#SX", "#31",
};

static struct {
	const char *name;
	uint64_t address, bytes;
} names[MAX_NAMES];
static unsigned names_used;

void notation_name(const char *name, uint64_t address, uint64_t bytes)
{
	if (names_used == MAX_NAMES)
		return;
	names[names_used].name = name;
	names[names_used].address = address;
	names[names_used++].bytes = bytes;
}

void notation_forget_names(void)
{
	names_used = 0;
}

static const uint8_t *other_handlers;

void notation_handlers(const uint8_t *stubs)
{
	other_handlers = stubs;
}

static void offset_from(struct text *out, const char *name, uint64_t offset)
{
	text_append(out, offset ? "%s+%#lx" : "%s", name, offset);
}

/* Number of the name that covers the address, or names_used. */
static unsigned find_name(uint64_t address)
{
	unsigned i = 0;

	while (i < names_used && address - names[i].address >= names[i].bytes)
		i++;
	return i;
}

static bool named_address(struct text *out, uint64_t address)
{
	unsigned i = find_name(address);

	if (i == names_used)
		return false;
	offset_from(out, names[i].name, address - names[i].address);
	return true;
}

/* An address inside a snippet prints as the mark at or before it. */
static bool marked_address(struct text *out, const struct group *group, uint64_t address)
{
	uint64_t offset;
	const struct mark *best;

	if (!group || !group->code ||
	    address - group->base >= (uint64_t)(group->code->end - group->code->start))
		return false;
	offset = address - group->base;
	best = mark_before(group->code, offset);
	if (best)
		offset -= best->address - (uint64_t)group->code->start;
	offset_from(out, best ? best->name : "start", offset);
	return true;
}

/* The first instruction of a handler, where an event comes that was due when another was delivered. */
static bool handler_address(struct text *out, uint64_t address)
{
	uint64_t offset = address - (uint64_t)vector_stubs;
	char name[16];

	if (offset >= 256 * VECTOR_STUB_BYTES && other_handlers)
		offset = address - (uint64_t)other_handlers;
	if (offset >= 256 * VECTOR_STUB_BYTES)
		return false;
	snprintf(name, sizeof(name), "handler[%#lx]", offset / VECTOR_STUB_BYTES);
	offset_from(out, name, offset % VECTOR_STUB_BYTES);
	return true;
}

static void address(struct text *out, const struct group *group, uint64_t address)
{
	if (!marked_address(out, group, address) && !named_address(out, address) &&
	    !handler_address(out, address))
		text_append(out, "%#lx", address);
}

static void dr6_bits(struct text *out, uint32_t dr6)
{
	static const struct {
		uint32_t bit;
		const char *name;
	} bits[] = {{1, "B0"},	    {2, "B1"},	    {4, "B2"},	   {8, "B3"},
		    {DR6_BD, "BD"}, {DR6_BS, "BS"}, {DR6_BT, "BT"}};
	const char *separator = "";

	text_append(out, "[");
	for (unsigned i = 0; i < sizeof(bits) / sizeof(bits[0]); i++) {
		if (!(dr6 & bits[i].bit))
			continue;
		text_append(out, "%s%s", separator, bits[i].name);
		separator = ",";
	}
	text_append(out, "]");
}

/* "v", "v+0x10", "v-0x1" */
static void relative(struct text *out, int32_t offset)
{
	if (offset)
		text_append(out, "v%c%#x", offset < 0 ? '-' : '+', offset < 0 ? -offset : offset);
	else
		text_append(out, "v");
}

static void vector(struct text *out, const char *what, const struct event *e,
		   const struct group *group)
{
	bool moves = group && group->has_subject &&
		     (e->vector_is ? e->vector_is == BY_1 : e->vector == group->subject);

	text_append(out, "%s ", what);
	if (moves)
		relative(out, e->vector - group->subject);
	else
		text_append(out, "%#x", e->vector);
}

/* An error code that names the vector under test is "v*8" and its low bits. */
static void error_code(struct text *out, const struct event *e, const struct group *group)
{
	bool named = group && group->has_subject && e->error & 2 && e->error >> 3 == group->subject;
	unsigned factor = e->error_is == BY_16 ? 16 : e->error_is == BY_1 ? 1 : 8;

	if (e->error_is > SAME || (!e->error_is && named))
		text_append(out, "v*%u+%u", factor, e->error - factor * group->subject);
	else
		text_append(out, "%#x", e->error);
}

static void reading(struct text *out, const struct event *e, const struct group *group)
{
	text_append(out, "%s=", e->name);
	if (e->error_is == BY_1)
		relative(out, e->error - group->subject);
	else
		text_append(out, "%#x", e->error);
}

void notation_what(struct text *out, const struct event *e, const struct group *group)
{
	bool has_cr2 = e->origin == FROM_EXCEPTION && event_has_cr2(e);

	switch (e->origin) {
	case FROM_APIC:
		vector(out, "intr", e, group);
		if (e->level)
			text_append(out, "[level]");
		break;
	case FROM_INT_N:
		vector(out, "int", e, group);
		break;
	case FROM_SMM:
		text_append(out, "smi");
		return;
	case FROM_OUTSIDE:
		vector(out, "extint", e, group);
		break;
	default:
		if (e->vector < 32)
			text_append(out, "%s", exception_names[e->vector]);
		else
			text_append(out, "vector %#x", e->vector);
		if (e->vector == VECTOR_DB)
			dr6_bits(out, e->dr6);
	}
	if (!e->has_error && !has_cr2)
		return;
	text_append(out, "(");
	if (e->has_error)
		error_code(out, e, group);
	else
		text_append(out, "no error code");
	if (has_cr2) {
		text_append(out, ",cr2=");
		address(out, group, e->cr2);
	}
	text_append(out, ")");
}

static void shown_flags(struct text *out, uint64_t rflags)
{
	static const struct {
		uint32_t bit;
		const char *name;
	} flags[] = {{X86_EFLAGS_IF, "IF"}, {X86_EFLAGS_TF, "TF"},   {X86_EFLAGS_RF, "RF"},
		     {X86_EFLAGS_NT, "NT"}, {X86_EFLAGS_VIF, "VIF"}, {X86_EFLAGS_VIP, "VIP"}};
	const char *separator = "{";

	for (unsigned i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		if (!(rflags & setup.shown_flags & flags[i].bit))
			continue;
		text_append(out, "%s%s", separator, flags[i].name);
		separator = ",";
	}
	if (*separator == ',')
		text_append(out, "}");
}

/* What the recorder found wrong around the event: "!IF!SS". */
static void wrong_parts(struct text *out, uint64_t wrong)
{
	for (unsigned i = 0; wrong && i < PART_COUNT; i++)
		if (wrong >> i & 1)
			text_append(out, "!%s", part_names[i]);
}

/* What VMX tells apart: INT1, INT3 and INTO from an exception of the same vector. */
static const char *type_prefix(unsigned type)
{
	return type == 5 ? "priv " : type == 6 ? "soft " : "";
}

static void vectoring(struct text *out, uint32_t what, uint32_t error)
{
	static const char *const types[8] = {
		"intr", "type 1", "type 2", "exception", "int", "type 5", "type 6", "type 7",
	};
	unsigned type = what >> 8 & 7, vector = what & 0xff;
	bool exception = type == 3 || type == 5 || type == 6;

	text_append(out, "vectoring ");
	if (type == 2 && vector == VECTOR_NMI)
		text_append(out, "nmi");
	else if (exception && vector < 32 && vector != VECTOR_NMI)
		text_append(out, "%s%s", type_prefix(type), exception_names[vector]);
	else
		text_append(out, "%s %#x", types[type], vector);
	if (what & VECTORING_HAS_ERROR)
		text_append(out, "(%#x)", error);
}

static void vm_exit(struct text *out, const struct event *e, const struct group *group)
{
	const char *separator = "(";

	text_append(out, "exit ");
	if (e->is_exception_exit) {
		text_append(out, "%s", type_prefix(e->exit_type >> 8));
		notation_what(out, e, group);
	} else if (e->exit_name)
		text_append(out, "%s", e->exit_name);
	else
		text_append(out, "%#lx", e->exit_code);
	if (e->has_gpa) {
		text_append(out, "(%#lx,gpa=", e->gpa_error);
		if (find_name(e->gpa) != names_used)
			text_append(out, "%s", names[find_name(e->gpa)].name);
		else
			text_append(out, "%#lx", e->gpa);
		separator = ",";
	}
	if (e->vectoring & VECTORING_VALID) {
		text_append(out, "%s", separator);
		vectoring(out, e->vectoring, e->vectoring_error);
		separator = ",";
	}
	if (*separator == ',')
		text_append(out, ")");
}

/* The whole event: "#BP@after". */
static void append_event(struct text *out, const struct event *event, const struct group *group)
{
	if (event->origin == READING) {
		reading(out, event, group);
		return;
	}
	if (event->origin == DIFFERENCE) {
		text_append(out, "!%s", event->name);
		return;
	}
	text_append(out, event->in_l1 ? "L1 " : "");
	if (event->is_exit)
		vm_exit(out, event, group);
	else
		notation_what(out, event, group);
	if (!event->no_place && (!event->in_l1 || find_name(event->rip) != names_used)) {
		text_append(out, "@");
		address(out, group, event->rip);
		shown_flags(out, event->rflags);
	}
	wrong_parts(out, event->wrong);
}

static bool has_subject(const struct group *group, unsigned vector)
{
	return vector < 256 && group->subjects[vector / 8] >> vector % 8 & 1;
}

static bool was_left_out(const struct trace *trace, unsigned vector)
{
	if (vector_is_due(vector))
		return false;
	for (unsigned i = 0; i < trace->groups_used; i++)
		if (trace->groups[i].has_subject && has_subject(&trace->groups[i], vector))
			return false;
	return true;
}

/* The end of the range that begins at `vector`, across vectors that were not due. */
static unsigned end_of_range(const struct trace *trace, const struct group *group, unsigned vector)
{
	unsigned last = vector;

	while (++vector < 256 && (has_subject(group, vector) || was_left_out(trace, vector)))
		if (has_subject(group, vector))
			last = vector;
	return last;
}

/* "[0x10-0x1f,0x30] " */
static void subjects(struct text *out, const struct trace *trace, const struct group *group)
{
	const char *separator = "[";

	for (unsigned v = 0, last; v < 256; v = last + 1) {
		last = v;
		if (!has_subject(group, v))
			continue;
		last = end_of_range(trace, group, v);
		text_append(out, last > v ? "%s%#x-%#x" : "%s%#x", separator, v, last);
		separator = ",";
	}
	text_append(out, "] ");
}

void notation_group(struct text *out, const struct trace *trace, const struct group *group)
{
	if (group->has_subject)
		subjects(out, trace, group);
	if (!group->events)
		text_append(out, "(none)");
	for (unsigned i = 0; i < group->events; i++) {
		text_append(out, i ? ", " : "");
		append_event(out, &trace->events[group->first + i], group);
	}
}

void notation_trace(struct text *out, const struct trace *trace)
{
	if (!trace->groups_used)
		text_append(out, "(none)");
	for (unsigned i = 0; i < trace->groups_used; i++) {
		const struct group *group = &trace->groups[i];
		bool several = group->times > 1 && group->events > 1;

		text_append(out, i ? "; " : "");
		text_append(out, several ? "(" : "");
		notation_group(out, trace, group);
		text_append(out, several ? ")" : "");
		if (group->times > 1)
			text_append(out, " x%u", group->times);
	}
	if (trace->full)
		text_append(out, " ...(too many)");
}

void notation_distinct(struct text *out, const struct trace *trace)
{
	char buffer[256], seen[1024];
	struct text all;

	text_init(&all, seen, sizeof(seen));
	for (unsigned i = 0; i < trace->groups_used; i++) {
		struct text one;
		bool known = false;

		text_init(&one, buffer, sizeof(buffer));
		notation_group(&one, trace, &trace->groups[i]);
		for (const char *p = seen; p < seen + all.length && p < seen + sizeof(seen);
		     p += strlen(p) + 1)
			known |= strcmp(p, buffer) == 0;
		if (known)
			continue;
		text_append(out, "%s%s", all.length ? "; " : "", buffer);
		text_append(&all, "%s%c", buffer, 0);
	}
	if (trace->full)
		text_append(out, " ...(too many)");
}
