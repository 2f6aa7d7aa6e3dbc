/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A VMM for guests of this suite, on Xen: the twin of ../kvm/vmm.h. An HVM domain without a toolstack, and the few
 * ports that the guests' library touches.
 */
#ifndef XEN_VMM_H
#define XEN_VMM_H

#include <stddef.h>
#include <stdint.h>

/* A guest and its machine. `options` are words with commas between: hap=0, nested. */
struct guest {
	const uint8_t *image;
	size_t image_bytes;
	unsigned cpus;
	const char *options, *words;
};

/* Runs it until it ends, and says why (R). */
void vmm(const struct guest *guest);

#endif
