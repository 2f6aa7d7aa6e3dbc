/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Virtual-8086 mode: what is delivered out of it, by whom, and what the 8086 program may do itself.
 *
 * The rule. Exceptions, interrupts, INT3, INTO and INT1 go through a gate to ring 0 whatever IOPL says: nine doublewords
 * on the stack of the TSS, data segments null, VM clear. INT n, CLI, STI, PUSHF, POPF and IRET ask for IOPL 3, or are
 * #GP(0). With CR4.VME they need not be: INT n goes to the program's own handler where the vector's bit in the TSS is
 * clear, and with less IOPL the program has VIF for IF. Ports go by the I/O map alone. A gate must lead to CPL 0.
 *
 * Why a hypervisor must care. DOS boxes, BIOS calls of old systems and every VMX host without "unrestricted guest" run
 * this mode: KVM runs real mode as virtual-8086 mode there and carries out INT n, CLI, STI, PUSHF, POPF and IRET in its
 * emulator; SVM intercepts INT n before IOPL is looked at.
 *
 * What a buggy hypervisor shows: `int 0x40@after` where `#GP(0x0)@insn` is due or the reverse, VIF that is IF, or a
 * handler with the program's segments (`!DS`). What the program's own handler got is a reading: `pushed`, the FLAGS on its
 * stack, and `eflags`, with which it began. QEMU's TCG and what runs on it have no VME; Bochs has.
 */
#include "trapline.h"

#include "x86/modes/v86.h"

#define RULE_IOPL \
	"SDM 3B, Class 3-Software Interrupt Handling in Virtual-8086 Mode: INT n goes to the monitor's gate with IOPL 3, and is #GP(0) with less"
#define RULE_NOT_SENSITIVE \
	"SDM 3B, Sensitive Instructions (8086 emulation): INT3, INTO, INT1 and BOUND do not ask for IOPL"
#define RULE_SENSITIVE \
	"SDM 3B, Sensitive Instructions (8086 emulation): CLI, STI, PUSHF, POPF and IRET are #GP(0) with IOPL below 3"
#define RULE_METHODS \
	"SDM 3B, Software Interrupt Handling Methods While in Virtual-8086 Mode: by CR4.VME, IOPL and the vector's bit in the TSS"
#define RULE_CLASS_1 \
	"SDM 3B, Class 1-Hardware Interrupt and Exception Handling in Virtual-8086 Mode: through the gate, whatever IOPL and the redirection bits say"
#define RULE_GATE \
	"SDM 3B, Handling an Interrupt or Exception Through a Protected-Mode Trap or Interrupt Gate: the handler must be at CPL 0, or #GP(selector)"
#define RULE_VIF \
	"SDM 3B, Class 2-Maskable Hardware Interrupt Handling in Virtual-8086 Mode: with CR4.VME and IOPL below 3, VIF stands for IF, and VIP with it is #GP(0)"
#define RULE_PRIVILEGED \
	"SDM 3B, Privilege Levels in virtual-8086 mode: the program runs at CPL 3; what is for CPL 0 is #GP(0)"
#define RULE_PROTECTED_ONLY \
	"SDM 2, LLDT, LTR, SLDT, STR, VERR, VERW, LAR, LSL, ARPL: #UD in virtual-8086 mode"
#define RULE_PORTS \
	"SDM 3B, Virtual-8086 Mode I/O: by the I/O permission map alone, whatever IOPL says"
#define RULE_LIMIT \
	"SDM 3B, Interrupts and Exceptions in virtual-8086 mode: segments of 64 KiB; beyond is #GP(0), of the stack #SS(0)"
#define RULE_FLAGS \
	"SDM 3A, Flag Usage By Exception- or Interrupt-Handler Procedure: TF, NT, RF and VM are clear in the handler, and as they were in its frame"

#define IF X86_EFLAGS_IF
#define TF X86_EFLAGS_TF
#define NT X86_EFLAGS_NT
#define VIF X86_EFLAGS_VIF
#define VIP X86_EFLAGS_VIP
#define CR4_VME 1
#define VECTOR 0x40
#define PENDING 0x31

