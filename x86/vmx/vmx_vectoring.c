/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Delivery that faults: L1 has not mapped something that the CPU touches on its way to L2's handler.
 *
 * The rule (SDM 3C, "Information for VM Exits That Occur During Event Delivery"). The exit's IDT-vectoring
 * information holds the event that was being delivered: type, vector and error code. INT3 and INTO are
 * software exceptions there (type 6), INT1 a privileged one (5), INT n a software interrupt (4), a fault a
 * hardware exception (3), an interrupt 0, an NMI 2. For types 4 to 6 the VM-exit instruction length is
 * that of the instruction, or what L1 had injected it with. RIP is that of the instruction. L1 maps the
 * page and hands back what it found: the event comes exactly once, with the return address that it would
 * have had. A second exception is checked for the exception bitmap before it is combined with the first:
 * L1 that intercepts it sees it and not a #DF.
 *
 * The bugs that taught it. KVM's nested VMX before 6.1 combined L2's exceptions to #DF before it looked
 * whether L1 intercepts the second; its nested_exceptions_test has the IDT of no length used here. A
 * hypervisor that takes the length from the instruction which happens to stand at RIP returns to the wrong
 * place what L1 injected without one.
 *
 * The cases are in vectoring.h and second_exception.h, for SVM as well. `exit EPT_VIOLATION(…)` shows bits 8:0 of
 * the qualification (0: read, 1: write, 2: fetch; 7: for a linear address; 8: the access itself, not one to
 * L2's page tables), the page, and what was being vectored.
 *
 * A buggy hypervisor shows the wrong type or none in the exit, an event twice or not at all, or one with
 * another return address.
 */
#define GUEST_LAYERS VMX_LAYERS
#include "trapline.h"

#include "x86/nested/vmx/vmx.h"

#define RULE_VECTORING \
	"SDM 3C, Information for VM Exits That Occur During Event Delivery: IDT-vectoring information and instruction length say what was being delivered; injected again it comes exactly once"
#define RULE_BELOW \
	"SDM 3C, Event Injection: delivered after all guest state has been loaded; what the hypervisor below has to map on the way is nobody's concern"
#define RULE_BEFORE_COMBINED \
	"SDM 3C, Exception Bitmap: a second exception is checked against it before it is combined with the first"
#define RULE_SHUTDOWN "SDM 3C, Other Causes of VM Exits: a triple fault is an exit, not the end"
#define RULE_DF \
	"SDM 3C, Information for VM Exits That Occur During Event Delivery: a #DF that exits by itself is no exit during delivery"

#define BUGS CATCHES("bochs-nmi-fetch-fault kvm-vmx-int1-fault-rip kvm-nvmx-int1-lost")
#define BUGS_BELOW CATCHES("kvm-int3-retry kvm-intn-retry kvm-nvmx-int1-lost")
#define BUGS_DF CATCHES("kvm-nested-exception")

#define SLAT_LAYER layer_vmx
#define CALL "vmcall"
#define SHUTDOWN "TRIPLE_FAULT@insn"
#define PLACE_OF_DF "@insn"
#define SOFT "soft "
#define PRIV "priv "
#define MISS "EPT_VIOLATION"
#define MISS_READ (EPT_READ | EPT_LINEAR_VALID | EPT_OF_LINEAR)
#define MISS_WRITE (EPT_WRITE | EPT_LINEAR_VALID | EPT_OF_LINEAR)
#define MISS_FETCH (EPT_EXECUTE | EPT_LINEAR_VALID | EPT_OF_LINEAR)
#define MISS_WALK (EPT_READ | EPT_LINEAR_VALID)

/* Nothing would hold back one of L1's. */
#define SEND_NMI "mov %eax, (%edi);"

static void send_nmi(void)
{
	apic_write(APIC_ICR_HIGH, apic_id() << 24);
}

#define EXT 1 /* SDM 3A, Error Code: an earlier exception was being delivered */
#define expect_ext(format, error) expect(format, (error) | EXT)

static void expect_int1(const char *exit, const char *trace)
{
	expect("exit %svectoring priv #DB)@insn, %s", exit, trace);
}

static bool missed(const struct l2 *v, uint64_t *page)
{
	if (vmx_reason(v) != VMX_EPT_VIOLATION)
		return false;
	*page = vmread(VMCS_GUEST_PHYSICAL_ADDRESS);
	return true;
}

#include "../nested/second_exception.h"
#include "../nested/vectoring.h"

/* Without this a wrong length would show only where L1's injection uses it. */
static void note_exit(struct l2 *v, const struct row *r, uint64_t next)
{
	uint64_t length = vmread(VMCS_EXIT_LENGTH), rip = l2_get(v, L2_RIP);

	(void)r;
	if (next && vmread(VMCS_VECTORING_EVENT) & L2_EVENT_VALID)
		check(rip + length == next, "the VM-exit instruction length is %lu, not %lu",
		      length, next - rip);
}

/* SVM cannot inject an INT1 that is told from another #DB. */
ROW_INJECTED(int1, L2_EXCEPTION | VECTOR_DB, 0, PRIV "#DB", "#DB[]@after", "after");
ROW(inj_int1, "", IN_LONG_MODE)
