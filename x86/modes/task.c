/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Task switches of 32-bit protected mode: JMP, CALL, IRET and task gates, and what goes wrong on the way.
 *
 * The rule. A switch writes the old task's registers into its TSS, marks descriptors as busy or not, links the tasks
 * (CALL, events), loads all registers from the new TSS and sets CR0.TS. The old task's EIP is behind JMP, CALL, INT n,
 * INT3 and traps, and on the instruction for faults, with RF. An error code is pushed on the new task's stack. With the T
 * bit the new task begins with #DB. What is wrong with the new TSS itself is reported in the old task, what is wrong with
 * the segments in it in the new one.
 *
 * Why a hypervisor must care. Under SVM and VMX a task switch always ends in the hypervisor, which then does all of it in
 * its own code, and has to know how the switch came about: for an event, by what it was delivering. KVM does not see the
 * T bit. Xen had six fixes for EIP, RF, the error code's width and the CPL in 2016 to 2019. QEMU to 2025 knew no T bit,
 * and 10.1 took the I/O map's base for it.
 *
 * The new task pushes all that it finds and then executes INT 0x77; its handler is the recorder's, which leaves the mode,
 * and judge() compares. A fact that is wrong has a bit in `wrong`, and a sentence in the notes.
 */
#include "trapline.h"

#define RULE_SWITCH "SDM 3A, Task Switching: what is saved, marked, linked and loaded"
#define RULE_EVENT \
	"SDM 3A, Task Gates, Interrupt Tasks: an event's task; EIP and RF in the old TSS, the error code on the new stack"
#define RULE_T "SDM 3A, Task-State Segment: with T set, a switch to the task ends in #DB with BT"
#define RULE_RETURN "SDM 3A, Nested Task: IRET with NT goes back to the task of the link"
#define RULE_LOCAL \
	"SDM 3B, Debug Control Register (DR7): a task switch clears L0 to L3, and leaves G0 to G3"
#define RULE_OLD \
	"SDM 3A, Task Switching: a TSS that is busy, absent or too short is reported before anything is saved"
#define RULE_NEW \
	"SDM 3A, Exception Conditions Checked During a Task Switch: a bad segment is #TS or #NP in the new task"

/* SDM 3A, "Task-State Segment (TSS)". */
struct tss32 {
	uint16_t link, reserved0;
	uint32_t stacks[6];
	uint32_t cr3, eip, eflags, eax, ecx, edx, ebx, esp, ebp, esi, edi;
	uint32_t es, cs, ss, ds, fs, gs;
	uint16_t ldt, reserved1, trap, io_map_base;
};

_Static_assert(sizeof(struct tss32) == 104, "SDM 3A, Task-State Segment");

#define NEW_TSS 0x58
#define GATE_TO_NEW 0x60
#define LDT 0x68
#define ABSENT_DATA 0x70
#define TABLE_BYTES 0x78
#define TASK_GATE 0xe5 /* present, DPL 3 */
#define AVAILABLE 0x89
#define BUSY 0x02

#define STACK_WORDS 256
#define TASK_EFLAGS (X86_EFLAGS_FIXED | X86_EFLAGS_CF)

/* In the snippets by name. */
uint64_t task_table[TABLE_BYTES / 8] __attribute__((aligned(16)));
uint32_t task_cr3;

static struct tss32 old_tss __attribute__((aligned(128))), new_tss __attribute__((aligned(128)));
static uint32_t new_stack[STACK_WORDS];
static uint64_t other_pointers[4] __attribute__((aligned(32)));

/* What the new task pushes, and the way out: TR is loaded again, as a case ends in the old task's. */
#define TELL                                                                                                                            \
	"pushal; pushfl; push %cs; push %ds; push %es; push %fs; push %gs; push %ss\n"                                                  \
	"str %eax; push %eax; sldt %eax; push %eax; mov %cr0, %eax; push %eax; mov %cr3, %eax; push %eax\n"                             \
	"movzbl task_table + 0x45, %eax; push %eax\n"                                                                                   \
	"xor %eax, %eax; lldt %ax; mov task_cr3, %eax; mov %eax, %cr3; clts; movb $0x89, task_table + 0x45; mov $0x40, %eax; ltr %ax\n" \
	"mov %ebp, %ebp\n"

