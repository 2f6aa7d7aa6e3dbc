/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The model hypervisor: boots an unmodified guest image, the payload, as its L2.
 *
 * It is built as a guest is, and boots as one; the payload's ROM lies right below its own in the
 * machine's flash. The block "TRAPLINE-MODEL-1" is patched by the runner, as the payload's own argument
 * block is.
 *
 * What it models is docs/model.md's business; what it can be told to do wrong is bug.h's.
 */
#include "bug.h"
#include "events.h"
#include "exits.h"
#include "memory.h"
#include "sev.h"
#include "vcpu.h"

#include "report.h"
#include "string.h"
#include "x86/console.h"
#include "x86/cpu.h"
#include "x86/layer.h"
#include "x86/panic.h"
#include "x86/percpu.h"

/* The library's recorder reports what we do wrong ourselves; it comes with the case framework. */
const char guest_name[] = "model";
const struct layer *const guest_layers[] = {NULL};

#define PAYLOAD_COPY 0x2000000ul
#define PAYLOAD_MOST (8ul << 20)
#define MSR_VM_HSAVE_PA 0xc0010117

static volatile struct {
	char magic[16];
	char text[1008];
} block __attribute__((section(".data"), aligned(16))) = {"TRAPLINE-MODEL-1", ""};

static const struct report_machine machine = {console_write, machine_end};
static struct vcpu vcpu __attribute__((aligned(4096)));
static uint8_t host_save[4096] __attribute__((aligned(4096)));

static uint64_t number(const char *word, const char *text)
{
	unsigned long value;

	if (!parse_number(&text, &value) || *text > ' ')
		panic("model: '%.40s' is not a number", word);
	return value;
}

/* Words: rom=BYTES (of this ROM), payload=BYTES, bug=ID[,ID], mode=sev or mode=sev-es. */
static void parse(uint64_t *own, uint64_t *payload)
{
	const char *word = (const char *)block.text;

	while (*word) {
		const char *unknown = NULL;

		if (starts_with(word, "rom="))
			*own = number(word, word + 4);
		else if (starts_with(word, "payload="))
			*payload = number(word, word + 8);
		else if (starts_with(word, "bug="))
			unknown = bugs_switch_on(word + 4);
		else if (starts_with(word, "mode="))
			unknown = sev_switch_on(word + 5) ? NULL : word;
		else
			unknown = word;
		if (unknown)
			panic("model: unknown word or bug '%.40s'", unknown);
		while (*word > ' ')
			word++;
		while (*word == ' ')
			word++;
	}
}

static void need_svm(void)
{
	if (!(cpuid(0x80000001, 0).c & 1u << 2))
		panic("model: this CPU has no SVM");
	if (!(cpuid(0x8000000a, 0).d & 1))
		panic("model: this CPU's SVM has no nested paging");
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SVME);
	wrmsr(MSR_VM_HSAVE_PA, (uint64_t)host_save);
}

static void load_payload(void)
{
	uint64_t own = 0, payload = 0;

	parse(&own, &payload);
	if (!own || !payload || payload > PAYLOAD_MOST)
		panic("model: no payload");
	memcpy((void *)PAYLOAD_COPY, (void *)((1ul << 32) - own - payload), payload);
	memory_init((void *)PAYLOAD_COPY, payload);
	sev_init();
}

/* Until something wakes it; nothing of what the payload does while it waits can be seen from outside. */
static void wait_halted(struct vcpu *v)
{
	if (v->halted && bug(HLT_SLEEPS) &&
	    (lapic_deliverable(&v->apic) >= 0 || v->event.what & SVM_EVENT_VALID))
		panic("model: HLT sleeps on, as told");
	while (v->halted) {
		lapic_tick(v);
		if ((v->nmi_pending && !v->nmi_blocked) || v->event.what & SVM_EVENT_VALID)
			v->halted = false;
		if (v->vmcb.rflags & X86_EFLAGS_IF && lapic_deliverable(&v->apic) >= 0)
			v->halted = false;
		cpu_relax();
	}
}

void guest_main(unsigned long start_info) __attribute__((noreturn));

void guest_main(unsigned long start_info)
{
	(void)start_info;
	console_init();
	report_attach(&machine);
	percpu_init(0);
	need_svm();
	load_payload();
	vcpu_reset(&vcpu);
	for (;;) {
		lapic_tick(&vcpu);
		wait_halted(&vcpu);
		sev_before_entry(&vcpu);
		events_before_entry(&vcpu);
		vcpu_enter(&vcpu);
		events_after_exit(&vcpu);
		exit_handle(&vcpu);
	}
}
