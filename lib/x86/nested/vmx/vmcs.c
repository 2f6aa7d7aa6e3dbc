/* SPDX-License-Identifier: BSD-2-Clause */
#include "kept.h"
#include "l1.h"

#include "x86/cpu/cpu.h"
#include "x86/cpu/percpu.h"

#include "panic.h"
#include "string.h"

#define MSR_PAT 0x277
#define MSR_SYSENTER_CS 0x174
#define MSR_SYSENTER_ESP 0x175
#define MSR_SYSENTER_EIP 0x176
#define X86_CR4_VMXE (1u << 13)

static uint8_t vmxon_regions[MAX_CPUS][4096] __attribute__((section(".noinit"), aligned(4096)));
static uint8_t vmcs_regions[MAX_CPUS][4096] __attribute__((section(".noinit"), aligned(4096)));
static uint8_t msr_bitmaps[MAX_CPUS][4096] __attribute__((section(".noinit"), aligned(4096)));

#define FIELDS (1u << 9)

/* -- Access. ----------------------------------------------------------------------------------- */

/*
 * What is known of the first CPU's VMCS, which outlives VMXOFF, so that vmcs_fill() can leave out a VMWRITE of what a
 * field has anyway: where a hypervisor is below L1, that is a VM exit less, and they are most of a nested run.
 */
static struct {
	uint64_t value[FIELDS];
	bool known[FIELDS];
} first_cpu;

/* SDM 3D, "Field Encoding in VMCS": the width, the type, five bits of the index. */
static unsigned field_index(enum vmcs_field field)
{
	if (field & 0x3c0)
		panic("field %#x of the VMCS is not expected", field);
	return (field >> 13 & 3) << 7 | (field >> 10 & 3) << 5 | (field >> 1 & 31);
}

static void note(enum vmcs_field field, uint64_t value, bool known)
{
	unsigned i = field_index(field);

	if (this_cpu()->index)
		return;
	first_cpu.value[i] = value;
	first_cpu.known[i] = known;
}

void vmwrite(enum vmcs_field field, uint64_t value)
{
	bool good;

	asm volatile("vmwrite %1, %2"
		     : "=@cca"(good)
		     : "r"(value), "r"((uint64_t)field)
		     : "memory");
	if (!good)
		panic("VMWRITE of field %#x failed", field);
	kept_wrote(field, value);
	/* L2 may change what a case puts into its state. */
	note(field, value, vmcs_type(field) != VMCS_GUEST);
}

/*
 * The field holds the value, by VMWRITE if need be. For fields that neither VM entries and exits change nor
 * what L2 executes: no snippet loads GS, LDTR, TR or a descriptor-table register, nor MSRs of the guest
 * state but IA32_DEBUGCTL.
 */
static void ensure(enum vmcs_field field, uint64_t value)
{
	unsigned i = field_index(field);

	if (this_cpu()->index || !first_cpu.known[i] || first_cpu.value[i] != value)
		vmwrite(field, value);
	note(field, value, true);
}

static void forget_guest_state(void)
{
	for (unsigned i = 0; i < FIELDS; i++)
		first_cpu.known[i] &= (i >> 5 & 3) != VMCS_GUEST;
}

void vmset(enum vmcs_field field, uint64_t bits)
{
	vmwrite(field, vmread(field) | bits);
}

void vmclear_bits(enum vmcs_field field, uint64_t bits)
{
	vmwrite(field, vmread(field) & ~bits);
}

/* -- VMX operation. ---------------------------------------------------------------------------- */

/* VMXON, VMCLEAR and VMPTRLD alike take the address of a region in memory. */
#define ON_REGION(insn, region)                                                       \
	do {                                                                          \
		uint64_t address_ = (uint64_t)(region);                               \
		bool good_;                                                           \
                                                                                      \
		asm volatile(insn " %1" : "=@cca"(good_) : "m"(address_) : "memory"); \
		if (!good_)                                                           \
			panic(insn " failed");                                        \
	} while (0)

/* Once for each CPU: what L1 has written into its VMCS stays there. */
static void begin_regions(unsigned cpu)
{
	static bool begun[MAX_CPUS];
	uint32_t revision = vmx_revision();

	if (begun[cpu])
		return;
	memset(vmxon_regions[cpu], 0, 4096);
	memset(vmcs_regions[cpu], 0, 4096);
	memcpy(vmxon_regions[cpu], &revision, sizeof(revision));
	memcpy(vmcs_regions[cpu], &revision, sizeof(revision));
	begun[cpu] = true;
}

