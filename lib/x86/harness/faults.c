/* SPDX-License-Identifier: BSD-2-Clause */
#include "faults.h"

#include "snippet.h"
#include "x86/arch/exceptions.h"
#include "x86/cpu/cpu.h"
#include "x86/cpu/paging.h"
#include "x86/record/notation.h"

#define UD2_BYTES 2

enum action skip_ud2(const struct event *event, struct trap_frame *frame)
{
	if (event->vector != VECTOR_UD)
		return BY_RULE;
	frame->iret.rip += UD2_BYTES;
	return RESUME;
}

void unmap_window(void)
{
	window_map(0, 0);
	notation_name("window", WINDOW, PAGE_BYTES);
	setup.regs.rdi = WINDOW;
}

enum action map_window(const struct event *event, struct trap_frame *frame)
{
	static uint8_t backing[PAGE_BYTES] __attribute__((aligned(4096)));

	(void)frame;
	if (event->vector != VECTOR_PF)
		return BY_RULE;
	window_map(0, (uint64_t)backing | PTE_PAGE);
	return RESUME;
}