/* How a row begins: IOPL, CR4.VME, whose VECTOR is, and EFLAGS besides. */
enum whose { NO_VME, MONITOR, PROGRAM };

static bool has_vme(void)
{
	return cpuid(1, 0).d & 2;
}

static void begin(unsigned iopl, enum whose whose, uint64_t rflags)
{
	v86_begin();
	setup.shown_flags = IF | TF | NT | VIF | VIP;
	setup.without_rflags = X86_EFLAGS_IOPL;
	setup.rflags = iopl << 12 | rflags;
	if (whose == NO_VME)
		return;
	need_of_machine(has_vme(), "VME");
	write_cr4(read_cr4() | CR4_VME);
	if (whose == PROGRAM)
		memset(v86_tss.to_monitor, 0, sizeof(v86_tss.to_monitor));
}

/* The program's handlers stop at once; whoever else's go on by rule. */
static enum action hear(const struct event *event, struct trap_frame *frame)
{
	(void)event;
	(void)frame;
	return v86_program.handles ? LEAVE : BY_RULE;
}

static void go(const struct snippet *snippet)
{
	setup.hook = hear;
	run_snippet(snippet);
	if (v86_program.handles) {
		observe("pushed", v86_program.pushed);
		observe("eflags", v86_program.eflags & ~(X86_EFLAGS_RF | X86_EFLAGS_VM));
	}
	write_cr4(read_cr4() & ~(uint64_t)CR4_VME);
}

#define TEXT_16(name, text) \
	SNIPPET_ALL(name, "nop", "nop", "mark insn\n" text "\nmark after; nop; nop")

#define ROW(name, rule, bugs, iopl, whose, rflags, text, trace) \
	TEXT_16(name, text);                                    \
	CASE(name, V86, rule, CATCHES(bugs))                    \
	{                                                       \
		begin(iopl, whose, rflags);                     \
		expect(trace);                                  \
		go(&name);                                      \
	}

/* -- INT n without VME, by IOPL; what does not ask for it. -------------------------------------- */

#define INT_N "int $0x40"
#define INTO "movb $0x7f, %al; addb $1, %al; mark second; into"
#define INT1 ".byte 0xf1"
#define DIVIDE "xor %cx, %cx; mark second; div %cx"
#define BUGS_IOPL "model-v86-iopl-ignored"
#define BUGS_FRAME "model-v86-frame-null model-v86-frame-order"
#define BUGS_FRAME_IOPL BUGS_FRAME " model-v86-frame-iopl"

ROW(int_n_iopl3, RULE_IOPL, BUGS_FRAME_IOPL, 3, NO_VME, IF, INT_N, "int 0x40@after{IF}")
ROW(int_n_iopl2, RULE_IOPL, BUGS_IOPL, 2, NO_VME, IF, INT_N, "#GP(0x0)@insn{IF}")
ROW(int_n_iopl1, RULE_IOPL, BUGS_IOPL, 1, NO_VME, IF, INT_N, "#GP(0x0)@insn{IF}")
ROW(int_n_iopl0, RULE_IOPL, BUGS_IOPL, 0, NO_VME, IF, INT_N, "#GP(0x0)@insn{IF}")
ROW(int_3_iopl0, RULE_IOPL, BUGS_IOPL, 0, NO_VME, 0, ".byte 0xcd, 3", "#GP(0x0)@insn")
ROW(int_4_iopl0, RULE_IOPL, BUGS_IOPL, 0, NO_VME, 0, "int $4", "#GP(0x0)@insn")
ROW(int3_iopl0, RULE_NOT_SENSITIVE, BUGS_FRAME, 0, NO_VME, IF, "int3", "#BP@after{IF}")
ROW(into_iopl0, RULE_NOT_SENSITIVE, BUGS_FRAME, 0, NO_VME, IF, INTO, "#OF@after{IF}")
ROW(int1_iopl0, RULE_NOT_SENSITIVE, "tcg-icebp", 0, NO_VME, IF, INT1, "#DB[]@after{IF}")
ROW(divide_iopl0, RULE_CLASS_1, "", 0, NO_VME, IF, DIVIDE, "#DE@second{IF}")
ROW(undefined_iopl0, RULE_CLASS_1, "", 0, NO_VME, IF, "ud2", "#UD@insn{IF}")

