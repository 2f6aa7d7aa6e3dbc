/* SPDX-License-Identifier: BSD-2-Clause */
#include "cold.h"

#include "testcase.h"
#include "x86/boot/args.h"
#include "x86/boot/layout.h"
#include "x86/cpu/cpu.h"
#include "x86/cpu/paging.h"
#include "x86/cpu/percpu.h"
#include "x86/devices/pci.h"
#include "x86/modes/mode.h"
#include "x86/record/layer.h"
#include "x86/record/notation.h"
#include "x86/sev/sev.h"

#include "panic.h"
#include "string.h"

#define END_OF_RAM (64ul << 20)
#define BLOCKS ((END_OF_RAM - COLD_BASE) / COLD_BLOCK_BYTES)
#define MAX_COLD 4
/* The lab's VMM (lab/common/ports.c) has KVM forget the page of which it is given the number. */
#define PORT_COLD 0x84

static unsigned pages_given;
/* What the next run has cold: page table entries whose accessed bit is the witness. */
static struct {
	uint64_t *entry;
	uint64_t address;
} cold[MAX_COLD];
static unsigned cold_used;
static bool needs_all_cold, optional, unused_seen;

static void watch(uint64_t *entry, uint64_t address)
{
	if (cold_used == MAX_COLD)
		panic("more than %u cold pages in one run", MAX_COLD);
	cold[cold_used].entry = entry;
	cold[cold_used++].address = address;
}

/* Under SEV-SNP, those that the launch has validated: to validate a page is to touch it. */
static unsigned pages_in_block(void)
{
	return sev_is_snp() ? SNP_COLD_PAGES : COLD_BLOCK_BYTES / PAGE_BYTES;
}

void *cold_page(void)
{
	uint64_t block, page, address;

	if (pages_given == BLOCKS * pages_in_block()) {
		need(make_all_cold(), "no page left that was never touched, and no %s",
		     cold_obstacle());
		pages_given = 0;
	}
	block = pages_given % BLOCKS;
	page = pages_given++ / BLOCKS;
	address = COLD_BASE + block * COLD_BLOCK_BYTES + page * PAGE_BYTES;
	watch(paging_pte(address), address);
	return (void *)address;
}

void *cold_filled_page(void)
{
	needs_all_cold = true;
	return cold_page();
}

void use_ist(unsigned vector, uint64_t top)
{
	struct tss *tss = &this_cpu()->descriptors.tss;

	/* Without ISTs there is one stack for events from outer rings, and none for the others. */
	if (in_other_mode() && environment_row(setup.environment)->ring)
		tss->rsp[0] = mode_rsp0(top);
	else if (in_other_mode())
		setup.stack_top = top;
	tss->ist[1] = top;
	gate_set_ist(vector, 1);
}

void cold_ist_stack(unsigned vector)
{
	uint64_t page = (uint64_t)cold_page();

	notation_name("cold", page, PAGE_BYTES);
	use_ist(vector, page + PAGE_BYTES);
}

void cold_rsp0_stack(void)
{
	uint64_t page = (uint64_t)cold_page();

	notation_name("cold", page, PAGE_BYTES);
	this_cpu()->descriptors.tss.rsp[0] = mode_rsp0(page + PAGE_BYTES);
}

void cold_idt(void)
{
	void *page = cold_filled_page();

	if (in_other_mode()) {
		load_idt(page, mode_fill_idt(page));
		return;
	}
	memcpy(page, idt, sizeof(idt));
	load_idt(page, sizeof(idt) - 1);
}

/* Entering by IRET would read the GDT and warm it. */
void cold_gdt(void)
{
	void *page = cold_filled_page();
	const struct environment_row *row = environment_row(setup.environment);

	if (row->ring && row->without_gdt == ENTER_IRET)
		panic("%s is entered by IRET, which warms the GDT", row->name);
	memcpy(page, this_cpu()->descriptors.gdt, GDT_BYTES);
	load_gdt(page);
	setup.enter_without_gdt = true;
}

