/* SPDX-License-Identifier: BSD-2-Clause */
#include "snp.h"

#include "asid.h"
#include "base/cpu.h"
#include "base/log.h"
#include "base/options.h"
#include "base/sev_cpuid.h"
#include "measure.h"
#include "memory/rmp.h"
#include "memory/views.h"

#include "string.h"

#define GUESTS 64
#define LARGE_BYTES (RMP_LARGE_FRAMES * PAGE)
#define STATE_BITS (RMP_ASSIGNED | RMP_IMMUTABLE | RMP_ASID | RMP_GPA | RMP_VMSA | RMP_VALIDATED)
#define FIRMWARE_STATE (RMP_ASSIGNED | RMP_IMMUTABLE)
#define CONTEXT_STATE (FIRMWARE_STATE | RMP_VMSA)

struct guest {
	uint64_t context; /* its page; 0: there is no such guest */
	enum snp_guest_state state;
	uint64_t policy;
	uint32_t asid;
	uint8_t digest[SHA384_BYTES];
};

static struct {
	bool initialized;
	struct guest guests[GUESTS];
} snp;

/* -- Parameters, as linux/psp-sev.h and the ABI have them. ------------------------------------------- */

struct address {
	uint64_t at;
} __attribute__((packed));

struct init_ex {
	uint32_t flags, reserved;
	uint64_t ranges;
} __attribute__((packed));
#define INIT_RMP 1u
#define INIT_RANGES 2u

/* Pages that L1 keeps as they are: HV-fixed. */
struct ranges {
	uint32_t count, reserved;
	struct {
		uint64_t base;
		uint32_t pages, reserved;
	} __attribute__((packed)) range[255];
} __attribute__((packed));

struct platform_status {
	uint8_t major, minor, state, is_rmp_initialized;
	uint32_t build, flags, guests;
	uint64_t current_tcb, reported_tcb;
} __attribute__((packed));

struct activate {
	uint64_t context;
	uint32_t asid;
} __attribute__((packed));

struct guest_status {
	uint64_t context, to;
} __attribute__((packed));

struct status {
	uint64_t policy;
	uint32_t asid;
	uint8_t state, reserved[19];
} __attribute__((packed));

struct request {
	uint64_t context, from, to;
} __attribute__((packed));

struct start {
	uint64_t context, policy, agent;
	uint32_t flags;
} __attribute__((packed));
#define START_AGENT 1u

struct update {
	uint64_t context;
	uint32_t what, reserved;
	uint64_t at;
} __attribute__((packed));
#define UPDATE_LARGE 1u
enum { NORMAL = 1, VMSA, ZERO, UNMEASURED, SECRETS, CPUID };

struct finish {
	uint64_t context, block, auth;
	uint8_t has_block : 1, has_key : 1;
} __attribute__((packed));

#define POLICY_ONE (1ul << 17) /* must be */
#define POLICY_KNOWN 0x3fffffful

/* -- Pages. ---------------------------------------------------------------------------------------- */

static bool is_in_state(uint64_t at, uint64_t state)
{
	return (rmp_entry(at) & STATE_BITS) == state;
}

bool snp_may_write(uint64_t at, uint64_t bytes)
{
	if (!snp.initialized)
		return true;
	for (uint64_t page = at & ~(PAGE - 1); page < at + bytes; page += PAGE)
		if (!is_in_state(page, FIRMWARE_STATE))
			return false;
	return true;
}

/* -- Platform. ------------------------------------------------------------------------------------- */

static enum sev_error initialize(void)
{
	if (!rmp_is_enabled() || cpu0.hsave)
		return SEV_INVALID_CONFIG;
	snp.initialized = true;
	return SEV_OK;
}

static enum sev_error do_INIT(void *parameters, struct guest *g)
{
	enum sev_error error = initialize();

	(void)parameters;
	(void)g;
	if (!error)
		rmp_clear();
	return error;
}

static enum sev_error do_INIT_EX(void *parameters, struct guest *g)
{
	const struct init_ex *p = parameters;
	const struct ranges *list = NULL;
	enum sev_error error;

