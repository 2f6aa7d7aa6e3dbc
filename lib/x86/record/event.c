/* SPDX-License-Identifier: BSD-2-Clause */
#include "event.h"

#include "x86/arch/exceptions.h"
#include "x86/insn/exit_code.h"

struct event event_of(const struct trap_frame *frame)
{
	return (struct event){
		.rip = frame->iret.rip,
		.rflags = frame->iret.rflags,
		.rsp = frame->iret.rsp,
		.frame = (uint64_t)&frame->iret,
		.error = frame->error,
		.cs = frame->iret.cs,
		.ss = frame->iret.ss,
		.vector = frame->vector,
		.has_error = frame->vector & FRAME_HAS_ERROR,
	};
}

bool event_has_cr2(const struct event *event)
{
	return event->vector == VECTOR_PF || (event->vector == VECTOR_VC && event->has_error &&
					      event->error == SVM_EXIT_PAGE_NOT_VALIDATED);
}