/* `.byte`: a switch loads every register (compare/touch.h). */
#define NOP_OF_SWITCH ".byte 0x90\n"

#define SWITCH(name, text)                                                                        \
	SNIPPET_BOTH(name, "nop; mark insn; mark after; mark new_task; mark told; nop",           \
		     "mark insn\n" text "\nmark after; nop; mark late\n" NOP_OF_SWITCH "jmp 9f\n" \
		     "mark new_task\n" TELL "int $0x77; mark told; nop; 9: nop")

struct facts {
	uint32_t old_access, cr3, cr0, ldt, tr, ss, gs, fs, es, ds, cs, eflags;
	uint32_t edi, esi, ebp, esp, ebx, edx, ecx, eax;
};

/* How a switch came about. */
enum how { BY_JMP, BY_CALL, BY_EVENT, BY_FAULT };

static struct {
	const struct snippet *snippet;
	enum how how;
	bool has_error;
	uint32_t error;
	const char *saved_at; /* mark of the EIP in the old TSS */
	uint32_t flags;	      /* of the old task at the switch */
	uint32_t wrong;
} now;

/* The numbers of what can be wrong. */
enum fact {
	OLD_EIP,
	OLD_EFLAGS,
	OLD_REGISTERS,
	OLD_SEGMENTS,
	OLD_BUSY,
	NEW_BUSY,
	LINK,
	NEW_EFLAGS,
	TASK_REGISTER,
	TASK_SWITCHED,
	NEW_CR3,
	NEW_LDT,
	NEW_REGISTERS,
	NEW_SEGMENTS,
	NEW_ESP,
	ERROR_CODE,
};

static void must_be(enum fact fact, const char *what, uint32_t is, uint32_t right)
{
	if (is == right)
		return;
	now.wrong |= 1u << fact;
	note("%s is %#x, must be %#x", what, is, right);
}

static unsigned access_of(unsigned selector)
{
	return task_table[selector / 8] >> 40 & 0xff;
}

#define ARITHMETIC_FLAGS 0x8d5u

/* -- By the manual. ---------------------------------------------------------------------------- */

static void judge_old(const struct facts *facts, const struct regs *regs)
{
	bool fault = now.how == BY_FAULT, stays_busy = now.how != BY_JMP;

	must_be(OLD_EIP, "EIP in the old TSS", old_tss.eip,
		mark_address(now.snippet, now.saved_at));
	must_be(OLD_EFLAGS, "EFLAGS in the old TSS", old_tss.eflags & ~ARITHMETIC_FLAGS,
		now.flags | (fault ? X86_EFLAGS_RF : 0));
	must_be(OLD_REGISTERS, "EBX in the old TSS", old_tss.ebx, regs->rbx);
	must_be(OLD_REGISTERS, "ESI in the old TSS", old_tss.esi, regs->rsi);
	must_be(OLD_REGISTERS, "EBP in the old TSS", old_tss.ebp, regs->rbp);
	must_be(OLD_REGISTERS, "ESP in the old TSS", old_tss.esp, stack_top(0, STACK_SNIPPET));
	must_be(OLD_SEGMENTS, "CS in the old TSS", old_tss.cs & 0xffff, BOOT_CS32);
	must_be(OLD_SEGMENTS, "SS in the old TSS", old_tss.ss & 0xffff, KERNEL_DS);
	must_be(OLD_SEGMENTS, "DS in the old TSS", old_tss.ds & 0xffff, KERNEL_DS);
	must_be(OLD_BUSY, "the busy bit of the old task", facts->old_access & BUSY,
		stays_busy ? BUSY : 0);
}

