/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * All there is of a dom0: a paravirtual kernel that says what Xen it runs on, obeys the orders of ../common/order.h
 * from Xen's console, one guest after the other (vmm.c), and
 *
 *   log TEXT    write into Xen's console, as a complaint of Xen's would be
 *
 * It has no interrupts, no memory management and no toolstack. The guests' images are in an archive that Xen gets
 * as the initrd of its dom0.
 */
#include "../common/message.h"
#include "../common/order.h"
#include "abi.h"
#include "cpio.h"
#include "vmm.h"
#include "xen.h"

#include <stdio.h>
#include <string.h>

static const struct start_info *start;

/* The processor's own name: CPUID is not hidden from a dom0. */
static void name_cpu(char *name)
{
	for (uint32_t i = 0; i < 3; i++) {
		uint32_t words[4];

		asm volatile("cpuid"
			     : "=a"(words[0]), "=b"(words[1]), "=c"(words[2]), "=d"(words[3])
			     : "a"(0x80000002u + i), "c"(0));
		memcpy(name + 16 * i, words, sizeof(words));
	}
	name[48] = '\0';
}

/* What kinds of second-level translation this Xen has for an HVM domain. */
static const char *paging(const struct xen_version *version)
{
	struct sysctl op = {SYSCTL_PHYSINFO, version->sysctl, {}};
	static const char *const names[] = {"", "hap", "shadow", "hap,shadow"};

	if (hypercall(OP_SYSCTL, &op) < 0)
		return "";
	return names[!!(op.physinfo.capabilities & PHYSINFO_HAP) +
		     2 * !!(op.physinfo.capabilities & PHYSINFO_SHADOW)];
}

static void hello(void)
{
	static char capabilities[1024], command_line[1024];
	char extra[17] = "", cpu[49];
	long number = hypercall(OP_VERSION, (uint64_t)VERSION_VERSION, NULL);
	const struct xen_version *version = xen_version_of(number >> 16, number & 0xffff);
	const char *error = "";

	hypercall(OP_VERSION, (uint64_t)VERSION_EXTRA, extra);
	hypercall(OP_VERSION, (uint64_t)VERSION_CAPABILITIES, capabilities);
	hypercall(OP_VERSION, (uint64_t)VERSION_COMMAND_LINE, command_line);
	name_cpu(cpu);
	if (!version)
		error = "error=this Xen's toolstack interface is not known here (lab/xen/abi.c)\n";
	messagef('H',
		 "tainted=0\nkernel=Xen %d.%d%s\ncpu=%s\ncapabilities=%s\npaging=%s\n"
		 "command_line=%s\n%s",
		 (int)(number >> 16), (int)(number & 0xffff), extra, cpu, capabilities,
		 version ? paging(version) : "", command_line, error);
}

static void run(const char *line)
{
	static struct run_order order;
	struct guest guest = {};

	if (!order_to_run(line, &order)) {
		messagef('R', "order not understood: '%.100s'", line);
	} else {
		guest.image = cpio_image((const uint8_t *)start->module, start->module_bytes,
					 order.image, &guest.image_bytes);
		guest.cpus = order.cpus;
		guest.options = order.options;
		guest.words = order.words;
		if (guest.image)
			vmm(&guest);
		else
			messagef('R', "%s: no such image", order.image);
	}
	messagef('E', "tainted=0\n");
}

static void log_line(char *text)
{
	size_t length = strlen(text);

	/* What cut the mark off has left room for it. */
	text[length] = '\n';
	text[length + 1] = '\0';
	xen_log(text);
}

static void obey(char *line)
{
	if (!order_is_whole(line))
		message('A', "", 0);
	else if (!strcmp(line, "off"))
		xen_off();
	else if (!strncmp(line, "log ", 4))
		log_line(line + 4);
	else if (!strncmp(line, "run ", 4))
		run(line);
}

_Noreturn void dom0(const struct start_info *info);

_Noreturn void dom0(const struct start_info *info)
{
	static char line[ORDER_MAX];

	start = info;
	xen_start(info);
	hello();
	for (;;) {
		if (xen_line(line))
			obey(line);
		else
			xen_wait(NULL, 0);
	}
}
