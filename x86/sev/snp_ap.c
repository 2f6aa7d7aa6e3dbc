/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Other CPUs under SEV-SNP: AP creation.
 *
 * The rule. A guest under SEV-SNP decides by itself what a CPU starts with: it writes the registers into a page,
 * makes that a VMSA with RMPADJUST, which only code at VMPL 0 can, and asks the hypervisor to run it, at
 * once or at the next INIT; it can ask for a CPU to be stopped as well. The hypervisor must run the CPU with
 * these registers and no others, and refuse what cannot be: a CPU that the guest does not have, other
 * features than its own, an address that is no page.
 *
 * A buggy hypervisor starts the CPU with registers of its own, too early, or lets it run on when it is
 * destroyed; then two instances of the guest's scheduler believe that the CPU is theirs.
 *
 * https://www.amd.com/content/dam/amd/en/documents/epyc-technical-docs/specifications/56421.pdf
 */
#include "trapline.h"

#include "x86/sev/snp_ap.h"

#define RULE_AP \
	"GHCB 4.1, SNP AP Creation: the CPU runs with the registers of its VMSA, at once or from INIT on"

static uint8_t no_vmsa[PAGE_BYTES] __attribute__((aligned(4096)));
#define NO_VMSA ((uint64_t)no_vmsa)

static void need_cpus(void)
{
	need_snp();
	need_native("the hypervisor of L2 is our own, and offers no SEV");
}

/* In the order in which they are stored. */
static const char *const names[] = {"RAX", "RBX", "RCX", "RDX", "RSI", "RDI", "RBP", "RSP",
				    "R8",  "R9",  "R10", "R11", "R12", "R13", "R14", "R15"};
#define REGISTERS (sizeof(names) / sizeof(names[0]))

volatile uint64_t ap_seen[REGISTERS], ap_arrived;
extern const uint8_t ap_probe[];

/* Needs no stack, no GHCB and no descriptor. */
asm(".pushsection .text\n"
    "ap_probe:\n"
    "	mov	%rax, ap_seen\n"
    "	mov	%rbx, ap_seen + 8\n"
    "	mov	%rcx, ap_seen + 16\n"
    "	mov	%rdx, ap_seen + 24\n"
    "	mov	%rsi, ap_seen + 32\n"
    "	mov	%rdi, ap_seen + 40\n"
    "	mov	%rbp, ap_seen + 48\n"
    "	mov	%rsp, ap_seen + 56\n"
    "	mov	%r8, ap_seen + 64\n"
    "	mov	%r9, ap_seen + 72\n"
    "	mov	%r10, ap_seen + 80\n"
    "	mov	%r11, ap_seen + 88\n"
    "	mov	%r12, ap_seen + 96\n"
    "	mov	%r13, ap_seen + 104\n"
    "	mov	%r14, ap_seen + 112\n"
    "	mov	%r15, ap_seen + 120\n"
    "	lock incq ap_arrived\n"
    "	cli\n"
    "1:	hlt\n"
    "	jmp	1b\n"
    ".popsection\n");

#define CODE_64 0xa9b /* attributes of a segment */
#define REGISTER(n) (0x5ec0000000000000ul + (n)*0x1001001)

/* Stops CPU 1 and prepares it for 64-bit code at ap_probe. */
static void prepare_probe(void)
{
	struct vmsa *v;

	check(snp_ap_ask(1, SNP_AP_DESTROY), "CPU 1 cannot be stopped");
	v = snp_ap_page(1);
	need(v, "CPU 1 does not let go of its VMSA");
	v->cs = (struct svm_segment){.selector = KERNEL_CS, .attributes = CODE_64, .limit = ~0u};
	v->cr0 = read_cr0();
	v->cr3 = read_cr3();
	v->cr4 = read_cr4();
	v->efer = rdmsr(MSR_EFER) | EFER_SVME;
	v->rip = (uint64_t)ap_probe;
	v->rax = REGISTER(0);
	v->rbx = REGISTER(1);
	v->rcx = REGISTER(2);
	v->rdx = REGISTER(3);
	v->rsi = REGISTER(4);
	v->rdi = REGISTER(5);
	v->rbp = REGISTER(6);
	v->rsp = REGISTER(7);
	for (unsigned i = 8; i < REGISTERS; i++)
		(&v->r8)[i - 8] = REGISTER(i);
	ap_arrived = 0;
}

