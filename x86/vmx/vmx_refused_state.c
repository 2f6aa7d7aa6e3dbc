/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Each check of the guest's state, and the MSR-load area: VM entries that end in the exit of an entry that failed.
 *
 * The rule (SDM 3C, "Checks on the Guest State Area", "Loading MSRs", "VM-Entry Failures During or After Loading Guest
 * State"). State that cannot be is the exit with reason 33, an MSR that cannot be loaded the one with reason 34, both
 * with bit 31; the qualification is 0, or 4 for the VMCS link pointer, or the number of the MSR's entry. Nothing else
 * of the exit's information is written, the guest-state area is not changed, the event to inject stays valid, L2 has
 * not run, and what is pending stays so. A right VMCS is entered afterwards as if nothing had been.
 *
 * The bugs that taught it. Bochs 2.7 enters L2 at an address that is not canonical and lets several states pass; KVM
 * leaves most of these checks to the CPU below it, and makes some itself.
 *
 * Pending single steps and an L2 in HLT need a run for each and are in vmx_pending_debug.c and vmx_activity.c. What
 * a trace shows is said in refused.h.
 */
#define GUEST_LAYERS VMX_LAYERS
#include "trapline.h"

#include "x86/nested/vmx/vmx.h"

#include "refused.h"

#define RULE_REGISTERS \
	"SDM 3C, Checks on Guest Control Registers, Debug Registers, and MSRs: exit reason 33"
#define RULE_SEGMENTS "SDM 3C, Checks on Guest Segment Registers: exit reason 33"
#define RULE_TABLES "SDM 3C, Checks on Guest Descriptor-Table Registers: exit reason 33"
#define RULE_RIP "SDM 3C, Checks on Guest RIP, RFLAGS, and SSP: exit reason 33"
#define RULE_NON_REGISTER "SDM 3C, Checks on Guest Non-Register State: exit reason 33"
#define RULE_MSRS \
	"SDM 3C, Loading MSRs: exit reason 34, with the number of the entry as qualification"

#define STATE EXIT(VMX_INVALID_GUEST)

#define NOT_CANONICAL BIT(62)

/* -- Control and debug registers, MSRs. -------------------------------------------------------- */

/* clang-format off */
REFUSED(control_registers, RULE_REGISTERS, "", STATE, NULL,
	EACH(cr0_fixed, LOW(0x80000021), SAME(GUEST_CR0)),
	EACH(cr0_high, HIGH(0xffffffff), SAME(GUEST_CR0)),
	ROW(cr4_vmxe, CHANGE(GUEST_CR4, 0, 1ul << 13)),
	ROW(cr4_pae, CHANGE(GUEST_CR4, 0, X86_CR4_PAE)),
	ROW(cr4_cet_without_wp, CHANGE(GUEST_CR4, BIT(23), 0), CHANGE(GUEST_CR0, 0, X86_CR0_WP)),
	EACH(cr3_high, HIGH(0x9ff00000), SAME(GUEST_CR3)),
	ROW(not_64_bit, CHANGE(ENTRY_CONTROLS, 0, ENTRY_GUEST_64_BIT)))

REFUSED(debug_registers, RULE_REGISTERS, "", STATE, NULL,
	EACH(dr7_high, HIGH(0xffffffff), CHANGE(ENTRY_CONTROLS, ENTRY_LOAD_DEBUG, 0), SAME(GUEST_DR7)))

REFUSED(debugctl, RULE_REGISTERS, CATCHES("bochs-debugctl-unchecked"), STATE, NULL,
	EACH(low, LOW(0xffff0038), CHANGE(ENTRY_CONTROLS, ENTRY_LOAD_DEBUG, 0), SAME(GUEST_DEBUGCTL)),
	EACH(high, HIGH(0xffffffff), CHANGE(ENTRY_CONTROLS, ENTRY_LOAD_DEBUG, 0), SAME(GUEST_DEBUGCTL)))

REFUSED(perf_global, RULE_REGISTERS, CATCHES("bochs-perf-global-unchecked"), STATE, NULL,
	ROW(bit_63, CHANGE(ENTRY_CONTROLS, ENTRY_LOAD_PERF_GLOBAL, 0),
	    CHANGE(GUEST_PERF_GLOBAL, BIT(63), 0)))

REFUSED(msrs, RULE_REGISTERS, "", STATE, NULL,
	ROW(sysenter_esp, CHANGE(GUEST_SYSENTER_ESP, NOT_CANONICAL, 0)),
	ROW(sysenter_eip, CHANGE(GUEST_SYSENTER_EIP, NOT_CANONICAL, 0)),
	ROW(pat_2, CHANGE(ENTRY_CONTROLS, ENTRY_LOAD_PAT, 0), CHANGE(GUEST_PAT, 2, 0xff)),
	ROW(pat_3, CHANGE(ENTRY_CONTROLS, ENTRY_LOAD_PAT, 0), CHANGE(GUEST_PAT, 3, 0xff)),
	EACH(pat_low, LOW(0x88888888), CHANGE(ENTRY_CONTROLS, ENTRY_LOAD_PAT, 0), SAME(GUEST_PAT)),
	EACH(pat_high, HIGH(0x88888888), CHANGE(ENTRY_CONTROLS, ENTRY_LOAD_PAT, 0), SAME(GUEST_PAT)),
	EACH(efer_low, LOW(0xffff02fe), CHANGE(ENTRY_CONTROLS, ENTRY_LOAD_EFER, 0), SAME(GUEST_EFER)),
	EACH(efer_high, HIGH(0xffffffff), CHANGE(ENTRY_CONTROLS, ENTRY_LOAD_EFER, 0), SAME(GUEST_EFER)),
	EACH(efer_long, LOW(EFER_LME | EFER_LMA), CHANGE(ENTRY_CONTROLS, ENTRY_LOAD_EFER, 0),
	     SAME(GUEST_EFER)),
	EACH(bndcfgs, LOW(0xffc), CHANGE(ENTRY_CONTROLS, ENTRY_LOAD_BNDCFGS, 0), SAME(GUEST_BNDCFGS)),
	ROW(bndcfgs_base, CHANGE(ENTRY_CONTROLS, ENTRY_LOAD_BNDCFGS, 0),
	    CHANGE(GUEST_BNDCFGS, NOT_CANONICAL, 0)))
/* clang-format on */

CASE_NEEDS("apic=1", cr4_reserved, CPL0, RULE_REGISTERS, "")
{
	try_reserved_cr4(STATE, VMCS_GUEST_CR4);
}

/* -- Segments. --------------------------------------------------------------------------------- */

#define SELECTOR(segment, set, clear)                                \
	{                                                            \
		VMCS_GUEST_SELECTOR + 2 * VMCS_##segment, set, clear \
	}
#define ACCESS(segment, set, clear)                                \
	{                                                          \
		VMCS_GUEST_ACCESS + 2 * VMCS_##segment, set, clear \
	}
#define LIMIT(segment, set, clear)                                \
	{                                                         \
		VMCS_GUEST_LIMIT + 2 * VMCS_##segment, set, clear \
	}
#define BASE(segment, set)                                   \
	{                                                    \
		VMCS_GUEST_BASE + 2 * VMCS_##segment, set, 0 \
	}

#define TYPE_ACCESSED 1
#define TYPE_2 2 /* writable, readable; a TSS's busy bit */
#define TYPE_4 4 /* expands down, is conforming */
#define TYPE_CODE 8
#define ACCESS_S 0x10
#define ACCESS_DPL 0x60
#define ACCESS_P 0x80
#define ACCESS_RESERVED 0xfffe0f00
#define ACCESS_D 0x4000
#define ACCESS_G 0x8000
#define RPL 3
#define TI 4

static void right_segment(enum vmcs_segment segment, uint16_t selector, uint32_t access,
			  uint32_t limit)
{
	base_change(VMCS_GUEST_SELECTOR + 2 * segment, selector);
	base_change(VMCS_GUEST_ACCESS + 2 * segment, access);
	base_change(VMCS_GUEST_LIMIT + 2 * segment, limit);
	base_change(VMCS_GUEST_BASE + 2 * segment, 0);
}

/* All usable, so that each is checked. */
static void right_data_segments(struct l2 *v)
{
	(void)v;
	right_segment(VMCS_ES, KERNEL_DS, 0xc093, ~0u);
	right_segment(VMCS_DS, KERNEL_DS, 0xc093, ~0u);
	right_segment(VMCS_FS, KERNEL_DS, 0xc093, ~0u);
	right_segment(VMCS_GS, KERNEL_DS, 0xc093, ~0u);
}

static void right_ldtr(struct l2 *v)
{
	(void)v;
	right_segment(VMCS_LDTR, 0, 0x82, 0xfffe);
}

/* clang-format off */
#define GRANULARITY(segment) \
	ROW(segment##_g_with_low_limit, LIMIT(segment, 0, 1)), \
	ROW(segment##_no_g_with_high_limit, ACCESS(segment, 0, ACCESS_G))

#define DATA_SEGMENT(segment) \
	ROW(segment##_not_accessed, ACCESS(segment, 0, TYPE_ACCESSED)), \
	ROW(segment##_code_not_readable, ACCESS(segment, TYPE_CODE, TYPE_2)), \
	ROW(segment##_system, ACCESS(segment, 0, ACCESS_S)), \
	ROW(segment##_dpl_below_rpl, SELECTOR(segment, RPL, 0)), \
	ROW(segment##_not_present, ACCESS(segment, 0, ACCESS_P)), \
	EACH(segment##_reserved, ACCESS_RESERVED, ACCESS(segment, 0, 0)), \
	GRANULARITY(segment)

REFUSED(data_segments, RULE_SEGMENTS, "", STATE, right_data_segments,
	DATA_SEGMENT(ES), DATA_SEGMENT(DS), DATA_SEGMENT(FS), DATA_SEGMENT(GS),
	ROW(ES_base, BASE(ES, BIT(32))),
	ROW(DS_base, BASE(DS, BIT(32))),
	ROW(FS_base, BASE(FS, NOT_CANONICAL)),
	ROW(GS_base, BASE(GS, NOT_CANONICAL)))

REFUSED(code_segment, RULE_SEGMENTS, "", STATE, NULL,
	ROW(CS_not_accessed, ACCESS(CS, 0, TYPE_ACCESSED)),
	ROW(CS_data, ACCESS(CS, 0, TYPE_CODE)),
	ROW(CS_system, ACCESS(CS, 0, ACCESS_S)),
	ROW(CS_not_present, ACCESS(CS, 0, ACCESS_P)),
	ROW(CS_dpl_not_that_of_SS, ACCESS(CS, ACCESS_DPL, 0)),
	ROW(CS_conforming_dpl_above_SS, ACCESS(CS, ACCESS_DPL | TYPE_4, 0)),
	ROW(CS_L_and_D, ACCESS(CS, ACCESS_D, 0)),
	EACH(CS_reserved, ACCESS_RESERVED, ACCESS(CS, 0, 0)),
	GRANULARITY(CS),
	ROW(CS_base, BASE(CS, BIT(32))),
	ROW(CS_rpl, SELECTOR(CS, RPL, 0)))

REFUSED(stack_segment, RULE_SEGMENTS, "", STATE, NULL,
	ROW(SS_not_accessed, ACCESS(SS, 0, TYPE_ACCESSED)),
	ROW(SS_not_writable, ACCESS(SS, 0, TYPE_2)),
	ROW(SS_code, ACCESS(SS, TYPE_CODE, 0)),
	ROW(SS_system, ACCESS(SS, 0, ACCESS_S)),
	ROW(SS_not_present, ACCESS(SS, 0, ACCESS_P)),
	ROW(SS_rpl_not_that_of_CS, SELECTOR(SS, RPL, 0)),
	ROW(SS_dpl_not_rpl, ACCESS(SS, ACCESS_DPL, 0)),
	EACH(SS_reserved, ACCESS_RESERVED, ACCESS(SS, 0, 0)),
	GRANULARITY(SS),
	ROW(SS_base, BASE(SS, BIT(32))))

REFUSED(task_register, RULE_SEGMENTS, "", STATE, NULL,
	ROW(TR_available, ACCESS(TR, 0, TYPE_2)),
	ROW(TR_16_bit, ACCESS(TR, 0, TYPE_CODE)),
	ROW(TR_no_system, ACCESS(TR, ACCESS_S, 0)),
	ROW(TR_not_present, ACCESS(TR, 0, ACCESS_P)),
	ROW(TR_unusable, ACCESS(TR, ACCESS_UNUSABLE, 0)),
	ROW(TR_ti, SELECTOR(TR, TI, 0)),
	EACH(TR_reserved, ACCESS_RESERVED, ACCESS(TR, 0, 0)),
	ROW(TR_g_with_low_limit, ACCESS(TR, ACCESS_G, 0), LIMIT(TR, 0, 1)),
	ROW(TR_no_g_with_high_limit, LIMIT(TR, BIT(20), 0)),
	ROW(TR_base, BASE(TR, NOT_CANONICAL)))

REFUSED(ldtr, RULE_SEGMENTS, "", STATE, right_ldtr,
	ROW(LDTR_type, ACCESS(LDTR, TYPE_ACCESSED, 0)),
	ROW(LDTR_no_system, ACCESS(LDTR, ACCESS_S, 0)),
	ROW(LDTR_not_present, ACCESS(LDTR, 0, ACCESS_P)),
	ROW(LDTR_ti, SELECTOR(LDTR, TI, 0)),
	EACH(LDTR_reserved, ACCESS_RESERVED, ACCESS(LDTR, 0, 0)),
	ROW(LDTR_g_with_low_limit, ACCESS(LDTR, ACCESS_G, 0)),
	ROW(LDTR_no_g_with_high_limit, LIMIT(LDTR, BIT(20), 0)),
	ROW(LDTR_base, BASE(LDTR, NOT_CANONICAL)))

REFUSED(tables, RULE_TABLES, "", STATE, NULL,
	ROW(gdtr_base, CHANGE(GUEST_GDTR_BASE, NOT_CANONICAL, 0)),
	ROW(idtr_base, CHANGE(GUEST_IDTR_BASE, NOT_CANONICAL, 0)),
	EACH(gdtr_limit, LOW(0xffff0000), SAME(GUEST_GDTR_LIMIT)),
	EACH(idtr_limit, LOW(0xffff0000), SAME(GUEST_IDTR_LIMIT)))

/* -- RIP, RFLAGS, and what is no register. ----------------------------------------------------- */

REFUSED(rip, RULE_RIP, CATCHES("bochs-vmentry-rip"), STATE, NULL,
	ROW(bit_62, CHANGE(GUEST_RIP, BIT(62), 0)),
	ROW(bits_62_61, CHANGE(GUEST_RIP, 3ul << 61, 0)),
	ROW(bit_63, CHANGE(GUEST_RIP, BIT(63), 0)),
	ROW(bit_32_in_32_bit_code, ACCESS(CS, ACCESS_D, ACCESS_LONG),
	    CHANGE(GUEST_RIP, BIT(32), 0)))

REFUSED(rflags, RULE_RIP, "", STATE, NULL,
	EACH(reserved, LOW(0xffc0802a), SAME(GUEST_RFLAGS)),
	EACH(reserved_high, HIGH(0xffffffff), SAME(GUEST_RFLAGS)),
	ROW(vm_in_long_mode, CHANGE(GUEST_RFLAGS, BIT(17), 0)),
	ROW(interrupt_with_if_0, CHANGE(ENTRY_EVENT, L2_EVENT_VALID | L2_INTR | 0x50, ~0ul)))

#define INTERRUPTIBILITY(bits) CHANGE(GUEST_INTERRUPTIBILITY, bits, 0)
#define WITH_IF CHANGE(GUEST_RFLAGS, X86_EFLAGS_IF, 0)
#define EVENT(what) CHANGE(ENTRY_EVENT, L2_EVENT_VALID | (what), ~0ul)

REFUSED(interruptibility, RULE_NON_REGISTER, "", STATE, NULL,
	EACH(reserved, LOW(0xffffffe0), SAME(GUEST_INTERRUPTIBILITY)),
	ROW(smi_outside_smm, INTERRUPTIBILITY(BLOCKED_BY_SMI)),
	ROW(sti_and_mov_ss, WITH_IF, INTERRUPTIBILITY(BLOCKED_BY_STI | BLOCKED_BY_MOV_SS)),
	ROW(sti_with_if_0, INTERRUPTIBILITY(BLOCKED_BY_STI)),
	ROW(interrupt_behind_sti, WITH_IF, INTERRUPTIBILITY(BLOCKED_BY_STI), EVENT(L2_INTR | 0x50)),
	ROW(interrupt_behind_mov_ss, WITH_IF, INTERRUPTIBILITY(BLOCKED_BY_MOV_SS),
	    EVENT(L2_INTR | 0x50)),
	ROW(nmi_behind_mov_ss, INTERRUPTIBILITY(BLOCKED_BY_MOV_SS), EVENT(L2_NMI | VECTOR_NMI)))

#define ACTIVITY(state) CHANGE(GUEST_ACTIVITY, state, 0)

REFUSED(hlt_injection, RULE_NON_REGISTER, CATCHES("bochs-hlt-injection-unchecked"), STATE, NULL,
	ROW(soft_interrupt, ACTIVITY(ACTIVITY_HLT), EVENT(L2_SOFT_INT | 0x50)),
	ROW(bp, ACTIVITY(ACTIVITY_HLT), EVENT(L2_SOFT_EXCEPTION | VECTOR_BP)),
	ROW(int1, ACTIVITY(ACTIVITY_HLT), EVENT(L2_PRIVILEGED_SOFT | VECTOR_DB)),
	ROW(ud, ACTIVITY(ACTIVITY_HLT), EVENT(L2_EXCEPTION | VECTOR_UD)))

REFUSED(activity, RULE_NON_REGISTER, "", STATE, NULL,
	EACH(nonsense, LOW(0xfffffffc), SAME(GUEST_ACTIVITY)),
	ROW(shutdown_soft_interrupt, ACTIVITY(ACTIVITY_SHUTDOWN), EVENT(L2_SOFT_INT | 0x50)),
	ROW(shutdown_db, ACTIVITY(ACTIVITY_SHUTDOWN), EVENT(L2_EXCEPTION | VECTOR_DB)),
	ROW(shutdown_interrupt, ACTIVITY(ACTIVITY_SHUTDOWN), WITH_IF, EVENT(L2_INTR | 0x50)))

/* A hypervisor that lets one of these pass sleeps for good. */
REFUSED(wait_for_sipi_injection, RULE_NON_REGISTER, CATCHES("kvm-nvmx-wait-injection"), STATE, NULL,
	ROW(soft_interrupt, ACTIVITY(ACTIVITY_WAIT_FOR_SIPI), EVENT(L2_SOFT_INT | 0x50)),
	ROW(nmi, ACTIVITY(ACTIVITY_WAIT_FOR_SIPI), EVENT(L2_NMI | VECTOR_NMI)),
	ROW(mc, ACTIVITY(ACTIVITY_WAIT_FOR_SIPI), EVENT(L2_EXCEPTION | VECTOR_MC)))

/* Bits 11 and 16 some CPUs have. */
REFUSED(pending_debug, RULE_NON_REGISTER, "", STATE, NULL,
	EACH(reserved, LOW(0xfffea7f0), SAME(GUEST_PENDING_DEBUG)))

REFUSED(pending_debug_high, RULE_NON_REGISTER, CATCHES("bochs-pending-debug-high"), STATE, NULL,
	EACH(reserved, HIGH(0xffffffff), SAME(GUEST_PENDING_DEBUG)))
/* clang-format on */

/* -- The link pointer. ------------------------------------------------------------------------- */

#define LINK_QUALIFICATION 4

/* What it points to has the wrong revision, or is of the wrong kind. */
static uint32_t other_revision[PAGE_BYTES / 4] __attribute__((aligned(4096)));
static uint32_t of_shadow[PAGE_BYTES / 4] __attribute__((aligned(4096)));

#define MSR_VMX_BASIC 0x480
#define SHADOW_VMCS (1u << 31)

CASE_NEEDS("apic=1", link_pointer, CPL0, RULE_NON_REGISTER ", qualification 4", "")
{
	const struct row rows[] = {
		{"low", {CHANGE(LINK_POINTER, (uint64_t)of_shadow, ~0ul)}, LOW(0xfff), 0},
		{"too_high",
		 {CHANGE(LINK_POINTER, (uint64_t)of_shadow, ~0ul)},
		 HIGH(0xfff00000),
		 0},
		ROW(wrong_revision, CHANGE(LINK_POINTER, (uint64_t)other_revision, ~0ul)),
		ROW(of_shadow, CHANGE(LINK_POINTER, (uint64_t)of_shadow, ~0ul)),
	};
	uint32_t revision = rdmsr(MSR_VMX_BASIC) & ~SHADOW_VMCS;

	other_revision[0] = revision ^ 1;
	of_shadow[0] = revision | SHADOW_VMCS;
	try_rows(EXIT_QUALIFIED(VMX_INVALID_GUEST, LINK_QUALIFICATION), NULL, rows,
		 sizeof(rows) / sizeof(rows[0]));
}

/* -- The MSR-load area. ------------------------------------------------------------------------ */

struct msr_load {
	uint32_t index, reserved;
	uint64_t value;
};

static struct msr_load area[2] __attribute__((aligned(16)));

#define MSR_KERNEL_GS_BASE 0xc0000102
#define MSR_SMM_MONITOR_CTL 0x9b

static const struct {
	const char *name;
	struct msr_load load;
} loads[] = {
	{"fs_base", {MSR_FS_BASE, 0, 0}},
	{"gs_base", {MSR_GS_BASE, 0, 0}},
	{"reserved_bits", {MSR_KERNEL_GS_BASE, 1, 0}},
	{"x2apic", {0x808, 0, 0}},
	{"not_canonical", {MSR_KERNEL_GS_BASE, 0, BIT(62)}},
	{"efer_reserved", {MSR_EFER, 0, BIT(63)}},
};
#define LOADS (sizeof(loads) / sizeof(loads[0]))

static unsigned load_now;

/* The first entry, or the second behind a good one. */
static void make_load_wrong(const char *name, struct msr_load load, unsigned number)
{
	area[0] = (struct msr_load){MSR_KERNEL_GS_BASE, 0, rdmsr(MSR_KERNEL_GS_BASE)};
	area[number - 1] = load;
	attempt_change(VMCS_ENTRY_MSR_LOAD, (uint64_t)area);
	attempt_change(VMCS_ENTRY_MSR_LOAD_COUNT, number);
	attempt.must.qualification = number;
	attempt_of(name, number);
	load_now++;
}

static bool next_load(struct l2 *v)
{
	unsigned i = load_now % LOADS;

	(void)v;
	if (load_now == 2 * LOADS)
		return false;
	make_load_wrong(loads[i].name, loads[i].load, load_now / LOADS + 1);
	return true;
}

static bool next_smm_load(struct l2 *v)
{
	(void)v;
	if (load_now == 2)
		return false;
	make_load_wrong("smm_monitor", (struct msr_load){MSR_SMM_MONITOR_CTL, 0, 0}, load_now + 1);
	return true;
}

CASE_NEEDS("apic=1", msr_load, CPL0, RULE_MSRS, CATCHES("bochs-msr-load-length"))
{
	static const struct attempts attempts = {.must = {.how = VMX_ENTRY_FAILURE |
								 VMX_INVALID_MSR_LOAD},
						 .next = next_load};

	load_now = 0;
	try_attempts(&attempts);
}

CASE_NEEDS("apic=1", msr_load_of_smm, CPL0,
	   RULE_MSRS "; IA32_SMM_MONITOR_CTL can be written in SMM alone",
	   CATCHES("bochs-msr-load-smm"))
{
	static const struct attempts attempts = {.must = {.how = VMX_ENTRY_FAILURE |
								 VMX_INVALID_MSR_LOAD},
						 .next = next_smm_load};

	load_now = 0;
	try_attempts(&attempts);
}
