/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A CPU that a start-up IPI takes to code of ours, in the state that INIT has left: it writes all of it down and
 * sleeps, with interrupts off, until the library starts it anew (cpu_restart).
 *
 * Several may start at once: they come one by one, each waiting for the last one's record to be taken (startup_next).
 * Nothing but DS is relied on, and no stack until all registers are written down. An NMI is counted.
 */
#ifndef X86_STARTUP_H
#define X86_STARTUP_H

#include "trapline.h"

/* Pages that a start-up IPI can name, each with the same code; what they write down lies in the first. */
#define STARTUP_PAGE 0x9000
#define STARTUP_OTHER_PAGE 0xa000
#define STARTUP_RECORD 0x9800
#define STARTUP_STACK 0x9ff0
#define STARTUP_MAGIC 0x5a17ab1e

/* In this order; each a doubleword. */
#define STARTUP_WORDS(do)                                                 \
	do                                                                \
	(lock) do(done) do(starts) do(nmis) do(magic) do(eax) do(ebx) do( \
		ecx) do(edx) do(esi) do(edi) do(ebp) do(esp) do(eflags) do(cs) do(ds) do(es) do(ss) do(fs) do(gs) do(in_es) do(in_ss) do(in_fs) do(in_gs) do(gdt_limit) do(gdt_base) do(idt_limit) do(idt_base) do(cr0) do(cr2) do(cr3) do(cr4) do(dr0) do(dr1) do(dr2) do(dr3) do(dr6) do(dr7) do(efer) do(apic_base) do(pat_high) do(star) do(lstar) do(fs_base) do(gs_base) do(kernel_gs_base) do(tsc_low) do(tsc_high) do(fcw) do(mxcsr) do(xmm0) do(xmm1) do(xmm2) do(xmm3) do(xcr0) do(signature) do(initial_id)

#define STARTUP_FIELD(name) uint32_t name;
struct startup {
	STARTUP_WORDS(STARTUP_FIELD)
};

#define startup_record ((volatile struct startup *)STARTUP_RECORD)

extern const uint8_t startup_code[], startup_nmi[], startup_code_end[];

#define STARTUP_SET(name) ".set at_" #name ", at_next; .set at_next, at_next + 4\n"
#define STORE(name) "mov %" #name ", at_" #name "\n"
#define STORE_SELECTOR(name) "mov %" #name ", %ax; mov %ax, at_" #name "\n"
#define STORE_SPECIAL(name) "mov %" #name ", %eax; mov %eax, at_" #name "\n"
#define STORE_BASE(name) "movl %" #name ":at_magic, %eax; movl %eax, at_in_" #name "\n"
#define STORE_MSR(number, name) "mov $" number ", %ecx; rdmsr; mov %eax, at_" #name "\n"

/* clang-format off */
asm(".pushsection .rodata\n"
    ".set at_next, " STRING_OF(STARTUP_RECORD) "\n"
    STARTUP_WORDS(STARTUP_SET)
    ".code16\n"
    "startup_code:\n"
    "1:	lock btsl $0, at_lock\n"
    "	jnc 2f\n"
    "	pause\n"
    "	jmp 1b\n"
    "2:\n"
    STORE(eax) STORE(ebx) STORE(ecx) STORE(edx) STORE(esi) STORE(edi) STORE(ebp) STORE(esp)
    STORE_SELECTOR(cs) STORE_SELECTOR(ds) STORE_SELECTOR(es) STORE_SELECTOR(ss)
    STORE_SELECTOR(fs) STORE_SELECTOR(gs)
    STORE_BASE(es) STORE_BASE(ss) STORE_BASE(fs) STORE_BASE(gs)
    "	mov $" STRING_OF(STARTUP_STACK) ", %esp\n"
    "	pushfl\n"
    "	pop %eax\n"
    "	mov %eax, at_eflags\n"
    "	sgdtl at_gdt_limit + 2\n"
    "	sidtl at_idt_limit + 2\n"
    STORE_SPECIAL(cr0) STORE_SPECIAL(cr2) STORE_SPECIAL(cr3) STORE_SPECIAL(cr4)
    STORE_SPECIAL(dr0) STORE_SPECIAL(dr1) STORE_SPECIAL(dr2) STORE_SPECIAL(dr3)
    STORE_SPECIAL(dr6) STORE_SPECIAL(dr7)
    STORE_MSR("0xc0000080", efer) STORE_MSR("0x1b", apic_base)
    "	mov $0x277, %ecx\n" /* PAT */
    "	rdmsr\n"
    "	mov %edx, at_pat_high\n"
   
    STORE_MSR("0xc0000081", star) STORE_MSR("0xc0000082", lstar)
    STORE_MSR("0xc0000100", fs_base) STORE_MSR("0xc0000101", gs_base)
    STORE_MSR("0xc0000102", kernel_gs_base)
    "	rdtsc\n"
    "	mov %eax, at_tsc_low\n"
    "	mov %edx, at_tsc_high\n"
    "	fnstcw at_fcw\n"
    "	mov %cr4, %eax\n"
    "	or $0x200, %eax\n" /* OSFXSR */
    "	mov %eax, %cr4\n"
    "	stmxcsr at_mxcsr\n"
    "	movups %xmm0, at_xmm0\n"
    "	mov $1, %eax\n"
    "	cpuid\n"
    "	mov %eax, at_signature\n"
    "	shr $24, %ebx\n"
    "	mov %ebx, at_initial_id\n"
    "	bt $26, %ecx\n" /* XSAVE */
    "	jnc 3f\n"
    "	mov %cr4, %eax\n"
    "	or $0x40000, %eax\n" /* OSXSAVE */
    "	mov %eax, %cr4\n"
    "	xor %ecx, %ecx\n"
    "	xgetbv\n"
    "	mov %eax, at_xcr0\n"
    "3:	lock incl at_starts\n"
    "	movl $1, at_done\n"
    "4:	hlt\n"
    "	jmp 4b\n"
    "startup_nmi:\n"
    "	lock incl at_nmis\n"
    "	iretw\n"
    "startup_code_end:\n"
    ".code64\n"
    ".popsection\n");
