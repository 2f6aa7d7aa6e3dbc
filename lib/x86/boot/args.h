/* SPDX-License-Identifier: BSD-2-Clause */
/* The arguments of docs/contract.md: words from the block in the image and from a PVH command line. */
#ifndef LIB_X86_ARGS_H
#define LIB_X86_ARGS_H

#include <stdbool.h>

/*
 * How a line goes out. Where each access is an exit that takes long, and whoever is behind the port takes all: by one
 * string instruction, or, where a hypervisor cannot read the guest's memory, four bytes at a time at a port for that.
 */
enum console_way { CONSOLE_BYTES, CONSOLE_WORDS, CONSOLE_LINES };

struct args {
	const char *points, *cases, *environment, *layers; /* NULL where not given; up to a blank */
	unsigned cpus;					   /* 0: not given */
	unsigned apic_step;				   /* between two CPUs' APIC ids */
	enum console_way console;			   /* console.h */
	bool edges_only;				   /* of a range: breadth.h */
	bool waits_yield;				   /* wait.h */
	bool cold_page_by_page;				   /* cold.h */
	unsigned long seed;
	unsigned long deadline; /* TSC ticks after which a wait is given up */
	enum { PATIENCE_SHRINKS, PATIENCE_SHORT, PATIENCE_ALL } patience; /* wait.h */
};

extern struct args args;

/* Reads all arguments; start_info is what the PVH loader left in EBX, or 0. */
void args_parse(unsigned long start_info);

/* How the image came here, for the report: "rom" or "pvh". */
const char *boot_container(void);

#define MAX_POINTS 16384

/* Is the point in `points`, a list such as "0-3,7"? Without the word, all are. Panic if it is none. */
bool args_have_point(unsigned point);

/* True if the comma list (NULL: everything) holds `name` or `name:suffix` . */
bool list_has_name(const char *list, const char *name, const char *suffix);

#endif
