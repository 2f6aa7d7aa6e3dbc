/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The permission maps: a bit for each port, two for each MSR.
 *
 * The rule (APM 2, "IOIO Intercepts", "MSR Intercepts"). An access to a port exits if the bit of any port that it
 * touches is set, and an access that goes beyond port 0xffff touches the bits behind the map's first 64 Ki, not its
 * first ones. RDMSR looks at the lower of an MSR's two bits, WRMSR at the upper one, in the part of the map for its
 * range; an MSR outside the three ranges exits whatever the map holds. EXITINFO1 says which access it was. Without the
 * intercepts of IOIO and MSR nobody looks at the maps.
 *
 * Why a hypervisor must care. L0 reads L1's maps itself, in code of its own: an offset that counts words for bytes, a
 * byte too few where an access crosses one, the wrong one of two bits, an MSR in no range taken for one that is free.
 * A guest that reaches an MSR which its hypervisor has closed is a hole; one that cannot reach its own is slow.
 *
 * Each row is an access, with a map in which one bit is set, or all but those that it touches. A buggy hypervisor shows
 * fewer `exit IOIO` or `exit MSR` than rows, or more, and the note says at which.
 */
#define GUEST_LAYERS SVM_LAYERS
#include "trapline.h"

#include "x86/nested/svm/svm.h"

#define RULE_PORTS \
	"APM 2, IOIO Intercepts: the bits of all ports that an access touches, and no other"
#define RULE_END "APM 2, IOIO Intercepts: an access beyond port 0xffff touches the map's third page"
#define RULE_MSRS \
	"APM 2, MSR Intercepts: the lower bit for RDMSR, the upper for WRMSR, in the part of the MSR's range"
#define RULE_NO_RANGE "APM 2, MSR Intercepts: an MSR in none of the ranges is always intercepted"

#define PORTS 0x10000u

static uint8_t ports[3 * PAGE_BYTES] __attribute__((aligned(4096)));
static uint8_t msrs[2 * PAGE_BYTES] __attribute__((aligned(4096)));

static unsigned intercept; /* SVM_INTERCEPT_IOIO or _MSR, or none */
#define NEITHER 0

static struct {
	bool exited;
	uint64_t info1, info2;
} seen;

static void use_maps(struct l2 *v)
{
	v->vmcb->iopm = (uint64_t)ports;
	v->vmcb->msrpm = (uint64_t)msrs;
	if (intercept)
		svm_intercept(v, intercept);
}

static enum l2_action note_exit(struct l2 *v)
{
	if (v->vmcb->exit_code != 0x60 + intercept)
		return L2_UNEXPECTED;
	seen.exited = true;
	seen.info1 = v->vmcb->exit_info1;
	seen.info2 = v->vmcb->exit_info2;
	return L2_UNEXPECTED;
}

static void run_access(const struct snippet *snippet)
{
	seen.exited = false;
	l2_setup = (struct l2_setup){.on_call = use_maps, .on_exit = note_exit};
	run_snippet(snippet);
}

static void fill(uint8_t *map, size_t bytes, bool set)
{
	memset(map, set ? 0xff : 0, bytes);
}

static void flip(uint8_t *map, unsigned bit)
{
	map[bit / 8] ^= 1u << bit % 8;
}

/* -- Ports. ------------------------------------------------------------------------------------ */

#define ACCESS(name, text) SNIPPET(name, "vmmcall; mark insn; " text "; mark after; nop")

ACCESS(in_1, "in %dx, %al");
ACCESS(in_2, "in %dx, %ax");
ACCESS(in_4, "in %dx, %eax");
ACCESS(out_1, "out %al, %dx");
ACCESS(insb_1, "insb");
ACCESS(outsb_1, "outsb");

static const struct access {
	const struct snippet *snippet;
	unsigned bytes;
	bool in;
} in1 = {&in_1, 1, true}, in2 = {&in_2, 2, true}, in4 = {&in_4, 4, true}, out1 = {&out_1, 1, false},
  insb1 = {&insb_1, 1, true}, outsb1 = {&outsb_1, 1, false};

