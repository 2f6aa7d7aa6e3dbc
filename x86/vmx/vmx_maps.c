/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The bitmaps: a bit for each port, two for each MSR.
 *
 * The rule (SDM 3C, "I/O-Bitmap Addresses", "MSR-Bitmap Address", "Instructions That Cause VM Exits Conditionally"). An
 * access to a port exits if the bit of any port that it touches is set, in bitmap A below 8000H and in B above, and
 * always where it goes beyond port FFFFH. RDMSR and WRMSR each have a bit for each MSR of two ranges, a quarter of the
 * page for each; an MSR outside the ranges exits whatever the page holds. Without "use I/O bitmaps" nobody looks at
 * those.
 *
 * Why a hypervisor must care. L0 reads L1's bitmaps itself, or merges them with its own: a quarter taken for another, or
 * an access across two bytes or two bitmaps that is looked up once, opens to L2 what L1 has closed.
 *
 * Each row is an access, with a bitmap in which one bit is set, or all but those that it touches; what SVM has alike is
 * svm_maps.c. A buggy hypervisor shows fewer `exit IOIO`, `exit RDMSR` or `exit WRMSR` than rows, or more, and the note
 * says at which.
 */
#define GUEST_LAYERS VMX_LAYERS
#include "trapline.h"

#include "x86/nested/vmx/vmx.h"

#define RULE_PORTS \
	"SDM 3C, I/O-Bitmap Addresses: the bits of all ports that an access touches, and no other"
#define RULE_END \
	"SDM 3C, Instructions That Cause VM Exits Conditionally: an access that wraps around port FFFFH exits"
#define RULE_MSRS \
	"SDM 3C, MSR-Bitmap Address: a quarter each for reads and writes of low and high MSRs"
#define RULE_NO_RANGE \
	"SDM 3C, Instructions That Cause VM Exits Conditionally: an MSR in neither range exits always"

static uint8_t ports[2 * PAGE_BYTES] __attribute__((aligned(4096)));
static uint8_t msrs[PAGE_BYTES] __attribute__((aligned(4096)));

static struct {
	uint32_t reason; /* of the first exit that is no call; 0: there was none */
	uint64_t qualification;
} seen;

static bool with_ports;

static void use_maps(struct l2 *v)
{
	(void)v;
	vmwrite(VMCS_IO_BITMAP_A, (uint64_t)ports);
	vmwrite(VMCS_IO_BITMAP_B, (uint64_t)ports + PAGE_BYTES);
	vmwrite(VMCS_MSR_BITMAP, (uint64_t)msrs);
	if (with_ports)
		vmset(VMCS_CPU_CONTROLS, CPU_IO_BITMAPS);
}

static enum l2_action note_exit(struct l2 *v)
{
	seen.reason = vmx_reason(v);
	seen.qualification = vmread(VMCS_QUALIFICATION);
	return L2_UNEXPECTED;
}

static void run_access(const struct snippet *snippet)
{
	memset(&seen, 0, sizeof(seen));
	l2_setup = (struct l2_setup){.on_call = use_maps, .on_exit = note_exit};
	run_snippet(snippet);
}

static void flip(uint8_t *map, unsigned bit)
{
	map[bit / 8] ^= 1u << bit % 8;
}

#define ACCESS(name, text) SNIPPET(name, "vmcall; mark insn; " text "; mark after; nop")

/* -- Ports. ------------------------------------------------------------------------------------ */

ACCESS(in_1, "in %dx, %al");
ACCESS(in_2, "in %dx, %ax");
ACCESS(in_4, "in %dx, %eax");

static const struct snippet *in_of(unsigned bytes)
{
	return bytes == 1 ? &in_1 : bytes == 2 ? &in_2 : &in_4;
}

static void try_port(unsigned bytes, unsigned port, bool exits)
{
	uint64_t right = (bytes - 1) | 1 << 3 | port << 16;

	with_ports = true;
	setup.regs.rdx = port;
	run_access(in_of(bytes));
	check(seen.reason == (exits ? VMX_PORT : 0), "%u bytes of port %#x: reason %u", bytes, port,
	      seen.reason);
	if (exits)
		check(seen.qualification == right, "%u bytes of port %#x: qualification %#lx",
		      bytes, port, seen.qualification);
}

/* Each bit of its own alone, then every bit but these. */
static void try_ports(unsigned bytes, unsigned port)
{
	for (unsigned i = 0; i < bytes; i++) {
		memset(ports, 0, sizeof(ports));
		flip(ports, port + i);
		try_port(bytes, port, true);
	}
	memset(ports, 0xff, sizeof(ports));
	for (unsigned i = 0; i < bytes; i++)
		flip(ports, port + i);
	try_port(bytes, port, false);
}

