/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Encodings that are no instruction: #UD at their first byte, prefixes included, and nothing is done.
 *
 * The rule. UD0, UD1 and UD2; opcodes that 64-bit mode took away; LOCK before what does not write memory, or writes
 * a register; forms of a group that are not defined, register forms of what needs memory, and the other way round;
 * moves to control registers that there are not; SMSW's neighbours. All of them are #UD, with RIP at the first
 * prefix. An instruction of more than 15 bytes is #GP(0), whatever it would be, and one of 15 is none.
 *
 * Why a hypervisor must care. Whatever makes it look at an instruction (an exit for MMIO, shadow paging, real
 * mode, UD2 as a way into it) goes through an emulator with tables of its own, in which a missing row is an
 * instruction that does something. Encodings that look like one that it intercepts are taken for that
 * (LOCK MOV to CR8 is MOV to CR8 on AMD alone). A #UD that the hypervisor intercepts to emulate an instruction of another vendor
 * must come back as #UD.
 *
 * What a buggy hypervisor shows here: no event, #GP or #PF for #UD, RIP behind a prefix, registers changed, or
 * the end of the VM (an internal error of its emulator).
 *
 * (F|R)BX points to memory that nothing may touch; the bytes behind each encoding are NOPs.
 */
#include "trapline.h"

#define RULE_UD \
	"SDM 3A, Invalid Opcode Exception (#UD): the encoding is no instruction; the saved RIP is of its first byte"
#define RULE_SEAM \
	"Intel TDX CPU Architectural Specification, SEAM instructions: a CPU that has no TDX, as it is shown to a guest, has none of them"
#define RULE_LOCK "SDM 2A, LOCK: #UD before an instruction that does not write memory so"
#define RULE_64 "SDM 2, opcode map: not encodable in 64-bit mode"
#define RULE_LONG "SDM 3A, General Protection Exception (#GP): an instruction of more than 15 bytes"
#define RULE_CR "SDM 2B, MOV-Move to/from Control Registers: #UD for a register that there is not"
#define BUGS CATCHES("model-fault-as-trap")

static uint64_t touched;

static void run_undefined(const struct snippet *snippet)
{
	struct regs before;

	touched = 0x1122334455667788;
	setup.regs.rbx = (uint64_t)&touched;
	setup.regs.rcx = 0x1111;
	setup.regs.rdx = 0x2222;
	setup.regs.rax = 0x3333;
	before = setup.regs;
	run_snippet(snippet);
	check(touched == 0x1122334455667788, "memory became %#lx", touched);
	check(setup.result.rax == before.rax && setup.result.rbx == before.rbx &&
		      setup.result.rcx == before.rcx && setup.result.rdx == before.rdx,
	      "RAX, RBX, RCX, RDX became %#lx %#lx %#lx %#lx", setup.result.rax, setup.result.rbx,
	      setup.result.rcx, setup.result.rdx);
}