void vmx_on(unsigned cpu)
{
	vmx_enable();
	begin_regions(cpu);
	write_cr0(read_cr0() | vmx_cr0_fixed());
	write_cr4(read_cr4() | vmx_cr4_fixed());
	ON_REGION("vmxon", vmxon_regions[cpu]);
	vmcs_load(cpu);
}

void vmcs_load(unsigned cpu)
{
	ON_REGION("vmclear", vmcs_regions[cpu]);
	ON_REGION("vmptrld", vmcs_regions[cpu]);
}

void vmx_off(unsigned cpu)
{
	ON_REGION("vmclear", vmcs_regions[cpu]);
	asm volatile("vmxoff" : : : "memory");
	write_cr4(read_cr4() & ~(uint64_t)X86_CR4_VMXE);
}

/* Everything: what the cases change is not worth a finer knife. */
void vmx_invept(void)
{
	struct {
		uint64_t pointer, reserved;
	} none = {0, 0};

	asm volatile("invept %0, %1" : : "m"(none), "r"(2ul) : "memory", "cc");
}

/* -- Filling. ---------------------------------------------------------------------------------- */

static uint8_t *no_msrs(unsigned cpu)
{
	memset(msr_bitmaps[cpu], 0, sizeof(msr_bitmaps[cpu]));
	return msr_bitmaps[cpu];
}

/* SDM 3C, "MSR-Bitmap Address": a quarter each for reads and writes of low and high MSRs. */
#define WRITES_OF_LOW 2048

void vmx_intercept_msr(uint32_t msr)
{
	uint8_t *bitmap = (uint8_t *)vmread(VMCS_MSR_BITMAP);

	bitmap[msr / 8] |= 1 << msr % 8;
	bitmap[WRITES_OF_LOW + msr / 8] |= 1 << msr % 8;
}

static void fill_controls(const struct l2 *v)
{
	ensure(VMCS_PIN_CONTROLS, vmx_allowed(VMX_PIN, 0));
	ensure(VMCS_CPU_CONTROLS, vmx_allowed(VMX_CPU, CPU_MSR_BITMAP | CPU_SECONDARY));
	if (vmread(VMCS_CPU_CONTROLS) & CPU_SECONDARY)
		ensure(VMCS_SECONDARY_CONTROLS,
		       vmx_allowed(VMX_SECONDARY, SECONDARY_RDTSCP | SECONDARY_INVPCID |
							  SECONDARY_XSAVES |
							  (v->slat ? SECONDARY_EPT : 0)));
	if (vmread(VMCS_CPU_CONTROLS) & CPU_MSR_BITMAP)
		ensure(VMCS_MSR_BITMAP, (uint64_t)no_msrs(v->cpu->index));
	ensure(VMCS_EXIT_CONTROLS,
	       vmx_allowed(VMX_EXIT, EXIT_SAVE_DEBUG | EXIT_HOST_64_BIT | EXIT_LOAD_PAT |
					     EXIT_SAVE_EFER | EXIT_LOAD_EFER));
	vmwrite(VMCS_ENTRY_CONTROLS,
		vmx_allowed(VMX_ENTRY, ENTRY_LOAD_DEBUG | ENTRY_GUEST_64_BIT | ENTRY_LOAD_PAT |
					       ENTRY_LOAD_EFER));
	ensure(VMCS_EXCEPTION_BITMAP, 0);
	/* Every #PF exits, or none, as bit 14 of the exception bitmap says. */
	ensure(VMCS_PF_ERROR_MASK, 0);
	ensure(VMCS_PF_ERROR_MATCH, 0);
	ensure(VMCS_CR3_TARGET_COUNT, 0);
	ensure(VMCS_EXIT_MSR_STORE_COUNT, 0);
	ensure(VMCS_EXIT_MSR_LOAD_COUNT, 0);
	ensure(VMCS_ENTRY_MSR_LOAD_COUNT, 0);
	vmwrite(VMCS_ENTRY_EVENT, 0);
	/* Write-back, a walk of four levels. */
	if (v->slat)
		ensure(VMCS_EPT_POINTER, slat_root() | 3 << 3 | 6);
}

