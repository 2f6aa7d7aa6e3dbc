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
#define FW_CFG_DMA_PORT 0x518
#define MSR_VM_HSAVE_PA 0xc0010117
#define MSR_SYSCFG 0xc0010010
#define MSR_RMP_BASE 0xc0010132
#define SYSCFG_SNP (1ul << 24)
#define RMP_HEAD 0x4000ul
#define IOMMU 0xfed80000ul
#define IOMMU_COMMANDS 0x08
#define IOMMU_TAIL 0x2008
#define IOMMU_256_COMMANDS (8ul << 56)
#define IOMMU_STORE (1ul << 60 | 1) /* COMPLETION_WAIT, and the address */
#define APIC 0xfee00000ul
#define APIC_ICR_LOW 0x300
#define APIC_ICR_HIGH 0x310
#define INIT_ASSERT 0x4500u
#define CR0_PE 1u
#define NESTED_SEV_ES 6u
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

/* What L2 does, in 16-bit code, in protected mode: instructions that take an address of the machine, or lead to one. */
static const struct {
	const char *way;
	uint8_t code[12];
} l2_ways[] = {
	{"l2-vmload", {0x0f, 0x01, 0xda, 0xf4}},
	{"l2-vmsave", {0x0f, 0x01, 0xdb, 0xf4}},
	{"l2-vmload-own", {0x0f, 0x01, 0xda, 0xf4}},
	{"l2-vmsave-own", {0x0f, 0x01, 0xdb, 0xf4}},
	/* mov $port, %dx; out %eax, (%dx); hlt */
	{"l2-dma", {0xba, 0x18, 0x05, 0x66, 0xef, 0xf4}},
	{"l2-pci", {0xba, 0xf8, 0x0c, 0x66, 0xef, 0xf4}},
	/* mov $number, %ecx; wrmsr (or rdmsr); hlt */
	{"l2-hsave", {0x66, 0xb9, 0x17, 0x01, 0x01, 0xc0, 0x0f, 0x30, 0xf4}},
	{"l2-apic-base", {0x66, 0xb9, 0x1b, 0x00, 0x00, 0x00, 0x0f, 0x30, 0xf4}},
	{"l2-msr-beyond-the-map", {0x66, 0xb9, 0x00, 0x00, 0x00, 0x40, 0x0f, 0x32, 0xf4}},
};

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

/* Functions of devices that reach memory by themselves, but for the emulated Secure Processor. */
static bool has_bus_master(void)
{
	for (uint32_t function = 0; function < 256; function++) {
		uint32_t class, at = 0x80000000u | function << 8;

		outl(0xcf8, at);
		if ((inl(0xcfc) & 0xffff) == 0xffff || inl(0xcfc) == 0x14ca1022)
			continue;
		outl(0xcf8, at | 8);
		class = inl(0xcfc) >> 16;
		/* Bridges; the SMBus, which has ports alone. */
		if (class >> 8 != 6 && class != 0x0c05)
			return true;
	}
	return false;
}

/* A command of the SEV API with its buffer in the monitor's memory, or INIT with the region that SEV-ES needs there. */
static uint32_t firmware(bool region)
{
	static uint32_t init[6] = {0, 0, THEIRS & 0xfff00000u, 0, 0x100000, 0};
	volatile uint8_t *registers = (volatile uint8_t *)0xfd000000ul;

	init[0] = 1;
	*(volatile uint32_t *)(registers + 0x109e0) = region ? (uint32_t)(uint64_t)init : THEIRS;
	*(volatile uint32_t *)(registers + 0x109e4) = 0;
	*(volatile uint32_t *)(registers + 0x10980) = (region ? 1 : 4) << 16;
	return *(volatile uint32_t *)(registers + 0x10980) & 0xffff;
}

/* RMPUPDATE, which gives the page to the firmware. */
static uint64_t rmpupdate(uint64_t at)
{
	struct {
		uint64_t gpa;
		uint8_t assigned, large, immutable, reserved;
		uint32_t asid;
	} __attribute__((packed)) state = {0, 1, 0, 1, 0, 0};
	uint64_t result;

	asm volatile(".byte 0xf2, 0x0f, 0x01, 0xfe"
		     : "=a"(result)
		     : "a"(at), "c"(&state)
		     : "memory", "cc");
	return result;
}

/* By a command, or a command buffer, at the monitor's address. */
static void iommu(bool store)
{
	uint64_t *command = (uint64_t *)code;

	command[0] = IOMMU_STORE | THEIRS;
	command[1] = ~0ul;
	*(volatile uint64_t *)(IOMMU + IOMMU_COMMANDS) =
		(store ? (uint64_t)code : THEIRS) | IOMMU_256_COMMANDS;
	*(volatile uint32_t *)(IOMMU + IOMMU_TAIL) = 16;
}