static void judge_new(const struct facts *facts, uint32_t esp)
{
	bool linked = now.how != BY_JMP;
	uint32_t top = (uint32_t)(uint64_t)(new_stack + STACK_WORDS);

	must_be(NEW_BUSY, "the busy bit of the new task", access_of(NEW_TSS) & BUSY, BUSY);
	must_be(LINK, "the link in the new TSS", new_tss.link, linked ? TSS_SELECTOR : 0xdead);
	must_be(NEW_EFLAGS, "EFLAGS of the new task", facts->eflags & ~ARITHMETIC_FLAGS,
		X86_EFLAGS_FIXED | (linked ? X86_EFLAGS_NT : 0));
	must_be(TASK_REGISTER, "TR", facts->tr & 0xffff, NEW_TSS);
	must_be(TASK_SWITCHED, "CR0.TS", facts->cr0 >> 3 & 1, 1);
	must_be(NEW_CR3, "CR3", facts->cr3, new_tss.cr3);
	must_be(NEW_LDT, "LDTR", facts->ldt & 0xffff, new_tss.ldt);
	must_be(NEW_REGISTERS, "EAX of the new task", facts->eax, new_tss.eax);
	must_be(NEW_REGISTERS, "ECX of the new task", facts->ecx, new_tss.ecx);
	must_be(NEW_REGISTERS, "EDX of the new task", facts->edx, new_tss.edx);
	must_be(NEW_REGISTERS, "EBX of the new task", facts->ebx, new_tss.ebx);
	must_be(NEW_REGISTERS, "EBP of the new task", facts->ebp, new_tss.ebp);
	must_be(NEW_REGISTERS, "ESI of the new task", facts->esi, new_tss.esi);
	must_be(NEW_REGISTERS, "EDI of the new task", facts->edi, new_tss.edi);
	must_be(NEW_SEGMENTS, "CS of the new task", facts->cs & 0xffff, new_tss.cs);
	must_be(NEW_SEGMENTS, "DS of the new task", facts->ds & 0xffff, new_tss.ds);
	must_be(NEW_SEGMENTS, "ES of the new task", facts->es & 0xffff, new_tss.es);
	must_be(NEW_SEGMENTS, "FS of the new task", facts->fs & 0xffff, new_tss.fs);
	must_be(NEW_SEGMENTS, "GS of the new task", facts->gs & 0xffff, new_tss.gs);
	must_be(NEW_ESP, "ESP of the new task, below its top", top - esp, now.has_error ? 4 : 0);
	if (now.has_error)
		must_be(ERROR_CODE, "the error code on the new stack", new_stack[STACK_WORDS - 1],
			now.error);
}

/* -- A case. ----------------------------------------------------------------------------------- */

#define TELL_VECTOR 0x77

static enum action hear(const struct event *event, struct trap_frame *frame)
{
	const struct facts *facts = (const struct facts *)frame->iret.rsp;

	if (event->vector != TELL_VECTOR)
		return BY_RULE;
	judge_old(facts, &this_recording()->run.before.regs);
	judge_new(facts, frame->iret.rsp + sizeof(*facts));
	return LEAVE;
}

static uint64_t descriptor(uint64_t base, uint32_t limit, unsigned access)
{
	return (limit & 0xffff) | (base & 0xffffff) << 16 | (uint64_t)access << 40 |
	       (base >> 24 & 0xff) << 56;
}

static void fill_new_tss(const struct snippet *snippet)
{
	new_tss = (struct tss32){
		.link = 0xdead,
		.cr3 = mode_pae_pointers(),
		.eip = mark_address(snippet, "new_task"),
		.eflags = TASK_EFLAGS,
		.eax = 0xa0a0a0a0,
		.ecx = 0xc0c0c0c0,
		.edx = 0xd0d0d0d0,
		.ebx = 0xb0b0b0b0,
		.ebp = 0xe0e0e0e0,
		.esi = 0x51515151,
		.edi = 0xd1d1d1d1,
		.esp = (uint32_t)(uint64_t)(new_stack + STACK_WORDS),
		.cs = BOOT_CS32,
		.ss = KERNEL_DS,
		.ds = KERNEL_DS,
		.es = KERNEL_DS,
		.fs = USER_DS,
		.gs = 0,
		.io_map_base = sizeof(struct tss32),
	};
}

