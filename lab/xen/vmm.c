/* SPDX-License-Identifier: BSD-2-Clause */
#include "vmm.h"

#include "../common/machine.h"
#include "../common/order.h"
#include "abi.h"
#include "domain.h"
#include "memory.h"
#include "policy.h"
#include "server.h"
#include "xen.h"

#include <string.h>

static uint32_t death_port;

static void close_death_port(void)
{
	if (death_port)
		xen_close(death_port);
	death_port = 0;
}

static _Noreturn void died(int reason)
{
	struct save_cpu cpu = {};
	const char *what = reason == SHUTDOWN_REBOOT	  ? "reset: a triple fault, most likely"
			   : reason == SHUTDOWN_POWER_OFF ? "switched off"
			   : reason == SHUTDOWN_CRASH	  ? "crashed by Xen"
							  : "ended";

	if (domain_state(&cpu))
		end("the domain was %s, CPU 0 at %#lx", what, cpu.rip);
	end("the domain was %s", what);
}

static void look_at_console(void)
{
	static char line[ORDER_MAX];
	struct save_cpu cpu = {};

	while (xen_line(line)) {
		if (!order_is_whole(line) || strcmp(line, "cancel"))
			continue;
		domain_pause();
		domain_state(&cpu);
		end("cancelled, CPU 0 at %#lx", cpu.rip);
	}
}

static void run(const void *argument)
{
	const struct guest *guest = argument;
	uint32_t wanted[MAX_CPUS + 1];
	bool nested = has_option(guest->options, "nested");

	domain_create(guest->cpus, !has_option(guest->options, "hap=0"), nested);
	if (nested)
		policy_show_nested();
	memory_start();
	memory_set_image(guest->image, guest->image_bytes, guest->words);
	server_start();
	domain_at_end(close_death_port);
	death_port = must("VIRQ_DOM_EXC", xen_bind_virq(VIRQ_DOM_EXC));
	memcpy(wanted, server_ports(), domain.cpus * sizeof(wanted[0]));
	wanted[domain.cpus] = death_port;
	forget_all();
	domain_start();
	for (;;) {
		int reason;

		must("poll", xen_wait(wanted, domain.cpus + 1));
		server_serve();
		if (xen_pending(death_port) && (reason = domain_shutdown()) >= 0)
			died(reason);
		look_at_console();
	}
}

void vmm(const struct guest *guest)
{
	domain_run(run, guest);
}