/* -- CR4.VME: the six methods. ----------------------------------------------------------------- */

ROW(method_1, RULE_METHODS, BUGS_FRAME_IOPL, 3, NO_VME, IF, INT_N, "int 0x40@after{IF}")
ROW(method_2, RULE_METHODS, BUGS_IOPL, 0, NO_VME, IF, INT_N, "#GP(0x0)@insn{IF}")
ROW(method_3, RULE_METHODS, "", 0, MONITOR, IF | VIF, INT_N, "#GP(0x0)@insn{IF,VIF}")
ROW(method_3_iopl2, RULE_METHODS, "", 2, MONITOR, IF, INT_N, "#GP(0x0)@insn{IF}")
ROW(method_4, RULE_METHODS, "", 3, MONITOR, IF | VIF, INT_N, "int 0x40@after{IF,VIF}")
ROW(method_5, RULE_METHODS, "", 3, PROGRAM, IF, INT_N,
    "int 0x40@after{IF}; pushed=0x3202; eflags=0x3002")
ROW(method_5_if_clear, RULE_METHODS, "", 3, PROGRAM, 0, INT_N,
    "int 0x40@after; pushed=0x3002; eflags=0x3002")
ROW(method_5_vif, RULE_METHODS, "", 3, PROGRAM, IF | VIF, INT_N,
    "int 0x40@after{IF,VIF}; pushed=0x3202; eflags=0x83002")
ROW(method_5_tf, RULE_METHODS, "", 3, PROGRAM, IF | TF, INT_N,
    "int 0x40@after{IF,TF}; pushed=0x3302; eflags=0x3002")
ROW(method_6, RULE_METHODS, "", 0, PROGRAM, IF, INT_N,
    "int 0x40@after; pushed=0x3002; eflags=0x202")
ROW(method_6_vif, RULE_METHODS, "", 0, PROGRAM, IF | VIF, INT_N,
    "int 0x40@after{IF}; pushed=0x3202; eflags=0x202")
ROW(method_6_vif_alone, RULE_METHODS, "", 0, PROGRAM, VIF, INT_N,
    "int 0x40@after{IF}; pushed=0x3202; eflags=0x2")
ROW(method_6_iopl2, RULE_METHODS, "", 2, PROGRAM, IF | VIF, INT_N,
    "int 0x40@after{IF}; pushed=0x3202; eflags=0x2202")
ROW(method_6_tf, RULE_METHODS, "", 0, PROGRAM, IF | TF | VIF, INT_N,
    "int 0x40@after{IF,TF}; pushed=0x3302; eflags=0x202")
ROW(int_3_of_program, RULE_METHODS, "", 0, PROGRAM, IF, ".byte 0xcd, 3",
    "int 0x3@after; pushed=0x3002; eflags=0x202")
ROW(int3_not_redirected, RULE_CLASS_1, "", 0, PROGRAM, IF, "int3", "#BP@after{IF}")
ROW(int3_iopl3_not_redirected, RULE_CLASS_1, "", 3, PROGRAM, IF, "int3", "#BP@after{IF}")
ROW(into_not_redirected, RULE_CLASS_1, "", 0, PROGRAM, IF, INTO, "#OF@after{IF}")
ROW(int1_not_redirected, RULE_CLASS_1, "tcg-icebp", 0, PROGRAM, IF, INT1, "#DB[]@after{IF}")
ROW(divide_not_redirected, RULE_CLASS_1, "", 3, PROGRAM, IF, DIVIDE, "#DE@second{IF}")

