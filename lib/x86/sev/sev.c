/* SPDX-License-Identifier: BSD-2-Clause */
#include "sev.h"

#include "ghcb_msr.h"
#include "snp.h"
#include "snp_ap.h"
#include "x86/cpu/bus.h"
#include "x86/cpu/cpu.h"
#include "x86/cpu/paging.h"
#include "x86/cpu/percpu.h"
#include "x86/devices/smp.h"

#include "panic.h"
#include "string.h"

#define LEAST_VERSION 1
#define MOST_VERSION 2
#define LEVELS GHCB_LEVELS

/* A GHCB is shared with the hypervisor; what an interrupted owner had in it is not. */
static struct ghcb_page ghcbs[MAX_CPUS] __attribute__((section(".noinit"), aligned(4096)));
static struct ghcb_page kept[MAX_CPUS][LEVELS] __attribute__((section(".noinit")));
static unsigned open_depth[MAX_CPUS];
static unsigned version;

const char *sev_mode_name(void)
{
	if (sev_is_snp())
		return "SEV-SNP";
	if (sev_is_es())
		return "SEV-ES";
	return sev_is_on() ? "SEV" : "no SEV";
}

unsigned sev_ghcb_version(void)
{
	return version;
}

static uint64_t msr_exit(uint64_t request)
{
	wrmsr(MSR_GHCB, request);
	vmgexit();
	return rdmsr(MSR_GHCB);
}

uint64_t sev_msr_call(uint64_t request)
{
	uint64_t flags = read_rflags(), before = rdmsr(MSR_GHCB), response;

	asm volatile("cli");
	response = msr_exit(request);
	wrmsr(MSR_GHCB, before);
	write_rflags(flags);
	return response;
}

/* Asks the hypervisor to end this machine, by the MSR protocol; REASON_… of reasons.h. */
static void __attribute__((noreturn)) terminate(unsigned reason)
{
	struct ghcb_msr m = {.code = GHCB_MSR_TERMINATE,
			     .reason_set = REASON_SET_TRAPLINE,
			     .reason = reason};

	for (;;) {
		msr_exit(ghcb_msr_encode(&m));
		asm volatile("cli; hlt");
	}
}

static void end(void)
{
	terminate(REASON_BAIL_OUT);
}

/* -- The GHCB page. ---------------------------------------------------------------------------- */

static void negotiate(void)
{
	struct ghcb_msr ask = {.code = GHCB_MSR_SEV_INFO_REQUEST}, info;
	uint64_t request = ghcb_msr_encode(&ask);

	if (ghcb_msr_check(request, msr_exit(request), &info) != GHCB_MSR_OK ||
	    1ul << info.c_bit != sev_c_bit)
		terminate(REASON_INFO);
	version = ghcb_negotiate(&info, sev_is_snp() ? 2 : LEAST_VERSION, MOST_VERSION);
	if (!version) {
		struct ghcb_msr end = {.code = GHCB_MSR_TERMINATE,
				       .reason_set = REASON_SET_GHCB,
				       .reason = GHCB_TERMINATE_VERSION};

		for (;;)
			msr_exit(ghcb_msr_encode(&end));
	}
}

static void share(volatile struct ghcb_page *page)
{
	volatile uint64_t *word = (volatile uint64_t *)page;
	uint64_t address = (uint64_t)page;

	/* Once it is given away it stays so, when this CPU is started anew as well. */
	if (sev_is_snp()) {
		if (*paging_pte(address) & sev_c_bit && !snp_share(address))
			terminate(REASON_PAGE_STATE);
		if (!snp_register_ghcb(address))
			terminate(REASON_REGISTER);
	}
	*paging_pte(address) &= ~sev_c_bit;
	invlpg(address);
	for (unsigned i = 0; i < sizeof(*page) / 8; i++)
		word[i] = 0;
}

static void begin_cpu(unsigned index)
{
	if (index == 0)
		negotiate();
	share(&ghcbs[index]);
	open_depth[index] = 0;
	wrmsr(MSR_GHCB, (uint64_t)&ghcbs[index]);
}

static void copy_page(volatile struct ghcb_page *to, const volatile struct ghcb_page *from)
{
	volatile uint64_t *t = (volatile uint64_t *)to;
	const volatile uint64_t *f = (const volatile uint64_t *)from;

	for (unsigned i = 0; i < sizeof(*to) / 8; i++)
		t[i] = f[i];
}

uint64_t ghcb_gpa(void)
{
	return (uint64_t)&ghcbs[this_cpu()->index];
}