static void prepare(const struct snippet *snippet, enum how how, const char *saved_at)
{
	struct descriptors *own = &this_cpu()->descriptors;
	struct table_pointer table = {TABLE_BYTES - 1, (uint64_t)task_table};

	memset(&now, 0, sizeof(now));
	now.snippet = snippet;
	now.how = how;
	now.saved_at = saved_at;
	now.flags = X86_EFLAGS_FIXED;
	memset(&old_tss, 0, sizeof(old_tss));
	old_tss.cr3 = mode_pae_pointers();
	memset(new_stack, 0, sizeof(new_stack));
	fill_new_tss(snippet);
	task_cr3 = mode_pae_pointers();
	load_tss(own, (const struct tss *)&old_tss);
	memcpy(task_table, own->gdt, sizeof(own->gdt));
	task_table[NEW_TSS / 8] = descriptor((uint64_t)&new_tss, sizeof(new_tss) - 1, AVAILABLE);
	task_table[GATE_TO_NEW / 8] = (uint64_t)NEW_TSS << 16 | (uint64_t)TASK_GATE << 40;
	task_table[LDT / 8] = descriptor((uint64_t)task_table, 7, 0x82);
	task_table[ABSENT_DATA / 8] = task_table[KERNEL_DS / 8] & ~(0x80ull << 40);
	asm volatile("lgdt %0" : : "m"(table) : "memory");
	notation_name("new_task", new_tss.eip, 1);
	setup.hook = hear;
}

static void task_gate(unsigned vector)
{
	gate_set_selector(vector, NEW_TSS);
	idt[vector].attributes = TASK_GATE;
}

#define NEED need_native("a task switch of L2 is its hypervisor's")

/* The switch must come to its end in the new task. */
static void run_switch(void)
{
	run_snippet(now.snippet);
	observe("wrong", now.wrong);
}

static void switched(void)
{
	expect("int 0x77@told; wrong=0x0");
	run_switch();
}

SWITCH(jmp, "ljmp $0x58, $0");
SWITCH(call, "lcall $0x58, $0");
SWITCH(jmp_gate, "ljmp $0x60, $0");
SWITCH(call_gate, "lcall $0x60, $0");
SWITCH(int_n, "int $0x40");
SWITCH(int3, "int3");
SWITCH(into, "movb $0x7f, %al; add $1, %al; mark second; into");
SWITCH(int1, ".byte 0xf1");
SWITCH(divide, "xor %ecx, %ecx; mark second; div %ecx");
SWITCH(bad_segment, "mov $0x48, %eax; mark second; mov %eax, %es");
SWITCH(page_fault, "mov $0x40000123, %edi; mark second; movl $1, (%edi)");
SWITCH(step, "nop; mark second; nop");
SWITCH(wait_here, "mov %eax, (%edi); mark second; 1: jmp 1b");
SWITCH(sti, "sti; mark shadow; nop; mark second; nop");

#define DIRECT(name, how)                                 \
	CASE(name, LEGACY_CPL0, RULE_SWITCH, CATCHES("")) \
	{                                                 \
		NEED;                                     \
		prepare(&name, how, "after");             \
		switched();                               \
	}

DIRECT(jmp, BY_JMP)
DIRECT(call, BY_CALL)
DIRECT(jmp_gate, BY_JMP)
DIRECT(call_gate, BY_CALL)

#define EVENT(name, vector, how, saved_at, bugs)           \
	CASE(name, LEGACY_CPL0, RULE_EVENT, CATCHES(bugs)) \
	{                                                  \
		NEED;                                      \
		prepare(&name, how, saved_at);             \
		task_gate(vector);                         \
		switched();                                \
	}

#define BUGS_OF_SOFT_INT \
	"model-task-old-eip model-task-old-nt model-task-old-esp model-task-no-nt model-task-no-link model-task-not-busy model-task-ebp-kept model-task-fs-kept model-task-ts-clear"

EVENT(int_n, 0x40, BY_EVENT, "after", BUGS_OF_SOFT_INT)
EVENT(int3, VECTOR_BP, BY_EVENT, "after", BUGS_OF_SOFT_INT)
EVENT(into, VECTOR_OF, BY_EVENT, "after", BUGS_OF_SOFT_INT)
EVENT(int1, VECTOR_DB, BY_EVENT, "after", "tcg-icebp")
EVENT(divide, VECTOR_DE, BY_FAULT, "second", "tcg-task-rf")

