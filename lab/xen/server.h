/* SPDX-License-Identifier: BSD-2-Clause */
/* The ioreq server: what a device model is to Xen. It has the ports of ../common/ports.h; the APICs, the PICs and the
 * timers are Xen's own. */
#ifndef XEN_SERVER_H
#define XEN_SERVER_H

#include <stdint.h>

/* Serves the ports of a new domain. */
void server_start(void);
/* The event channels of its CPUs. */
const uint32_t *server_ports(void);
/* Answers what the domain's CPUs ask by now. */
void server_serve(void);

#endif
