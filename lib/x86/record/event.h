/* SPDX-License-Identifier: BSD-2-Clause */
/* An event, a run of them, a trace: what the recorder writes down, and notation.h turns into text. */
#ifndef LIB_X86_EVENT_H
#define LIB_X86_EVENT_H

#include "x86/cpu/frame.h"

#include <stdbool.h>
#include <stdint.h>

enum origin {
	FROM_EXCEPTION,
	FROM_INT_N,   /* the bytes before the return address are CD and the vector */
	FROM_APIC,    /* the vector's ISR bit was set */
	FROM_OUTSIDE, /* vector 32 or above, and none of the others */
	FROM_SMM,     /* an SMI: seen by its own handler alone (event_insert) */
	READING,      /* no event: what a case read off a register (observe) */
	DIFFERENCE,   /* no event: what is wrong where a run or an exit has ended; `name` */
};

/*
 * How a number goes on from one vector under test to the next (subject_begin): not known yet, the same
 * for all of them, or so much higher for each.
 */
enum relation { UNDECIDED, SAME, BY_1, BY_8, BY_16 };

struct event {
	uint64_t rip, rflags, rsp, frame; /* frame: address of the pushed RIP */
	uint64_t cr2;			  /* where event_has_cr2() */
	uint32_t error, dr6;		  /* dr6: vector 1 only */
	uint16_t cs, ss;
	uint8_t vector, origin;
	bool has_error;
	bool level;		     /* FROM_APIC: the vector's TMR bit was set */
	const char *name;	     /* READING: of what; the value is in `error` */
	uint8_t vector_is, error_is; /* enum relation */
	uint64_t wrong;		     /* what delivery.h has found, a bit for each enum part */
	/* Seen by L1 (layer.h): an event delivered to L1 itself, or an exit of its L2. */
	bool in_l1, is_exit;
	bool is_exception_exit; /* vector, error, dr6 and cr2 say which */
	uint16_t exit_type;	/* under VMX, of that exception: L2_EXCEPTION, … */
	bool has_gpa, no_place;
	uint64_t exit_code, gpa, gpa_error;
	const char *exit_name;		     /* or NULL */
	uint32_t vectoring, vectoring_error; /* EXITINTINFO, IDT-vectoring information */
};

/* An event as its frame shows it; what else is known of it is added by whoever knows. */
struct event event_of(const struct trap_frame *frame);

/* #PF, and #VC for a page that was not validated (APM 2, "RMP and VMPL Access Checks"). */
bool event_has_cr2(const struct event *event);

/* In `vectoring`, the same for both vendors. */
#define VECTORING_VALID (1u << 31)
#define VECTORING_HAS_ERROR (1u << 11)

/* What the recorder does after an event. */
enum action {
	BY_RULE, /* resume after traps, interrupts and INT n; leave the snippet after a fault */
	RESUME,
	LEAVE,
};

/* Called for each event of a snippet once it is written down; may edit the frame. */
typedef enum action event_hook(const struct event *event, struct trap_frame *frame);

/* One execution of a snippet, or several in a row that went alike. */
struct group {
	const struct code *code;
	uint64_t base; /* where the snippet's code stood */
	uint32_t first, events, times;
	/* The vectors under test that went alike, one bit each; the events are those of `subject`. */
	bool has_subject;
	uint8_t subject, subjects[32];
};

#define MAX_EVENTS 512
#define MAX_GROUPS 128
#define MAX_EVENTS_PER_RUN 64

struct trace {
	uint32_t events_used, groups_used;
	bool full;	    /* something did not fit: the trace proves nothing */
	uint64_t delivered; /* events since boot, of this CPU */
	struct event events[MAX_EVENTS];
	struct group groups[MAX_GROUPS];
};

/* An exception by which the snippet's last instruction hands back the CPU; it is not recorded. */
#define END_VECTOR 6

#endif