CASE(bad_segment, LEGACY_CPL0, RULE_EVENT, CATCHES("tcg-task-rf"))
{
	NEED;
	prepare(&bad_segment, BY_FAULT, "second");
	now.has_error = true;
	now.error = 0x48;
	task_gate(VECTOR_GP);
	switched();
}

CASE(page_fault, LEGACY_CPL0, RULE_EVENT, CATCHES("tcg-task-rf"))
{
	NEED;
	prepare(&page_fault, BY_FAULT, "second");
	now.has_error = true;
	now.error = PF_WRITE;
	window_map(0, 0);
	task_gate(VECTOR_PF);
	switched();
	check(read_cr2() == 0x40000123, "CR2 is %#lx, must be 0x40000123", read_cr2());
}

CASE(step, LEGACY_CPL0, RULE_EVENT, CATCHES(""))
{
	NEED;
	prepare(&step, BY_EVENT, "second");
	setup.rflags = X86_EFLAGS_TF;
	now.flags |= X86_EFLAGS_TF;
	task_gate(VECTOR_DB);
	switched();
	check(read_dr6() & DR6_BS, "DR6.BS is clear: DR6 is %#lx", read_dr6());
	write_dr6(DR6_CLEAR);
}

CASE(code_breakpoint, LEGACY_CPL0, RULE_EVENT, CATCHES(""))
{
	NEED;
	prepare(&step, BY_EVENT, "second"); /* a fault, but the only one that does not set RF */
	write_dr0(mark_address(&step, "second"));
	write_dr7(DR7_CLEAR | 2);
	task_gate(VECTOR_DB);
	switched();
	write_dr6(DR6_CLEAR);
	write_dr7(DR7_CLEAR);
}

CASE(local_breakpoints, LEGACY_CPL0, RULE_LOCAL, CATCHES(""))
{
	NEED;
	prepare(&jmp, BY_JMP, "after");
	write_dr7(DR7_CLEAR | 1 | 2 | 4 | 0x80);
	switched();
	check(read_dr7() == (DR7_CLEAR | 2 | 0x80), "DR7 is %#lx, must be %#x", read_dr7(),
	      DR7_CLEAR | 2 | 0x80);
	write_dr7(DR7_CLEAR);
}

CASE_NEEDS("apic=1", nmi, LEGACY_CPL0, RULE_EVENT, CATCHES(""))
{
	NEED;
	need(!apic_is_x2(), "the snippet knows the xAPIC's page only");
	prepare(&wait_here, BY_EVENT, "second");
	apic_write(APIC_ICR_HIGH, apic_id() << 24);
	setup.regs.rdi = 0xfee00300;
	setup.regs.rax = ICR_NMI | ICR_ASSERT;
	task_gate(VECTOR_NMI);
	switched();
}

#define PENDING 0x31

CASE_NEEDS("apic=1", interrupt, LEGACY_CPL0, RULE_EVENT, CATCHES(""))
{
	NEED;
	prepare(&sti, BY_EVENT, "second");
	interrupt_pending(PENDING);
	now.flags |= X86_EFLAGS_IF;
	task_gate(PENDING);
	switched();
	apic_eoi();
}

/* -- The T bit, CR3, LDT, and back. ------------------------------------------------------------ */

static enum action leave_now(const struct event *event, struct trap_frame *frame)
{
	(void)event;
	(void)frame;
	return LEAVE;
}

static void run_t_bit(void)
{
	new_tss.trap = 1;
	setup.hook = leave_now;
	expect("#DB[BT]@new_task");
	run_snippet(now.snippet);
}

static void with_t_bit(const struct snippet *snippet, enum how how)
{
	NEED;
	prepare(snippet, how, "after");
	run_t_bit();
}

CASE(jmp_t_bit, LEGACY_CPL0, RULE_T, CATCHES("tss-t-bit kvm-task-t-bit tcg-t-bit-eip"))
{
	with_t_bit(&jmp, BY_JMP);
}

