/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Logical destinations: who takes a message, as a table over the ids that CPUs have and the one that it names.
 *
 * The rule. In the flat model a CPU takes a message whose destination has a bit in common with its logical id. In the
 * cluster model the upper half names the cluster, or all of them as 0xf, and the lower half must have a bit in common.
 * 0xff is everybody. An id may have several bits, two CPUs may have one id, an id of 0 is nobody's. In x2APIC mode
 * the upper 16 bits name the cluster and only all ones everybody. With lowest priority exactly one of those takes it.
 * SDM 3A, "Logical Destination Mode" and "Determining IPI Destination"; APM 2, "Logical Destination Mode".
 *
 * The bugs that taught it. KVM keeps a map from logical ids to CPUs with one CPU for each bit: before 6.3 two CPUs
 * with one id got half of the messages (2970052481b9), and an id with several bits has no place in it. QEMU, KVM and
 * Xen know of the destinations of every cluster 0xff alone.
 *
 * What a buggy hypervisor shows: another mask of CPUs behind the destination, as in `0x11=0x1` where 0x3 is due.
 *
 * All CPUs keep IF clear; behind the message under test each gets 0x31 by its physical id, and says then whether
 * the other has come. This file is also the guest ipi_logical_x2apic, where ids cannot be written.
 */
#include "trapline.h"

#ifndef MODE_NEEDS
#define MODE_NEEDS "apic=1"
#endif

#define RULE \
	"SDM 3A, Logical Destination Mode: every CPU whose logical id the message address matches, and no other"
#define RULE_LOWEST \
	"SDM 3A, Lowest Priority Delivery Mode: one of the CPUs that the destination names"

#define LATER 0x31
#define V 0x41
#define ICR_LOWEST 0x100
#define MODEL_FLAT 0xffffffff
#define MODEL_CLUSTER 0x0fffffff
#define CPUS 4
#define MAX_TRIED 10

struct row {
	uint32_t model;
	uint8_t ids[CPUS];
	uint32_t tried[MAX_TRIED]; /* destinations, ended by the first again */
};

static unsigned cpus;

/* -- After the manual. --------------------------------------------------------------------------- */

#ifdef X2APIC
static bool is_named(const struct row *row, unsigned cpu, uint32_t destination)
{
	uint32_t id = percpu[cpu].apic_id;

	(void)row;
	return destination == 0xffffffff ||
	       (destination >> 16 == id >> 4 && destination >> (id & 15) & 1);
}
#else
static bool is_named(const struct row *row, unsigned cpu, uint32_t destination)
{
	uint8_t id = row->ids[cpu];

	if (destination == 0xff)
		return true;
	if (row->model == MODEL_FLAT)
		return destination & id;
	return (destination >> 4 == id >> 4 || destination >> 4 == 0xf) && destination & id & 0xf;
}
#endif

static uint32_t named(const struct row *row, uint32_t destination)
{
	uint32_t mask = 0;

	for (unsigned i = 0; i < cpus; i++)
		mask |= (uint32_t)is_named(row, i, destination) << i;
	return mask;
}

/* -- All CPUs together. -------------------------------------------------------------------------- */

static const struct row *now;
static volatile unsigned turn, ready, done;
static volatile uint32_t got;

static void take_id(unsigned index)
{
#ifndef X2APIC
	apic_write(APIC_DFR, now->model);
	apic_write(APIC_LDR, (uint32_t)now->ids[index] << 24);
#else
	(void)index;
#endif
}

SNIPPET(drain, "sti; nop; nop; nop; nop; cli");

/* What has come, once 0x31 has. */
static void report(void)
{
	unsigned index = this_cpu()->index;

	if (!await(apic_bit(APIC_IRR, LATER), "the later IPI"))
		return;
	if (apic_bit(APIC_IRR, V))
		__atomic_or_fetch(&got, 1u << index, __ATOMIC_SEQ_CST);
	run_unrecorded(&drain);
	__atomic_add_fetch(&done, 1, __ATOMIC_SEQ_CST);
}

static unsigned number_tried(const struct row *row)
{
	unsigned n = 1;

	while (n < MAX_TRIED && row->tried[n] != row->tried[0])
		n++;
	return n;
}

