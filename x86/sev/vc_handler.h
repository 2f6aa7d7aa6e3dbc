/* SPDX-License-Identifier: BSD-2-Clause */
/* A handler of the snippet's event that raises a #VC itself, in the middle of whatever the event has interrupted. */
#ifndef X86_VC_HANDLER_H
#define X86_VC_HANDLER_H

#include "vc.h"

/* What the handler read last: identification(), if all is well. */
static uint32_t in_handler;

/* A hook. A port, which the hypervisor is asked for under SEV-SNP as well; CPUID is not. */
static enum action port_in_handler(const struct event *event, struct trap_frame *frame)
{
	(void)event;
	(void)frame;
	in_handler = inl(DATA);
	return BY_RULE;
}

#endif