CASE(call_t_bit, LEGACY_CPL0, RULE_T, CATCHES("tss-t-bit kvm-task-t-bit tcg-t-bit-eip"))
{
	with_t_bit(&call, BY_CALL);
}

CASE(int_n_t_bit, LEGACY_CPL0, RULE_T, CATCHES("tss-t-bit kvm-task-t-bit"))
{
	NEED;
	prepare(&int_n, BY_EVENT, "after");
	task_gate(0x40);
	run_t_bit();
}

/* The word above T is the I/O map's base. */
CASE(io_map_is_no_t_bit, LEGACY_CPL0, RULE_T, CATCHES("tcg-tss-t-word"))
{
	NEED;
	prepare(&jmp, BY_JMP, "after");
	new_tss.io_map_base = 0x8001;
	switched();
}

CASE(cr3_loaded, LEGACY_CPL0, RULE_SWITCH, CATCHES(""))
{
	const uint64_t *pointers = (const uint64_t *)(uint64_t)mode_pae_pointers();

	NEED;
	prepare(&jmp, BY_JMP, "after");
	/* Those of the library are filled on the way: the first case may come before. */
	need(pointers[0], "no table of PAE paging yet");
	for (unsigned i = 0; i < 4; i++)
		other_pointers[i] = pointers[i] & ~PTE_ACCESSED;
	new_tss.cr3 = (uint64_t)other_pointers;
	switched();
}

CASE(ldt_loaded, LEGACY_CPL0, RULE_SWITCH, CATCHES(""))
{
	NEED;
	prepare(&call, BY_CALL, "after");
	new_tss.ldt = LDT;
	switched();
}

CASE(ldt_loaded_by_int_n, LEGACY_CPL0, RULE_EVENT, CATCHES("model-task-ldt-kept"))
{
	NEED;
	prepare(&int_n, BY_EVENT, "after");
	task_gate(0x40);
	new_tss.ldt = LDT;
	switched();
}

SNIPPET_BOTH(call_and_return, "nop; mark after; mark new_task; mark back; nop",
	     "mark insn; lcall $0x58, $0; mark after; jmp 9f\n" NOP_OF_SWITCH
	     "mark new_task; mov %ebp, %ebp; iret; mark inside; jmp 8f\n"
	     "9: mark back; str %eax; mov %cr0, %ecx; clts; int $0x77; mark returned; 8: nop");

static enum action hear_return(const struct event *event, struct trap_frame *frame)
{
	const struct regs *was = &this_recording()->run.before.regs;

	if (event->vector != TELL_VECTOR)
		return BY_RULE;
	must_be(TASK_REGISTER, "TR", frame->regs.rax & 0xffff, TSS_SELECTOR);
	must_be(TASK_SWITCHED, "CR0.TS", frame->regs.rcx >> 3 & 1, 1);
	must_be(OLD_BUSY, "the busy bit of the task that was returned to",
		access_of(TSS_SELECTOR) & BUSY, BUSY);
	must_be(NEW_BUSY, "the busy bit of the task that was left", access_of(NEW_TSS) & BUSY, 0);
	must_be(NEW_EFLAGS, "EFLAGS in the TSS that was left", new_tss.eflags & ~ARITHMETIC_FLAGS,
		X86_EFLAGS_FIXED);
	must_be(OLD_EIP, "EIP in the TSS that was left", new_tss.eip,
		mark_address(now.snippet, "inside"));
	must_be(OLD_EFLAGS, "EFLAGS behind the return", frame->iret.rflags & ~ARITHMETIC_FLAGS,
		now.flags);
	must_be(OLD_REGISTERS, "EBX behind the return", frame->regs.rbx, (uint32_t)was->rbx);
	must_be(OLD_REGISTERS, "EDI behind the return", frame->regs.rdi, (uint32_t)was->rdi);
	return LEAVE;
}

CASE(call_and_return, LEGACY_CPL0, RULE_RETURN, CATCHES(""))
{
	NEED;
	prepare(&call_and_return, BY_CALL, "after");
	setup.hook = hear_return;
	expect("int 0x77@returned; wrong=0x0");
	run_switch();
}

