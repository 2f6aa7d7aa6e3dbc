/* SPDX-License-Identifier: BSD-2-Clause */
#include "ghcb_event.h"

#include "bug.h"
#include "insn.h"
#include "intercepts.h"
#include "memory.h"
#include "ports.h"

#include "x86/cpu/cpu.h"
#include "x86/insn/ioio.h"

#define MOST_MMIO_BYTES 8

static uint32_t port_in(unsigned port, unsigned bytes)
{
	uint32_t value;

	if (!port_is_passed(port))
		return port_read(port, bytes);
	if (bytes == 1)
		return inb(port);
	if (bytes == 4)
		return inl(port);
	asm volatile("inw %w1, %w0" : "=a"(value) : "Nd"(port), "0"(0));
	return value & 0xffff;
}

static void port_out(struct vcpu *v, unsigned port, unsigned bytes, uint32_t value)
{
	if (!port_is_passed(port)) {
		port_write(v, port, bytes == 4 && bug(GHCB_OUT_NARROW) ? 2 : bytes, value);
	} else if (bytes == 1) {
		outb(port, value);
	} else if (bytes == 2) {
		outw(port, value);
	} else {
		outl(port, value);
	}
}

static void string_io(struct ghcb_known *k, unsigned port, unsigned bytes)
{
	uint64_t count = k->info2;
	volatile uint8_t *buffer;

	if (!count)
		return;
	buffer = ghcb_scratch(k, count > GHCB_SHARED_BUFFER_SIZE ? ~0ul : count * bytes);
	if (!buffer)
		return;
	if (bug(GHCB_STRING_SHORT))
		count--;
	for (; count; count--, buffer += bytes) {
		uint32_t value = 0;

		if (k->info1 & IOIO_IN)
			value = port_in(port, bytes);
		for (unsigned i = 0; i < bytes; i++) {
			if (k->info1 & IOIO_IN)
				buffer[i] = value >> 8 * i;
			else
				value |= (uint32_t)buffer[i] << 8 * i;
		}
		if (!(k->info1 & IOIO_IN))
			port_out(k->v, port, bytes, value);
	}
}

void ghcb_event_ioio(struct ghcb_known *k)
{
	unsigned port = ioio_port(k->info1), bytes = ioio_size(k->info1);
	uint64_t mask = bytes == 4 ? 0xffffffff : (1ul << 8 * bytes) - 1;

	if (!ioio_well_formed(k->info1))
		return ghcb_malformed(k, GHCB_REASON_BAD_INPUT);
	if (k->info1 & IOIO_STRING)
		return string_io(k, port, bytes);
	if (!(k->info1 & IOIO_IN) && port == 0x80 && bug(GHCB_PLAIN_GP))
		return ghcb_raise_gp(k);
	if (!(k->info1 & IOIO_IN))
		return port_out(k->v, port, bytes, k->rax & mask);
	/* What RAX held above the value is kept, as far as the guest has offered it. */
	k->rax = (bytes == 4 ? 0 : k->rax & ~mask) | (port_in(port, bytes) & mask);
}

void ghcb_event_mmio(struct ghcb_known *k)
{
	uint64_t bytes = k->info2, value = 0;
	volatile uint8_t *buffer;

	if (!bytes)
		return;
	if (bytes > MOST_MMIO_BYTES)
		return ghcb_malformed(k, GHCB_REASON_BAD_INPUT);
	buffer = ghcb_scratch(k, bytes);
	if (!buffer)
		return;
	if (k->code == GHCB_EVENT_MMIO_READ) {
		value = insn_device_read(k->v, k->info1);
		if (bug(GHCB_MMIO_SHORT) && bytes > 1)
			bytes--;
		for (unsigned i = 0; i < bytes; i++)
			buffer[i] = value >> 8 * i;
		return;
	}
	for (unsigned i = 0; i < bytes; i++)
		value |= (uint64_t)buffer[i] << 8 * i;
	insn_device_write(k->v, k->info1, value);
}
