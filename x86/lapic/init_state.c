/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What INIT leaves of a CPU's registers, and what it leaves alone.
 *
 * The rule. General registers, segments with their hidden bases, GDTR and IDTR, control registers, EFER and debug
 * registers are those after reset, EDX with the CPU's signature among them. x87 and SSE state, XCR0, the time-stamp
 * counter, MSRs, CR0.CD and CR0.NW stay as they were; so do id, base and mode of the local APIC, and the rest of that is
 * reset. SDM 3A, "Processor State After Reset" (the table has a column INIT), "Local APIC State After It Receives an INIT
 * Reset"; APM 2, "Processor Initialization State".
 *
 * Why a hypervisor must care. It has one function for reset and INIT, and clears too much or too little.
 *
 * What a buggy hypervisor shows: a register's name with another value.
 *
 * CPU 1 sets all of them to something else, and reads some back, which is the witness; then it runs the code of
 * startup.h. This file is also the guest init_state_x2apic.
 */
#include "startup.h"

#ifndef MODE_NEEDS
#define MODE_NEEDS "apic=1"
#endif

#define RULE_STATE \
	"SDM 3A, Processor State After Reset, APM 2, Processor Initialization State: the column INIT"
#define RULE_KEPT \
	"SDM 3A, Processor State After Reset, APM 2, Processor Initialization State: INIT does not change it"
#define RULE_APIC \
	"SDM 3A, Local APIC State After It Receives an INIT Reset: as after reset, but for id, base and mode"

#define V 0x41

static struct {
	volatile unsigned ready;
	const char *lost; /* a register that does not hold what was written */
	volatile bool held;
	uint64_t tsc;
	uint32_t signature, apic_base;
} round;

/* Counted while CPU 1 goes on. */
volatile uint32_t init_alive;

static void prepare(void)
{
	startup_prepare();
	memset((void *)&round, 0, sizeof(round));
}

#define NOT_DEFAULT_PAT 0x0007050600070406ul
#define DEFAULT_PAT 0x0007040600070406ul
#define MSR_PAT 0x277
#define MSR_KERNEL_GS_BASE 0xc0000102
#define CPUID_1_C_XSAVE (1u << 26)
#define CR4_OSFXSR 0x200
#define FCW 0x0f7f
#define MXCSR 0x7f80
#define PATTERN 0x5eed1234

static void spoil_fpu(void)
{
	static const uint16_t fcw = FCW;
	static const uint32_t mxcsr = MXCSR;

	write_cr4(read_cr4() | CR4_OSFXSR);
	asm volatile("fninit; fldcw %0; ldmxcsr %1; movd %2, %%xmm0"
		     :
		     : "m"(fcw), "m"(mxcsr), "r"(PATTERN));
	if (!(cpuid(1, 0).c & CPUID_1_C_XSAVE))
		return;
	write_cr4(read_cr4() | X86_CR4_OSXSAVE);
	asm volatile("xsetbv" : : "a"(3), "d"(0), "c"(0));
}

static void spoil_msrs(void)
{
	wrmsr(MSR_PAT, NOT_DEFAULT_PAT);
	wrmsr(MSR_STAR, 0x1111222233334444);
	wrmsr(MSR_LSTAR, 0x1234567);
	wrmsr(MSR_KERNEL_GS_BASE, 0x7654321);
	wrmsr(MSR_FS_BASE, 0x2222222);
}

/* Everything differs from what INIT leaves, then it counts with all registers set. */
static void spoil(void *argument)
{
	(void)argument;
	write_cr2(PATTERN);
	write_dr0(0x1111);
	write_dr1(0x2222);
	write_dr2(0x3333);
	write_dr3(0x4444);
	write_dr6(DR6_CLEAR | DR6_BS | 0xf);
	write_dr7(DR7_CLEAR | 0x000f0000);
	spoil_msrs();
	spoil_fpu();
	round.lost = read_cr2() != PATTERN		 ? "CR2"
		     : read_dr3() != 0x4444		 ? "DR3"
		     : !(read_dr7() & 0xf0000)		 ? "DR7"
		     : rdmsr(MSR_PAT) != NOT_DEFAULT_PAT ? "PAT"
		     : rdmsr(MSR_LSTAR) != 0x1234567	 ? "LSTAR"
		     : read_cr0() & 0x60000000		 ? "CR0"
							 : NULL;
	round.signature = cpuid(1, 0).a;
	round.apic_base = rdmsr(MSR_APIC_BASE);
	round.tsc = rdtsc();
	round.ready = 1;
	asm volatile("mov %0, %%ds; mov %0, %%es\n"
		     "mov $0x2222222, %%ebx; mov $0x3333333, %%ecx; mov $0x4444444, %%edx\n"
		     "mov $0x5555555, %%esi; mov $0x6666666, %%edi; mov $0x7777777, %%ebp\n"
		     "std; stc\n"
		     "1: lock incl init_alive; pause; jmp 1b"
		     :
		     : "a"(KERNEL_DS));
	__builtin_unreachable();
}