static void take_part(void *argument)
{
	unsigned index = this_cpu()->index;

	(void)argument;
	take_id(index);
	__atomic_add_fetch(&ready, 1, __ATOMIC_SEQ_CST);
	for (unsigned n = 0; n < number_tried(now) && !this_recording()->in_vain; n++) {
		await(turn > n, "CPU 0 to send");
		report();
	}
	apic_enable(index);
}

static const char *name_of(uint32_t destination)
{
	static char names[MAX_TRIED][12];
	static unsigned used;
	struct text text;

	used = (used + 1) % MAX_TRIED;
	text_init(&text, names[used], sizeof(names[used]));
	text_append(&text, "%#x", destination);
	return names[used];
}

static bool is_one_of(uint32_t mask, uint32_t of)
{
	return mask && !(mask & (mask - 1)) && !(mask & ~of);
}

/* One destination: who has got it; of several with lowest priority any one stands for the lowest. */
static uint32_t send(uint32_t destination, uint32_t mode)
{
	uint32_t want = named(now, destination);

	got = done = 0;
	turn++;
	apic_icr(destination, mode | ICR_LOGICAL | ICR_ASSERT | V);
	for (unsigned i = 0; i < cpus; i++)
		apic_icr(percpu[i].apic_id, ICR_FIXED | ICR_ASSERT | LATER);
	report();
	await(done == cpus, "the other CPUs to say what they got");
	if (mode == ICR_LOWEST && is_one_of(got, want))
		return want & -want;
	return got;
}

static void try_row(const struct row *row, uint32_t mode)
{
	char buffer[300];
	struct text text;

	cpus = cpus_present() < CPUS ? cpus_present() : CPUS;
	need(cpus_start(cpus), "CPU %u did not answer INIT and SIPI", cpus_started());
	now = row;
	turn = ready = 0;
	text_init(&text, buffer, sizeof(buffer));
	for (unsigned n = 0; n < number_tried(row); n++) {
		uint32_t want = named(row, row->tried[n]);

		text_append(&text, "%s%#x=%#x", n ? "; " : "", row->tried[n],
			    mode == ICR_LOWEST ? want & -want : want);
	}
	expect("%s", buffer);
	take_id(0);
	for (unsigned i = 1; i < cpus; i++)
		cpu_start_work(i, take_part, NULL);
	await(ready == cpus - 1, "the other CPUs to get ready");
	for (unsigned n = 0; n < number_tried(row) && !this_recording()->in_vain; n++)
		observe(name_of(row->tried[n]), send(row->tried[n], mode));
	for (unsigned i = 1; i < cpus; i++)
		check(cpu_wait(i), "CPU %u did not come back", i);
	apic_enable(0);
}

/* -- The table. ---------------------------------------------------------------------------------- */

#define ROW_OF(name, rule, mode, bugs, ...)                               \
	CASE_NEEDS("cpus=2 " MODE_NEEDS, name, CPL0, rule, CATCHES(bugs)) \
	{                                                                 \
		static const struct row row = __VA_ARGS__;                \
                                                                          \
		try_row(&row, mode);                                      \
	}
#define ROW(name, bugs, ...) ROW_OF(name, RULE, ICR_FIXED, bugs, __VA_ARGS__)
#define LOWEST(name, ...) \
	ROW_OF(name, RULE_LOWEST, ICR_LOWEST, "model-lowest-priority-all", __VA_ARGS__)

#ifdef X2APIC
ROW(one, "bochs-x2apic-ldr", {0, {0}, {0x1, 0x2, 0x4, 0x8, 0x1}})
ROW(several, "bochs-x2apic-ldr model-ipi-lost", {0, {0}, {0x3, 0x5, 0xe, 0xf, 0xffff, 0x8003, 0x3}})
ROW(nobody, "model-ipi-wrong-target",
    {0, {0}, {0x0, 0x10, 0xfff0, 0x10001, 0x1ffff, 0xffff000f, 0x80000001, 0x0}})
ROW(everybody, "xen-x2apic-broadcast", {0, {0}, {0xffffffff, 0xffffffff}})
LOWEST(lowest_priority, {0, {0}, {0x3, 0x2, 0xf, 0x3}})
#else
ROW(flat_one, "model-ipi-wrong-target", {MODEL_FLAT, {1, 2, 4, 8}, {0x1, 0x2, 0x4, 0x8, 0x1}})
ROW(flat_several, "model-ipi-lost",
    {MODEL_FLAT, {1, 2, 4, 8}, {0x3, 0x5, 0xe, 0xf, 0x7f, 0xfe, 0x3}})
