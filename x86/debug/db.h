/* SPDX-License-Identifier: BSD-2-Clause */
/* What the guests about #DB share: rules, and bugs that show in many of their rows. */
#ifndef X86_DB_H
#define X86_DB_H

#define RULE_TF \
	"SDM 3B, Single-Step Exception Condition: TF set at the start of an instruction makes a #DB trap behind it, with DR6.BS"
#define RULE_TF_CLEARED \
	"SDM 3B, Single-Step Exception Condition: INT n, INT3 and INT1 push TF and clear it; the next trap is behind the instruction after IRET"
#define RULE_CODE \
	"SDM 3B, Instruction-Breakpoint Exception Condition: a #DB fault before the instruction, unless RF is set; the instruction clears RF"
#define RULE_GD \
	"SDM 3B, General-Detect Exception Condition: with DR7.GD any access to a debug register is a #DB fault with DR6.BD, and GD is cleared on entry"
/* The manuals' general words, and what CPUs do. */
#define FAULTS_SET_RF \
	"SDM 3B, Instruction-Breakpoint Exception Condition: RF is set in the frame of any fault but an instruction breakpoint"
#define GD_LEAVES_RF \
	"Linux, KVM: x86: Treat #DBs from the emulator as fault-like: CPUs of both vendors do not set RF here"

#define BUGS_STEP_NATIVE CATCHES("model-step-lost model-db-twice")
#define BUGS_STEP CATCHES("kvm-tf-skipped vbox-17961 model-step-lost model-db-twice model-step-dr6")
#define BUGS_STEP_MMIO CATCHES("xen-emul-tf openvmm-tf-mmio model-step-lost model-db-twice")

#define SHOW_IF (X86_EFLAGS_IF | X86_EFLAGS_TF | X86_EFLAGS_RF)

/* A line of the table: what is stepped, from its mark `insn` on, and what shows. */
#define STEP(name, environments, rule, bugs, text, trace) \
	SNIPPET(stepped_##name, text);                    \
	CASE(tf_##name, environments, rule, bugs)         \
	{                                                 \
		single_step();                            \
		expect(trace);                            \
		run(stepped_##name);                      \
	}

#endif
