/* SPDX-License-Identifier: BSD-2-Clause */
#include "server.h"

#include "../common/machine.h"
#include "../common/ports.h"
#include "abi.h"
#include "domain.h"
#include "memory.h"
#include "xen.h"

#include <string.h>

static uint8_t request_page[PAGE_BYTES] __attribute__((aligned(4096)));
static volatile struct ioreq *const requests = (void *)request_page;
static bool mapped;
static uint32_t ports[MAX_CPUS];
static unsigned bound;
static uint16_t server;

const uint32_t *server_ports(void)
{
	return ports;
}

static void stop(void)
{
	while (bound)
		xen_close(ports[--bound]);
	if (mapped)
		xen_unmap(request_page);
	mapped = false;
}

/* -- What the ports need. --------------------------------------------------------------------------- */

static void set_line(unsigned irq, bool raised)
{
	struct dm_op op = {.irq = {irq, raised}};

	must("set_isa_irq_level", dm_op(&op, DM_SET_ISA_IRQ));
}

static void over(uint8_t value)
{
	end("exit %#x", value);
}

static const struct board board = {
	.set_line = set_line,
	.forget_page = forget_page,
	.forget_all = forget_all,
	.over = over,
};

/* -- Requests. -------------------------------------------------------------------------------------- */

static void access(const struct ioreq *r, uint8_t *data)
{
	if (r->type == IOREQ_PORT) {
		if (r->read)
			port_read(r->address, data, r->size);
		else if (r->address != YIELD_PORT)
			port_write(r->address, data, r->size);
		return;
	}
	/* Xen has decoded 0xcf8 and 0xcfc: the address's lower half is a register. */
	for (unsigned i = 0; i < r->size; i++) {
		if (r->read)
			data[i] = bridge_read((r->address & 0xffffffff) + i);
		else
			bridge_write((r->address & 0xffffffff) + i, data[i]);
	}
}

/* A string instruction: `count` items that lie in the guest's memory. */
static void access_string(const struct ioreq *r)
{
	uint64_t at = r->data;

	for (unsigned i = 0; i < r->count; i++) {
		uint8_t data[8];

		for (unsigned j = 0; !r->read && j < r->size; j++)
			data[j] = guest_byte(at + j) ? *guest_byte(at + j) : 0xff;
		access(r, data);
		for (unsigned j = 0; r->read && j < r->size; j++)
			if (guest_byte(at + j))
				*guest_byte(at + j) = data[j];
		at += r->down ? -(uint64_t)r->size : r->size;
	}
}

static void answer(struct ioreq *r)
{
	if (r->type == IOREQ_MEMORY) {
		/* Nobody is there: all bits are set. */
		if (r->read && !r->data_is_pointer)
			r->data = ~0ul;
	} else if (r->type == IOREQ_PORT || r->type == IOREQ_PCI) {
		if (r->data_is_pointer) {
			access_string(r);
		} else {
			if (r->read)
				r->data = 0;
			access(r, (uint8_t *)&r->data);
		}
	}
}

void server_serve(void)
{
	for (unsigned i = 0; i < bound; i++) {
		struct ioreq r;

		if (!xen_pending(ports[i]) || requests[i].state != IOREQ_READY)
			continue;
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		requests[i].state = IOREQ_IN_PROCESS;
		r = *(struct ioreq *)&requests[i];
		answer(&r);
		requests[i].data = r.data;
		__atomic_thread_fence(__ATOMIC_RELEASE);
		requests[i].state = IOREQ_DONE;
		must("notify", xen_notify(ports[i]));
	}
}

/* -- The start. -------------------------------------------------------------------------------------- */

static void take(uint32_t type, uint64_t first, uint64_t count)
{
	struct dm_op op = {.range = {server, 0, type, first, first + count - 1}};

	must("map_io_range_to_ioreq_server", dm_op(&op, DM_MAP_RANGE));
}

static void map_requests(void)
{
	uint64_t frame = 0;
	struct memory_resource resource = {domain.id, RESOURCE_IOREQ_SERVER, server, 1,
					   0,	      FRAME_OF_REQUESTS,     &frame};

	must("acquire_resource",
	     hypercall(OP_MEMORY, (uint64_t)MEMORY_ACQUIRE_RESOURCE, &resource));
	must("map the requests", xen_map(request_page, domain.id, frame, true));
	mapped = true;
}

void server_start(void)
{
	struct dm_op op = {};

	domain_at_end(stop);
	ports_start(&board);
	must("create_ioreq_server", dm_op(&op, DM_CREATE_SERVER));
	server = op.create.id;
	take(RANGE_PORT, COM1_PORT, COM1_PORTS);
	take(RANGE_PORT, EXIT_PORT, 1);
	take(RANGE_PORT, YIELD_PORT, 1);
	take(RANGE_PORT, COLD_PORT, 4);
	take(RANGE_PORT, PCI_ADDRESS_PORT, 4);
	take(RANGE_PCI, 0, 1);
	map_requests();
	/* Not before: this is when Xen writes the event channels into the page. */
	op = (struct dm_op){.state = {server, 1, 0}};
	must("set_ioreq_server_state", dm_op(&op, DM_SET_SERVER_STATE));
	for (bound = 0; bound < domain.cpus; bound++)
		ports[bound] =
			must("bind an event channel", xen_bind(domain.id, requests[bound].port));
}