static void fill_host(const struct percpu *cpu)
{
	ensure(VMCS_HOST_CR0, read_cr0());
	ensure(VMCS_HOST_CR3, read_cr3());
	ensure(VMCS_HOST_CR4, read_cr4());
	ensure(VMCS_HOST_ES, 0);
	ensure(VMCS_HOST_CS, KERNEL_CS);
	ensure(VMCS_HOST_SS, KERNEL_DS);
	ensure(VMCS_HOST_DS, 0);
	ensure(VMCS_HOST_FS, 0);
	ensure(VMCS_HOST_GS, 0);
	ensure(VMCS_HOST_TR, TSS_SELECTOR);
	ensure(VMCS_HOST_FS_BASE, rdmsr(MSR_FS_BASE));
	ensure(VMCS_HOST_GS_BASE, rdmsr(MSR_GS_BASE));
	ensure(VMCS_HOST_TR_BASE, (uint64_t)&cpu->descriptors.tss);
	ensure(VMCS_HOST_GDTR_BASE, read_gdtr().base);
	ensure(VMCS_HOST_IDTR_BASE, read_idtr().base);
	ensure(VMCS_HOST_SYSENTER_CS, rdmsr(MSR_SYSENTER_CS));
	ensure(VMCS_HOST_SYSENTER_ESP, rdmsr(MSR_SYSENTER_ESP));
	ensure(VMCS_HOST_SYSENTER_EIP, rdmsr(MSR_SYSENTER_EIP));
	ensure(VMCS_HOST_RIP, (uint64_t)vmx_exit);
}

static void fill_segment(enum vmcs_segment segment, struct l1_segment from, uint64_t base)
{
	/* Snippets load FS (shadow/sti_lfs). */
	void (*fill)(enum vmcs_field, uint64_t) = segment == VMCS_FS ? vmwrite : ensure;

	fill(VMCS_GUEST_SELECTOR + 2 * segment, from.selector);
	fill(VMCS_GUEST_ACCESS + 2 * segment, from.access ? from.access : ACCESS_UNUSABLE);
	/* Of an unusable segment, nobody looks at more than the base of FS and GS. */
	if (from.access)
		fill(VMCS_GUEST_LIMIT + 2 * segment, 0xffffffff);
	if (from.access || segment == VMCS_FS || segment == VMCS_GS)
		fill(VMCS_GUEST_BASE + 2 * segment, base);
}

/* The TSS that the case has loaded, by the descriptor that LTR was given (desc.c). */
static void fill_tr(const struct percpu *cpu)
{
	const uint64_t *d = cpu->descriptors.gdt + TSS_SELECTOR / 8;

	ensure(VMCS_GUEST_SELECTOR + 2 * VMCS_TR, TSS_SELECTOR);
	ensure(VMCS_GUEST_LIMIT + 2 * VMCS_TR, d[0] & 0xffff);
	ensure(VMCS_GUEST_ACCESS + 2 * VMCS_TR, ACCESS_BUSY_TSS);
	ensure(VMCS_GUEST_BASE + 2 * VMCS_TR,
	       (d[0] >> 16 & 0xffffff) | (d[0] >> 56) << 24 | d[1] << 32);
}

static void fill_guest_segments(const struct percpu *cpu, const struct l2_start *start)
{
	static const struct l1_segment null;

	fill_segment(VMCS_ES, start->es, 0);
	fill_segment(VMCS_CS, start->cs, 0);
	fill_segment(VMCS_SS, start->ss, 0);
	fill_segment(VMCS_DS, start->ds, 0);
	fill_segment(VMCS_FS, null, rdmsr(MSR_FS_BASE));
	fill_segment(VMCS_GS, null, rdmsr(MSR_GS_BASE));
	fill_segment(VMCS_LDTR, null, 0);
	fill_tr(cpu);
	ensure(VMCS_GUEST_GDTR_BASE, start->tables.gdtr.base);
	ensure(VMCS_GUEST_GDTR_LIMIT, start->tables.gdtr.limit);
	ensure(VMCS_GUEST_IDTR_BASE, start->tables.idtr.base);
	ensure(VMCS_GUEST_IDTR_LIMIT, start->tables.idtr.limit);
}