static uint8_t moved[16];

/* EXITINFO1: port, size and direction; EXITINFO2: where the next instruction is. */
static void check_info(const struct access *a, unsigned port)
{
	uint64_t expected = (uint64_t)port << 16 | a->bytes << 4 | a->in;

	check((seen.info1 & 0xffff0071) == expected, "port %#x: EXITINFO1 is %#lx", port,
	      seen.info1);
	check(seen.info2 == mark_address(a->snippet, "after"), "port %#x: EXITINFO2 is %#lx", port,
	      seen.info2);
}

static void try_port(const struct access *a, unsigned port, bool exits)
{
	intercept = SVM_INTERCEPT_IOIO;
	setup.regs.rdx = port;
	setup.regs.rsi = setup.regs.rdi = (uint64_t)moved;
	run_access(a->snippet);
	check(seen.exited == exits, "%s of %u bytes, port %#x: %s", a->in ? "in" : "out", a->bytes,
	      port, seen.exited ? "an exit" : "no exit");
	if (seen.exited)
		check_info(a, port);
}

/* Each bit of its own alone. */
static void try_port_alone(const struct access *a, unsigned port)
{
	for (unsigned i = 0; i < a->bytes; i++) {
		fill(ports, sizeof(ports), false);
		flip(ports, port + i);
		try_port(a, port, true);
	}
}

/* Every bit but its own: it is executed. */
static void try_port_all_but(const struct access *a, unsigned port)
{
	fill(ports, sizeof(ports), true);
	for (unsigned i = 0; i < a->bytes; i++)
		flip(ports, port + i);
	try_port(a, port, false);
}

/* Nobody is there: a byte's first and last bit, and accesses that go across bytes, words and pages. */
static const uint16_t quiet[] = {0x0280, 0x0287, 0x7ff8, 0x7fff, 0x8000, 0xbfff, 0xfff8};
#define QUIET (sizeof(quiet) / sizeof(quiet[0]))

static void try_ports(const struct access *a)
{
	for (unsigned i = 0; i < QUIET; i++)
		try_port_alone(a, quiet[i]);
	for (unsigned i = 0; i < QUIET; i++)
		try_port_all_but(a, quiet[i]);
}

CASE(ports_byte, CPL0, RULE_PORTS, "")
{
	expect("exit IOIO@insn x%lu; (none) x%lu", QUIET, QUIET);
	try_ports(&in1);
}

CASE(ports_word, CPL0, RULE_PORTS, "")
{
	expect("exit IOIO@insn x%lu; (none) x%lu", 2 * QUIET, QUIET);
	try_ports(&in2);
}

CASE(ports_dword, CPL0, RULE_PORTS, "")
{
	expect("exit IOIO@insn x%lu; (none) x%lu", 4 * QUIET, QUIET);
	try_ports(&in4);
}

static void try_one_port(const struct access *a)
{
	expect("exit IOIO@insn; (none)");
	try_port_alone(a, quiet[0]);
	try_port_all_but(a, quiet[0]);
}

CASE(ports_out, CPL0, RULE_PORTS, "")
{
	try_one_port(&out1);
}

CASE(ports_string_in, CPL0, RULE_PORTS, "")
{
	try_one_port(&insb1);
}

CASE(ports_string_out, CPL0, RULE_PORTS, "")
{
	try_one_port(&outsb1);
}

/* The bits behind the last port's, and not those of port 0 and on. */
CASE(ports_end, CPL0, RULE_END, "")
{
	expect("exit IOIO@insn x2; exit IOIO@insn x4; (none); (none)");
	try_port_alone(&in2, PORTS - 1);
	try_port_alone(&in4, PORTS - 2);
	try_port_all_but(&in2, PORTS - 1);
	try_port_all_but(&in4, PORTS - 2);
}

CASE(ports_not_asked, CPL0,
     "APM 2, IOIO Intercepts: the map counts only with the intercept of IOIO", "")
{
	fill(ports, sizeof(ports), true);
	fill(msrs, sizeof(msrs), true);
	intercept = NEITHER;
	setup.regs.rdx = quiet[0];
	expect("(none)");
	run_access(&in_1);
	check(!seen.exited, "an exit");
}