/* LTR reads the descriptor in the GDT, not the TSS; the IST makes the delivery read it. */
void cold_tss(unsigned vector)
{
	struct percpu *cpu = this_cpu();
	struct tss *page = cold_filled_page();

	use_ist(vector, stack_top(cpu->index, STACK_EVENTS));
	*page = cpu->descriptors.tss;
	page->rsp[0] = mode_rsp0(page->rsp[0]);
	load_tss(&cpu->descriptors, page);
}

void cold_handler(unsigned vector)
{
	uint8_t *page = cold_filled_page();

	memcpy(page, mode_stub(vector), VECTOR_STUB_BYTES);
	gate_set_handler(vector, page);
}

/* The stack is warm; the page table that maps it for the delivery is not. */
void cold_page_table(unsigned vector)
{
	uint64_t *table = cold_filled_page();
	uint64_t stack = stack_top(this_cpu()->index, STACK_EVENTS) - PAGE_BYTES;

	cold_used--; /* what is accessed is the table, through the directory's entry */
	memset(table, 0, PAGE_BYTES);
	table[0] = stack | PTE_PAGE;
	*window_pde() = (uint64_t)table | PTE_PAGE;
	watch(window_pde(), WINDOW);
	use_ist(vector, WINDOW + PAGE_BYTES);
}

void cold_window_page(unsigned page)
{
	window_map(page, (uint64_t)cold_page() | PTE_PAGE);
	cold_used--;
	watch(&window_table()[page], WINDOW + page * PAGE_BYTES);
}

/* Only the first `bytes` of the code are copied: what follows may have no page to lie in. */
static void place_across_pages(const struct snippet *snippet, const char *mark,
			       bool second_is_there)
{
	static uint8_t first_page[PAGE_BYTES] __attribute__((aligned(4096)));
	const struct code *code = snippet_code(snippet);
	uint64_t before = mark_offset(snippet, mark), all = code->end - code->start;
	uint8_t *start = (uint8_t *)WINDOW + PAGE_BYTES - before;

	window_map(0, (uint64_t)first_page | PTE_PAGE);
	memcpy(start, code->start, second_is_there ? all : before);
	setup.address = start;
	setup.placed = true;
}

void cold_successor(const struct snippet *snippet, const char *mark)
{
	cold_window_page(1);
	needs_all_cold = true;
	place_across_pages(snippet, mark, true);
}

void absent_successor(const struct snippet *snippet, const char *mark)
{
	place_across_pages(snippet, mark, false);
}

bool make_all_cold(void)
{
	unsigned reg = pci_host_bridge_pam();

	if (!reg)
		return false;
	/* Where 0xc0000-0xc7fff is read from and written to, this time in the other way than before. */
	pci_write8(reg, pci_read8(reg) ^ 0x33);
	return true;
}

const char *cold_obstacle(void)
{
	if (layer->make_cold || pci_host_bridge_pam())
		return NULL;
	return "PAM registers in its host bridge";
}

void cold_before_run(void)
{
	if (needs_all_cold && !args.cold_page_by_page)
		make_all_cold();
	for (unsigned i = 0; i < cold_used; i++) {
		uint64_t page = *cold[i].entry & PTE_ADDRESS;

		if (args.cold_page_by_page)
			outl(PORT_COLD, page / PAGE_BYTES);
		if (layer->make_cold)
			layer->make_cold(page);
		*cold[i].entry &= ~(PTE_ACCESSED | PTE_DIRTY);
		invlpg(cold[i].address);
	}
}

void cold_is_optional(void)
{
	optional = true;
}

void cold_after_run(void)
{
	for (unsigned i = 0; i < cold_used; i++)
		if (!(*cold[i].entry & PTE_ACCESSED) && !optional)
			unused_seen = true;
	cold_used = 0;
	needs_all_cold = optional = false;
}

bool cold_was_used(void)
{
	return !unused_seen;
}

void cold_reset(void)
{
	cold_used = 0;
	needs_all_cold = unused_seen = optional = false;
	window_reset();
}
