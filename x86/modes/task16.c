/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Task switches to a TSS of 16 bits, from one of 32 or 16.
 *
 * The rule. A TSS of 16 bits has 44 bytes: IP, FLAGS, the lower halves of the general registers, ES, CS, SS, DS and LDTR.
 * FS and GS of its task begin as null, CR3 stays, there is no T bit. The task that is left is saved in the size of its own
 * TSS, and nothing is written behind it. An error code on the new task's stack has the size of the new TSS. What is common
 * to both sizes, links, busy bits, NT, CR0.TS, is task.c's subject, and compared here too.
 *
 * Why a hypervisor must care. Under SVM and VMX every task switch is the hypervisor's; KVM and Xen have a function for
 * each size, and no system of today gets to this one.
 *
 * A TSS of 16 bits can be loaded outside of long mode alone, and at CPL 0: there the rows begin with LTR.
 *
 * What the new task finds it writes down, and goes to the UD2 at `heard`, which hands the CPU to the recorder. A fact that
 * is wrong has a bit in `wrong`, and a sentence in the notes. The manuals say that the upper halves of registers are not
 * kept, so they are compared with nothing. That FS and GS are null follows from no sentence of theirs, only from what the
 * TSS does not have; QEMU and Bochs, which share no code, do so.
 *
 * What was found: KVM saves the old task in the size of the new one's TSS, and leaves the new one FS and GS of the old.
 */
#include "trapline.h"

#define RULE_SWITCH \
	"SDM 3A, 16-Bit Task-State Segment (TSS); Task Switching: what is saved, marked and loaded"
#define RULE_EVENT \
	"SDM 3A, Task Gates, Interrupt Tasks: an event's task; the error code on its stack has the size of its TSS"
#define RULE_LIMIT \
	"SDM 3A, Task Switching: a 16-bit TSS has a limit of at least 2Ch - 1; APM 2, Legacy Task-State Segment"

struct tss16 {
	uint16_t link, stacks[6];
	uint16_t ip, flags, ax, cx, dx, bx, sp, bp, si, di;
	uint16_t es, cs, ss, ds, ldt;
};

_Static_assert(sizeof(struct tss16) == 44, "SDM 3A, 16-Bit Task-State Segment (TSS)");

/* SDM 3A, "Task-State Segment (TSS)": of 32 bits, as far as it is looked at. */
struct tss32 {
	uint32_t link, stacks[6], cr3, eip, eflags, eax, ecx, edx, ebx, esp, ebp, esi, edi;
	uint32_t es, cs, ss, ds, fs, gs, ldt, io_map_base;
};

_Static_assert(sizeof(struct tss32) == 104, "SDM 3A, Task-State Segment");

#define NEW_TSS 0x58
#define NEW_CODE 0x60
#define NEW_STACK 0x68
#define LDT 0x70
#define TABLE_BYTES 0x78
#define FOR_ALL_CPLS 0xe0 /* present, DPL 3 */
#define TASK_GATE (FOR_ALL_CPLS | 5)
#define TSS_16 (FOR_ALL_CPLS | 1)
#define TSS_32_OF_OLD "0x89"
#define BUSY 0x02
#define CANARY 0x5a

#define STACK_BYTES_OF_NEW 512
#define TOP_OF_NEW (STACK_BYTES_OF_NEW - 16)

/* What the new task finds. In its text by name, as the tables are. */
struct facts {
	uint32_t eax, ecx, edx, ebx, esp, ebp, esi, edi, eflags, cr0, cr3;
	uint16_t es, cs, ss, ds, fs, gs, tr, ldt;
	uint8_t old_access, heard;
};

struct facts task16_facts;
uint64_t task16_table[TABLE_BYTES / 8] __attribute__((aligned(16)));
uint32_t task16_flat_esp;
static uint8_t task16_stack[STACK_BYTES_OF_NEW] __attribute__((aligned(16)));