/* -- MSRs. ------------------------------------------------------------------------------------- */

ACCESS(read_msr, "rdmsr");
ACCESS(write_msr, "wrmsr");

#define RANGE_MSRS 0x2000u
#define READ 0
#define WRITE 1

static const uint32_t ranges[] = {0, 0xc0000000, 0xc0010000};
#define RANGES (sizeof(ranges) / sizeof(ranges[0]))

/* Where the map has an MSR that is in a range. */
static unsigned bit_of(uint32_t msr, unsigned access)
{
	unsigned range = 0;

	while (msr - ranges[range] >= RANGE_MSRS)
		range++;
	return (range * RANGE_MSRS + (msr - ranges[range])) * 2 + access;
}

static void try_msr(uint32_t msr, unsigned access, bool exits)
{
	intercept = SVM_INTERCEPT_MSR;
	setup.regs.rcx = msr;
	run_access(access == READ ? &read_msr : &write_msr);
	check(seen.exited == exits, "%s of MSR %#x: %s", access == READ ? "a read" : "a write", msr,
	      seen.exited ? "an exit" : "no exit");
	if (seen.exited)
		check(seen.info1 == access, "%s of MSR %#x: EXITINFO1 is %#lx",
		      access == READ ? "a read" : "a write", msr, seen.info1);
}

static void try_msr_alone(uint32_t msr, unsigned access)
{
	fill(msrs, sizeof(msrs), false);
	flip(msrs, bit_of(msr, access));
	try_msr(msr, access, true);
}

/* The intercept comes before the check whether there is such an MSR: the ends of each range, and some between. */
static const uint16_t offsets[] = {0, 1, 0x10, 0x7f, 0x80, 0x82, 0x174, 0x1fff};
#define OFFSETS (sizeof(offsets) / sizeof(offsets[0]))

static void try_ranges(unsigned access)
{
	expect("exit MSR@insn x%lu", RANGES * OFFSETS);
	for (unsigned r = 0; r < RANGES; r++)
		for (unsigned i = 0; i < OFFSETS; i++)
			try_msr_alone(ranges[r] + offsets[i], access);
}

CASE(msrs_read, CPL0, RULE_MSRS, "")
{
	try_ranges(READ);
}

CASE(msrs_write, CPL0, RULE_MSRS, "")
{
	try_ranges(WRITE);
}

/* Those that every CPU has, and that L2 may write as they are. */
static const uint32_t real[] = {0x174, 0x175, 0x176, 0xc0000081, 0xc0000082, 0xc0000084};
#define REAL_MSRS (sizeof(real) / sizeof(real[0]))

static void try_real(unsigned access)
{
	expect("(none) x%lu", REAL_MSRS);
	for (unsigned i = 0; i < REAL_MSRS; i++) {
		uint64_t value = rdmsr(real[i]);

		setup.regs.rax = (uint32_t)value;
		setup.regs.rdx = value >> 32;
		fill(msrs, sizeof(msrs), true);
		flip(msrs, bit_of(real[i], access));
		try_msr(real[i], access, false);
	}
}

CASE(msrs_read_all_but, CPL0, RULE_MSRS, "")
{
	try_real(READ);
}

CASE(msrs_write_all_but, CPL0, RULE_MSRS, "")
{
	try_real(WRITE);
}

CASE(msrs_in_no_range, CPL0, RULE_NO_RANGE, "")
{
	static const uint32_t outside[] = {0x2000,     0x40000000, 0xbfffffff, 0xc0002000,
					   0xc000ffff, 0xc0012000, 0xffffffff};

	expect("exit MSR@insn x7; exit MSR@insn x7");
	fill(msrs, sizeof(msrs), false);
	for (unsigned access = READ; access <= WRITE; access++)
		for (unsigned i = 0; i < sizeof(outside) / sizeof(outside[0]); i++)
			try_msr(outside[i], access, true);
}