volatile struct ghcb_page *ghcb_open(struct ghcb_use *use)
{
	unsigned index = this_cpu()->index;

	use->rflags = read_rflags();
	asm volatile("cli");
	/* An NMI between the next two lines leaves all as it was. */
	use->depth = open_depth[index];
	open_depth[index] = use->depth + 1;
	if (use->depth > LEVELS)
		terminate(REASON_ANSWER);
	use->msr = rdmsr(MSR_GHCB);
	if (use->depth)
		copy_page(&kept[index][use->depth - 1], &ghcbs[index]);
	return &ghcbs[index];
}

void ghcb_close(const struct ghcb_use *use)
{
	unsigned index = this_cpu()->index;

	if (use->depth)
		copy_page(&ghcbs[index], &kept[index][use->depth - 1]);
	wrmsr(MSR_GHCB, use->msr);
	open_depth[index] = use->depth;
	write_rflags(use->rflags);
}

void ghcb_offer(struct ghcb_call *call, unsigned field, uint64_t value)
{
	if (field == GHCB_RAX)
		call->request.rax = value;
	call->value[field] = value;
	call->offered |= GHCB_BIT(field);
}

bool ghcb_exit(struct ghcb_call *call)
{
	volatile struct ghcb_page *page = &ghcbs[this_cpu()->index];

	ghcb_offer(call, GHCB_EXIT_CODE, call->request.exit_code);
	ghcb_offer(call, GHCB_EXIT_INFO_1, call->request.exit_info_1);
	ghcb_offer(call, GHCB_EXIT_INFO_2, call->exit_info_2);
	ghcb_clear(page);
	for (unsigned field = 0; field < GHCB_FIELDS; field++)
		if (call->offered & GHCB_BIT(field))
			ghcb_set(page, field, call->value[field]);
	page->version = version;
	page->usage = GHCB_USAGE_STANDARD;
	wrmsr(MSR_GHCB, (uint64_t)page);
	vmgexit();
	ghcb_take_answer(page, &call->answer);
	return ghcb_judge(&call->answer, &call->request, &call->outcome);
}

bool ghcb_call(struct ghcb_call *call)
{
	struct ghcb_use use;
	bool sensible;

	ghcb_open(&use);
	sensible = ghcb_exit(call);
	ghcb_close(&use);
	return sensible;
}

void ghcb_refuse(const struct ghcb_call *call)
{
	static bool refusing;
	const struct ghcb_outcome *o = &call->outcome;

	/* Whatever prints asks the same hypervisor. */
	if (refusing)
		terminate(REASON_ANSWER);
	refusing = true;
	panic("the hypervisor's answer to %s: %s (result %#lx, %#lx, missing fields %#x)",
	      ghcb_event_name(call->request.exit_code), ghcb_verdict_name(o->verdict),
	      call->answer.value[GHCB_EXIT_INFO_1], call->answer.value[GHCB_EXIT_INFO_2],
	      o->missing);
}

/* -- Devices, without #VC. --------------------------------------------------------------------- */

static uint32_t mmio32(uint64_t code, uint64_t gpa, uint32_t value)
{
	struct ghcb_call call = {.request = {.exit_code = code, .exit_info_1 = gpa},
				 .exit_info_2 = sizeof(value)};
	struct ghcb_use use;
	volatile struct ghcb_page *page = ghcb_open(&use);
	bool sensible;

	*(volatile uint32_t *)page->shared_buffer = value;
	ghcb_offer(&call, GHCB_SCRATCH, ghcb_gpa() + GHCB_SHARED_BUFFER);
	sensible = ghcb_exit(&call);
	value = *(volatile uint32_t *)page->shared_buffer;
	ghcb_close(&use);
	if (!sensible || call.outcome.verdict != GHCB_OK)
		ghcb_refuse(&call);
	return value;
}

static uint32_t read32(uint64_t gpa)
{
	return mmio32(GHCB_EVENT_MMIO_READ, gpa, 0);
}

static void write32(uint64_t gpa, uint32_t value)
{
	mmio32(GHCB_EVENT_MMIO_WRITE, gpa, value);
}

void ghcb_abandon(void)
{
	open_depth[this_cpu()->index] = 0;
}

static const struct bus ghcb_bus = {read32, write32, end};

void sev_begin(void)
{
	if (!sev_is_es())
		return;
	bus = &ghcb_bus;
	percpu_at_start(begin_cpu);
	if (sev_is_snp())
		cpus_start_by(snp_ap_start);
}
