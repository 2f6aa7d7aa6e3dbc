/* SPDX-License-Identifier: BSD-2-Clause */
/* Ports and addresses of L1 that the monitor answers for: its devices, and what L1 must not reach. */
#include "l1.h"

#include "base/log.h"
#include "l2/guard.h"
#include "memory/boot.h"
#include "memory/identity.h"
#include "memory/memory.h"
#include "memory/rmp.h"
#include "memory/views.h"
#include "psp/firmware.h"
#include "psp/iommu.h"
#include "psp/pci.h"
#include "psp/psp.h"

#include "x86/insn/decode.h"
#include "x86/insn/insn_regs.h"

#define IOIO_IN 1u
#define IOIO_STRING 4u

static uint32_t in(uint16_t port, unsigned bytes)
{
	return bytes == 1 ? inb(port) : bytes == 2 ? inw(port) : inl(port);
}

static void out(uint16_t port, unsigned bytes, uint32_t value)
{
	if (bytes == 1)
		outb(port, value);
	else if (bytes == 2)
		outw(port, value);
	else
		outl(port, value);
}

void l1_port(struct cpu *c)
{
	struct vmcb *b = &c->l1;
	uint16_t port = b->exit_info1 >> 16;
	bool is_in = b->exit_info1 & IOIO_IN;
	unsigned bytes = b->exit_info1 >> 4 & 7;
	uint32_t value = b->rax;

	if (b->exit_info1 & IOIO_STRING)
		stop("L1 does string I/O at port %#x, which the monitor answers for", port);
	if (guard_claims_port(port, bytes))
		stop("L1 reaches for port %#x, by which QEMU copies files to any address", port);
	if (!pci_config(port, is_in, bytes, &value)) {
		if (is_in)
			value = in(port, bytes);
		else
			out(port, bytes, value);
	}
	if (is_in) {
		uint64_t mask = bytes == 4 ? ~0ul : (1ul << 8 * bytes) - 1;

		b->rax = (b->rax & ~mask) | (value & mask);
	}
	move_rip(b, b->exit_info2);
}

void *firmware_memory(uint64_t at, uint64_t bytes)
{
	if (!memory_is_l1s(at, bytes))
		return NULL;
	for (uint64_t page = at & ~(PAGE - 1); page < at + bytes; page += PAGE)
		views_show(page, 0);
	return (void *)at;
}

/* -- Registers of devices. ------------------------------------------------------------------------- */

static uint64_t read_register(uint64_t at, unsigned bytes)
{
	return iommu_claims(at) ? iommu_read(at, bytes) : psp_read(at);
}

static void write_register(uint64_t at, unsigned bytes, uint64_t value)
{
	if (iommu_claims(at))
		iommu_write(at, bytes, value);
	else
		psp_write(at, value);
}

static void set_regs(struct cpu *c, const struct insn_regs *regs)
{
	for (unsigned i = 0; i < 16; i++)
		*cpu_gpr(c, &c->l1, i) = regs->gpr[i];
}

/* REP MOVS to registers: as far as the page goes, or L1's own memory can be read. */
static void copy(const struct insn *insn, struct insn_regs *regs, const struct space *space,
		 uint64_t at)
{
	uint64_t n = insn_count(insn, regs), done = 0, value = 0;
	unsigned bytes = insn->operand_size;
	struct miss miss;

	for (; done < n && (at & (PAGE - 1)) + (done + 1) * bytes <= PAGE; done++) {
		if (space_read(space, regs->gpr[INSN_RSI] + done * bytes, &value, bytes, &miss) !=
		    bytes)
			stop("L1 copies to a device's registers from where nothing is, by the instruction at %#lx",
			     space->state->rip);
		write_register(at + done * bytes, bytes, value);
	}
	insn_string_step(insn, regs, done, false);
}

