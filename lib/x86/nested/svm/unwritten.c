/* SPDX-License-Identifier: BSD-2-Clause */
#include "unwritten.h"

#include "svm.h"

#include "x86/cpu/percpu.h"
#include "x86/record/recording.h"

#define FIELD(field, name)                                                            \
	{                                                                             \
		offsetof(struct vmcb, field), sizeof(((struct vmcb *)0)->field), name \
	}

static const struct field {
	uint16_t offset, bytes; /* at most 16 */
	const char *name;
} fields[] = {
	FIELD(intercept_cr_read, "VMCB.intercept_CR_read"),
	FIELD(intercept_cr_write, "VMCB.intercept_CR_write"),
	FIELD(intercept_dr_read, "VMCB.intercept_DR_read"),
	FIELD(intercept_dr_write, "VMCB.intercept_DR_write"),
	FIELD(intercept_exceptions, "VMCB.intercept_exceptions"),
	FIELD(intercept, "VMCB.intercept"),
	FIELD(iopm, "VMCB.IOPM_BASE_PA"),
	FIELD(msrpm, "VMCB.MSRPM_BASE_PA"),
	FIELD(tsc_offset, "VMCB.TSC_OFFSET"),
	FIELD(asid, "VMCB.ASID"),
	FIELD(tlb_control, "VMCB.TLB_CONTROL"),
	FIELD(nested_control, "VMCB.NP_ENABLE"),
	FIELD(nested_cr3, "VMCB.nCR3"),
	FIELD(lbr_control, "VMCB.LBR_VIRTUALIZATION_ENABLE"),
	FIELD(clean, "VMCB.clean"),
	FIELD(fs, "VMCB.FS"),
	FIELD(gs, "VMCB.GS"),
	FIELD(ldtr, "VMCB.LDTR"),
	FIELD(tr, "VMCB.TR"),
	FIELD(star, "VMCB.STAR"),
	FIELD(lstar, "VMCB.LSTAR"),
	FIELD(cstar, "VMCB.CSTAR"),
	FIELD(sfmask, "VMCB.SFMASK"),
	FIELD(kernel_gs_base, "VMCB.KernelGsBase"),
	FIELD(sysenter_cs, "VMCB.SYSENTER_CS"),
	FIELD(sysenter_esp, "VMCB.SYSENTER_ESP"),
	FIELD(sysenter_eip, "VMCB.SYSENTER_EIP"),
};

#define FIELDS (sizeof(fields) / sizeof(fields[0]))

/* Of each CPU, 16 bytes of each field. */
static struct value {
	uint64_t low, high;
} before[MAX_CPUS][FIELDS];

static struct value read(const struct vmcb *vmcb, const struct field *field)
{
	const uint8_t *bytes = (const uint8_t *)vmcb + field->offset;
	struct value value = {0, 0};

	__builtin_memcpy(&value, bytes, field->bytes);
	return value;
}

void unwritten_note(const struct l2 *v)
{
	for (unsigned i = 0; i < FIELDS; i++)
		before[v->cpu->index][i] = read(v->vmcb, &fields[i]);
}

void unwritten_compare(const struct l2 *v)
{
	struct recording *rec = recording_of(v->cpu);

	for (unsigned i = 0; i < FIELDS; i++) {
		struct value now = read(v->vmcb, &fields[i]), was = before[v->cpu->index][i];
		bool high = now.low == was.low;
		struct difference one = {
			.where = "behind #VMEXIT",
			.name = fields[i].name,
			.vector = NO_VECTOR,
			.now = high ? now.high : now.low,
			.right = high ? was.high : was.low,
		};

		if (now.low == was.low && now.high == was.high)
			continue;
		difference_append(rec, fields[i].name);
		difference_add(&rec->differences, &one);
	}
}
