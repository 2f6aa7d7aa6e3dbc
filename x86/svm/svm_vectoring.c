/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Delivery that faults: L1 has not mapped something that the CPU touches on its way to L2's handler.
 *
 * The rule (APM 2, "Intercepts During IDT Interrupt Delivery"). The exit's EXITINTINFO holds the event
 * that was being delivered: its type, vector and error code. INT1, INT3 and INTO are exceptions (type
 * 3) there, INT n alone is a software interrupt (4), an interrupt or a virtual one is 0, an NMI 2. RIP
 * is that of the instruction. L1 maps the page and puts EXITINTINFO into EVENTINJ: the event comes
 * exactly once, with the return address that it would have had. A second exception is checked for
 * intercepts *before* it is combined with the first: L1 that intercepts it sees it and not a #DF.
 *
 * The bugs that taught it. All of KVM's re-injection fixes of 2022 (6ef88d6e36c2, 7e5b5ef8dca3,
 * 00f08d99dd7d, 159fc6fa3b7d) are about these exits. QEMU writes type 4 for INT3 and type 3 for
 * interrupts, so that an L1 that trusts it injects something else. KVM before 6.1 combined L2's
 * exceptions to #DF before it looked whether L1 intercepts the second.
 *
 * The cases are in vectoring.h and second_exception.h, for VMX as well. `exit NPF(…)` shows the fault's code (bit 32:
 * the access itself, bit 33: a walk of L2's page tables), the page, and what was being vectored.
 *
 * A buggy hypervisor shows the wrong type or none in the exit, an event twice or not at all, or one
 * with another return address.
 */
#define GUEST_LAYERS SVM_LAYERS
#include "trapline.h"

#include "x86/nested/svm/svm.h"

#define RULE_VECTORING \
	"APM 2, Intercepts During IDT Interrupt Delivery: EXITINTINFO says what was being delivered; injected again it comes exactly once"
#define RULE_BELOW \
	"APM 2, Event Injection: unconditionally; what the hypervisor below has to map on the way is nobody's concern"
#define RULE_BEFORE_COMBINED \
	"APM 2, Exception Intercepts: a second exception is checked for intercepts before it is combined with the first"
#define RULE_SHUTDOWN "APM 2, Shutdown Intercept: a triple fault is an exit, not the end"
#define RULE_DF \
	"APM 2, EXITINTINFO Pseudo-Code: the combination is checked for the intercept of #DF before it is delivered"

#define BUGS \
	CATCHES("tcg-exitintinfo bochs-exitintinfo-stale bochs-eventinj-rip kvm-intn-retry nsvm-soft-no-nrips")
#define BUGS_BELOW CATCHES("nsvm-next-rip bochs-eventinj-rip")
#define BUGS_DF CATCHES("kvm-nested-exception tcg-df-intercept")

#define SLAT_LAYER layer_svm
#define CALL "vmmcall"
#define SHUTDOWN "SHUTDOWN"
#define PLACE_OF_DF "" /* APM 2, #DF: the saved RIP is undefined */
#define SOFT ""
#define PRIV ""
#define MISS "NPF"
#define NPF_FINAL (1ul << 32)
#define NPF_WALK (2ul << 32)
#define MISS_READ (NPF_FINAL | 0x4)
#define MISS_WRITE (NPF_FINAL | 0x6)
#define MISS_FETCH (NPF_FINAL | 0x14)
#define MISS_WALK (NPF_WALK | 0x6)
/* GIF holds it back. */
#define SEND_NMI ""
#define send_nmi nmi_to_self

#define EXT 1
#define EXT_SDM "SDM 3A, Error Code: EXT is set if an earlier exception was being delivered"
#define EXT_APM \
	"APM 2, Selector-Error Code: EXT is set if the source is external to the processor; an exception is internal"

/* The two vendors differ over EXT; KVM's nested_exceptions_test has 0x62 for AMD, 0x63 for Intel. */
#define expect_ext(format, error)                    \
	do {                                         \
		allow(EXT_APM, format, error);       \
		allow(EXT_SDM, format, error | EXT); \
	} while (0)

static void expect_int1(const char *exit, const char *trace)
{
	allow("APM 2, #DB (Debug): trap-type, so RIP is that of the next instruction",
	      "exit %svectoring #DB)@after, %s", exit, trace);
	allow("APM 2, Exception Intercepts: names INT3, INTO and BOUND as those whose exits have their own RIP, and is silent about INT1",
	      "exit %svectoring #DB)@insn, %s", exit, trace);
}

static bool missed(const struct l2 *v, uint64_t *page)
{
	*page = v->vmcb->exit_info2;
	return v->vmcb->exit_code == SVM_EXIT_NPF && !(*page >> 32);
}

#include "../nested/second_exception.h"
#include "../nested/vectoring.h"

/* INT1 may stand before itself or behind (expect_int1); it has no nRIP that L1 could use. */
static void note_exit(struct l2 *v, const struct row *r, uint64_t next)
{
	if (r == &row_int1 && v->vmcb->exit_int_info.what & L2_EVENT_VALID)
		v->vmcb->rip = next;
}
