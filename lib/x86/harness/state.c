/* SPDX-License-Identifier: BSD-2-Clause */
#include "state.h"

#include "cold.h"
#include "pending.h"
#include "snippet.h"
#include "testcase.h"
#include "x86/boot/args.h"
#include "x86/cpu/cpu.h"
#include "x86/cpu/debugreg.h"
#include "x86/cpu/paging.h"
#include "x86/cpu/percpu.h"
#include "x86/devices/apic.h"
#include "x86/devices/smp.h"
#include "x86/record/layer.h"
#include "x86/record/notation.h"
#include "x86/record/recording.h"
#include "x86/record/trace.h"
#include "x86/sev/sev.h"
#include "x86/sev/vc/vc.h"

#include "report.h"
#include "string.h"

/* What no #PF here writes, so that it shows who else does. */
#define CR2_BEFORE 0xc2c2c2c2c000ul

static struct {
	uint64_t cr0, cr3, cr4, rflags;
} learned;

void state_learn(void)
{
	learned.cr0 = read_cr0();
	learned.cr3 = read_cr3();
	learned.cr4 = read_cr4();
	learned.rflags = read_rflags();
}

/* What a case may have closed, cut short or taken away. */
static void put_back(void)
{
	cold_reset();
	if (layer->reset)
		layer->reset();
	desc_reset(&percpu[0].descriptors, stack_top(0, STACK_EVENTS));
}

void state_reset(void)
{
	memset(&setup, 0, sizeof(setup));
	for (unsigned i = 0; i < MAX_CPUS; i++)
		if (recordings[i].trace) {
			trace_reset(recordings[i].trace);
			recordings[i].subject = NULL;
			recordings[i].impatient = false;
			recordings[i].in_vain = NULL;
			recordings[i].differences.used = 0;
			recordings[i].run.deadline = 0;
		}
	notation_forget_names();
	write_cr2(CR2_BEFORE);
	put_back();
}

/* Vectors 0-15 that a machine took into IRR and does not deliver; noted once, they stay there. */
static uint32_t never_taken;

static bool as_before(const char *what, uint64_t now, uint64_t before)
{
	check(now == before, "the case left %s at %#lx, was %#lx", what, now, before);
	return now == before;
}

#define ARITHMETIC_FLAGS 0x8d5ul

static bool restore_cpu(void)
{
	bool same = true;

	same &= as_before("CR0", read_cr0(), learned.cr0);
	same &= as_before("CR3", read_cr3(), learned.cr3);
	same &= as_before("CR4", read_cr4(), learned.cr4);
	same &= as_before("RFLAGS", read_rflags() & ~ARITHMETIC_FLAGS,
			  learned.rflags & ~ARITHMETIC_FLAGS);
	if (!same) {
		write_rflags(learned.rflags);
		write_cr0(learned.cr0);
		write_cr3(learned.cr3);
		write_cr4(learned.cr4);
	}
	return same;
}

/*
 * The recorder clears it behind each #DB, and nothing else writes it; a match that is not enabled may show. An L2 whose
 * #DB exits has what was not delivered in its DR6, which becomes ours.
 */
static bool restore_dr6(void)
{
	uint64_t conditions = DR6_BD | DR6_BS | DR6_BT;
	bool same;

	if (layer != &layer_native)
		return true;
	same = as_before("DR6", read_dr6() & conditions, 0);
	if (!same)
		write_dr6(DR6_CLEAR);
	return same;
}

static bool restore_apic(void)
{
	bool same = true;
	unsigned vector;

	if (!apic_in_use())
		return true;
	if (apic_timer_is_set())
		timer_stop();
	/*
	 * Each read is an exit where the APIC is emulated, so IRR and ISR are not read word by word: a vector
	 * in service is in the PPR, as the TPR is, and with a PPR of 0 nothing that is pending stays so.
	 */
	same &= as_before("the APIC's PPR (TPR, or a vector in service)", apic_read(APIC_PPR), 0);
	same &= as_before("the APIC's first IRR word", apic_read(APIC_IRR) & ~never_taken, 0);
	put_back(); /* an interrupt that comes now needs its gate and its stack */
	if (same && interrupt_left(&vector)) {
		check(false, "the case left interrupt %#x pending", vector);
		same = false;
	}
	if (!same) {
		apic_enable(0);
		interrupts_drain();
		never_taken = apic_read(APIC_IRR) & 0xffff;
	}
	return same;
}

bool state_restore(void)
{
	bool same = true;

	same &= restore_dr6();
	debugreg_clear();
	same &= restore_cpu();
	if (!as_before("DR7", read_dr7(), DR7_CLEAR)) {
		write_dr7(DR7_CLEAR);
		same = false;
	}
	same &= restore_apic();
	/* An NMI that a case did not complete would block all later ones. */
	while (sev_is_es() && sev_nmi_complete())
		;
	return same;
}

static void put_text(char *to, uint32_t a, uint32_t b, uint32_t c)
{
	memcpy(to, &a, 4);
	memcpy(to + 4, &b, 4);
	memcpy(to + 8, &c, 4);
	to[12] = 0;
}

void state_describe(void)
{
	struct cpuid vendor = cpuid(0, 0), version = cpuid(1, 0);
	unsigned family = version.a >> 8 & 15, model = version.a >> 4 & 15;
	char name[13], hypervisor[13] = "none";

	put_text(name, vendor.b, vendor.d, vendor.c);
	if (family == 6 || family == 15)
		model |= (version.a >> 16 & 15) << 4;
	if (family == 15)
		family += version.a >> 20 & 255;
	if (version.c >> 31) {
		struct cpuid h = cpuid(0x40000000, 0);

		put_text(hypervisor, h.b, h.c, h.d);
	}
	report_note("guest %s, boot %s, cpu %s %xh/%xh, hypervisor %s%s", guest_name,
		    boot_container(), name, family, model, hypervisor,
		    args.edges_only ? ", ranges by their edges" : "");
	if (sev_is_on())
		report_note("%s, C-bit %u, status %#lx, GHCB version %u", sev_mode_name(),
			    __builtin_ctzl(sev_c_bit), sev_status, sev_ghcb_version());
}