#define FACT(at) "task16_facts + " #at
asm("	.pushsection .text\n"
    "	.code32\n"
    "	.balign 16\n"
    "task16_base: .skip 64, 0xcc\n"
    "	mov %eax, " FACT(0) "; mov %ecx, " FACT(4) "; mov %edx, " FACT(8) "; mov %ebx, " FACT(
	    12) "\n"
		"	mov %esp, " FACT(16) "; mov %ebp, " FACT(20) "; mov %esi, " FACT(24) "; mov %edi, " FACT(
			28) "\n"
			    "	mov %es, " FACT(44) "; mov %cs, " FACT(46) "; mov %ss, " FACT(48) "; mov %ds, " FACT(
				    50) "\n"
					"	mov %fs, " FACT(52) "; mov %gs, " FACT(54) "; str " FACT(56) "; sldt " FACT(
						58) "\n"
						    "	mov %cr0, %eax; mov %eax, " FACT(36) "; mov %cr3, %eax; mov %eax, " FACT(
							    40) "\n"
								"	movb task16_table + 0x45, %al; movb %al, " FACT(60) "; movb $1, " FACT(
									61) "\n"
									    "	mov $0x18, %eax; mov %eax, %ss; mov task16_flat_esp, %esp\n"
									    "	pushfl; pop " FACT(
										    32) "; pushl $2; popfl\n"
											"	xor %eax, %eax; lldt %ax; clts\n"
											"	movb $" TSS_32_OF_OLD
											", task16_table + 0x45; mov $0x40, %eax; ltr %ax\n"
											"	ljmp $" STRING_OF(
												BOOT_CS32) ", $task16_heard\n"
													   "task16_heard: ud2\n"
													   "	.code64\n"
													   "	.popsection");
extern const uint8_t task16_base[], task16_heard[];
#define OFFSET_OF_TASK 64

/* An old TSS of either size, and bytes behind it that stay as they are. */
static struct {
	union {
		struct tss32 of_32;
		struct tss16 of_16;
		uint8_t bytes[128];
	};
} old __attribute__((aligned(128)));
static struct tss16 new_tss __attribute__((aligned(64)));

/*
 * `.byte`: a switch loads every register (compare/touch.h). FS and GS begin as something that is not null. A CPU in long
 * mode knows no TSS of 16 bits: for one as the old TSS, TR is loaded behind it.
 */
