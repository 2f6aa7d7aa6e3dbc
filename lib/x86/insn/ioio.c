/* SPDX-License-Identifier: BSD-2-Clause */
/* The IOIO exit word; see ioio.h. */
#include "ioio.h"

#define IOIO_RESERVED ((1u << 1) | (7u << 13))

bool ioio_exit_info(const struct insn *insn, uint16_t dx, uint64_t *info)
{
	const struct insn_operand *port;
	uint32_t word = 0;

	switch (insn->op) {
	case INSN_OP_IN:
		word = IOIO_IN;
		break;
	case INSN_OP_OUT:
		break;
	case INSN_OP_INS:
		word = IOIO_IN | IOIO_STRING | INSN_ES << IOIO_SEGMENT_SHIFT;
		break;
	case INSN_OP_OUTS:
		word = IOIO_STRING | (uint32_t)insn->segment << IOIO_SEGMENT_SHIFT;
		break;
	default:
		return false;
	}

	/* The prefix means nothing to IN and OUT. */
	if ((word & IOIO_STRING) && insn->rep != INSN_REP_NONE)
		word |= IOIO_REP;
	word |= (uint32_t)insn->operand_size << IOIO_SIZE_SHIFT;
	word |= (uint32_t)insn->address_size << IOIO_ADDRESS_SHIFT;

	port = word & IOIO_IN ? &insn->src : &insn->dst;
	if (port->kind == INSN_PORT_IMM)
		dx = insn->imm & 0xff;
	*info = word | (uint32_t)dx << IOIO_PORT_SHIFT;
	return true;
}

/* One of three neighbouring bits. */
static bool one_of_three(unsigned int bits)
{
	return bits == 1 || bits == 2 || bits == 4;
}

bool ioio_well_formed(uint64_t info)
{
	unsigned int segment = (info & IOIO_SEGMENT_MASK) >> IOIO_SEGMENT_SHIFT;

	if (info >> 32 || (info & IOIO_RESERVED))
		return false;
	if ((info & IOIO_REP) && !(info & IOIO_STRING))
		return false;
	return one_of_three(info >> 4 & 7) && one_of_three(info >> 7 & 7) && segment <= INSN_GS;
}