	(void)g;
	if (p->flags & INIT_RANGES) {
		list = firmware_memory(p->ranges & ~C_BIT, PAGE);
		if (!list || p->ranges & (PAGE - 1))
			return SEV_INVALID_ADDRESS;
		if (list->count > sizeof(list->range) / sizeof(list->range[0]))
			return SEV_INVALID_PARAM;
	}
	if (!(p->flags & INIT_RMP))
		return SEV_RMP_INIT_REQUIRED;
	error = initialize();
	if (error)
		return error;
	rmp_clear();
	for (uint32_t i = 0; list && i < list->count; i++)
		rmp_fix(list->range[i].base, list->range[i].pages);
	return SEV_OK;
}

static enum sev_error do_SHUTDOWN_EX(void *parameters, struct guest *g)
{
	(void)parameters;
	(void)g;
	for (unsigned i = 0; i < GUESTS; i++)
		if (snp.guests[i].context)
			asid_leave(snp.guests[i].asid, false);
	memset(&snp, 0, sizeof(snp));
	return SEV_OK;
}

static unsigned count_guests(void)
{
	unsigned count = 0;

	for (unsigned i = 0; i < GUESTS; i++)
		count += !!snp.guests[i].context;
	return count;
}

/* Where an answer goes. */
static enum sev_error output(uint64_t at, uint64_t bytes, void **to)
{
	at &= ~C_BIT;
	*to = firmware_memory(at, bytes);
	if (!*to)
		return SEV_INVALID_ADDRESS;
	return snp_may_write(at, bytes) ? SEV_OK : SEV_INVALID_PAGE_STATE;
}

static enum sev_error do_PLATFORM_STATUS(void *parameters, struct guest *g)
{
	const struct address *p = parameters;
	struct platform_status *s;
	enum sev_error error = output(p->at, sizeof(*s), (void **)&s);

	(void)g;
	if (error)
		return error;
	*s = (struct platform_status){
		.major = SEV_API_MAJOR,
		.minor = SEV_API_MINOR,
		.state = snp.initialized,
		.is_rmp_initialized = snp.initialized,
		.build = SEV_BUILD,
		.guests = count_guests(),
	};
	return SEV_OK;
}

static enum sev_error do_DF_FLUSH(void *parameters, struct guest *g)
{
	(void)parameters;
	(void)g;
	asid_flush();
	return SEV_OK;
}

static enum sev_error nothing_to_do(void *parameters, struct guest *g)
{
	(void)parameters;
	(void)g;
	return SEV_OK;
}
#define do_CONFIG nothing_to_do
#define do_COMMIT nothing_to_do

/* A page that was the firmware's, or became no guest's, goes back to L1. */
static enum sev_error do_PAGE_RECLAIM(void *parameters, struct guest *g)
{
	const struct address *p = parameters;
	uint64_t at = p->at & ~C_BIT & ~(PAGE - 1), entry = rmp_entry(at);

	(void)g;
	if (!firmware_memory(at, PAGE))
		return SEV_INVALID_ADDRESS;
	if (!(entry & RMP_ASSIGNED) || !(entry & RMP_IMMUTABLE) || is_in_state(at, CONTEXT_STATE))
		return SEV_INVALID_PAGE_STATE;
	if ((p->at & 1) != !!(entry & RMP_LARGE))
		return SEV_INVALID_PAGE_SIZE;
	rmp_change(at, RMP_IMMUTABLE | RMP_VALIDATED | RMP_VMSA, 0);
	return SEV_OK;
}

/* -- Guests. --------------------------------------------------------------------------------------- */

static struct guest *guest_of(uint64_t context)
{
	for (unsigned i = 0; i < GUESTS; i++)
		if (context && snp.guests[i].context == context)
			return &snp.guests[i];
	return NULL;
}

static enum sev_error do_GCTX_CREATE(void *parameters, struct guest *g)
{
	const struct address *p = parameters;
	uint64_t at = p->at & ~C_BIT;
	unsigned i = 0;

