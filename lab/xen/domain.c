/* SPDX-License-Identifier: BSD-2-Clause */
#include "domain.h"

#include "../common/machine.h"
#include "../common/message.h"
#include "../common/ports.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define PAGING_MIB 16 /* for Xen's own tables of the guest's memory */
#define SPARE_KIB 2048

struct domain domain;

static void (*at_end[4])(void);
static void *way_back[5];

void domain_at_end(void (*what)(void))
{
	for (unsigned i = 0; i < 4; i++) {
		if (at_end[i] == what)
			return;
		if (!at_end[i]) {
			at_end[i] = what;
			return;
		}
	}
}

_Noreturn void end(const char *format, ...)
{
	struct domctl op = {};
	char text[512];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	com1_flush();
	for (unsigned i = 0; i < 4 && at_end[i]; i++)
		at_end[i]();
	if (domain.id)
		while (domctl(&op, DOMCTL_DESTROY) == -ERROR_RESTART)
			;
	domain.id = 0;
	message('R', text, strlen(text));
	__builtin_longjmp(way_back, 1);
}

long must(const char *what, long result)
{
	if (result < 0)
		end("%s: Xen gives error %d", what, (int)-result);
	return result;
}

void domain_run(void (*body)(const void *argument), const void *argument)
{
	if (!__builtin_setjmp(way_back))
		body(argument);
}

long domctl(struct domctl *op, uint32_t command)
{
	op->command = command;
	op->version = domain.version->domctl;
	op->domain = domain.id;
	return hypercall(OP_DOMCTL, op);
}

long dm_op(struct dm_op *op, uint32_t number)
{
	struct dm_buffer buffer = {op, sizeof(*op)};

	op->op = number;
	return hypercall(OP_DM, (uint64_t)domain.id, 1ul, &buffer);
}

/* -- Making it. ------------------------------------------------------------------------------------ */

static void find_version(void)
{
	long number = must("xen_version", hypercall(OP_VERSION, (uint64_t)VERSION_VERSION, NULL));

	domain.version = xen_version_of(number >> 16, number & 0xffff);
	if (!domain.version)
		end("Xen %d.%d: this host knows the toolstack's interface of %s",
		    (int)(number >> 16), (int)(number & 0xffff), xen_versions_known());
}

void domain_populate(uint64_t first, uint64_t count)
{
	uint64_t frames[512];

	while (count) {
		struct memory_reservation memory = {frames, count < 512 ? count : 512, 0, 0,
						    domain.id};
		long done;

		for (unsigned i = 0; i < memory.count; i++)
			frames[i] = first + i;
		done = must("populate_physmap",
			    hypercall(OP_MEMORY, (uint64_t)MEMORY_POPULATE_PHYSMAP, &memory));
		if (!done)
			end("Xen has no memory for the guest");
		first += done;
		count -= done;
	}
}

static void set_paging_memory(void)
{
	struct domctl op = {.mempool = {PAGING_MIB << 20}};

	if (domain.version->has_mempool) {
		must("set_paging_mempool_size", domctl(&op, DOMCTL_SET_MEMPOOL));
		return;
	}
	op = (struct domctl){.shadow = {.op = SHADOW_SET_ALLOCATION, .mib = PAGING_MIB}};
	must("shadow allocation", domctl(&op, DOMCTL_SHADOW));
}

/* The first CPU at the reset vector; the others wait for INIT and SIPI as they are. */
static void set_state(void)
{
	static uint8_t context[256 << 10];
	static struct {
		struct save_record head, of_cpu;
		struct save_cpu cpu;
		struct save_record last;
	} __attribute__((packed)) cpu_part;
	struct domctl op = {.context = {.bytes = sizeof(context), .buffer = context}};
	struct save_record *header = (void *)context;
	size_t length;

	/* Xen wants its own header back, and then what is to be changed. */
	must("gethvmcontext", domctl(&op, DOMCTL_GET_CONTEXT));
	if (header->type != SAVE_HEADER)
		end("Xen's saved state does not begin with a header");
	length = sizeof(*header) + header->length;
	cpu_part.of_cpu = (struct save_record){SAVE_CPU, 0, sizeof(struct save_cpu)};
	cpu_part.cpu = (struct save_cpu){
		.rip = 0xfff0,
		.rflags = 2,
		.cr0 = 0x60000010,
		.dr6 = 0xffff0ff0,
		.dr7 = 0x400,
		.cs = 0xf000,
		.cs_base = 0xffff0000,
		.cs_limit = 0xffff,
		.cs_attr = 0x9b,
		.ds_limit = 0xffff,
		.ds_attr = 0x93,
		.es_limit = 0xffff,
		.es_attr = 0x93,
		.fs_limit = 0xffff,
		.fs_attr = 0x93,
		.gs_limit = 0xffff,
		.gs_attr = 0x93,
		.ss_limit = 0xffff,
		.ss_attr = 0x93,
		.tr_limit = 0xffff,
		.tr_attr = 0x8b,
		.ldtr_limit = 0xffff,
		.ldtr_attr = 0x82,
		.idtr_limit = 0xffff,
		.gdtr_limit = 0xffff,
	};
	cpu_part.last = (struct save_record){SAVE_END, 0, 0};
	memcpy(context + length, &cpu_part.of_cpu, sizeof(cpu_part) - sizeof(cpu_part.head));
	length += sizeof(cpu_part) - sizeof(cpu_part.head);
	op = (struct domctl){.context = {.bytes = length, .buffer = context}};
	must("sethvmcontext", domctl(&op, DOMCTL_SET_CONTEXT));
}