/* The bit of each vector is its own: 0x40 lies at the beginning of a byte, 0x3f at the end of one. */
static void one_bit(const struct snippet *snippet, unsigned clear, const char *trace)
{
	begin(0, MONITOR, IF);
	v86_tss.to_monitor[clear / 32] &= ~(1u << clear % 32);
	expect("%s", trace);
	go(snippet);
}

#define ONE_BIT(name, clear, trace)                \
	CASE(name, V86, RULE_METHODS, CATCHES("")) \
	{                                          \
		one_bit(&method_6, clear, trace);  \
	}

ONE_BIT(own_bit, 0x40, "int 0x40@after; pushed=0x3002; eflags=0x202")
ONE_BIT(bit_below, 0x3f, "#GP(0x0)@insn{IF}")
ONE_BIT(bit_above, 0x41, "#GP(0x0)@insn{IF}")
ONE_BIT(bit_of_other_byte, 0x38, "#GP(0x0)@insn{IF}")

/* The program's handler returns by its own IRET. */
TEXT_16(int_and_iret, "int $0x40; mark second; int3; mark third; jmp 9f; mark handler; iret; 9:");

static void return_of_program(unsigned iopl, uint64_t rflags, const char *trace)
{
	begin(iopl, PROGRAM, rflags);
	v86_vector(VECTOR, LOW_SELECTOR, mark_address(&int_and_iret, "handler") - LOW_BASE);
	expect("%s", trace);
	go(&int_and_iret);
}

#define RETURN(name, iopl, rflags, trace)               \
	CASE(name, V86, RULE_METHODS, CATCHES(""))      \
	{                                               \
		return_of_program(iopl, rflags, trace); \
	}

RETURN(iret_of_program_iopl3, 3, IF, "#BP@third{IF}")
RETURN(iret_of_program_iopl0, 0, IF, "#BP@third{IF}")
RETURN(iret_of_program_iopl0_vif, 0, IF | VIF, "#BP@third{IF,VIF}")

/* -- A gate that the mode refuses. ------------------------------------------------------------- */

#define CONFORMING (1ull << 42)
#define DPL_3 (3ull << 45)

#define GATE(name, bugs, snippet, iopl, change, trace) \
	CASE(name, V86, RULE_GATE, CATCHES(bugs))      \
	{                                              \
		begin(iopl, NO_VME, IF);               \
		change;                                \
		expect(trace);                         \
		go(&snippet);                          \
	}

static void lead_to_user(unsigned vector, uint64_t change)
{
	this_cpu()->descriptors.gdt[USER_CS32 / 8] ^= change;
	gate_set_selector(vector, USER_CS32);
}

GATE(int_n_gate_to_cpl3, "model-v86-gate-cpl", int_n_iopl3, 3, lead_to_user(VECTOR, 0),
     "#GP(0x20)@insn{IF}")
GATE(int3_gate_to_cpl3, "model-v86-gate-cpl", int3_iopl0, 0, lead_to_user(VECTOR_BP, 0),
     "#GP(0x20)@insn{IF}")
GATE(undefined_gate_to_cpl3, "tcg-ext-bit", undefined_iopl0, 0, lead_to_user(VECTOR_UD, 0),
     "#GP(0x21)@insn{IF}")
GATE(int_n_gate_conforming, "model-v86-gate-cpl", int_n_iopl3, 3,
     lead_to_user(VECTOR, CONFORMING | DPL_3), "#GP(0x20)@insn{IF}")
GATE(int_n_iopl0_gate_dpl0, BUGS_IOPL, int_n_iopl0, 0, gate_set_dpl(VECTOR, 0), "#GP(0x0)@insn{IF}")
GATE(int_n_iopl3_gate_dpl0, "model-int-n-no-dpl-check", int_n_iopl3, 3, gate_set_dpl(VECTOR, 0),
     "#GP(0x202)@insn{IF}")
GATE(int3_iopl0_gate_dpl0, "model-int-n-no-dpl-check", int3_iopl0, 0, gate_set_dpl(VECTOR_BP, 0),
     "#GP(0x1a)@insn{IF}")
