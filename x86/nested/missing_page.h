/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What can be missing on the way to an event's handler, for vectoring.h: each thing in a page of its own, and how
 * its miss shows.
 *
 * The file that includes this has defined
 *	SLAT_LAYER		the layer in which L1 has pages to take away
 *	MISS			name of the exit for what L1 has not mapped
 *	MISS_READ, MISS_WRITE, MISS_FETCH, MISS_WALK
 *				what that exit says of an access, and of a walk of L2's page tables
 */
#ifndef X86_MISSING_PAGE_H
#define X86_MISSING_PAGE_H

enum thing { IDT, GDT, TSS, STACK, HANDLER, PAGE_TABLE };

static uint8_t gdt_page[PAGE_BYTES] __attribute__((aligned(4096)));
static uint8_t tss_page[PAGE_BYTES] __attribute__((aligned(4096)));
static uint8_t stack_page[PAGE_BYTES] __attribute__((aligned(4096)));
static uint8_t handler_page[PAGE_BYTES] __attribute__((aligned(4096)));

/* The exit for a miss in the nested tables says `info`; a #PF has this error code. */
static const struct {
	const char *name;
	uint64_t info;
	unsigned error;
} things[] = {
	[IDT] = {"idt", MISS_READ, 0},
	[GDT] = {"gdt", MISS_READ, 0},
	[TSS] = {"tss", MISS_READ, 0},
	[STACK] = {"stack", MISS_WRITE, PF_WRITE},
	[HANDLER] = {"handler", MISS_FETCH, PF_FETCH},
	[PAGE_TABLE] = {"table", MISS_WALK, PF_WRITE},
};

/* Gives the delivery of `vector` a page of its own to stumble over; returns its address. */
static uint64_t prepare(enum thing thing, unsigned vector)
{
	struct percpu *cpu = this_cpu();

	switch (thing) {
	case IDT:
		return (uint64_t)idt;
	case GDT:
		memcpy(gdt_page, cpu->descriptors.gdt, GDT_BYTES);
		load_gdt(gdt_page);
		return (uint64_t)gdt_page;
	case TSS:
		use_ist(vector, stack_top(0, STACK_EVENTS));
		memcpy(tss_page, &cpu->descriptors.tss, sizeof(cpu->descriptors.tss));
		load_tss(&cpu->descriptors, (const struct tss *)tss_page);
		return (uint64_t)tss_page;
	case STACK:
		use_ist(vector, (uint64_t)stack_page + PAGE_BYTES);
		return (uint64_t)stack_page;
	case HANDLER:
		memcpy(handler_page, vector_stubs + vector * VECTOR_STUB_BYTES, VECTOR_STUB_BYTES);
		gate_set_handler(vector, handler_page);
		return (uint64_t)handler_page;
	case PAGE_TABLE:
	default:
		window_map(0, (uint64_t)stack_page | PTE_PAGE);
		use_ist(vector, WINDOW + PAGE_BYTES);
		return (uint64_t)window_table();
	}
}

/* What the exit says before it comes to what was being delivered. */
static void describe_miss(struct text *out, unsigned vector, enum thing thing)
{
	const unsigned offsets[] = {
		[IDT] = vector * sizeof(struct gate),
		[GDT] = KERNEL_CS,
		[TSS] = offsetof(struct tss, ist[1]),
		[STACK] = PAGE_BYTES - 8,
		[HANDLER] = 0,
		[PAGE_TABLE] = PAGE_BYTES - 8,
	};

	if (layer == &SLAT_LAYER) {
		text_append(out, MISS "(%#lx,gpa=%s", things[thing].info, things[thing].name);
		text_append(out, thing == HANDLER ? ")" : ",");
		return;
	}
	text_append(out, "#PF(%#x,cr2=%s", things[thing].error, things[thing].name);
	text_append(out, offsets[thing] ? "+%#x)" : ")", offsets[thing]);
	text_append(out, thing == HANDLER ? "" : "(");
}

#endif
