/* SPDX-License-Identifier: BSD-2-Clause */
/* Events that a guest can ask for; see ghcb_event.h. */
#include "ghcb_event.h"
#include "x86/insn/ioio.h"

#define RAX GHCB_BIT(GHCB_RAX)
#define RBX GHCB_BIT(GHCB_RBX)
#define RCX GHCB_BIT(GHCB_RCX)
#define RDX GHCB_BIT(GHCB_RDX)
#define CPL GHCB_BIT(GHCB_CPL)
#define XCR0 GHCB_BIT(GHCB_XCR0)
#define SCRATCH GHCB_BIT(GHCB_SCRATCH)

struct event {
	uint32_t code;
	char name[20];
	uint32_t inputs, outputs;
};

/* What depends on the values of a request is added in the functions below. */
/* clang-format off */
static const struct event events[] = {
	{ SVM_EXIT_READ_DR7,		"read dr7",		0, 0 },
	{ SVM_EXIT_WRITE_DR7,		"write dr7",		RAX, 0 },
	{ SVM_EXIT_RDTSC,		"rdtsc",		0, RAX | RDX },
	{ SVM_EXIT_RDPMC,		"rdpmc",		RCX, RAX | RDX },
	{ SVM_EXIT_CPUID,		"cpuid",		RAX | RCX, RAX | RBX | RCX | RDX },
	{ SVM_EXIT_INVD,		"invd",			0, 0 },
	{ SVM_EXIT_IOIO,		"ioio",			0, 0 },
	{ SVM_EXIT_MSR,			"msr",			RCX, 0 },
	{ SVM_EXIT_VMMCALL,		"vmmcall",		RAX | CPL, RAX },
	{ SVM_EXIT_RDTSCP,		"rdtscp",		0, RAX | RCX | RDX },
	{ SVM_EXIT_WBINVD,		"wbinvd",		0, 0 },
	{ SVM_EXIT_MONITOR,		"monitor",		RAX | RCX | RDX, 0 },
	{ SVM_EXIT_MWAIT,		"mwait",		RAX | RCX, 0 },
	{ GHCB_EVENT_MMIO_READ,		"mmio read",		SCRATCH, 0 },
	{ GHCB_EVENT_MMIO_WRITE,	"mmio write",		SCRATCH, 0 },
	{ GHCB_EVENT_NMI_COMPLETE,	"nmi complete",		0, 0 },
	{ GHCB_EVENT_AP_RESET_HOLD,	"ap reset hold",	0, 0 },
	{ GHCB_EVENT_AP_JUMP_TABLE,	"ap jump table",	0, 0 },
	{ GHCB_EVENT_PAGE_STATE_CHANGE,	"page state change",	SCRATCH, 0 },
	{ GHCB_EVENT_GUEST_REQUEST,	"guest request",	0, 0 },
	{ GHCB_EVENT_EXT_GUEST_REQUEST,	"ext guest request",	RAX | RBX, 0 },
	{ GHCB_EVENT_AP_CREATION,	"ap creation",		0, 0 },
	{ GHCB_EVENT_HV_DOORBELL,	"hv doorbell",		0, 0 },
	{ GHCB_EVENT_HV_IPI,		"hv ipi",		0, 0 },
	{ GHCB_EVENT_HV_TIMER,		"hv timer",		0, 0 },
	{ GHCB_EVENT_APIC_ID_LIST,	"apic id list",		0, 0 },
	{ GHCB_EVENT_RUN_VMPL,		"run vmpl",		0, 0 },
	{ GHCB_EVENT_TIO_REQUEST,	"tio request",		0, 0 },
	{ GHCB_EVENT_HV_FEATURES,	"hv features",		0, 0 },
	{ GHCB_EVENT_TERMINATE,		"terminate",		0, 0 },
	{ GHCB_EVENT_UNSUPPORTED,	"unsupported",		0, 0 },
};
/* clang-format on */

/* NULL for an event that the specification doesn't have. */
static const struct event *find(uint64_t code)
{
	for (unsigned int i = 0; i < sizeof(events) / sizeof(events[0]); i++) {
		if (events[i].code == code)
			return &events[i];
	}
	return NULL;
}

uint32_t ghcb_event_inputs(const struct ghcb_request *request)
{
	const struct event *event = find(request->exit_code);
	uint32_t mask =
		GHCB_BIT(GHCB_EXIT_CODE) | GHCB_BIT(GHCB_EXIT_INFO_1) | GHCB_BIT(GHCB_EXIT_INFO_2);
	uint64_t info = request->exit_info_1;

	if (!event)
		return mask;
	mask |= event->inputs;
	switch (request->exit_code) {
	case SVM_EXIT_CPUID:
		if ((uint32_t)request->rax == 0xd)
			mask |= XCR0;
		break;
	case SVM_EXIT_IOIO:
		if (info & IOIO_STRING)
			mask |= SCRATCH;
		else if (!(info & IOIO_IN))
			mask |= RAX;
		break;
	case SVM_EXIT_MSR:
		if (info == 1)
			mask |= RAX | RDX;
		break;
	case GHCB_EVENT_AP_CREATION:
		/* SEV_FEATURES, unless the AP is destroyed (operation 2). */
		if ((info & 0xffff) != 2)
			mask |= RAX;
		break;
	}
	return mask;
}

uint32_t ghcb_event_outputs(const struct ghcb_request *request)
{
	const struct event *event = find(request->exit_code);
	uint64_t info = request->exit_info_1;
	uint32_t mask = event ? event->outputs : 0;

	if (request->exit_code == SVM_EXIT_IOIO && (info & IOIO_IN) && !(info & IOIO_STRING))
		mask |= RAX;
	if (request->exit_code == SVM_EXIT_MSR && info == 0)
		mask |= RAX | RDX;
	return mask;
}

const char *ghcb_event_name(uint64_t exit_code)
{
	const struct event *event = find(exit_code);

	return event ? event->name : "?";
}