/* With SEV-SNP. Returns where the way is none of these. */
static void by_the_rmp(const char *way)
{
	if (!starts_with(way, "rmp-"))
		return;
	wrmsr(MSR_SYSCFG, rdmsr(MSR_SYSCFG) | SYSCFG_SNP);
	if (!strcmp(way, "rmp-write"))
		*(volatile uint64_t *)(rdmsr(MSR_RMP_BASE) + RMP_HEAD) = 1;
	if (!strcmp(way, "rmp-base"))
		wrmsr(MSR_RMP_BASE, THEIRS);
	if (!strcmp(way, "rmp-update") || !strcmp(way, "rmp-update-table"))
		done(rmpupdate(strcmp(way, "rmp-update") ? rdmsr(MSR_RMP_BASE) : THEIRS) ? "refused"
											 : "done");
	if (rmpupdate((uint64_t)code))
		done("refused");
	if (!strcmp(way, "rmp-assigned"))
		*(volatile uint64_t *)code = 1;
	if (!strcmp(way, "rmp-assigned-read"))
		done(*(volatile uint8_t *)code == 0xa1 ? "read" : "read something else");
}

/* What L1 itself can try. Returns where the way is none of these. */
static void by_itself(const char *way)
{
	if (!strcmp(way, "read"))
		*(volatile uint64_t *)THEIRS;
	if (!strcmp(way, "write"))
		*(volatile uint64_t *)THEIRS = 0;
	if (!strcmp(way, "no-svme"))
		vmrun((uint64_t)&vmcb);
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SVME);
	if (!strcmp(way, "vmload"))
		asm volatile("vmload %%rax" : : "a"(THEIRS) : "memory");
	if (!strcmp(way, "vmsave"))
		asm volatile("vmsave %%rax" : : "a"(THEIRS) : "memory");
	if (!strcmp(way, "cr3"))
		asm volatile("mov %0, %%cr3" : : "r"(THEIRS) : "memory");
	if (!strcmp(way, "apic-base"))
		wrmsr(MSR_APIC_BASE, THEIRS | (rdmsr(MSR_APIC_BASE) & 0xfff));
	if (!strcmp(way, "init")) {
		*(volatile uint32_t *)(APIC + APIC_ICR_HIGH) = 0;
		*(volatile uint32_t *)(APIC + APIC_ICR_LOW) = INIT_ASSERT;
	}
	if (!strcmp(way, "dma"))
		outl(FW_CFG_DMA_PORT, 0);
	if (!strcmp(way, "iommu-store") || !strcmp(way, "iommu-commands")) {
		iommu(!strcmp(way, "iommu-store"));
		done("done");
	}
	by_the_rmp(way);
	if (!strcmp(way, "bus"))
		done(has_bus_master() ? "a bus master" : "no bus master");
	if (!strcmp(way, "firmware-buffer") || !strcmp(way, "firmware-region"))
		done(firmware(!strcmp(way, "firmware-region")) ? "refused" : "done");
}

/* What L1 can have its guest do. "unwatched ": it has no intercept map for it at all; else an empty one. */
static void by_its_guest(const char *way)
{
	bool unwatched = starts_with(way, "unwatched ");

	if (unwatched)
		way += strlen("unwatched ");
	for (unsigned i = 0; i < sizeof(l2_ways) / sizeof(l2_ways[0]); i++) {
		if (strcmp(way, l2_ways[i].way))
			continue;
		memcpy(code, l2_ways[i].code, sizeof(l2_ways[i].code));
		vmcb.cr0 |= CR0_PE;
		vmcb.rax = THEIRS;
		if (strlen(way) > 4 && !strcmp(way + strlen(way) - 4, "-own"))
			vmcb.rax = (uint64_t)hsave;
		vmcb.intercept[SVM_INTERCEPT_IOIO / 32] |= 1u << SVM_INTERCEPT_IOIO % 32;
		if (unwatched)
			vmcb.intercept[0] &= ~(1u << SVM_INTERCEPT_IOIO | 1u << SVM_INTERCEPT_MSR);
	}
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
	by_itself(line);
	wrmsr(MSR_VM_HSAVE_PA, strcmp(line, "hsave") ? (uint64_t)hsave : THEIRS);
	by_its_guest(line);
	if (!strcmp(line, "vmrun"))
		vmrun(THEIRS);
	if (!strcmp(line, "vmrun-unaligned"))
		vmrun((uint64_t)&vmcb + 16);
	if (!strcmp(line, "msr-map"))
		vmcb.msrpm = THEIRS;
	if (!strcmp(line, "io-map")) {
		vmcb.iopm = THEIRS;
		vmcb.intercept[SVM_INTERCEPT_IOIO / 32] |= 1u << SVM_INTERCEPT_IOIO % 32;
	}
	if (!strcmp(line, "vmsa") || !strcmp(line, "vmsa-unaligned")) {
		vmcb.nested_control |= NESTED_SEV_ES;
		vmcb.vmsa = !strcmp(line, "vmsa") ? THEIRS : (uint64_t)hsave + 16;
	}
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
	if (!strcmp(line, "no-nesting-cr3")) {
		vmcb.nested_control = 0;
		vmcb.cr0 |= 0x80000000u | CR0_PE;
		vmcb.cr3 = THEIRS;
	}
	run_guest();
}