/* Nobody is there: a byte's first and last bit, and accesses that go across bytes and across the two bitmaps. */
static const uint16_t quiet[] = {0x0280, 0x0287, 0x7fff, 0x8000, 0xfff8};
#define QUIET (sizeof(quiet) / sizeof(quiet[0]))

static void try_quiet_ports(unsigned bytes)
{
	char must[160];
	struct text text;

	text_init(&text, must, sizeof(must));
	for (unsigned i = 0; i < QUIET; i++) {
		text_append(&text, "%sexit IOIO@insn", i ? "; " : "");
		if (bytes > 1)
			text_append(&text, " x%u", bytes);
		text_append(&text, "; (none)");
		try_ports(bytes, quiet[i]);
	}
	expect("%s", must);
}

CASE(ports_byte, CPL0, RULE_PORTS, "")
{
	try_quiet_ports(1);
}

CASE(ports_word, CPL0, RULE_PORTS, "")
{
	try_quiet_ports(2);
}

CASE(ports_dword, CPL0, RULE_PORTS, "")
{
	try_quiet_ports(4);
}

CASE(ports_end, CPL0, RULE_END, "")
{
	expect("exit IOIO@insn; exit IOIO@insn");
	memset(ports, 0, sizeof(ports));
	try_port(2, 0xffff, true);
	try_port(4, 0xfffd, true);
}

CASE(ports_not_asked, CPL0,
     "SDM 3C, I/O-Bitmap Addresses: they count only with the control that uses them", "")
{
	memset(ports, 0xff, sizeof(ports));
	with_ports = false;
	setup.regs.rdx = quiet[0];
	expect("(none)");
	run_access(&in_1);
}

/* -- MSRs. ------------------------------------------------------------------------------------- */

ACCESS(read_msr, "rdmsr");
ACCESS(write_msr, "wrmsr");

#define HIGH_MSRS 0xc0000000u
#define QUARTER (8 * PAGE_BYTES / 4)

static unsigned bit_of(uint32_t msr, bool write)
{
	return (write ? 2 * QUARTER : 0) + (msr >= HIGH_MSRS ? QUARTER : 0) + msr % HIGH_MSRS;
}

static void try_msr(uint32_t msr, bool write, bool exits)
{
	uint32_t right = write ? VMX_WRMSR : VMX_RDMSR;

	with_ports = false;
	setup.regs.rcx = msr;
	run_access(write ? &write_msr : &read_msr);
	check(seen.reason == (exits ? right : 0), "%s of MSR %#x: reason %u",
	      write ? "a write" : "a read", msr, seen.reason);
}

static void try_msr_alone(uint32_t msr, bool write)
{
	memset(msrs, 0, sizeof(msrs));
	flip(msrs, bit_of(msr, write));
	try_msr(msr, write, true);
}

/* The exit comes before the check whether there is such an MSR: the ends of each range, and some between. */
static const uint16_t offsets[] = {0, 7, 8, 0x80, 0x174, 0x1fff};
#define OFFSETS (sizeof(offsets) / sizeof(offsets[0]))

static void try_ranges(bool write)
{
	for (unsigned i = 0; i < OFFSETS; i++) {
		try_msr_alone(offsets[i], write);
		try_msr_alone(HIGH_MSRS + offsets[i], write);
	}
}

CASE(msr_reads, CPL0, RULE_MSRS, "")
{
	expect("exit RDMSR@insn x%lu", 2 * OFFSETS);
	try_ranges(false);
}

CASE(msr_writes, CPL0, RULE_MSRS, "")
{
	expect("exit WRMSR@insn x%lu", 2 * OFFSETS);
	try_ranges(true);
}

#define MSR_SYSENTER_CS 0x174

/* With every other bit set it is executed. */
CASE(msr_reads_all_but, CPL0, RULE_MSRS, "")
{
	static const uint32_t some[] = {MSR_APIC_BASE, MSR_SYSENTER_CS, MSR_EFER, MSR_FS_BASE};

	expect("(none) x4");
	for (unsigned i = 0; i < 4; i++) {
		memset(msrs, 0xff, sizeof(msrs));
		flip(msrs, bit_of(some[i], false));
		try_msr(some[i], false, false);
	}
}

CASE(msr_outside, CPL0, RULE_NO_RANGE, "")
{
	static const uint32_t outside[] = {0x2000, 0x40000000, HIGH_MSRS - 1, HIGH_MSRS + 0x2000,
					   ~0u};

	expect("exit RDMSR@insn x5; exit WRMSR@insn x5");
	memset(msrs, 0, sizeof(msrs));
	for (unsigned i = 0; i < 10; i++)
		try_msr(outside[i % 5], i >= 5, true);
}