/* Loads and stores, which is what drivers do to registers: of 4 bytes, and to the IOMMU of 8, or several. */
static void register_access(struct cpu *c, uint64_t at)
{
	const struct space space = {.state = &c->l1};
	struct insn_regs regs = cpu_insn_regs(c, &c->l1);
	struct insn insn;
	uint8_t code[INSN_MAX_LENGTH];
	unsigned n = space_code(&space, code), bytes;
	bool known = insn_decode(&insn, code, n, code_mode(&c->l1)) == INSN_OK;

	bytes = insn.operand_size;
	known = known && (bytes == 4 || (bytes == 8 && iommu_claims(at)));
	if (known && insn.op == INSN_OP_MOVS && insn.dst.kind == INSN_MEM_DI) {
		copy(&insn, &regs, &space, at);
		set_regs(c, &regs);
		if (!insn.rep || !insn_count(&insn, &regs))
			l1_skip(c, insn.length);
		return;
	}
	if (!known || insn.op != INSN_OP_MOV)
		stop("L1's instruction at %#lx is none that the monitor's devices at %#lx know (a load or store of 4 bytes)",
		     c->l1.rip, at);
	if (insn.dst.kind == INSN_MEM) {
		write_register(at, bytes,
			       insn.src.kind == INSN_IMM ? insn_immediate(&insn)
							 : insn_read_gpr(&regs, &insn.src));
	} else {
		insn_write_gpr(&regs, &insn.dst, read_register(at, bytes));
		set_regs(c, &regs);
	}
	l1_skip(c, insn.length);
}

/* -- Memory. --------------------------------------------------------------------------------------- */

#define PF_RMP (1u << 31)
#define NPF_WRITE (1u << 1)
#define PF_BITS 7u /* present, write, user */

/* What L1 has touched, for CR2: the emulator tells the machine's address alone. */
static uint64_t linear_address(struct cpu *c, uint64_t at)
{
	const struct space space = {.state = &c->l1};
	struct insn_regs regs = cpu_insn_regs(c, &c->l1);
	const struct insn_operand *o;
	uint8_t code[INSN_MAX_LENGTH];
	struct insn insn;
	uint64_t linear, gpa;
	struct miss miss;

	if (insn_decode(&insn, code, space_code(&space, code), code_mode(&c->l1)) == INSN_OK) {
		o = insn_memory_operand(&insn);
		linear = o ? insn_linear(&insn, o, &regs, cpu_segment_base, &c->l1) : 0;
		/* The RMP itself is no memory that the monitor reads for L1, but its address is found. */
		if (o &&
		    (space_linear(&space, linear, false, &gpa, &miss) ||
		     (miss.kind == MISS_NESTED && !miss.of_table)) &&
		    gpa == at)
			return linear;
	}
	stop("L1 writes to the page at %#lx, which the RMP has as a guest's or the Secure Processor's, by the instruction at %#lx",
	     at, c->l1.rip);
}

/* A page that is not the hypervisor's is not L1's to write. APM 2, "RMP and VMPL Access Checks". */
static bool is_refused_by_rmp(struct cpu *c, uint64_t at)
{
	struct vmcb *b = &c->l1;

	if (!(b->exit_info1 & NPF_WRITE) || rmp_allows_shared_write(at))
		return false;
	b->cr2 = linear_address(c, at);
	b->inject = (struct svm_event){SVM_EVENT_VALID | SVM_EVENT_HAS_ERROR | SVM_EXCEPTION |
					       VECTOR_PF,
				       (b->exit_info1 & PF_BITS) | 1 | PF_RMP};
	return true;
}

void l1_npf(struct cpu *c)
{
	uint64_t at = c->l1.exit_info2;

	if (boot_is_hidden(at, 1))
		stop("L1 reaches for the monitor's memory: address %#lx, by the instruction at %#lx",
		     at, c->l1.rip);
	if (is_refused_by_rmp(c, at) || views_take_back(at) || identity_extend(at))
		return;
	if (!psp_claims(at) && !iommu_claims(at))
		stop("L1 reaches for %#lx, where the monitor has nothing mapped, by the instruction at %#lx",
		     at, c->l1.rip);
	register_access(c, at);
}