GATE(int_n_trap_gate, BUGS_FRAME_IOPL, int_n_iopl3, 3, gate_set_trap(VECTOR), "int 0x40@after{IF}")
GATE(undefined_trap_gate, "", undefined_iopl0, 0, gate_set_trap(VECTOR_UD), "#UD@insn{IF}")

/* -- CLI, STI, PUSHF, POPF, IRET. -------------------------------------------------------------- */

/* EBP is FLAGS for POPF and IRET. IRET goes to `target`. */
#define POPF "push %bp; mark second; popf; mark third; int3"
#define IRET \
	"push %bp; push %cs; call 1f; 1: pop %ax; add $2f - 1b, %ax; push %ax; mark second; iret; mark third; nop; 2: mark target; int3"
#define POPFL "push %ebp; mark second; popfl; mark third; int3"
#define IRETL \
	"push %ebp; xor %eax, %eax; mov %cs, %ax; push %eax; call 1f; 1: pop %ax; add $2f - 1b, %ax; push %eax; mark second; iretl; mark third; nop; 2: mark target; int3"

#define POP_ROW(name, rule, bugs, iopl, whose, rflags, image, text, trace) \
	TEXT_16(name, text);                                               \
	CASE(name, V86, rule, CATCHES(bugs))                               \
	{                                                                  \
		begin(iopl, whose, rflags);                                \
		setup.regs.rbp = image;                                    \
		expect(trace);                                             \
		go(&name);                                                 \
	}

#define IMAGE X86_EFLAGS_FIXED

ROW(cli_iopl3, RULE_SENSITIVE, BUGS_FRAME, 3, NO_VME, IF, "cli; mark second; int3", "#BP@after")
ROW(sti_iopl3, RULE_SENSITIVE, BUGS_FRAME, 3, NO_VME, 0, "sti; mark second; int3", "#BP@after{IF}")
POP_ROW(popf_iopl3, RULE_SENSITIVE, BUGS_FRAME, 3, NO_VME, 0, IMAGE | IF | NT, POPF,
	"#BP@after{IF,NT}")
POP_ROW(popf_iopl3_clears, RULE_SENSITIVE, BUGS_FRAME, 3, NO_VME, IF, IMAGE, POPF, "#BP@after")
POP_ROW(iret_iopl3, RULE_SENSITIVE, "", 3, NO_VME, 0, IMAGE | IF, IRET, "#BP@after{IF}")
POP_ROW(iret_iopl3_nt, RULE_SENSITIVE, "", 3, NO_VME, NT, IMAGE | IF, IRET, "#BP@after{IF}")
POP_ROW(iretl_iopl3, RULE_SENSITIVE, "", 3, NO_VME, 0, IMAGE | IF | VIF | VIP, IRETL,
	"#BP@after{IF}")
POP_ROW(popfl_iopl3, RULE_SENSITIVE, BUGS_FRAME, 3, NO_VME, 0, IMAGE | IF | VIF | VIP, POPFL,
	"#BP@after{IF}")

#define REFUSED(name, iopl, text, place)                                                    \
	POP_ROW(name##_iopl##iopl, RULE_SENSITIVE, "model-v86-sensitive", iopl, NO_VME, IF, \
		IMAGE | IF, text, "#GP(0x0)@" place "{IF}")

REFUSED(cli, 0, "cli", "insn")
REFUSED(cli, 2, "cli", "insn")
REFUSED(sti, 0, "sti", "insn")
REFUSED(sti, 2, "sti", "insn")
REFUSED(pushf, 0, "pushf", "insn")
REFUSED(pushf, 2, "pushf", "insn")
REFUSED(popf, 0, POPF, "second")
REFUSED(popf, 2, POPF, "second")
REFUSED(iret, 0, IRET, "second")
REFUSED(iret, 2, IRET, "second")
REFUSED(pushfl, 0, "pushfl", "insn")
REFUSED(popfl, 0, POPFL, "second")
REFUSED(iretl, 0, IRETL, "second")

