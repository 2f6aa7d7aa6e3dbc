/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How the library itself reaches a device register in memory: by MOV, or as whoever seals the machine says. A MOV
 * would do there as well, by an exception that is served; but the library must work while a case bends the IDT.
 */
#ifndef LIB_X86_BUS_H
#define LIB_X86_BUS_H

#include <stdint.h>

struct bus {
	uint32_t (*read32)(uint64_t address);
	void (*write32)(uint64_t address, uint32_t value);
	/* Ends a machine that no device has ended. May return. */
	void (*end)(void);
};

/* NULL: by MOV. */
extern const struct bus *bus;

static inline uint32_t bus_read32(uint64_t address)
{
	return bus ? bus->read32(address) : *(volatile uint32_t *)address;
}

static inline void bus_write32(uint64_t address, uint32_t value)
{
	if (bus)
		bus->write32(address, value);
	else
		*(volatile uint32_t *)address = value;
}

#endif