/* clang-format off */
#define ROW(name, environments, rule, trace, bugs, bytes)                               \
	SNIPPET(ud_##name, "mark insn; .byte " bytes "; mark after; nop; nop; nop; nop; nop; nop; nop"); \
	CASE(name, environments, rule, bugs)                                      \
	{                                                                         \
		expect(trace);                                                    \
		run_undefined(&ud_##name);                                        \
	}
/* clang-format on */
#define UD(name, bytes) ROW(name, ALL_NATIVE, RULE_UD, "#UD@insn", BUGS, bytes)
#define UD64(name, bytes) ROW(name, CPL0 | CPL3, RULE_64, "#UD@insn", BUGS, bytes)
#define LOCKED(name, bytes) ROW(name, ALL_NATIVE, RULE_LOCK, "#UD@insn", BUGS, "0xf0, " bytes)
#define UD_CR(name, bytes) ROW(name, CPL0, RULE_CR, "#UD@insn", BUGS, bytes)

/* -- Undefined for good. ------------------------------------------------------------------------- */

UD(ud1, "0x0f, 0xb9, 0xc0")
UD(ud1_memory, "0x0f, 0xb9, 0x03")
UD(ud0, "0x0f, 0xff, 0xc0")
UD(ud2_prefixed, "0x66, 0x2e, 0x0f, 0x0b, 0x90")
UD(ud2_rep, "0xf3, 0x0f, 0x0b, 0x90")
UD(two_byte_04, "0x0f, 0x04")
UD(two_byte_0a, "0x0f, 0x0a")
UD(two_byte_0c, "0x0f, 0x0c")
UD(two_byte_36, "0x0f, 0x36")
UD(two_byte_3b, "0x0f, 0x3b")
UD(mov_from_tr, "0x0f, 0x24, 0xc0")
UD(mov_to_tr, "0x0f, 0x26, 0xc0")

/* -- Calls between a TD, its module and their host: a guest has none of them. ---------------------- */

#define SEAM(name, bytes)                                                                      \
	ROW(name, ALL_NATIVE, RULE_SEAM, "#UD@insn", CATCHES("coco-seam model-fault-as-trap"), \
	    "0x66, 0x0f, 0x01, " bytes)

SEAM(tdcall, "0xcc")
SEAM(seamret, "0xcd")
SEAM(seamops, "0xce")
SEAM(seamcall, "0xcf")

/* -- Forms of a group that are not defined. ------------------------------------------------------ */

UD(fe_2, "0xfe, 0xd0")
UD(fe_7, "0xfe, 0xf8")
UD(ff_7, "0xff, 0xf8")
UD(ff_7_memory, "0xff, 0x3b")
UD(c6_1, "0xc6, 0xc8, 0x01")
UD(c7_1, "0xc7, 0xc8, 0x01, 0x02, 0x03, 0x04")
UD(group_6_6, "0x0f, 0x00, 0xf0")
UD(group_6_7, "0x0f, 0x00, 0xf8")
UD(group_8_0, "0x0f, 0xba, 0xc0, 0x01")
UD(group_8_3, "0x0f, 0xba, 0xd8, 0x01")
UD(group_9_0, "0x0f, 0xc7, 0xc0")
UD(group_9_2, "0x0f, 0xc7, 0x13")
UD(mov_to_cs, "0x8e, 0xc8")
UD(mov_to_sreg_6, "0x8e, 0xf0")
UD(mov_from_sreg_7, "0x8c, 0xf8")

/* -- A register where memory is needed. ---------------------------------------------------------- */

UD(lea_register, "0x8d, 0xc0")
UD(cmpxchg8b_register, "0x0f, 0xc7, 0xc8")
UD(movnti_register, "0x0f, 0xc3, 0xc0")
UD(lss_register, "0x0f, 0xb2, 0xc0")
UD(lfs_register, "0x0f, 0xb4, 0xc0")
UD(far_call_register, "0xff, 0xd8")
UD(far_jmp_register, "0xff, 0xe8")

/* -- LOCK. --------------------------------------------------------------------------------------- */

LOCKED(lock_nop, "0x90")
LOCKED(lock_mov_register, "0x89, 0xc8")
LOCKED(lock_mov_memory, "0x89, 0x03")
LOCKED(lock_inc_register, "0xff, 0xc0")
LOCKED(lock_add_from_memory, "0x03, 0x03")
LOCKED(lock_cmp_memory, "0x39, 0x03")
LOCKED(lock_test_memory, "0x85, 0x03")
LOCKED(lock_bt_memory, "0x0f, 0xa3, 0x03")
LOCKED(lock_push, "0x50")
LOCKED(lock_int3, "0xcc")
LOCKED(lock_int_n, "0xcd, 0x40")
LOCKED(lock_int1, "0xf1")
LOCKED(lock_cpuid, "0x0f, 0xa2")
LOCKED(lock_rdtsc, "0x0f, 0x31")
LOCKED(lock_ud2, "0x0f, 0x0b, 0x90")
ROW(lock_sti, CPL0, RULE_LOCK, "#UD@insn", BUGS, "0xf0, 0xfb")

/* -- What 64-bit mode took away. ----------------------------------------------------------------- */

UD64(push_es, "0x06")
UD64(pop_es, "0x07")
UD64(push_cs, "0x0e")
UD64(push_ss, "0x16")
UD64(pop_ss, "0x17")
UD64(push_ds, "0x1e")
UD64(pop_ds, "0x1f")
UD64(daa, "0x27")
UD64(das, "0x2f")
UD64(aaa, "0x37")
UD64(aas, "0x3f")
UD64(pusha, "0x60")
UD64(popa, "0x61")
UD64(group_1_copy, "0x82, 0xc0, 0x01")
UD64(far_call, "0x9a, 0x00, 0x00, 0x00, 0x00, 0x10, 0x00")
UD64(into, "0xce")
UD64(aam, "0xd4, 0x0a")
UD64(aad, "0xd5, 0x0a")
UD64(salc, "0xd6")
UD64(far_jmp, "0xea, 0x00, 0x00, 0x00, 0x00, 0x10, 0x00")

/* -- Control registers that there are not. ------------------------------------------------------- */

UD_CR(mov_to_cr1, "0x0f, 0x22, 0xc8")
UD_CR(mov_from_cr1, "0x0f, 0x20, 0xc8")
UD_CR(mov_to_cr5, "0x0f, 0x22, 0xe8")
UD_CR(mov_to_cr6, "0x0f, 0x22, 0xf0")
UD_CR(mov_from_cr7, "0x0f, 0x20, 0xf8")
UD_CR(mov_to_cr9, "0x44, 0x0f, 0x22, 0xc8")
UD_CR(mov_from_cr15, "0x44, 0x0f, 0x20, 0xf8")

/* -- How long an instruction may be. ------------------------------------------------------------- */

#define FOURTEEN "0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66"

ROW(too_long, ALL_NATIVE, RULE_LONG, "#GP(0x0)@insn", "", FOURTEEN ", 0x66, 0x90")
ROW(too_long_int3, ALL_NATIVE, RULE_LONG, "#GP(0x0)@insn", "", FOURTEEN ", 0x66, 0xcc")
ROW(too_long_ud2, ALL_NATIVE, RULE_LONG, "#GP(0x0)@insn", "", FOURTEEN ", 0x0f, 0x0b, 0x90")
ROW(longest, ALL_NATIVE, RULE_LONG, "(none)", "", FOURTEEN ", 0x90")
ROW(longest_int3, ALL_NATIVE, RULE_LONG, "#BP@after", "", FOURTEEN ", 0xcc")
