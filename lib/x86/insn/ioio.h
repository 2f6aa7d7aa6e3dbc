/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The IOIO exit word: how a port access is described to the hypervisor in
 * SW_EXITINFO1 (and by hardware in EXITINFO1 of a plain guest).
 *
 * Sources: APM vol. 2, "IN and OUT Behavior"; GHCB specification rev. 2.04, Table 7.
 */
#ifndef LIB_X86_IOIO_H
#define LIB_X86_IOIO_H

#include "decode.h"

#define IOIO_IN (1u << 0)
#define IOIO_STRING (1u << 2)
#define IOIO_REP (1u << 3)
#define IOIO_SIZE_SHIFT 4 /* | bytes (1, 2, 4) << 4 */
#define IOIO_SIZE_MASK (7u << IOIO_SIZE_SHIFT)
#define IOIO_ADDRESS_SHIFT 6 /* | bytes (2, 4, 8) << 6 */
#define IOIO_ADDRESS_MASK (0xeu << IOIO_ADDRESS_SHIFT)
#define IOIO_SEGMENT_SHIFT 10
#define IOIO_SEGMENT_MASK (7u << IOIO_SEGMENT_SHIFT)
#define IOIO_PORT_SHIFT 16

/**
 * ioio_exit_info - the IOIO exit word of an instruction
 * @insn: a decoded instruction
 * @dx:   the guest's DX, used by the forms that take the port from there
 * @info: result, bits 31:0 as in the manual, 63:32 zero
 *
 * Segment bits are given for the string forms only: ES for INS, the effective
 * segment for OUTS. Returns false if it isn't IN, OUT, INS or OUTS.
 */
bool ioio_exit_info(const struct insn *insn, uint16_t dx, uint64_t *info);

/**
 * ioio_port - port number in an exit word
 * @info: exit word
 */
static inline uint16_t ioio_port(uint64_t info)
{
	return (uint16_t)(info >> IOIO_PORT_SHIFT);
}

/**
 * ioio_size - bytes per access of an exit word: 1, 2 or 4 if it is well-formed
 * @info: exit word
 */
static inline unsigned int ioio_size(uint64_t info)
{
	return (info & IOIO_SIZE_MASK) >> IOIO_SIZE_SHIFT;
}

/**
 * ioio_well_formed - whether an exit word obeys the manual
 * @info: exit word, of hardware or of a guest
 *
 * Exactly one size bit, exactly one address-size bit, a segment that exists,
 * REP only with a string form, reserved bits clear.
 */
bool ioio_well_formed(uint64_t info);

#endif