/* FLAGS as PUSHF pushes them. */
static void try_pushf(const struct snippet *snippet, unsigned iopl, enum whose whose,
		      uint64_t rflags, unsigned pushed)
{
	begin(iopl, whose, rflags);
	expect("(none); pushed=%#x", pushed);
	go(snippet);
	observe("pushed", setup.result.rax & 0xffff);
}

#define PUSHF_ROW(name, rule, iopl, whose, rflags, pushed)     \
	TEXT_16(name, "pushf; pop %ax");                       \
	CASE(name, V86, rule, CATCHES(""))                     \
	{                                                      \
		try_pushf(&name, iopl, whose, rflags, pushed); \
	}

PUSHF_ROW(pushf_iopl3, RULE_SENSITIVE, 3, NO_VME, IF | NT, 0x7202)
PUSHF_ROW(pushf_vme_iopl3, RULE_VIF, 3, MONITOR, VIF, 0x3002)
PUSHF_ROW(pushf_vme_vif, RULE_VIF, 0, MONITOR, VIF, 0x3202)
PUSHF_ROW(pushf_vme_if, RULE_VIF, 0, MONITOR, IF, 0x3002)

ROW(cli_vme, RULE_VIF, "", 0, MONITOR, IF | VIF, "cli; mark second; int3", "#BP@after{IF}")
ROW(cli_vme_vip, RULE_VIF, "", 0, MONITOR, IF | VIP, "cli; mark second; int3", "#BP@after{IF,VIP}")
ROW(cli_vme_iopl3, RULE_VIF, "", 3, MONITOR, IF | VIF, "cli; mark second; int3", "#BP@after{VIF}")
ROW(sti_vme, RULE_VIF, "", 0, MONITOR, 0, "sti; mark second; int3", "#BP@after{VIF}")
ROW(sti_vme_vip, RULE_VIF, "", 0, MONITOR, IF | VIP, "sti; mark second; int3",
    "#GP(0x0)@insn{IF,VIP}")
ROW(sti_vme_iopl3_vip, RULE_VIF, "", 3, MONITOR, VIP, "sti; mark second; int3", "#BP@after{IF,VIP}")
POP_ROW(popf_vme, RULE_VIF, "", 0, MONITOR, 0, IMAGE | IF, POPF, "#BP@after{VIF}")
POP_ROW(popf_vme_clears, RULE_VIF, "", 0, MONITOR, IF | VIF, IMAGE, POPF, "#BP@after{IF}")
POP_ROW(popf_vme_iopl3, RULE_VIF, "", 3, MONITOR, VIF, IMAGE | IF, POPF, "#BP@after{IF,VIF}")
POP_ROW(popf_vme_vip, RULE_VIF, "", 0, MONITOR, IF | VIP, IMAGE | IF, POPF,
	"#GP(0x0)@second{IF,VIP}")
POP_ROW(popf_vme_vip_if_clear, RULE_VIF, "", 0, MONITOR, IF | VIP, IMAGE, POPF, "#BP@after{IF,VIP}")
POP_ROW(popf_vme_tf, RULE_VIF, "", 0, MONITOR, IF, IMAGE | TF, POPF, "#GP(0x0)@second{IF}")
POP_ROW(popfl_vme, RULE_VIF, "", 0, MONITOR, IF, IMAGE, POPFL, "#GP(0x0)@second{IF}")
POP_ROW(iret_vme, RULE_VIF, "", 0, MONITOR, 0, IMAGE | IF, IRET, "#BP@after{VIF}")
POP_ROW(iret_vme_clears, RULE_VIF, "", 0, MONITOR, IF | VIF, IMAGE, IRET, "#BP@after{IF}")
POP_ROW(iret_vme_vip, RULE_VIF, "", 0, MONITOR, IF | VIP, IMAGE | IF, IRET,
	"#GP(0x0)@second{IF,VIP}")
