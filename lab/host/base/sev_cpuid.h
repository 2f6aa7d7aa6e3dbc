/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What CPUID Fn8000_001F says of this machine, and what follows from it. QEMU's CPU has 48 bits of physical address
 * (-cpu …,phys-bits=48); the highest is the C-bit, so that L1 has 47. KVM marks devices in nested tables by bits 48
 * to 51, which the emulator takes for reserved, as it should. APM 3, "Function 8000_001Fh".
 */
#ifndef HOST_SEV_CPUID_H
#define HOST_SEV_CPUID_H

#define PHYSICAL_BITS 48
#define RESERVED_BITS (~((1ul << PHYSICAL_BITS) - 1))
#define C_BIT_POSITION 47
#define C_BIT (1ul << C_BIT_POSITION)
#define C_BIT_REDUCTION 1

#define SEV_ASIDS 63
#define SEV_MIN_ASID 32 /* of a guest without SEV-ES; those below are for SEV-ES */

#endif