/* clang-format on */

static unsigned cpus;

/*
 * A moment for what may happen, and a longer one for what must not, also by a CPU that shares its host's with others;
 * false once the condition does not hold.
 */
#define startup_wait(condition, ticks, looks)                         \
	({                                                            \
		struct wait wait_ = wait_begin(ticks, 64, looks);     \
		bool held_;                                           \
		while ((held_ = (condition)) && wait_goes_on(&wait_)) \
			;                                             \
		held_;                                                \
	})
#define startup_moment(condition) startup_wait(condition, args.deadline / 768, 1ul << 11)
#define startup_stays(condition) startup_wait(condition, SETTLE_TICKS, 1ul << 14)

/* Starts the CPUs that take part. Puts the code into its pages, an empty record, and vector 2 of real mode's table. */
static inline void startup_prepare(void)
{
	uint16_t *nmi = (uint16_t *)(2 * 4);
	uint64_t bytes = startup_code_end - startup_code;

	/* Its registers are sealed: it starts anew from an AP reset hold only. */
	need_of_machine(!sev_is_es(), "INIT that resets a CPU (SEV-ES)");
	cpus = cpus_present() < 4 ? cpus_present() : 4;
	need(cpus_start(cpus), "CPU %u did not answer INIT and SIPI", cpus_started());
	memcpy((void *)STARTUP_PAGE, startup_code, bytes);
	memcpy((void *)STARTUP_OTHER_PAGE, startup_code, bytes);
	memset((void *)STARTUP_RECORD, 0, sizeof(struct startup));
	startup_record->magic = STARTUP_MAGIC;
	asm volatile("" : "+r"(nmi));
	nmi[0] = startup_nmi - startup_code;
	nmi[1] = STARTUP_PAGE >> 4;
}

/* The record was looked at: the next CPU may write its own. */
static inline void startup_next(void)
{
	startup_record->done = 0;
	asm volatile("" : : : "memory");
	startup_record->lock = 0;
}

/* -- How INIT and start-up IPIs are sent. --------------------------------------------------------- */

enum shape { BY_ID, BY_LOGICAL_ID, BY_PAIR, BY_OTHERS, BY_EVERYBODY, BY_ALL_LOGICAL };

static inline void send_by(enum shape shape, uint32_t command)
{
	switch (shape) {
	case BY_ID:
		apic_icr(percpu[1].apic_id, command);
		break;
	case BY_LOGICAL_ID:
		apic_icr(apic_logical_id(1), ICR_LOGICAL | command);
		break;
	case BY_PAIR:
		apic_icr(apic_logical_id(1) | apic_logical_id(2), ICR_LOGICAL | command);
		break;
	case BY_OTHERS:
		apic_icr(0, ICR_OTHERS | command);
		break;
	case BY_EVERYBODY:
		apic_icr(apic_everybody(), command);
		break;
	case BY_ALL_LOGICAL:
		apic_icr(apic_everybody(), ICR_LOGICAL | command);
		break;
	}
}

static inline void send_init(enum shape shape)
{
	send_by(shape, ICR_INIT | ICR_ASSERT);
}

static inline void send_startup(enum shape shape, uint32_t page)
{
	send_by(shape, ICR_STARTUP | ICR_ASSERT | page >> 12);
}

static inline void start_and_wait(uint32_t page)
{
	send_startup(BY_ID, page);
	await(startup_record->done, "CPU 1 to start");
}

/* Back to the library's code. */
static inline void restart(unsigned index)
{
	check(cpu_restart(index), "CPU %u did not answer INIT and SIPI behind the case", index);
}

#endif