static void repair(void *argument)
{
	(void)argument;
	wrmsr(MSR_PAT, DEFAULT_PAT);
	wrmsr(MSR_STAR, 0);
	wrmsr(MSR_LSTAR, 0);
	wrmsr(MSR_KERNEL_GS_BASE, 0);
}

/* CPU 1 starts behind an INIT that found everything spoilt. */
static void start_spoilt(void)
{
	uint32_t before;

	prepare();
	cpu_start_work(1, spoil, NULL);
	await(round.ready, "CPU 1 to get ready");
	before = init_alive;
	witness(wait_until(init_alive != before), "CPU 1 does not run");
	witness(!round.lost, "%s of CPU 1 does not hold what was written", round.lost);
	send_init(BY_ID);
	start_and_wait(STARTUP_PAGE);
}

static void judge_spoilt(void (*observe_them)(const volatile struct startup *s))
{
	if (startup_record->done)
		observe_them(startup_record);
	restart(1);
	cpu_start_work(1, repair, NULL);
	check(cpu_wait(1), "CPU 1 did not come back");
}

#define STATE(name, rule, bugs, trace)                                    \
	static void name##_look(const volatile struct startup *s);        \
	CASE_NEEDS("cpus=2 " MODE_NEEDS, name, CPL0, rule, CATCHES(bugs)) \
	{                                                                 \
		expect(trace);                                            \
		start_spoilt();                                           \
		judge_spoilt(name##_look);                                \
	}                                                                 \
	static void name##_look(const volatile struct startup *s)

STATE(general_registers, RULE_STATE, "model-init-keeps-registers bochs-init-edx xen-init-edx",
      "eax=0x0; ebx=0x0; ecx=0x0; edx=0x1; esi=0x0; edi=0x0; ebp=0x0; esp=0x0; eflags=0x2")
{
	observe("eax", s->eax);
	observe("ebx", s->ebx);
	observe("ecx", s->ecx);
	note("EDX is %#x, the signature of CPUID %#x", s->edx, round.signature);
	observe("edx", s->edx == round.signature);
	observe("esi", s->esi);
	observe("edi", s->edi);
	observe("ebp", s->ebp);
	observe("esp", s->esp);
	observe("eflags", s->eflags & ~X86_EFLAGS_CF);
}

STATE(segments, RULE_STATE, "model-init-keeps-segments",
      "cs=0x900; ds=0x0; es=0x0; ss=0x0; fs=0x0; gs=0x0; base_0=0xf; fs_base=0x0; gs_base=0x0")
{
	observe("cs", s->cs);
	observe("ds", s->ds);
	observe("es", s->es);
	observe("ss", s->ss);
	observe("fs", s->fs);
	observe("gs", s->gs);
	observe("base_0", (s->in_es == STARTUP_MAGIC) | (s->in_ss == STARTUP_MAGIC) << 1 |
				  (s->in_fs == STARTUP_MAGIC) << 2 |
				  (s->in_gs == STARTUP_MAGIC) << 3);
	observe("fs_base", s->fs_base);
	observe("gs_base", s->gs_base);
}

STATE(descriptor_tables, RULE_STATE, "model-init-keeps-segments kvm-init-tables",
      "gdt_base=0x0; gdt_limit=0xffff; idt_base=0x0; idt_limit=0xffff")
{
	observe("gdt_base", s->gdt_base);
	observe("gdt_limit", s->gdt_limit >> 16);
	observe("idt_base", s->idt_base);
	observe("idt_limit", s->idt_limit >> 16);
}

STATE(control_registers, RULE_STATE,
      "model-init-keeps-registers kvm-init-tables tcg-read-cr bochs-init-cr2",
      "cr0=0x10; cr2=0x0; cr3=0x0; cr4=0x0; efer=0x0")
{
	/* CD and NW have a case of their own. */
	observe("cr0", s->cr0 & ~0x60000000);
	observe("cr2", s->cr2);
	observe("cr3", s->cr3);
	observe("cr4", s->cr4);
	observe("efer", s->efer);
}

STATE(cache_control, RULE_KEPT, "tcg-init-cr0", "cr0.cd=0x0; cr0.nw=0x0")
{
	observe("cr0.cd", s->cr0 >> 30 & 1);
	observe("cr0.nw", s->cr0 >> 29 & 1);
}

STATE(debug_registers, RULE_STATE, "model-init-keeps-debug",
      "dr0=0x0; dr1=0x0; dr2=0x0; dr3=0x0; dr6=0xffff0ff0; dr7=0x400")
{
	observe("dr0", s->dr0);
	observe("dr1", s->dr1);
	observe("dr2", s->dr2);
	observe("dr3", s->dr3);
	observe("dr6", s->dr6);
	observe("dr7", s->dr7);
}

STATE(msrs, RULE_KEPT, "model-init-clears-msrs bochs-init-msrs",
      "pat=0x70506; star=0x33334444; lstar=0x1234567; kernel_gs_base=0x7654321; tsc=0x1")
{
	uint64_t tsc = (uint64_t)s->tsc_high << 32 | s->tsc_low;

	observe("pat", s->pat_high);
	observe("star", s->star);
	observe("lstar", s->lstar);
	observe("kernel_gs_base", s->kernel_gs_base);
	observe("tsc", tsc >= round.tsc);
}

STATE(fpu, RULE_KEPT, "model-init-clears-fpu xen-init-fpu",
      "fcw=0xf7f; mxcsr=0x7f80; xmm0=0x5eed1234")
{
	observe("fcw", s->fcw & 0xffff);
	observe("mxcsr", s->mxcsr);
	observe("xmm0", s->xmm0);
}

CASE_NEEDS("cpus=2 " MODE_NEEDS, xcr0, CPL0, RULE_KEPT, CATCHES("model-init-clears-xcr0"))
{
	need_of_machine(cpuid(1, 0).c & CPUID_1_C_XSAVE, "XSAVE");
	expect("xcr0=0x3");
	start_spoilt();
	observe("xcr0", startup_record->xcr0);
	restart(1);
	cpu_start_work(1, repair, NULL);
	check(cpu_wait(1), "CPU 1 did not come back");
}

STATE(apic_base, RULE_APIC, "model-init-apic-base bochs-init-x2apic", "kept=0x1; bsp=0x0")
{
	observe("kept", s->apic_base == round.apic_base);
	observe("bsp", !!(s->apic_base & APIC_BASE_BSP));
}

/* -- What is left of its APIC. ------------------------------------------------------------------- */

/* That every version has: timer, LINT0, LINT1, error. */
static const uint16_t entries[] = {APIC_LVT_TIMER, APIC_LVT_LINT0, APIC_LVT_LINT1, APIC_LVT_ERROR};

struct apic_look {
	uint32_t lvt[4], icr, initial, current, divide, esr, ldr, dfr;
};

static struct apic_look look;

static void look_at_apic(void *argument)
{
	(void)argument;
	for (unsigned i = 0; i < 4; i++)
		look.lvt[i] = apic_read(entries[i]);
	look.icr = apic_read(APIC_ICR);
	look.initial = apic_read(APIC_TIMER_INITIAL);
	look.current = apic_read(APIC_TIMER_CURRENT);
	look.divide = apic_read(APIC_TIMER_DIVIDE);
	look.esr = apic_esr();
}

static void spoil_apic(void *argument)
{
	for (unsigned i = 0; i < 4; i++)
		apic_write(entries[i], APIC_MASKED | (0x50 + i));
	apic_write(APIC_TIMER_DIVIDE, 0xb);
	apic_write(APIC_TIMER_INITIAL, 0xffffffff);
	/* To this CPU itself, and taken. */
	apic_icr(0, ICR_SELF | ICR_FIXED | ICR_ASSERT | V);
	look_at_apic(argument);
	round.held = look.lvt[3] == (APIC_MASKED | 0x53) && look.divide == 0xb && look.current &&
		     look.icr & V;
	round.ready = 1;
	for (;;)
		wait_relax();
}

CASE_NEEDS("cpus=2 " MODE_NEEDS, apic_registers, CPL0, RULE_APIC,
	   CATCHES("model-init-keeps-lvt bochs-x2apic-ldr"))
{
	const struct apic_state *state = &percpu[1].apic_at_start;

	prepare();
	cpu_start_work(1, spoil_apic, NULL);
	await(round.ready, "CPU 1 to get ready");
	witness(round.held, "a register of CPU 1's APIC does not hold what was written");
	check(cpu_restart(1), "CPU 1 did not answer INIT and SIPI");
	cpu_start_work(1, look_at_apic, NULL);
	check(cpu_wait(1), "CPU 1 did not come back");
	expect("timer=0x10000; lint0=0x10000; lint1=0x10000; error=0x10000; icr=0x0; initial=0x0; "
	       "current=0x0; divide=0x0; esr=0x0; ldr=%#x; dfr=%#x",
	       apic_is_x2() ? apic_logical_id(1) : 0, apic_is_x2() ? 0 : 0xffffffff);
	observe("timer", look.lvt[0]);
	observe("lint0", look.lvt[1]);
	observe("lint1", look.lvt[2]);
	observe("error", look.lvt[3]);
	observe("icr", look.icr);
	observe("initial", look.initial);
	observe("current", look.current);
	observe("divide", look.divide);
	observe("esr", look.esr);
	observe("ldr", state->ldr);
	observe("dfr", state->dfr);
}