/* What L2 must have and L1 did not have, as VMXE, is not for L2 to see. */
static void fill_control_registers(const struct l1_registers *r)
{
	uint64_t cr4 = r->cr4 & ~(uint64_t)X86_CR4_VMXE;

	vmwrite(VMCS_GUEST_CR0, r->cr0 | vmx_cr0_fixed());
	ensure(VMCS_CR0_MASK, vmx_cr0_fixed() & ~r->cr0);
	ensure(VMCS_CR0_SHADOW, r->cr0);
	vmwrite(VMCS_GUEST_CR4, cr4 | vmx_cr4_fixed());
	ensure(VMCS_CR4_MASK, vmx_cr4_fixed() & ~cr4);
	ensure(VMCS_CR4_SHADOW, cr4);
	vmwrite(VMCS_GUEST_CR3, r->cr3);
}

/* Of L1 and L2 alike. */
static void fill_shared_msrs(void)
{
	uint64_t pat = rdmsr(MSR_PAT), efer = rdmsr(MSR_EFER);

	ensure(VMCS_HOST_PAT, pat);
	ensure(VMCS_HOST_EFER, efer);
	ensure(VMCS_GUEST_PAT, pat);
	ensure(VMCS_GUEST_EFER, efer);
}

void vmcs_fill(const struct l2 *v, const struct l2_start *start)
{
	fill_controls(v);
	fill_host(v->cpu);
	fill_guest_segments(v->cpu, start);
	fill_control_registers(&start->registers);
	vmwrite(VMCS_GUEST_DR7, start->registers.dr7);
	vmwrite(VMCS_GUEST_RIP, start->rip);
	vmwrite(VMCS_GUEST_RSP, start->rsp);
	vmwrite(VMCS_GUEST_RFLAGS, X86_EFLAGS_FIXED);
	vmwrite(VMCS_GUEST_PENDING_DEBUG, 0);
	vmwrite(VMCS_GUEST_INTERRUPTIBILITY, 0);
	ensure(VMCS_GUEST_ACTIVITY, 0);
	ensure(VMCS_LINK_POINTER, ~0ul);
	vmwrite(VMCS_GUEST_DEBUGCTL, 0);
	fill_shared_msrs();
	ensure(VMCS_GUEST_SYSENTER_CS, rdmsr(MSR_SYSENTER_CS));
	ensure(VMCS_GUEST_SYSENTER_ESP, rdmsr(MSR_SYSENTER_ESP));
	ensure(VMCS_GUEST_SYSENTER_EIP, rdmsr(MSR_SYSENTER_EIP));
}

/* What vmx_l2_return (run.S) leaves; CS and SS have come there by IRET, which may have set a descriptor's bit. */
void vmcs_returned(bool by_l2_return)
{
	static const enum vmcs_segment null[] = {VMCS_ES, VMCS_DS};

	if (!by_l2_return) {
		forget_guest_state();
		return;
	}
	for (unsigned i = 0; i < 2; i++) {
		note(VMCS_GUEST_SELECTOR + 2 * null[i], 0, true);
		note(VMCS_GUEST_ACCESS + 2 * null[i], ACCESS_UNUSABLE, true);
		note(VMCS_GUEST_LIMIT + 2 * null[i], 0, false);
		note(VMCS_GUEST_BASE + 2 * null[i], 0, false);
	}
	note(VMCS_GUEST_SELECTOR + 2 * VMCS_CS, KERNEL_CS, true);
	note(VMCS_GUEST_SELECTOR + 2 * VMCS_SS, KERNEL_DS, true);
	note(VMCS_GUEST_ACCESS + 2 * VMCS_CS, 0, false);
	note(VMCS_GUEST_ACCESS + 2 * VMCS_SS, 0, false);
}

static uint64_t as_seen(enum vmcs_field real, enum vmcs_field mask, enum vmcs_field shadow)
{
	return (vmread(real) & ~vmread(mask)) | (vmread(shadow) & vmread(mask));
}

void vmcs_registers(struct l1_registers *r)
{
	*r = (struct l1_registers){
		.cr0 = as_seen(VMCS_GUEST_CR0, VMCS_CR0_MASK, VMCS_CR0_SHADOW),
		.cr2 = read_cr2(),
		.cr3 = vmread(VMCS_GUEST_CR3),
		.cr4 = as_seen(VMCS_GUEST_CR4, VMCS_CR4_MASK, VMCS_CR4_SHADOW),
		.dr6 = read_dr6(),
		.dr7 = vmread(VMCS_GUEST_DR7),
	};
}
