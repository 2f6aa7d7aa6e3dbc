/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Each check of controls, host state and injected event: VM entries that end in VMfail.
 *
 * The rule (SDM 3C, "Checks on VMX Controls and Host-State Area", "Checks on VMX Controls", "Checks on Host Control
 * Registers, MSRs, and SSP", "Checks on Host Segment and Descriptor-Table Registers", "Checks Related to Address-Space
 * Size"). Wrong controls are VMfail with error 7, a wrong host state is VMfail with error 8. VMfail changes nothing but
 * the flags and the VM-instruction error field: the event to inject stays, L2 has not run, what is pending stays so,
 * the launch state is what it was, and a right VMCS is entered afterwards as if nothing had been.
 *
 * The bugs that taught it. KVM and Xen had to learn these checks one by one, as each is a way for L1 to bring L0 into
 * a state that it does not expect; Bochs 2.7 lacks some of those of the event and does not know all controls.
 *
 * The guest's state is vmx_refused_state.c's. What a trace shows is said in refused.h.
 */
#define GUEST_LAYERS VMX_LAYERS
#include "trapline.h"

#include "x86/nested/vmx/vmx.h"

#include "refused.h"

#define RULE_RESERVED \
	"SDM 3C, VM-Execution, VM-Exit and VM-Entry Control Fields: reserved bits are set as the capability MSRs say; VMfail with error 7"
#define RULE_EXECUTION "SDM 3C, VM-Execution Control Fields: VMfail with error 7"
#define RULE_EXIT "SDM 3C, VM-Exit Control Fields: VMfail with error 7"
#define RULE_ENTRY "SDM 3C, VM-Entry Control Fields: VMfail with error 7"
#define RULE_EVENT \
	"SDM 3C, VM-Entry Control Fields: the interruption information's type, vector, reserved bits, error code and length; VMfail with error 7"
#define RULE_HOST "SDM 3C, Checks on Host Control Registers, MSRs, and SSP: VMfail with error 8"
#define RULE_HOST_SEGMENTS \
	"SDM 3C, Checks on Host Segment and Descriptor-Table Registers: VMfail with error 8"
#define RULE_LAUNCH \
	"SDM 3C, Basic VM-Entry Checks: VMLAUNCH wants a clear VMCS, VMRESUME a launched one; errors 4 and 5; an entry that fails leaves the launch state"

#define CONTROLS VMFAIL(VMX_ERROR_CONTROLS)
#define HOST VMFAIL(VMX_ERROR_HOST)

/* Addresses: of a page, and beyond any CPU's physical addresses. */
#define OF_PAGE LOW(0xfff)
#define TOO_HIGH HIGH(0xfff00000)
#define OF_AREA LOW(0xf) /* of MSRs */

static uint8_t page[PAGE_BYTES] __attribute__((aligned(4096)));

/* -- Controls. --------------------------------------------------------------------------------- */

static const struct {
	const char *name;
	enum vmcs_field field;
} controls[] = {
	{"pin", VMCS_PIN_CONTROLS},
	{"cpu", VMCS_CPU_CONTROLS},
	{"secondary", VMCS_SECONDARY_CONTROLS},
	{"exit", VMCS_EXIT_CONTROLS},
	{"entry", VMCS_ENTRY_CONTROLS},
};

static unsigned controls_now, bit_now;

/* Each bit that must be 1, cleared, and each that must be 0, set. */
static bool next_reserved(struct l2 *v)
{
	(void)v;
	for (; controls_now < sizeof(controls) / sizeof(controls[0]); controls_now++, bit_now = 0) {
		enum vmcs_field field = controls[controls_now].field;
		uint64_t limits = vmx_limits(field);

		if (!limits)
			continue;
		for (; bit_now < 32; bit_now++) {
			bool must_be_1 = limits >> bit_now & 1,
			     may_be_1 = limits >> 32 >> bit_now & 1;

			if (may_be_1 && !must_be_1)
				continue;
			attempt_change(field, vmread(field) ^ 1u << bit_now);
			attempt_of(controls[controls_now].name, 1u << bit_now);
			bit_now++;
			return true;
		}
	}
	return false;
}

CASE_NEEDS("apic=1", reserved_controls, CPL0, RULE_RESERVED, "")
{
	static const struct attempts attempts = {.must = {.how = VMX_ERROR_CONTROLS},
						 .next = next_reserved};

	controls_now = bit_now = 0;
	try_attempts(&attempts);
}

/* What the rows below switch on is right but for what they say. */
static void right_pages(struct l2 *v)
{
	(void)v;
	memset(page, 0, sizeof(page));
	if (vmx_limits(VMCS_CPU_CONTROLS) >> 32 & CPU_TPR_SHADOW)
		base_change(VMCS_VIRTUAL_APIC, (uint64_t)page);
	if (vmx_has_secondary(SECONDARY_APIC_ACCESSES))
		base_change(VMCS_APIC_ACCESS, (uint64_t)page);
	if (vmx_has_secondary(SECONDARY_PML))
		base_change(VMCS_PML_ADDRESS, (uint64_t)page);
	if (vmx_has_secondary(SECONDARY_SHADOWING)) {
		base_change(VMCS_VMREAD_BITMAP, (uint64_t)page);
		base_change(VMCS_VMWRITE_BITMAP, (uint64_t)page);
	}
	if (vmx_has_secondary(SECONDARY_VE))
		base_change(VMCS_VE_INFO_ADDRESS, (uint64_t)page);
	base_change(VMCS_IO_BITMAP_A, (uint64_t)page);
	base_change(VMCS_IO_BITMAP_B, (uint64_t)page);
}

#define CPU(bits) CHANGE(CPU_CONTROLS, bits, 0)
#define PIN(bits) CHANGE(PIN_CONTROLS, bits, 0)
#define SECONDARY(bits) CHANGE(SECONDARY_CONTROLS, bits, 0)

/* clang-format off */
REFUSED(bitmaps, RULE_EXECUTION, "", CONTROLS, right_pages,
	ROW(cr3_targets, CHANGE(CR3_TARGET_COUNT, BIT(9), 0)),
	EACH(io_bitmap_a, OF_PAGE, CPU(CPU_IO_BITMAPS), SAME(IO_BITMAP_A)),
	EACH(io_bitmap_a_high, TOO_HIGH, CPU(CPU_IO_BITMAPS), SAME(IO_BITMAP_A)),
	EACH(io_bitmap_b, OF_PAGE, CPU(CPU_IO_BITMAPS), SAME(IO_BITMAP_B)),
	EACH(io_bitmap_b_high, TOO_HIGH, CPU(CPU_IO_BITMAPS), SAME(IO_BITMAP_B)),
	EACH(msr_bitmap, OF_PAGE, CPU(CPU_MSR_BITMAP), SAME(MSR_BITMAP)),
	EACH(msr_bitmap_high, TOO_HIGH, CPU(CPU_MSR_BITMAP), SAME(MSR_BITMAP)),
	EACH(vmread_bitmap, OF_PAGE, SECONDARY(SECONDARY_SHADOWING), SAME(VMREAD_BITMAP)),
	EACH(vmread_bitmap_high, TOO_HIGH, SECONDARY(SECONDARY_SHADOWING), SAME(VMREAD_BITMAP)),
	EACH(vmwrite_bitmap, OF_PAGE, SECONDARY(SECONDARY_SHADOWING), SAME(VMWRITE_BITMAP)),
	EACH(vmwrite_bitmap_high, TOO_HIGH, SECONDARY(SECONDARY_SHADOWING), SAME(VMWRITE_BITMAP)))

REFUSED(nmi_controls, RULE_EXECUTION, "", CONTROLS, NULL,
	ROW(virtual_nmis_alone, PIN(PIN_VIRTUAL_NMIS)),
	ROW(nmi_window_alone, CPU(CPU_NMI_WINDOW)),
	ROW(nmi_window_with_nmi_exiting, PIN(PIN_NMI), CPU(CPU_NMI_WINDOW)))

REFUSED(apic_controls, RULE_EXECUTION, "", CONTROLS, right_pages,
	EACH(virtual_apic, OF_PAGE, CPU(CPU_TPR_SHADOW), SAME(VIRTUAL_APIC)),
	EACH(virtual_apic_high, TOO_HIGH, CPU(CPU_TPR_SHADOW), SAME(VIRTUAL_APIC)),
	EACH(tpr_threshold_bits, 0xfffffff0, CPU(CPU_TPR_SHADOW), CHANGE(TPR_THRESHOLD, 0, ~0ul)),
	ROW(tpr_threshold_above_vtpr, CPU(CPU_TPR_SHADOW), CHANGE(TPR_THRESHOLD, 1, ~0ul)),
	EACH(apic_access, OF_PAGE, SECONDARY(SECONDARY_APIC_ACCESSES), SAME(APIC_ACCESS)),
	EACH(apic_access_high, TOO_HIGH, SECONDARY(SECONDARY_APIC_ACCESSES), SAME(APIC_ACCESS)),
	ROW(x2apic_without_tpr_shadow, SECONDARY(SECONDARY_X2APIC)),
	ROW(registers_without_tpr_shadow, SECONDARY(SECONDARY_APIC_REGISTERS)),
	ROW(delivery_without_tpr_shadow, PIN(PIN_EXTERNAL_INTERRUPT),
	    SECONDARY(SECONDARY_VIRTUAL_INTERRUPTS)),
	ROW(x2apic_and_accesses, CPU(CPU_TPR_SHADOW),
	    SECONDARY(SECONDARY_X2APIC | SECONDARY_APIC_ACCESSES)),
	ROW(delivery_without_exiting, CPU(CPU_TPR_SHADOW),
	    SECONDARY(SECONDARY_VIRTUAL_INTERRUPTS)),
	ROW(posted_alone, PIN(PIN_POSTED | PIN_EXTERNAL_INTERRUPT)),
	ROW(posted_without_ack, PIN(PIN_POSTED | PIN_EXTERNAL_INTERRUPT), CPU(CPU_TPR_SHADOW),
	    SECONDARY(SECONDARY_VIRTUAL_INTERRUPTS)))

REFUSED(secondary_controls, RULE_EXECUTION, "", CONTROLS, right_pages,
	ROW(vpid_0, SECONDARY(SECONDARY_VPID), CHANGE(VPID, 0, 0xffff)),
	EACH(pml, OF_PAGE, SECONDARY(SECONDARY_PML), SAME(PML_ADDRESS)),
	EACH(pml_high, TOO_HIGH, SECONDARY(SECONDARY_PML), SAME(PML_ADDRESS)),
	ROW(pml_without_ept, CHANGE(SECONDARY_CONTROLS, SECONDARY_PML, SECONDARY_EPT)),
	ROW(unrestricted_without_ept,
	    CHANGE(SECONDARY_CONTROLS, SECONDARY_UNRESTRICTED, SECONDARY_EPT)),
	EACH(vm_functions_high, HIGH(0xffffffff), SECONDARY(SECONDARY_VM_FUNCTIONS),
	     CHANGE(VM_FUNCTIONS, 0, ~0ul)),
	EACH(ve_area, OF_PAGE, SECONDARY(SECONDARY_VE), SAME(VE_INFO_ADDRESS)),
	EACH(ve_area_high, TOO_HIGH, SECONDARY(SECONDARY_VE), SAME(VE_INFO_ADDRESS)))

static void need_ept(void)
{
	need_of_machine(layer == &layer_vmx, "EPT in %s", layer->name);
}

static const struct row eptp_rows[] = {
	ROW(memory_type_1, CHANGE(EPT_POINTER, 1, 7)),
	ROW(memory_type_4, CHANGE(EPT_POINTER, 4, 7)),
	ROW(memory_type_7, CHANGE(EPT_POINTER, 7, 7)),
	ROW(walk_of_1, CHANGE(EPT_POINTER, 0, 0x38)),
	ROW(walk_of_3, CHANGE(EPT_POINTER, 0x10, 0x38)),
	ROW(walk_of_8, CHANGE(EPT_POINTER, 0x38, 0x38)),
	EACH(reserved, LOW(0xf00), SAME(EPT_POINTER)),
	EACH(too_high, TOO_HIGH, SAME(EPT_POINTER)),
};
/* clang-format on */

CASE_NEEDS("apic=1", ept_pointer, CPL0, RULE_EXECUTION, "")
{
	need_ept();
	try_rows(CONTROLS, NULL, eptp_rows, sizeof(eptp_rows) / sizeof(eptp_rows[0]));
}

/* clang-format off */
REFUSED(exit_controls, RULE_EXIT, "", CONTROLS, NULL,
	ROW(save_timer_without_timer, CHANGE(EXIT_CONTROLS, EXIT_SAVE_TIMER, 0)),
	EACH(store, OF_AREA, CHANGE(EXIT_MSR_STORE_COUNT, 1, 0), SAME(EXIT_MSR_STORE)),
	EACH(store_high, TOO_HIGH, CHANGE(EXIT_MSR_STORE_COUNT, 1, 0), SAME(EXIT_MSR_STORE)),
	EACH(load, OF_AREA, CHANGE(EXIT_MSR_LOAD_COUNT, 1, 0), SAME(EXIT_MSR_LOAD)),
	EACH(load_high, TOO_HIGH, CHANGE(EXIT_MSR_LOAD_COUNT, 1, 0), SAME(EXIT_MSR_LOAD)))

REFUSED(entry_to_smm, RULE_ENTRY, CATCHES("bochs-entry-to-smm"), CONTROLS, NULL,
	EACH(smm, ENTRY_SMM | ENTRY_END_DUAL_MONITOR, SAME(ENTRY_CONTROLS)))

REFUSED(entry_controls, RULE_ENTRY, "", CONTROLS, NULL,
	EACH(load, OF_AREA, CHANGE(ENTRY_MSR_LOAD_COUNT, 1, 0), SAME(ENTRY_MSR_LOAD)),
	EACH(load_high, TOO_HIGH, CHANGE(ENTRY_MSR_LOAD_COUNT, 1, 0), SAME(ENTRY_MSR_LOAD)))
/* clang-format on */

/* -- The event. -------------------------------------------------------------------------------- */

#define HAS_ERROR_CODE                                                        \
	(EXCEPTION(VECTOR_DF) | EXCEPTION(VECTOR_TS) | EXCEPTION(VECTOR_NP) | \
	 EXCEPTION(VECTOR_SS) | EXCEPTION(VECTOR_GP) | EXCEPTION(VECTOR_PF) | \
	 EXCEPTION(VECTOR_AC))

/* SDM 3C, "VM-Entry Control Fields"; vectors whose error code the CPU at hand decides on are left out: #CP, 22 to 31. */
static bool event_is_wrong(uint32_t what)
{
	unsigned vector = what & L2_EVENT_VECTOR;
	bool error = what & L2_EVENT_HAS_ERROR;

	switch (what & L2_EVENT_TYPE) {
	case 1u << 8:
		return true;
	case L2_NMI:
		return error || vector != VECTOR_NMI;
	case 7u << 8:
		return error || vector != 0 || !(vmx_limits(VMCS_CPU_CONTROLS) >> 32 & CPU_MTF);
	case L2_EXCEPTION:
		if (vector > 31)
			return true;
		return vector < 21 && !vmx_takes_any_error_code() &&
		       error != (HAS_ERROR_CODE >> vector & 1);
	default:
		return error;
	}
}

static uint32_t event_now;

/* All types and vectors, with an error code and without. */
static bool next_event(struct l2 *v)
{
	static const char *const types[] = {
		"interrupt",
		"type_1",
		"nmi",
		"exception",
		"soft_interrupt",
		"int1",
		"soft_exception",
		"other",
		"interrupt_with_error_code",
		"type_1_with_error_code",
		"nmi_with_error_code",
		"exception_with_error_code",
		"soft_interrupt_with_error_code",
		"int1_with_error_code",
		"soft_exception_with_error_code",
		"other_with_error_code",
	};

	(void)v;
	while (event_now < 0x1000 &&
	       !(event_is_wrong(event_now) && vector_is_due(event_now & L2_EVENT_VECTOR)))
		event_now++;
	if (event_now == 0x1000)
		return false;
	attempt_change(VMCS_ENTRY_EVENT, L2_EVENT_VALID | event_now);
	attempt_change(VMCS_ENTRY_LENGTH, 1);
	/* Of vectors, those that wrong ones have in their upper three bits. */
	attempt_of(types[event_now >> 8], 1u << (event_now >> 5 & 7));
	event_now++;
	return true;
}

CASE_NEEDS("apic=1", events, CPL0, RULE_EVENT, CATCHES("bochs-entry-error-code"))
{
	static const struct attempts attempts = {.must = {.how = VMX_ERROR_CONTROLS},
						 .next = next_event};

	event_now = 0;
	try_attempts(&attempts);
}

#define EVENT(name, what, ...) \
	ROW(name, CHANGE(ENTRY_EVENT, L2_EVENT_VALID | (what), ~0ul), __VA_ARGS__)
#define LENGTH(n) CHANGE(ENTRY_LENGTH, n, ~0ul)
#define ERROR_CODE(n) CHANGE(ENTRY_ERROR_CODE, n, ~0ul)

/* clang-format off */
REFUSED(event_fields, RULE_EVENT, "", CONTROLS, NULL,
	EACH(reserved, LOW(0x7ffff000), CHANGE(ENTRY_EVENT, L2_EVENT_VALID | L2_SOFT_INT | 0x50, ~0ul)),
	EACH(error_code_high, LOW(0xffff0000),
	     CHANGE(ENTRY_EVENT, L2_EVENT_VALID | L2_EXCEPTION | L2_EVENT_HAS_ERROR | VECTOR_GP, ~0ul),
	     ERROR_CODE(0)),
	EVENT(soft_interrupt_of_16, L2_SOFT_INT | 0x50, LENGTH(16)),
	EVENT(soft_exception_of_16, L2_SOFT_EXCEPTION | VECTOR_BP, LENGTH(16)),
	EVENT(int1_of_16, L2_PRIVILEGED_SOFT | VECTOR_DB, LENGTH(16)),
	EACH(length_high, LOW(0xfffffff0), CHANGE(ENTRY_LENGTH, 0, ~0ul)))
/* clang-format on */

/* -- The host's state. ------------------------------------------------------------------------- */

#define NOT_CANONICAL BIT(62)

/* clang-format off */
REFUSED(host_registers, RULE_HOST, "", HOST, NULL,
	EACH(cr0_fixed, LOW(0x80000021), SAME(HOST_CR0)),
	EACH(cr0_high, HIGH(0xffffffff), SAME(HOST_CR0)),
	ROW(cr4_vmxe, CHANGE(HOST_CR4, 0, 1ul << 13)),
	ROW(cr4_pae, CHANGE(HOST_CR4, 0, X86_CR4_PAE)),
	EACH(cr3_high, HIGH(0x9ff00000), SAME(HOST_CR3)),
	ROW(sysenter_esp, CHANGE(HOST_SYSENTER_ESP, NOT_CANONICAL, 0)),
	ROW(sysenter_eip, CHANGE(HOST_SYSENTER_EIP, NOT_CANONICAL, 0)),
	ROW(pat_2, CHANGE(EXIT_CONTROLS, EXIT_LOAD_PAT, 0), CHANGE(HOST_PAT, 2, 0xff)),
	ROW(pat_3, CHANGE(EXIT_CONTROLS, EXIT_LOAD_PAT, 0), CHANGE(HOST_PAT, 3, 0xff)),
	EACH(pat_low, LOW(0x88888888), CHANGE(EXIT_CONTROLS, EXIT_LOAD_PAT, 0), SAME(HOST_PAT)),
	EACH(pat_high, HIGH(0x88888888), CHANGE(EXIT_CONTROLS, EXIT_LOAD_PAT, 0), SAME(HOST_PAT)),
	EACH(efer_low, LOW(0xffff02fe), CHANGE(EXIT_CONTROLS, EXIT_LOAD_EFER, 0), SAME(HOST_EFER)),
	EACH(efer_high, HIGH(0xffffffff), CHANGE(EXIT_CONTROLS, EXIT_LOAD_EFER, 0), SAME(HOST_EFER)),
	EACH(efer_long, LOW(EFER_LME | EFER_LMA), CHANGE(EXIT_CONTROLS, EXIT_LOAD_EFER, 0),
	     SAME(HOST_EFER)),
	ROW(not_64_bit, CHANGE(EXIT_CONTROLS, 0, EXIT_HOST_64_BIT)),
	ROW(rip, CHANGE(HOST_RIP, NOT_CANONICAL, 0)))

REFUSED(host_cet_without_wp, RULE_HOST, CATCHES("bochs-host-cet-wp"), HOST, NULL,
	ROW(cet_without_wp, CHANGE(HOST_CR4, BIT(23), 0), CHANGE(HOST_CR0, 0, X86_CR0_WP)))

REFUSED(host_perf_global, RULE_HOST, CATCHES("bochs-perf-global-unchecked"), HOST, NULL,
	ROW(bit_63, CHANGE(EXIT_CONTROLS, EXIT_LOAD_PERF_GLOBAL, 0),
	    CHANGE(HOST_PERF_GLOBAL, BIT(63), 0)))

REFUSED(host_segments, RULE_HOST_SEGMENTS, "", HOST, NULL,
	EACH(es, LOW(7), SAME(HOST_ES)),
	EACH(cs, LOW(7), SAME(HOST_CS)),
	EACH(ss, LOW(7), SAME(HOST_SS)),
	EACH(ds, LOW(7), SAME(HOST_DS)),
	EACH(fs, LOW(7), SAME(HOST_FS)),
	EACH(gs, LOW(7), SAME(HOST_GS)),
	EACH(tr, LOW(7), SAME(HOST_TR)),
	ROW(cs_0, CHANGE(HOST_CS, 0, ~0ul)),
	ROW(tr_0, CHANGE(HOST_TR, 0, ~0ul)),
	ROW(fs_base, CHANGE(HOST_FS_BASE, NOT_CANONICAL, 0)),
	ROW(gs_base, CHANGE(HOST_GS_BASE, NOT_CANONICAL, 0)),
	ROW(tr_base, CHANGE(HOST_TR_BASE, NOT_CANONICAL, 0)),
	ROW(gdtr_base, CHANGE(HOST_GDTR_BASE, NOT_CANONICAL, 0)),
	ROW(idtr_base, CHANGE(HOST_IDTR_BASE, NOT_CANONICAL, 0)))
/* clang-format on */

/* CR4's reserved bits are those that the CPU does not have. */
CASE_NEEDS("apic=1", host_cr4_reserved, CPL0, RULE_HOST, "")
{
	try_reserved_cr4(HOST, VMCS_HOST_CR4);
}

/* -- The launch state. ------------------------------------------------------------------------- */

static unsigned launch_step;

/* The VMCS is launched; later it is clear. `enter_by_other` says the wrong instruction. */
static bool next_launch(struct l2 *v)
{
	static const char *const names[] = {"vmlaunch_of_launched", "vmresume_of_clear",
					    "vmlaunch_of_wrong", "vmresume_of_clear_still"};
	static const uint32_t must[] = {VMX_ERROR_LAUNCHED, VMX_ERROR_NOT_LAUNCHED,
					VMX_ENTRY_FAILURE | VMX_INVALID_GUEST,
					VMX_ERROR_NOT_LAUNCHED};

	vmx_enter_by_other = false;
	if (launch_step == 4)
		return false;
	if (launch_step == 1)
		vmx_launch_again(v);
	if (launch_step == 2)
		attempt_change(VMCS_GUEST_RFLAGS, 0);
	else
		vmx_enter_by_other = true;
	attempt.must.how = must[launch_step];
	attempt_of(names[launch_step], 0);
	launch_step++;
	return true;
}

CASE_NEEDS("apic=1", launch_state, CPL0, RULE_LAUNCH, "")
{
	static const struct attempts attempts = {.must = {.how = VMX_ENTRY_FAILURE |
								 VMX_INVALID_GUEST},
						 .next = next_launch};

	launch_step = 0;
	try_attempts(&attempts);
}
