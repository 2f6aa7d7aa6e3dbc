/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the runner says to a host of the lab: lines on COM1, each with "#LENGTH" behind it.
 *
 *   run IMAGE CPUS OPTIONS WORDS…   run a guest; ends with message E. OPTIONS are those of the VMM, with commas
 *                                   between, or "-"; WORDS are the guest's arguments
 *   cancel                          end the guest that runs
 *   off                             switch the host off
 *
 * and what else a host understands (kvm/init.c, xen/dom0.c).
 */
#ifndef COMMON_ORDER_H
#define COMMON_ORDER_H

#include <stdbool.h>

#define ORDER_MAX 8192

struct run_order {
	char image[256];
	unsigned cpus;
	char options[256];
	const char *words; /* in the order itself */
};

/*
 * Whether the line has come whole, as its "#LENGTH" says, which is cut off: an emulator's UART loses bytes now
 * and then. What does not is answered with message A.
 */
bool order_is_whole(char *line);

/* Takes a "run …" apart; false where it is none, or its parts are too long. */
bool order_to_run(const char *line, struct run_order *order);

/* Whether `word` is one of those in `options`, between which commas stand. */
bool has_option(const char *options, const char *word);

#endif
