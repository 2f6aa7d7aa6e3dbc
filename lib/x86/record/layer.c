/* SPDX-License-Identifier: BSD-2-Clause */
#include "layer.h"

#include "recording.h"

const struct layer layer_native = {.enter = snippet_enter};

const struct layer *layer = &layer_native;

bool layer_is_l1_event(const struct recording *rec, const struct trap_frame *frame)
{
	return layer != &layer_native &&
	       stack_top(rec->cpu, STACK_MAIN) - (uint64_t)frame < STACK_BYTES;
}
