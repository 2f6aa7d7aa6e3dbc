/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A kernel for the SEV host's monitor (lab/host) that is no Linux: it tries to reach the monitor's memory, in the way
 * that its command line names, and tells on the monitor's log how that went. Of the boot protocol it uses the command
 * line alone; it is entered in 64-bit mode on tables that map 4 GiB one to one.
 */
#include "x86/arch/vmcb.h"
#include "x86/cpu/cpu.h"
#include "x86/cpu/desc.h"

#include "string.h"

#define LOG_PORT 0x403
#define COMMAND_LINE 0x228
#define E820_ENTRIES 0x1e8
#define E820 0x2d0
#define RESET_PORT 0xcf9
#define MSR_VM_HSAVE_PA 0xc0010117
#define THEIRS 0x200000ul /* in the middle of the monitor's image */
#define PAGE 4096ul

static struct vmcb vmcb;
static uint64_t npt[4][512] __attribute__((aligned(4096)));
static uint8_t code[4096] __attribute__((aligned(4096)));
static uint8_t hsave[4096] __attribute__((aligned(4096)));
static uint8_t maps[5 * 4096] __attribute__((aligned(4096)));
static struct gate gates[32];

void kernel(const uint8_t *boot_params);
void handler(void);

static void tell(const char *text)
{
	for (; *text; text++)
		outb(LOG_PORT, *text);
}

static _Noreturn void done(const char *text)
{
	tell("intruder: ");
	tell(text);
	tell("\n");
	outb(RESET_PORT, 6);
	for (;;)
		asm volatile("hlt");
}

/* Any exception at all. */
asm(".globl on_exception\non_exception:\n\tcall handler\n");
extern const uint8_t on_exception[];

void handler(void)
{
	done("an exception");
}

static void catch_exceptions(void)
{
	struct table_pointer p = {sizeof(gates) - 1, (uint64_t)gates};
	uint64_t at = (uint64_t)on_exception;

	for (unsigned i = 0; i < 32; i++)
		gates[i] = (struct gate){
			.offset_low = at,
			.selector = 0x10,
			.attributes = 0x8e,
			.offset_middle = at >> 16,
		};
	asm volatile("lidt %0" : : "m"(p));
}

/* In real mode: reads what is at 0x2000, and halts. */
static void make_guest(void)
{
	static const uint8_t read_and_halt[] = {0xa1, 0x00, 0x20, 0xf4};
	static const struct svm_segment flat = {0, 0x93, 0xffff, 0};

	memcpy(code, read_and_halt, sizeof(read_and_halt));
	npt[0][0] = (uint64_t)npt[1] | 7;
	npt[1][0] = (uint64_t)npt[2] | 7;
	npt[2][0] = (uint64_t)npt[3] | 7;
	npt[3][1] = (uint64_t)code | 7;
	npt[3][2] = (uint64_t)hsave | 7;
	vmcb.intercept[SVM_INTERCEPT_HLT / 32] |= 1u << SVM_INTERCEPT_HLT % 32;
	vmcb.intercept[SVM_INTERCEPT_MSR / 32] |= 1u << SVM_INTERCEPT_MSR % 32;
	vmcb.intercept[SVM_INTERCEPT_VMRUN / 32] |= 1u << SVM_INTERCEPT_VMRUN % 32;
	vmcb.msrpm = (uint64_t)maps;
	vmcb.iopm = (uint64_t)maps;
	vmcb.asid = 1;
	vmcb.nested_control = SVM_NESTED_PAGING;
	vmcb.nested_cr3 = (uint64_t)npt[0];
	vmcb.cs = vmcb.ds = vmcb.es = vmcb.ss = flat;
	vmcb.cs.attributes = 0x9b;
	vmcb.rip = 0x1000;
	vmcb.efer = EFER_SVME;
	vmcb.cr0 = 0x10;
	vmcb.dr6 = DR6_CLEAR;
	vmcb.dr7 = DR7_CLEAR;
	vmcb.rflags = X86_EFLAGS_FIXED;
	vmcb.idtr.limit = 0x3ff;
}

static void vmrun(uint64_t at)
{
	asm volatile("clgi; vmrun %%rax"
		     :
		     : "a"(at)
		     : "memory", "rbx", "rcx", "rdx", "rsi", "rdi", "cc");
}

static _Noreturn void run_guest(void)
{
	vmrun((uint64_t)&vmcb);
	if (vmcb.exit_code == SVM_EXIT_INVALID)
		done("VMEXIT_INVALID");
	done(vmcb.exit_code == SVM_EXIT(HLT) ? "the guest ran" : "another exit");
}

/* Whether the address is reserved in the memory map. */
static bool is_reserved(const uint8_t *boot_params, uint64_t at)
{
	for (unsigned i = 0; i < boot_params[E820_ENTRIES]; i++) {
		uint64_t entry[2];
		uint32_t type;

		memcpy(entry, boot_params + E820 + 20 * i, 16);
		memcpy(&type, boot_params + E820 + 20 * i + 16, 4);
		if (at >= entry[0] && at < entry[0] + entry[1])
			return type == 2;
	}
	return false;
}

void kernel(const uint8_t *boot_params)
{
	const char *line;
	uint32_t at;

	memcpy(&at, boot_params + COMMAND_LINE, 4);
	line = (const char *)(uint64_t)at;
	catch_exceptions();
	make_guest();
	if (!strcmp(line, "map"))
		done(is_reserved(boot_params, THEIRS) ? "reserved" : "free");
	if (!strcmp(line, "read"))
		*(volatile uint64_t *)THEIRS;
	if (!strcmp(line, "write"))
		*(volatile uint64_t *)THEIRS = 0;
	if (!strcmp(line, "no-svme"))
		vmrun((uint64_t)&vmcb);
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SVME);
	wrmsr(MSR_VM_HSAVE_PA, (uint64_t)hsave);
	if (!strcmp(line, "vmrun"))
		vmrun(THEIRS);
	if (!strcmp(line, "msr-map"))
		vmcb.msrpm = THEIRS;
	if (!strcmp(line, "nested-page"))
		npt[3][2] = THEIRS | 7;
	if (!strcmp(line, "nested-table"))
		npt[2][0] = THEIRS | 7;
	if (!strcmp(line, "nested-root"))
		vmcb.nested_cr3 = THEIRS;
	if (!strcmp(line, "no-nesting")) {
		vmcb.nested_control = 0;
		vmcb.ds.base = THEIRS - 0x2000;
		vmcb.cs.base = (uint64_t)code - 0x1000;
	}
	run_guest();
}