#define WITH_FS_GS "mov $0x2b, %eax; mov %eax, %fs; mov %eax, %gs\n"
#define AND_THEN "\nmark after; .byte 0x90; mark late; mov %ebp, %ebp"
#define SWITCH(name, text)                                                           \
	SNIPPET_BOTH(name##_from_32, "nop", WITH_FS_GS "mark insn\n" text AND_THEN); \
	SNIPPET_BOTH(name##_from_16, "nop",                                          \
		     WITH_FS_GS "mov $0x40, %eax; ltr %ax; mark insn\n" text AND_THEN)

SWITCH(jmp, "ljmp $0x58, $0");
SWITCH(call, "lcall $0x58, $0");
SWITCH(int_n, "int $0x40");
SWITCH(int3, "int3");
SWITCH(divide, "xor %ecx, %ecx; mark second; div %ecx");
SWITCH(bad_segment, "mov $0x48, %eax; mark second; mov %eax, %es");
SWITCH(intr, "sti; nop; mark second; nop");

enum how { BY_JMP, BY_CALL, BY_EVENT, BY_FAULT };

struct kind {
	const struct snippet *from_32, *from_16;
	enum how how;
	int vector; /* of the task gate; -1: none */
	const char *saved_at;
	bool has_error;
	uint16_t error;
};

#define PENDING 0x31

static const struct kind kind_jmp = {&jmp_from_32, &jmp_from_16, BY_JMP, -1, "after", false, 0};
static const struct kind kind_call = {&call_from_32, &call_from_16, BY_CALL, -1, "after", false, 0};
static const struct kind kind_int_n = {&int_n_from_32, &int_n_from_16, BY_EVENT, 0x40,
				       "after",	       false,	       0};
static const struct kind kind_int3 = {&int3_from_32, &int3_from_16, BY_EVENT, VECTOR_BP,
				      "after",	     false,	    0};
static const struct kind kind_divide = {&divide_from_32, &divide_from_16, BY_FAULT, VECTOR_DE,
					"second",	 false,		  0};
static const struct kind kind_bad_segment = {
	&bad_segment_from_32, &bad_segment_from_16, BY_FAULT, VECTOR_GP, "second", true, 0x48};
static const struct kind kind_intr = {&intr_from_32, &intr_from_16, BY_EVENT, PENDING,
				      "second",	     false,	    0};

/* -- What must be where. ------------------------------------------------------------------------------- */

enum fact {
	OLD_EIP,
	OLD_FLAGS,
	OLD_REGISTERS,
	OLD_SEGMENTS,
	OLD_BUSY,
	OLD_END,
	NEW_BUSY,
	LINK,
	NEW_FLAGS,
	TASK_REGISTER,
	TASK_SWITCHED,
	NEW_CR3,
	NEW_LDT,
	NEW_REGISTERS,
	NEW_SEGMENTS,
	NO_FS_GS,
	NEW_SP,
	ERROR_CODE,
};

static uint32_t wrong;

static void must_be(enum fact fact, const char *what, uint32_t is, uint32_t right)
{
	if (is == right)
		return;
	wrong |= 1u << fact;
	note("%s is %#x, must be %#x", what, is, right);
}

#define ARITHMETIC_FLAGS 0x8d5u

static void judge_old_16(const struct kind *kind, const struct regs *regs, uint32_t flags)
{
	const struct tss16 *t = &old.of_16;

	must_be(OLD_EIP, "IP in the old TSS", t->ip,
		mark_address(kind->from_16, kind->saved_at) & 0xffff);
	must_be(OLD_FLAGS, "FLAGS in the old TSS", t->flags & ~ARITHMETIC_FLAGS, flags & 0xffff);
	must_be(OLD_REGISTERS, "BX in the old TSS", t->bx, regs->rbx & 0xffff);
	must_be(OLD_REGISTERS, "SI in the old TSS", t->si, regs->rsi & 0xffff);
	must_be(OLD_REGISTERS, "BP in the old TSS", t->bp, regs->rbp & 0xffff);
	must_be(OLD_REGISTERS, "SP in the old TSS", t->sp, setup.stack_top & 0xffff);
	must_be(OLD_SEGMENTS, "CS in the old TSS", t->cs, code_selector());
	must_be(OLD_SEGMENTS, "SS in the old TSS", t->ss, stack_selector());
	must_be(OLD_SEGMENTS, "DS in the old TSS", t->ds, stack_selector());
	for (unsigned i = sizeof(*t); i < sizeof(old); i++)
		must_be(OLD_END, "a byte behind the old TSS", old.bytes[i], CANARY);
}

static void judge_old_32(const struct kind *kind, const struct regs *regs, uint32_t flags)
{
	const struct tss32 *t = &old.of_32;

	must_be(OLD_EIP, "EIP in the old TSS", t->eip, mark_address(kind->from_32, kind->saved_at));
	must_be(OLD_FLAGS, "EFLAGS in the old TSS", t->eflags & ~ARITHMETIC_FLAGS,
		flags | (kind->how == BY_FAULT ? X86_EFLAGS_RF : 0));
	must_be(OLD_REGISTERS, "EBX in the old TSS", t->ebx, regs->rbx);
	must_be(OLD_REGISTERS, "ESI in the old TSS", t->esi, regs->rsi);
	must_be(OLD_REGISTERS, "EBP in the old TSS", t->ebp, regs->rbp);
	must_be(OLD_REGISTERS, "ESP in the old TSS", t->esp, setup.stack_top);
	must_be(OLD_SEGMENTS, "CS in the old TSS", t->cs & 0xffff, code_selector());
	must_be(OLD_SEGMENTS, "SS in the old TSS", t->ss & 0xffff, stack_selector());
	must_be(OLD_SEGMENTS, "DS in the old TSS", t->ds & 0xffff, stack_selector());
}

static void judge_new(const struct kind *kind, uint32_t cr3)
{
	const struct facts *f = &task16_facts;
	bool linked = kind->how != BY_JMP;

	must_be(OLD_BUSY, "the busy bit of the old task", f->old_access & BUSY, linked ? BUSY : 0);
	must_be(NEW_BUSY, "the busy bit of the new task", task16_table[NEW_TSS / 8] >> 40 & BUSY,
		BUSY);
	must_be(LINK, "the link in the new TSS", new_tss.link, linked ? TSS_SELECTOR : 0xdead);
	must_be(NEW_FLAGS, "FLAGS of the new task", f->eflags & 0xffff & ~ARITHMETIC_FLAGS,
		X86_EFLAGS_FIXED | (linked ? X86_EFLAGS_NT : 0));
	must_be(TASK_REGISTER, "TR", f->tr, NEW_TSS);
	must_be(TASK_SWITCHED, "CR0.TS", f->cr0 >> 3 & 1, 1);
	must_be(NEW_CR3, "CR3", f->cr3, cr3);
	must_be(NEW_LDT, "LDTR", f->ldt, LDT);
	must_be(NEW_REGISTERS, "AX of the new task", f->eax & 0xffff, new_tss.ax);
	must_be(NEW_REGISTERS, "CX of the new task", f->ecx & 0xffff, new_tss.cx);
	must_be(NEW_REGISTERS, "DX of the new task", f->edx & 0xffff, new_tss.dx);
	must_be(NEW_REGISTERS, "BX of the new task", f->ebx & 0xffff, new_tss.bx);
	must_be(NEW_REGISTERS, "BP of the new task", f->ebp & 0xffff, new_tss.bp);
	must_be(NEW_REGISTERS, "SI of the new task", f->esi & 0xffff, new_tss.si);
	must_be(NEW_REGISTERS, "DI of the new task", f->edi & 0xffff, new_tss.di);
	must_be(NEW_SEGMENTS, "ES of the new task", f->es, new_tss.es);
	must_be(NEW_SEGMENTS, "CS of the new task", f->cs, new_tss.cs);
	must_be(NEW_SEGMENTS, "SS of the new task", f->ss, new_tss.ss);
	must_be(NEW_SEGMENTS, "DS of the new task", f->ds, new_tss.ds);
	must_be(NO_FS_GS, "FS of the new task", f->fs, 0);
	must_be(NO_FS_GS, "GS of the new task", f->gs, 0);
	must_be(NEW_SP, "SP of the new task, below its top", TOP_OF_NEW - (f->esp & 0xffff),
		kind->has_error ? 2 : 0);
	if (kind->has_error)
		must_be(ERROR_CODE, "the error code on the new stack",
			*(uint16_t *)(task16_stack + TOP_OF_NEW - 2), kind->error);
}

/* -- A case. -------------------------------------------------------------------------------------------- */

static uint64_t segment(const void *base, uint32_t limit, unsigned access, unsigned flags)
{
	uint64_t b = (uint64_t)base;

	return (limit & 0xffff) | (b & 0xffffff) << 16 | (uint64_t)access << 40 |
	       (uint64_t)(limit >> 16) << 48 | (uint64_t)flags << 52 | (b >> 24 & 0xff) << 56;
}

static void fill_new_tss(void)
{
	new_tss = (struct tss16){
		.link = 0xdead,
		.ip = OFFSET_OF_TASK,
		.flags = X86_EFLAGS_FIXED,
		.ax = 0xa0a0,
		.cx = 0xc0c0,
		.dx = 0xd0d0,
		.bx = 0xb0b0,
		.sp = TOP_OF_NEW,
		.bp = 0xe0e0,
		.si = 0x5151,
		.di = 0xd1d1,
		.es = KERNEL_DS,
		.cs = NEW_CODE,
		.ss = NEW_STACK,
		.ds = KERNEL_DS,
		.ldt = LDT,
	};
}

static void fill_table(unsigned old_bits)
{
	struct descriptors *own = &this_cpu()->descriptors;
	struct table_pointer table = {TABLE_BYTES - 1, (uint64_t)task16_table};
	uint64_t *t = task16_table;

	load_tss(own, (const struct tss *)&old);
	memcpy(t, own->gdt, sizeof(own->gdt));
	if (old_bits == 16)
		t[TSS_SELECTOR / 8] = segment(&old, sizeof(struct tss16) - 1, TSS_16 & ~0x60, 0);
	t[NEW_TSS / 8] = segment(&new_tss, sizeof(new_tss) - 1, TSS_16, 0);
	t[NEW_CODE / 8] = segment(task16_base, 0xfffff, 0x9b, 0xc);
	t[NEW_STACK / 8] = segment(task16_stack, 0xffff, 0x93, 0);
	t[LDT / 8] = segment(task16_table, 7, 0x82, 0);
	asm volatile("lgdt %0" : : "m"(table) : "memory");
}

static struct regs regs_of_old;

static enum action hear(const struct event *event, struct trap_frame *frame)
{
	(void)frame;
	regs_of_old = this_recording()->run.before.regs;
	return event->rip == (uint64_t)task16_heard ? LEAVE : BY_RULE;
}

static void prepare(const struct kind *kind, unsigned old_bits)
{
	need_native("a task switch of L2 is its hypervisor's");
	wrong = 0;
	memset(&task16_facts, 0, sizeof(task16_facts));
	memset(task16_stack, CANARY, sizeof(task16_stack));
	memset(&old, CANARY, sizeof(old));
	old.of_32.cr3 = mode_pae_pointers();
	old.of_32.stacks[0] = this_cpu()->descriptors.tss.rsp[0];
	old.of_32.stacks[1] = KERNEL_DS;
	fill_new_tss();
	fill_table(old_bits);
	setup.stack_top = stack_top(0, STACK_SNIPPET);
	task16_flat_esp = setup.stack_top;
	if (kind->vector >= 0) {
		gate_set_selector(kind->vector, NEW_TSS);
		idt[kind->vector].attributes = TASK_GATE;
	}
	notation_name("heard", (uint64_t)task16_heard, 1);
	setup.hook = hear;
}

static void switched(const struct kind *kind, unsigned old_bits)
{
	uint32_t flags = X86_EFLAGS_FIXED | setup.rflags;

	prepare(kind, old_bits);
	if (kind == &kind_intr) {
		interrupt_pending(PENDING);
		grant_iopl();
		flags = X86_EFLAGS_FIXED | setup.rflags | X86_EFLAGS_IF;
	}
	expect("#UD@heard; wrong=0x0");
	run_snippet(old_bits == 16 ? kind->from_16 : kind->from_32);
	if (task16_facts.heard) {
		(old_bits == 16 ? judge_old_16 : judge_old_32)(kind, &regs_of_old, flags);
		judge_new(kind, mode_pae_pointers());
	}
	observe("wrong", wrong);
	if (kind == &kind_intr)
		apic_eoi();
}

#define KVM_16 "kvm-task16-fs-gs-kept"
#define KVM_32 KVM_16 " kvm-task16-saved-in-new-size"
#define OF_SOFT_INT KVM_16 " model-task16-limit model-task16-fs-gs-kept model-task16-no-ldt"
#define OF_OLD_16 OF_SOFT_INT " model-task16-saved-as-32"

#define ROW(kind, rule, of_32, of_16)                                         \
	CASE(kind##_from_32, LEGACY_CPL0 | LEGACY_CPL3, rule, CATCHES(of_32)) \
	{                                                                     \
		switched(&kind_##kind, 32);                                   \
	}                                                                     \
	CASE(kind##_from_16, LEGACY_CPL0, rule, CATCHES(of_16))               \
	{                                                                     \
		switched(&kind_##kind, 16);                                   \
	}

ROW(jmp, RULE_SWITCH, KVM_32, KVM_16)
ROW(call, RULE_SWITCH, KVM_32, KVM_16)
ROW(int_n, RULE_EVENT, OF_SOFT_INT " kvm-task16-saved-in-new-size", OF_OLD_16)
ROW(int3, RULE_EVENT, OF_SOFT_INT " kvm-task16-saved-in-new-size", OF_OLD_16)
ROW(divide, RULE_EVENT, "tcg-task-rf " KVM_32, KVM_16)
ROW(bad_segment, RULE_EVENT, "tcg-task-rf " KVM_32, KVM_16)

CASE_NEEDS("apic=1", intr_from_32, LEGACY_CPL0 | LEGACY_CPL3, RULE_EVENT, CATCHES(KVM_32))
{
	switched(&kind_intr, 32);
}

CASE_NEEDS("apic=1", intr_from_16, LEGACY_CPL0, RULE_EVENT, CATCHES(KVM_16))
{
	switched(&kind_intr, 16);
}

/* -- A TSS that is too short. -------------------------------------------------------------------------- */

static void refused(const struct kind *kind)
{
	prepare(kind, 32);
	task16_table[NEW_TSS / 8] -= 1;
	expect("#TS(0x58)@insn");
	run_snippet(kind->from_32);
	check(!task16_facts.heard, "the task was entered");
	check(task16_table[TSS_SELECTOR / 8] >> 40 & BUSY, "the old task is not busy");
}

#define SHORT(kind)                                                            \
	CASE(kind##_short, LEGACY_CPL0 | LEGACY_CPL3, RULE_LIMIT, CATCHES("")) \
	{                                                                      \
		refused(&kind_##kind);                                         \
	}
SHORT(jmp)
SHORT(call)
SHORT(int_n)
