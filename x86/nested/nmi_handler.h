/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * L2's handler of NMIs, for cases about what blocks them, by SVM and VMX alike (svm_nmi.c, vmx_nmi.c): it
 * counts how deep it nests, and the first time it does something that another NMI may follow.
 */
#ifndef X86_NMI_HANDLER_H
#define X86_NMI_HANDLER_H

static struct {
	unsigned depth, deepest, count;
	void (*first)(void);
} nmis;

static enum action count_nmi(const struct event *event, struct trap_frame *frame)
{
	(void)frame;
	if (event->vector != 2)
		return BY_RULE;
	if (++nmis.depth > nmis.deepest)
		nmis.deepest = nmis.depth;
	if (nmis.count++ == 0)
		nmis.first();
	nmis.depth--;
	return RESUME;
}

static void in_first_nmi(void (*first)(void))
{
	memset(&nmis, 0, sizeof(nmis));
	nmis.first = first;
	setup.hook = count_nmi;
}

/* Another NMI, with the time that it takes. */
static void send_another(void)
{
	nmi_to_self();
	give_it_time();
}

/* Out to L1 and back. */
static void exit_to_l1(void)
{
	asm volatile(CALL : : : "memory");
}

static void check_nesting(unsigned expected)
{
	check(nmis.deepest == expected, "NMIs were nested %u deep, not %u", nmis.deepest, expected);
}

#endif
