/* SPDX-License-Identifier: BSD-2-Clause */
/* The guest's machine as Xen knows it: a domain, made by hypercalls alone. And its end. */
#ifndef XEN_DOMAIN_H
#define XEN_DOMAIN_H

#include "abi.h"

#include <stdbool.h>
#include <stdint.h>

struct domain {
	uint16_t id; /* 0: there is none */
	unsigned cpus;
	const struct xen_version *version;
};

extern struct domain domain;

/* What is done before the domain is destroyed, however it ends. At most four, kept from one guest to the next. */
void domain_at_end(void (*what)(void));

/*
 * A paused HVM domain with RAM and no image, its first CPU as after reset. With `hap` the hardware translates its
 * addresses twice, else Xen keeps shadow page tables; `nested` is for policy.h.
 */
void domain_create(unsigned cpus, bool hap, bool nested);
/* Memory for some of its frames. */
void domain_populate(uint64_t first, uint64_t count);
/* Lets it run. */
void domain_start(void);
/* The first CPU's registers, as far as Xen gives them. */
bool domain_state(struct save_cpu *to);
/* Stops it for good. */
void domain_pause(void);
/* The reason if it has shut itself down (SHUTDOWN_…), else -1. */
int domain_shutdown(void);

/* Calls about this domain: an error if negative. */
long domctl(struct domctl *op, uint32_t command);
long dm_op(struct dm_op *op, uint32_t number);

/* Destroys the domain, says why it ended (R) and goes back to where domain_run() was called. */
_Noreturn void end(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* `result`, which is that of `what`; if it is negative, the end. */
long must(const char *what, long result);

/* Calls `body` with `argument`; comes back when end() was called. */
void domain_run(void (*body)(const void *argument), const void *argument);

#endif