POP_ROW(iret_vme_tf, RULE_VIF, "", 0, MONITOR, IF, IMAGE | TF, IRET, "#GP(0x0)@second{IF}")
POP_ROW(iretl_vme, RULE_VIF, "", 0, MONITOR, IF, IMAGE, IRETL, "#GP(0x0)@second{IF}")
ROW(pushfl_vme, RULE_VIF, "", 0, MONITOR, IF, "pushfl", "#GP(0x0)@insn{IF}")

/* -- Privileged instructions, and those that protected mode alone has. -------------------------- */

#define PRIVILEGED(name, text) \
	ROW(name, RULE_PRIVILEGED, "model-v86-privileged", 3, NO_VME, IF, text, "#GP(0x0)@insn{IF}")

PRIVILEGED(hlt, "hlt")
PRIVILEGED(clts, "clts")
PRIVILEGED(lmsw, "lmsw %ax")
PRIVILEGED(lgdt, "lgdt 0x3000")
PRIVILEGED(lidt, "lidt 0x3000")
ROW(invd, RULE_PRIVILEGED, "tcg-invd-user model-v86-privileged", 3, NO_VME, IF, "invd",
    "#GP(0x0)@insn{IF}")
ROW(wbinvd, RULE_PRIVILEGED, "tcg-invd-user model-v86-privileged", 3, NO_VME, IF, "wbinvd",
    "#GP(0x0)@insn{IF}")
PRIVILEGED(invlpg_insn, "invlpg 0x3000")
PRIVILEGED(mov_from_cr0, "mov %cr0, %eax")
PRIVILEGED(mov_to_cr0, "mov %eax, %cr0")
PRIVILEGED(mov_to_cr3, "mov %eax, %cr3")
PRIVILEGED(mov_from_dr7, "mov %dr7, %eax")
PRIVILEGED(mov_to_dr7, "mov %eax, %dr7")
PRIVILEGED(rdmsr_insn, "rdmsr")
PRIVILEGED(wrmsr_insn, "wrmsr")

#define PROTECTED_ONLY(name, text)                                                      \
	ROW(name, RULE_PROTECTED_ONLY, "model-v86-protected-only", 3, NO_VME, IF, text, \
	    "#UD@insn{IF}")

PROTECTED_ONLY(lldt, "lldt %ax")
PROTECTED_ONLY(ltr, "ltr %ax")
PROTECTED_ONLY(sldt, "sldt %ax")
PROTECTED_ONLY(str, "str %ax")
PROTECTED_ONLY(verr, "verr %ax")
PROTECTED_ONLY(verw, "verw %ax")
PROTECTED_ONLY(lar, "lar %ax, %ax")
PROTECTED_ONLY(lsl, "lsl %ax, %ax")
PROTECTED_ONLY(arpl, "arpl %ax, %ax")

/* -- Ports. ------------------------------------------------------------------------------------- */

#define CLOSED (SCRATCH_PORT + 1)

static void ports(const struct snippet *snippet, unsigned iopl, unsigned port, const char *trace)
{
	v86_tss.io_map[CLOSED / 8] |= 1u << CLOSED % 8;
	setup.without_rflags = X86_EFLAGS_IOPL;
	setup.rflags = iopl << 12;
	setup.regs.rdx = port;
	expect("%s", trace);
	run_snippet(snippet);
}

#define PORT(name, bugs, iopl, port, change, text, trace) \
	TEXT_16(name, text);                              \
	CASE(name, V86, RULE_PORTS, CATCHES(bugs))        \
	{                                                 \
		v86_begin();                              \
		change;                                   \
		ports(&name, iopl, port, trace);          \
	}