static void make(bool hap, bool nested)
{
	struct domctl op = {.create = {
				    .flags = CDF_HVM | (hap ? CDF_HAP : 0),
				    .max_vcpus = domain.cpus,
				    .max_event_port = -1,
				    .max_grant_frames = -1,
				    .max_maptrack_frames = -1,
			    }};
	long result;

	if (nested && domain.version->nested_by_flag)
		op.create.flags |= CDF_NESTED;
	abi_finish_create(&op, domain.version);
	result = domctl(&op, DOMCTL_CREATE);
	if (result == -ERROR_ACCESS)
		end("Xen 4.%u has not the toolstack's interface %#x that 4.%u is known by",
		    domain.version->minor, domain.version->domctl, domain.version->minor);
	if (result == -ERROR_INVALID && nested)
		end("Xen makes no domain with nested virtualization on this CPU (4.20 wants one with NRIPS, "
		    "decode assists, FlushByAsid and LBRV)");
	must("createdomain", result);
	domain.id = op.domain;
}

void domain_create(unsigned cpus, bool hap, bool nested)
{
	struct hvm_param param = {.index = HVM_PARAM_NESTED, .value = 1};
	struct domctl op;

	domain.cpus = 0;
	find_version();
	if (cpus < 1 || cpus > MAX_CPUS)
		end("%u CPUs: this VMM has 1 to %u", cpus, MAX_CPUS);
	domain.cpus = cpus;
	make(hap, nested);
	op = (struct domctl){.max_vcpus = {cpus}};
	must("max_vcpus", domctl(&op, DOMCTL_MAX_VCPUS));
	set_paging_memory();
	op = (struct domctl){.max_mem = {(RAM_BYTES >> 10) + SPARE_KIB}};
	must("max_mem", domctl(&op, DOMCTL_MAX_MEM));
	if (nested && !domain.version->nested_by_flag) {
		param.domain = domain.id;
		must("HVM_PARAM_NESTEDHVM", hypercall(OP_HVM, (uint64_t)HVM_SET_PARAM, &param));
	}
	/* An emulated CPU's TSC is not invariant, for which Xen would make each RDTSC an exit. */
	op = (struct domctl){.tsc = {.mode = TSC_NEVER_EMULATE}};
	must("settscinfo", domctl(&op, DOMCTL_SET_TSC));
	domain_populate(0, HOLE_BASE / PAGE_BYTES);
	domain_populate(PAM_BASE / PAGE_BYTES, (RAM_BYTES - PAM_BASE) / PAGE_BYTES);
	set_state();
}

/* -- Its life. ------------------------------------------------------------------------------------- */

void domain_start(void)
{
	struct domctl op = {};

	must("unpausedomain", domctl(&op, DOMCTL_UNPAUSE));
}

void domain_pause(void)
{
	struct domctl op = {};

	domctl(&op, DOMCTL_PAUSE);
}

bool domain_state(struct save_cpu *to)
{
	struct domctl op = {.part = {SAVE_CPU, 0, sizeof(*to), to}};

	return domctl(&op, DOMCTL_GET_CONTEXT_PART) >= 0;
}

int domain_shutdown(void)
{
	struct domctl op = {};

	must("getdomaininfo", domctl(&op, DOMCTL_INFO));
	return op.info.flags & INFO_SHUTDOWN ? (int)INFO_REASON(op.info.flags) : -1;
}