/* -- What is wrong with the new TSS, and with what is in it. ----------------------------------- */

static void refused(const struct snippet *snippet, const char *trace)
{
	uint32_t eip = old_tss.eip;

	expect("%s; wrong=0x0", trace);
	run_snippet(snippet);
	must_be(OLD_EIP, "EIP in the old TSS", old_tss.eip, eip);
	must_be(OLD_BUSY, "the busy bit of the old task", access_of(TSS_SELECTOR) & BUSY, BUSY);
	observe("wrong", now.wrong);
}

#define REFUSED(name, snippet, how, change, trace) REFUSED_OF(name, snippet, how, change, trace, "")
#define REFUSED_OF(name, snippet, how, change, trace, bugs) \
	CASE(name, LEGACY_CPL0, RULE_OLD, CATCHES(bugs))    \
	{                                                   \
		NEED;                                       \
		prepare(&snippet, how, "after");            \
		change;                                     \
		refused(&snippet, trace);                   \
	}

#define ABSENT_TSS task_table[NEW_TSS / 8] &= ~(0x80ull << 40)
#define SHORT_TSS task_table[NEW_TSS / 8] -= 1
#define BUSY_TSS task_table[NEW_TSS / 8] |= (uint64_t)BUSY << 40
#define THROUGH_GATE task_gate(0x40)

REFUSED(jmp_absent, jmp, BY_JMP, ABSENT_TSS, "#NP(0x58)@insn")
REFUSED(call_absent, call, BY_CALL, ABSENT_TSS, "#NP(0x58)@insn")
REFUSED(jmp_short, jmp, BY_JMP, SHORT_TSS, "#TS(0x58)@insn")
REFUSED(call_short, call, BY_CALL, SHORT_TSS, "#TS(0x58)@insn")
REFUSED(jmp_busy, jmp, BY_JMP, BUSY_TSS, "#GP(0x58)@insn")
REFUSED(call_busy, call, BY_CALL, BUSY_TSS, "#GP(0x58)@insn")
REFUSED_OF(int_n_absent, int_n, BY_EVENT, THROUGH_GATE;
	   ABSENT_TSS, "#NP(0x58)@insn", "model-task-absent-unchecked")
REFUSED_OF(int_n_short, int_n, BY_EVENT, THROUGH_GATE;
	   SHORT_TSS, "#TS(0x58)@insn", "model-task-limit-unchecked")
REFUSED_OF(int_n_busy, int_n, BY_EVENT, THROUGH_GATE;
	   BUSY_TSS, "#GP(0x58)@insn", "model-task-busy-unchecked")

SNIPPET_BOTH(iret, "nop; mark insn; nop", "mark insn; iret\n" NOP_OF_SWITCH "mov %ebp, %ebp");

CASE(iret_to_available, LEGACY_CPL0, RULE_RETURN, CATCHES(""))
{
	NEED;
	prepare(&jmp, BY_JMP, "after");
	now.snippet = &iret;
	setup.rflags = X86_EFLAGS_NT;
	old_tss.link = NEW_TSS;
	refused(&iret, "#TS(0x58)@insn");
}

#define IN_NEW(name, change, trace)                                                          \
	CASE(name, LEGACY_CPL0, RULE_NEW, CATCHES("tcg-task-fault-eip kvm-task-fault-lost")) \
	{                                                                                    \
		NEED;                                                                        \
		prepare(&jmp, BY_JMP, "after");                                              \
		change;                                                                      \
		expect("%s", trace);                                                         \
		run(jmp);                                                                    \
		check((access_of(NEW_TSS) & BUSY) && !(access_of(TSS_SELECTOR) & BUSY),      \
		      "the busy bits are not those of a switch that was made");              \
	}

/* GS is the last that any implementation loads: the handler's frame needs CS and SS. */
IN_NEW(bad_gs, new_tss.gs = BOOT_CS32 | 0x1000, "#TS(0x1008)@new_task")
IN_NEW(absent_gs, new_tss.gs = ABSENT_DATA, "#NP(0x70)@new_task")
