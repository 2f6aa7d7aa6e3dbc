/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A layer is what lies between the cases and the snippet. `native` is nothing at all; under another the
 * stretch from snippet_enter to snippet_leave runs in a guest of our own (L2), and the case framework
 * is its hypervisor (L1). L2 shares L1's address space, descriptor tables and recorder, so a case needs
 * to know nothing of it: every native case runs in every layer unchanged, and must deliver the same.
 *
 * Which layers there are is nested/layers.h's. A case in which a layer makes no sense says so with need_native().
 */
#ifndef LIB_X86_LAYER_H
#define LIB_X86_LAYER_H

#include "enter.h"
#include "event.h"

#include <stdbool.h>
#include <stdint.h>

struct recording;

struct layer {
	const char *name; /* what a point's environment begins with, "svm"; NULL for native */
	/* Why this CPU cannot have the layer, or NULL. Called once per point. */
	const char *(*obstacle)(void);
	/* Before each case: everything that cases bend through the layer's own interface. */
	void (*reset)(void);
	/* After each case, on the first CPU; NULL: there is nothing to put away. */
	void (*leave)(void);
	/* As snippet_enter: runs it on this CPU, returns when L2 has left the snippet or was ended. */
	void (*enter)(struct entry *entry);
	/* The page at this physical address is cold for the next run; NULL: cold.h does it by itself. */
	void (*make_cold)(uint64_t address);
	/* An event for L1 itself in the middle of a run: true keeps it out of the trace. */
	bool (*take_l1_event)(struct recording *rec, const struct event *event);
};

extern const struct layer layer_native;

/* The layer of the point that runs. */
extern const struct layer *layer;

/* The layers that a guest's cases run in, ended by NULL; defined by trapline.h. */
extern const struct layer *const guest_layers[];

/* The table, and its names for the runner (docs/contract.md). */
#define LAYER_ADDRESS(id, name) &layer_##id,
#define LAYER_RECORD(id, name) ".asciz \"" name "\"\n"
#define DEFINE_GUEST_LAYERS(list)                                              \
	const struct layer *const guest_layers[] = {list(LAYER_ADDRESS) NULL}; \
	asm(".pushsection .trapline.layers, \"\", @progbits\n" list(LAYER_RECORD) ".popsection\n")

/* An event that was delivered to L1 itself in the middle of a run: it happened on L1's stack. */
bool layer_is_l1_event(const struct recording *rec, const struct trap_frame *frame);

/* Skips the case in every layer but the native one. */
#define need_native(reason) need(layer == &layer_native, reason)

#endif