ROW(flat_nobody, "model-ipi-wrong-target", {MODEL_FLAT, {1, 2, 4, 8}, {0x0, 0x10, 0x80, 0xf0, 0x0}})
ROW(flat_everybody, "model-ipi-lost", {MODEL_FLAT, {1, 2, 4, 8}, {0xff, 0xff}})
ROW(flat_one_id_for_two, "model-logical-alias kvm-logical-alias",
    {MODEL_FLAT, {1, 2, 2, 8}, {0x2, 0x6, 0x3, 0x2}})
ROW(flat_one_id_for_all, "model-logical-alias kvm-logical-alias",
    {MODEL_FLAT, {1, 1, 1, 1}, {0x1, 0x2, 0x81, 0x1}})
ROW(flat_overlapping, "model-logical-alias kvm-logical-alias",
    {MODEL_FLAT, {3, 6, 12, 9}, {0x1, 0x2, 0x4, 0x8, 0x5, 0x1}})
ROW(flat_ids_of_several_bits, "model-logical-one-bit",
    {MODEL_FLAT, {0x03, 0x0c, 0x30, 0xc0}, {0x1, 0x2, 0x8, 0x11, 0x90, 0x84, 0x1}})
ROW(flat_id_0, "model-logical-id-0", {MODEL_FLAT, {1, 0, 4, 8}, {0x2, 0x7, 0x1, 0xfe, 0x2}})
ROW(flat_id_of_all_bits, "model-logical-one-bit",
    {MODEL_FLAT, {0xff, 2, 4, 8}, {0x80, 0x2, 0x40, 0x80}})
ROW(cluster_one, "model-ipi-wrong-target",
    {MODEL_CLUSTER, {0x11, 0x12, 0x21, 0x22}, {0x11, 0x12, 0x21, 0x22, 0x11}})
ROW(cluster_several, "model-ipi-lost",
    {MODEL_CLUSTER, {0x11, 0x12, 0x21, 0x22}, {0x13, 0x1f, 0x23, 0x2e, 0x13}})
ROW(cluster_nobody, "model-ipi-wrong-target",
    {MODEL_CLUSTER, {0x11, 0x12, 0x21, 0x22}, {0x33, 0x10, 0x14, 0x2c, 0x3, 0xe1, 0x33}})
ROW(cluster_every, "tcg-cluster-broadcast kvm-cluster-broadcast xen-cluster-broadcast",
    {MODEL_CLUSTER, {0x11, 0x12, 0x21, 0x22}, {0xf1, 0xf2, 0xf3, 0xf4, 0xf0, 0xf1}})
ROW(cluster_everybody, "model-ipi-lost", {MODEL_CLUSTER, {0x11, 0x12, 0x21, 0x22}, {0xff, 0xff}})
ROW(cluster_0, "model-ipi-lost",
    {MODEL_CLUSTER, {0x01, 0x02, 0x04, 0x08}, {0x1, 0x3, 0xf, 0x10, 0x1f, 0x1}})
ROW(cluster_one_id_for_two, "model-logical-alias kvm-logical-alias",
    {MODEL_CLUSTER, {0x11, 0x11, 0x21, 0x21}, {0x11, 0x21, 0x12, 0x11}})
ROW(cluster_ids_of_several_bits, "model-logical-one-bit",
    {MODEL_CLUSTER, {0x13, 0x1c, 0x2f, 0x20}, {0x12, 0x18, 0x28, 0x2f, 0x14, 0x12}})
ROW(cluster_without_member, "model-logical-id-0",
    {MODEL_CLUSTER, {0x11, 0x10, 0x20, 0x22}, {0x1e, 0x2d, 0x11, 0x1e}})
LOWEST(flat_lowest_priority, {MODEL_FLAT, {1, 2, 4, 8}, {0x3, 0x2, 0xf, 0x3}})
LOWEST(flat_lowest_priority_alias, {MODEL_FLAT, {1, 1, 1, 1}, {0x1, 0x3, 0x1}})
LOWEST(cluster_lowest_priority, {MODEL_CLUSTER, {0x11, 0x12, 0x21, 0x22}, {0x13, 0x23, 0x13}})
#endif
