/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The recorder: every vector of every guest leads to it (event_record of cpu/frame.h). It writes down what was
 * delivered and touches no device but the local APIC (to learn where a vector of 16 or more came from).
 *
 * It is told who asks: by `setup` how to go on after an event, by this CPU's recording which code runs, by `layer`
 * what lies in between.
 */
#ifndef LIB_X86_RECORDER_H
#define LIB_X86_RECORDER_H

#include "event.h"

/* EOI by hand, after setup.hold_eoi. */
void event_eoi(void);

/*
 * Puts an event that the recorder has not seen into this CPU's last run, at its place among those that it has:
 * `delivered` is what trace->delivered was when it happened.
 */
void event_insert(const struct event *event, uint32_t delivered);

/* Before percpu_init: each CPU that starts has a trace, and served #VCs are shown to the recorder. */
void recorder_begin(void);

#endif
