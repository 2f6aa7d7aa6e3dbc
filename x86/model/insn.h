/* SPDX-License-Identifier: BSD-2-Clause */
/* L2's instruction at CS:RIP: fetched through L2's page tables, decoded, and its memory forms run. */
#ifndef MODEL_INSN_H
#define MODEL_INSN_H

#include "vcpu.h"

#include "x86/insn/decode.h"

/* Up to 15 bytes at CS:RIP; the number that could be read. */
unsigned insn_fetch(const struct vcpu *v, uint8_t *bytes);

/* Decodes it; false: not one that the decoder knows. */
bool insn_at_rip(const struct vcpu *v, struct insn *insn);

/*
 * The software interrupt at RIP: its vector, its length in *length, whether it is INT n; -1 if there is
 * none. INT1 is none.
 */
int insn_soft_int(const struct vcpu *v, unsigned *length, bool *int_n);

/* The length of the INT1 at RIP, prefixes included. */
unsigned insn_int1(const struct vcpu *v);

/*
 * MOV from or to a control or debug register at RIP: the general register, and the length in *length; -1 if it
 * is none.
 */
int insn_mov_cr(const struct vcpu *v, unsigned *length);

/* Linear address of memory operand number n (0, 1) of the instruction at RIP; false if it has none. */
bool insn_operand_address(const struct vcpu *v, unsigned n, uint64_t *linear);

/* A load or store that hit a device; false if it cannot be emulated. */
bool insn_mmio(struct vcpu *v);

/* A device register of L2's: the local APIC, the I/O APIC; all ones where there is nothing. */
uint32_t insn_device_read(struct vcpu *v, uint64_t gpa);
void insn_device_write(struct vcpu *v, uint64_t gpa, uint32_t value);

/* One element of INS or OUTS. */
bool insn_string_io(struct vcpu *v, unsigned port);

#endif