	(void)g;
	if (at & (PAGE - 1) || !firmware_memory(at, PAGE))
		return SEV_INVALID_ADDRESS;
	if (!is_in_state(at, FIRMWARE_STATE))
		return SEV_INVALID_PAGE_STATE;
	if (rmp_entry(at) & RMP_LARGE)
		return SEV_INVALID_PAGE_SIZE;
	while (i < GUESTS && snp.guests[i].context)
		i++;
	if (i == GUESTS)
		return SEV_RESOURCE_LIMIT;
	snp.guests[i] = (struct guest){.context = at};
	rmp_change(at, 0, RMP_VMSA);
	return SEV_OK;
}

static enum sev_error do_DECOMMISSION(void *parameters, struct guest *g)
{
	(void)parameters;
	asid_leave(g->asid, true);
	rmp_change(g->context, RMP_VMSA, 0);
	*g = (struct guest){0};
	return SEV_OK;
}

static enum sev_error do_ACTIVATE(void *parameters, struct guest *g)
{
	const struct activate *p = parameters;
	enum sev_error error = g->asid ? SEV_ACTIVE : asid_take(p->asid, true);

	if (!error)
		g->asid = p->asid;
	return error;
}

static enum sev_error do_GUEST_STATUS(void *parameters, struct guest *g)
{
	const struct guest_status *p = parameters;
	struct status *s;
	enum sev_error error = output(p->to, sizeof(*s), (void **)&s);

	if (!error)
		*s = (struct status){.policy = g->policy, .asid = g->asid, .state = g->state};
	return error;
}

static enum sev_error do_LAUNCH_START(void *parameters, struct guest *g)
{
	const struct start *p = parameters;

	if (p->flags & START_AGENT) /* of a migration */
		return SEV_UNSUPPORTED;
	if (!(p->policy & POLICY_ONE) || p->policy & ~POLICY_KNOWN)
		return SEV_INVALID_PARAM;
	/* The least version of the ABI: byte 0 the minor, byte 1 the major. */
	if ((p->policy >> 8 & 0xff) > SEV_API_MAJOR ||
	    ((p->policy >> 8 & 0xff) == SEV_API_MAJOR && (p->policy & 0xff) > SEV_API_MINOR))
		return SEV_POLICY_FAILURE;
	g->policy = p->policy;
	g->state = SNP_GUEST_LAUNCH;
	return SEV_OK;
}

/* Version 3 and four keys, which only have to differ. SNP ABI, "Secrets Page". */
static void fill_secrets(uint8_t *page)
{
	memset(page, 0, PAGE);
	page[0] = 3;
	for (unsigned i = 0; i < 4 * 32; i++)
		page[0x20 + i] = 0x11 * (i / 32 + 1) + 7 * i;
}

/* Returns an error where the page is none that may become the guest's. */
static enum sev_error check_page(const struct guest *g, uint64_t at, bool large)
{
	uint64_t entry = rmp_entry(at);

	if (at & ((large ? LARGE_BYTES : PAGE) - 1) ||
	    !firmware_memory(at, large ? LARGE_BYTES : PAGE))
		return SEV_INVALID_ADDRESS;
	if (!(entry & RMP_ASSIGNED) || !(entry & RMP_IMMUTABLE) || !(entry & RMP_ASID) ||
	    entry & RMP_VALIDATED)
		return SEV_INVALID_PAGE_STATE;
	if ((entry & RMP_ASID) >> RMP_ASID_SHIFT != g->asid)
		return SEV_INVALID_PAGE_OWNER;
	return !!(entry & RMP_LARGE) == large ? SEV_OK : SEV_INVALID_PAGE_SIZE;
}

/* A large page is measured as the small ones that it stands for. */
static void measure(struct guest *g, unsigned type, uint64_t at, uint64_t bytes)
{
	uint64_t gpa = rmp_entry(at) & RMP_GPA;

	for (uint64_t done = 0; done < bytes; done += PAGE) {
		bool whole = type == NORMAL || type == VMSA;

		views_show(at + done, 0);
		measure_page(g->digest, type, whole ? (const void *)(at + done) : NULL, gpa + done);
	}
}

