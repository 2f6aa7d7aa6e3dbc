/* SPDX-License-Identifier: BSD-2-Clause */
#include "kept.h"

#include "vmx.h"

#include "x86/cpu/percpu.h"
#include "x86/record/breadth.h"
#include "x86/record/recording.h"

#include "printf.h"

#define MAX_WATCHED 160
#define NAME_BYTES 12

static struct watched {
	uint16_t field;
	char name[NAME_BYTES];
	uint64_t value;
} watched[MAX_WATCHED];
static unsigned used, turn;

static bool is_watched(enum vmcs_field field)
{
	switch ((unsigned)field) {
	case VMCS_HOST_RSP:
		return false;
	case VMCS_GUEST_SELECTOR + 2 * VMCS_TR:
	case VMCS_GUEST_LIMIT + 2 * VMCS_TR:
	case VMCS_GUEST_ACCESS + 2 * VMCS_TR:
	case VMCS_GUEST_BASE + 2 * VMCS_TR:
	case VMCS_GUEST_BASE + 2 * VMCS_FS:
	case VMCS_GUEST_BASE + 2 * VMCS_GS:
	case VMCS_GUEST_GDTR_BASE:
	case VMCS_GUEST_GDTR_LIMIT:
	case VMCS_GUEST_IDTR_BASE:
	case VMCS_GUEST_IDTR_LIMIT:
	case VMCS_GUEST_SYSENTER_CS:
	case VMCS_GUEST_SYSENTER_ESP:
	case VMCS_GUEST_SYSENTER_EIP:
	case VMCS_GUEST_PAT:
	case VMCS_GUEST_EFER:
	case VMCS_LINK_POINTER:
		return true;
	default:
		return vmcs_type(field) == VMCS_CONTROL || vmcs_type(field) == VMCS_HOST;
	}
}

void kept_wrote(enum vmcs_field field, uint64_t value)
{
	struct watched *w = watched;

	if (this_cpu()->index || !is_watched(field))
		return;
	while (w < watched + used && w->field != field)
		w++;
	if (w == watched + MAX_WATCHED)
		return;
	if (w == watched + used) {
		used++;
		w->field = field;
		snprintf(w->name, sizeof(w->name), "VMCS.%#x", field);
	}
	w->value = value;
}

static void compare(struct recording *rec, const struct watched *w, bool entered)
{
	uint64_t now = vmread(w->field), right = w->value;
	struct difference one = {
		.where = "behind a VM exit",
		.name = w->name,
		.vector = NO_VECTOR,
	};

	if (w->field == VMCS_ENTRY_EVENT && entered)
		right &= ~(uint64_t)L2_EVENT_VALID;
	if (now == right)
		return;
	one.now = now;
	one.right = right;
	difference_append(rec, w->name);
	difference_add(&rec->differences, &one);
}

/* All of them; or each in its turn, where a VMREAD is an exit to a hypervisor that has little time. */
#define IN_ONE_TURN 2

void kept_compare(const struct l2 *v, bool entered)
{
	unsigned due = vectors_due(0) == ~0u ? used : IN_ONE_TURN;

	if (v->cpu->index)
		return;
	for (unsigned i = 0; i < due && i < used; i++) {
		turn = (turn + 1) % used;
		compare(recording_of(v->cpu), &watched[turn], entered);
	}
}
