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
#include "ap.h"
#include "bug.h"
#include "intercepts.h"
#include "memory.h"
#include "reach.h"
#include "sev/ghcb.h"
#include "sev/sev.h"
#include "smp.h"
#include "time.h"

#include "panic.h"
#include "printf.h"
#include "report.h"
#include "string.h"
#include "x86/cpu/cpu.h"
#include "x86/cpu/percpu.h"
#include "x86/cpu/unexpected.h"
#include "x86/devices/console.h"
#include "x86/devices/smp.h"

#define PAYLOAD_COPY 0x2000000ul

#define MAGIC "TRAPLINE-MODEL-1"
static volatile char block[1024] __attribute__((section(".data"), aligned(16))) = MAGIC;

static const struct report_machine machine = {console_write, machine_end};

static uint64_t number(const char *word, const char *text)
{
	unsigned long value;

	if (!parse_number(&text, &value) || *text > ' ')
		panic("model: '%.40s' is not a number", word);
	return value;
}

/*
 * Words: rom=BYTES (of this ROM), payload=BYTES, cpus=N, ghcb=VERSION, bug=ID[,ID], mode=sev, sev-es or
 * sev-snp, reach, hurry.
 */
static void parse(uint64_t *own, uint64_t *payload, uint64_t *cpus)
{
	const char *word = (const char *)block + sizeof(MAGIC) - 1;

	while (*word) {
		const char *unknown = NULL;

		if (starts_with(word, "rom="))
			*own = number(word, word + 4);
		else if (starts_with(word, "payload="))
			*payload = number(word, word + 8);
		else if (starts_with(word, "reach"))
			reach_switch_on();
		else if (starts_with(word, "hurry"))
			time_hurry();
		else if (starts_with(word, "cpus="))
			*cpus = number(word, word + 5);
		else if (starts_with(word, "ghcb="))
			ghcb_most_version = number(word, word + 5);
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
}

/* Returns how many CPUs the payload is to have. */
static unsigned load_payload(void)
{
	uint64_t own = 0, payload = 0, cpus = 1;

	parse(&own, &payload, &cpus);
	if (!own || !payload || payload > L2_ROM_MOST)
		panic("model: no payload");
	if (!cpus || cpus > MOST_VCPUS)
		panic("model: %lu CPUs are more than there are stacks for", cpus);
	memcpy((void *)PAYLOAD_COPY, (void *)((1ul << 32) - own - payload), payload);
	memory_init((void *)PAYLOAD_COPY, payload);
	ap_read_rom((void *)PAYLOAD_COPY, payload);
	intercepts_init_maps();
	sev_init((void *)PAYLOAD_COPY, payload);
	return cpus;
}

/* All that comes to us, but what has a gate of its own, is our own mistake. */
void event_record(struct trap_frame *frame)
{
	char what[40];

	if (cpu_wake_event(frame))
		return;
	snprintf(what, sizeof(what), "vector %u (error code %#lx)", (uint8_t)frame->vector,
		 frame->error);
	unexpected_event(frame, what);
}

void guest_main(unsigned long start_info) __attribute__((noreturn));

void guest_main(unsigned long start_info)
{
	(void)start_info;
	console_init();
	report_attach(&machine);
	percpu_init(0);
	need_svm();
	smp_run(load_payload());
}
