/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What dom0 stands on, since there is no kernel below it: pages of others mapped into its own page tables, events
 * that are polled for, and the host's console. Xen's page tables are kept as they were at the start, and no
 * interrupt is ever taken.
 */
#ifndef XEN_XEN_H
#define XEN_XEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct start_info;

/* Maps the page that is shared with Xen, lets ports be used, and listens to the console. */
void xen_start(const struct start_info *info);

/* A domain's frame, as the domain counts (`of_machine`: as Xen does), at page `at` of ours. An error if negative. */
long xen_map(void *at, uint16_t domain, uint64_t frame, bool of_machine);
void xen_unmap(void *at);

/* Event channels: a bound port, or a negative error. */
long xen_bind(uint16_t domain, uint32_t remote);
long xen_bind_virq(uint32_t virq);
void xen_close(uint32_t port);
long xen_notify(uint32_t port);
/* Whether something came since the last question. */
bool xen_pending(uint32_t port);
/* Sleeps until one of the ports, or the console, has something. */
long xen_wait(const uint32_t *ports, unsigned count);

/* A whole line of the console's input, if there is one by now; `line` has ORDER_MAX bytes. */
bool xen_line(char *line);
/* A line into Xen's own log. */
void xen_log(const char *text);

/* Ends the host. */
_Noreturn void xen_off(void);

#endif