static enum sev_error do_LAUNCH_UPDATE(void *parameters, struct guest *g)
{
	const struct update *p = parameters;
	uint64_t at = p->at & ~C_BIT;
	bool large = p->what & UPDATE_LARGE;
	uint64_t bytes = large ? LARGE_BYTES : PAGE;
	unsigned type = p->what >> 1 & 7;
	enum sev_error error;

	if (type < NORMAL || type > CPUID || (type != NORMAL && type != ZERO && large))
		return SEV_INVALID_PARAM;
	error = check_page(g, at, large);
	if (error)
		return error;
	measure(g, type, at, bytes);
	if (type == ZERO)
		memset((void *)at, 0, bytes);
	else if (type == SECRETS)
		fill_secrets((uint8_t *)at);
	views_encrypt(at, bytes, views_key(g->asid));
	rmp_change(at, RMP_IMMUTABLE, RMP_VALIDATED | (type == VMSA ? RMP_VMSA : 0));
	return SEV_OK;
}

static enum sev_error do_LAUNCH_FINISH(void *parameters, struct guest *g)
{
	const struct finish *p = parameters;

	if (p->has_block || p->has_key) /* signatures */
		return SEV_UNSUPPORTED;
	measure_say("launch digest", g->asid, g->digest, SHA384_BYTES);
	g->state = SNP_GUEST_RUNNING;
	return SEV_OK;
}

/* There are no keys, so no message is authentic. */
static enum sev_error do_GUEST_REQUEST(void *parameters, struct guest *g)
{
	const struct request *p = parameters;
	enum sev_error error;
	void *to;

	(void)g;
	if (p->from & (PAGE - 1) || p->to & (PAGE - 1) || !firmware_memory(p->from & ~C_BIT, PAGE))
		return SEV_INVALID_ADDRESS;
	error = output(p->to, PAGE, &to);
	return error ? error : SEV_BAD_MEASUREMENT;
}

/* -- The way to them. ------------------------------------------------------------------------------ */

enum { U = 1, I = 2 };
enum { NONE, N = 1 << SNP_GUEST_INIT, L = 1 << SNP_GUEST_LAUNCH, R = 1 << SNP_GUEST_RUNNING };
enum { ACTIVE = 1, REFUSED = 2 };

static enum sev_error refuse(void *parameters, struct guest *g)
{
	(void)parameters;
	(void)g;
	return SEV_UNSUPPORTED;
}
#define do_DBG_DECRYPT refuse
#define do_DBG_ENCRYPT refuse

static const struct command {
	uint16_t id, bytes;
	uint8_t platform, guest, more;
	enum sev_error (*act)(void *parameters, struct guest *g);
} commands[] = {
#define SNP(id, name, bytes, platform, guest, more) {id, bytes, platform, guest, more, do_##name},
#include "snp.def"
#undef SNP
};

static const struct command *find(unsigned id)
{
	for (unsigned i = 0; features.snp && i < sizeof(commands) / sizeof(commands[0]); i++)
		if (commands[i].id == id)
			return &commands[i];
	return NULL;
}

enum sev_error snp_command(unsigned id, uint64_t buffer, bool legacy)
{
	const struct command *c = find(id);
	struct guest *g = NULL;
	void *parameters = NULL;

	if (!c)
		return SEV_INVALID_COMMAND;
	if (c->bytes) {
		parameters = firmware_memory(buffer & ~C_BIT, c->bytes);
		if (!parameters)
			return SEV_INVALID_ADDRESS;
	}
	/* SNP is initialized before the rest. */
	if (!(c->platform & (snp.initialized ? I : U)) || (c->platform == U && legacy))
		return SEV_INVALID_PLATFORM_STATE;
	if (c->guest) {
		g = guest_of(((const struct address *)parameters)->at & ~C_BIT);
		if (!g)
			return SEV_INVALID_GUEST;
		if (!(c->guest >> g->state & 1))
			return SEV_INVALID_GUEST_STATE;
		if (c->more & ACTIVE && !g->asid)
			return SEV_INACTIVE;
	}
	return c->act(parameters, g);
}