static void check_probe(void)
{
	check(wait_until(ap_arrived == 1), "CPU 1 did not arrive");
	for (unsigned i = 0; i < REGISTERS && ap_arrived; i++)
		check(ap_seen[i] == REGISTER(i), "%s is %#lx, not %#lx", names[i], ap_seen[i],
		      REGISTER(i));
	check(cpu_restart(1), "CPU 1 cannot be started anew");
}

CASE_NEEDS("cpus=2", ap_registers, CPL0, RULE_AP, CATCHES("model-snp-ap-registers"))
{
	need_cpus();
	prepare_probe();
	check(snp_ap_ask(1, SNP_AP_CREATE), "refused");
	check_probe();
}

CASE_NEEDS("cpus=2 apic=1", ap_on_init, CPL0, RULE_AP, CATCHES("model-snp-ap-at-once"))
{
	need_cpus();
	prepare_probe();
	check(snp_ap_ask(1, SNP_AP_ON_INIT), "refused");
	check(stays(!ap_arrived), "CPU 1 runs before INIT");
	apic_icr(1, ICR_INIT | ICR_ASSERT);
	check_probe();
}

static volatile uint64_t count;

static void count_up(void *argument)
{
	(void)argument;
	for (;;)
		count++;
}

CASE_NEEDS("cpus=2", ap_destroyed, CPL0,
	   "GHCB 4.1, SNP AP Creation: a CPU that is destroyed does not run any more",
	   CATCHES("model-snp-ap-lives"))
{
	uint64_t before;

	need_cpus();
	count = 0;
	cpu_start_work(1, count_up, NULL);
	witness(wait_until(count), "CPU 1 did not begin to count");
	check(snp_ap_ask(1, SNP_AP_DESTROY), "refused");
	/* It may take a moment to stop. */
	before = count;
	if (!stays(count == before))
		before = count;
	check(stays(count == before), "CPU 1 goes on counting");
	check(cpu_restart(1), "CPU 1 cannot be started anew");
}

static void do_nothing(void *argument)
{
	(void)argument;
}

CASE_NEEDS(
	"cpus=2", ap_refused, CPL0,
	"GHCB 4.1, SNP AP Creation: a CPU of the guest, its SEV_FEATURES, a page; else malformed",
	CATCHES("model-snp-ap-unchecked"))
{
	uint64_t features = sev_status >> 2;
	const struct {
		const char *what;
		uint64_t info1, page, features;
	} rows[] = {
		{"no such CPU", SNP_AP_INFO1(200, SNP_AP_CREATE), NO_VMSA, features},
		{"no page", SNP_AP_INFO1(1, SNP_AP_CREATE), NO_VMSA + 8, features},
		{"no memory", SNP_AP_INFO1(1, SNP_AP_CREATE), 0x7ffffffff000, features},
		{"other features", SNP_AP_INFO1(1, SNP_AP_CREATE), NO_VMSA, features | 4},
		{"no such operation", SNP_AP_INFO1(1, 7), NO_VMSA, features},
	};

	need_cpus();
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct ghcb_call call = {.request = {.exit_code = GHCB_EVENT_AP_CREATION,
						     .exit_info_1 = rows[i].info1},
					 .exit_info_2 = rows[i].page};

		ghcb_offer(&call, GHCB_RAX, rows[i].features);
		ghcb_call(&call);
		check(call.outcome.verdict == GHCB_MALFORMED &&
			      call.outcome.reason == GHCB_REASON_BAD_INPUT,
		      "%s: %s, reason %lu", rows[i].what, ghcb_verdict_name(call.outcome.verdict),
		      call.outcome.reason);
	}
	cpu_start_work(1, do_nothing, NULL);
	check(cpu_wait(1), "CPU 1 does not work any more");
}