PORT(in_open_iopl0, "", 0, SCRATCH_PORT, , "in %dx, %al", "(none)")
PORT(out_open_iopl0, "", 0, SCRATCH_PORT, , "out %al, %dx", "(none)")
PORT(in_closed_iopl3, "model-v86-ports", 3, CLOSED, , "in %dx, %al", "#GP(0x0)@insn")
PORT(out_closed_iopl3, "model-v86-ports", 3, CLOSED, , "out %al, %dx", "#GP(0x0)@insn")
PORT(in_closed_iopl0, "model-v86-ports", 0, CLOSED, , "in %dx, %al", "#GP(0x0)@insn")
PORT(in_half_closed, "model-v86-ports", 3, SCRATCH_PORT, , "in %dx, %ax", "#GP(0x0)@insn")
PORT(out_quarter_closed, "model-v86-ports", 3, CLOSED - 3, , "out %eax, %dx", "#GP(0x0)@insn")
PORT(ins_closed, "model-v86-ports", 3, CLOSED, , "insb", "#GP(0x0)@insn")
PORT(outs_closed, "model-v86-ports", 3, CLOSED, , "outsb", "#GP(0x0)@insn")
PORT(in_without_map, "model-v86-ports", 3, SCRATCH_PORT, v86_tss.io_map_base = sizeof(v86_tss),
     "in %dx, %al", "#GP(0x0)@insn")

/* -- Segments of 64 KiB. ------------------------------------------------------------------------ */

#define BEYOND(name, text, trace) \
	ROW(name, RULE_LIMIT, "tcg-no-segment-limits", 3, NO_VME, IF, text, trace)

BEYOND(load_beyond_limit, "mov 0xffff, %ax", "#GP(0x0)@insn{IF}")
BEYOND(store_beyond_limit, "mov %ax, 0xffff", "#GP(0x0)@insn{IF}")
BEYOND(stack_beyond_limit, "mov %ss:0xffff, %ax", "#SS(0x0)@insn{IF}")
BEYOND(far_beyond_limit, "mov $0x10000, %ebx; mark second; mov (%ebx), %al", "#GP(0x0)@second{IF}")

/* -- Interrupts; TF and NT. --------------------------------------------------------------------- */

TEXT_16(nops, "nop; mark second; nop");

#define INTERRUPT(name, iopl, whose, rflags, trace)                                \
	CASE_NEEDS("apic=1", name, V86, RULE_CLASS_1, CATCHES("model-ipi-no-isr")) \
	{                                                                          \
		begin(iopl, whose, rflags);                                        \
		interrupt_pending(PENDING);                                        \
		expect(trace);                                                     \
		go(&nops);                                                         \
	}

INTERRUPT(interrupt_iopl3, 3, NO_VME, IF, "intr 0x31@insn{IF}")
INTERRUPT(interrupt_iopl0, 0, NO_VME, IF, "intr 0x31@insn{IF}")
INTERRUPT(interrupt_vif_clear, 0, PROGRAM, IF, "intr 0x31@insn{IF}")
INTERRUPT(interrupt_vif, 0, PROGRAM, IF | VIF, "intr 0x31@insn{IF,VIF}")

#define STEPS "#DB[BS]@second{TF}, #DB[BS]@after{TF}, #DB[BS]@after+0x1{TF}, #DB[BS]@end{TF}"

ROW(step_iopl0, RULE_FLAGS, "model-step-lost", 0, NO_VME, TF, "nop; mark second; nop", STEPS)
ROW(step_int_n_iopl0, RULE_IOPL, BUGS_IOPL, 0, NO_VME, TF, INT_N, "#GP(0x0)@insn{TF}")
ROW(step_int3, RULE_FLAGS, BUGS_FRAME, 0, NO_VME, TF, "int3",
    "#BP@after{TF}, #DB[BS]@after+0x1{TF}, #DB[BS]@end{TF}")
POP_ROW(step_from_popf, RULE_FLAGS, "model-step-lost", 3, NO_VME, 0, IMAGE | TF,
	"push %bp; popf; mark second; nop; mark third; nop",
	"#DB[BS]@third{TF}, #DB[BS]@after{TF}, #DB[BS]@after+0x1{TF}, #DB[BS]@end{TF}")
ROW(nt_int3, RULE_FLAGS, BUGS_FRAME, 0, NO_VME, NT | IF, "int3", "#BP@after{IF,NT}")
ROW(nt_undefined, RULE_FLAGS, "", 0, NO_VME, NT | IF, "ud2", "#UD@insn{IF,NT}")
