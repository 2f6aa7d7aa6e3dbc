/* SPDX-License-Identifier: BSD-2-Clause */
#include "firmware.h"

#include "asid.h"
#include "base/log.h"
#include "base/options.h"
#include "base/sev_cpuid.h"
#include "measure.h"
#include "memory/views.h"
#include "snp.h"

#include "string.h"

#include <stddef.h>

#define GUESTS 64
#define UNIT 16u /* bytes that are encrypted together */
#define PAGE 4096u
#define PDH_BYTES 2084	 /* a certificate */
#define CHAIN_BYTES 6252 /* three of them */
#define ID_BYTES 128	 /* of two sockets */

struct guest {
	bool used;
	enum guest_state state;
	uint32_t policy, asid;
	uint64_t bytes, vmsas;
	struct digest digest; /* of both */
};

static struct {
	enum platform_state state;
	bool es;
	struct guest guests[GUESTS]; /* by handle; 0 is none */
} firmware;

/* -- Parameters: linux/psp-sev.h and the API have the same layouts. --------------------------------- */

struct init {
	uint32_t flags, reserved;
	uint64_t tmr;
	uint32_t tmr_bytes;
} __attribute__((packed));

struct init_ex {
	uint32_t length, flags;
	uint64_t tmr;
	uint32_t tmr_bytes, reserved;
	uint64_t nv;
	uint32_t nv_bytes;
} __attribute__((packed));

struct status {
	uint8_t major, minor, state;
	uint32_t flags; /* bit 0 owner, bit 8 initialized for SEV-ES */
	uint8_t build;
	uint32_t guests;
} __attribute__((packed));

struct buffer_parameters {
	uint64_t at;
	uint32_t bytes;
} __attribute__((packed));

struct pdh {
	struct buffer_parameters certificate;
	uint32_t reserved;
	struct buffer_parameters chain;
} __attribute__((packed));

struct launch_start {
	uint32_t handle, policy;
	struct buffer_parameters certificate;
	uint32_t reserved;
	struct buffer_parameters session;
} __attribute__((packed));

struct guest_parameters {
	uint32_t handle, asid;
} __attribute__((packed));

struct guest_status {
	uint32_t handle, policy, asid;
	uint8_t state;
} __attribute__((packed));

struct update {
	uint32_t handle, reserved;
	struct buffer_parameters data;
} __attribute__((packed));

struct debug {
	uint32_t handle, reserved;
	uint64_t from, to;
	uint32_t bytes;
} __attribute__((packed));

#define INIT_ES 1u
#define TMR_BYTES (1u << 20)

/* -- Platform. ------------------------------------------------------------------------------------- */

static void count_guests(void)
{
	firmware.state = PLATFORM_INIT;
	for (unsigned i = 1; i < GUESTS; i++)
		if (firmware.guests[i].used)
			firmware.state = PLATFORM_WORKING;
}

/*
 * SEV-ES needs the trusted memory region, 1 MiB that is aligned to it. The driver asks for it whether the CPU has SEV-ES or
 * not.
 */
static enum sev_error initialize(bool es, uint64_t tmr, uint32_t tmr_bytes)
{
	tmr &= ~C_BIT;
	if (es && (tmr_bytes < TMR_BYTES || tmr & (TMR_BYTES - 1)))
		return tmr_bytes < TMR_BYTES ? SEV_INVALID_LENGTH : SEV_INVALID_ADDRESS;
	if (es && !firmware_memory(tmr, TMR_BYTES))
		return SEV_INVALID_ADDRESS;
	if (es && !snp_may_write(tmr, TMR_BYTES))
		return SEV_INVALID_PAGE_STATE;
	firmware.es = es;
	firmware.state = PLATFORM_INIT;
	return SEV_OK;
}

static enum sev_error do_INIT(void *parameters, struct guest *g)
{
	const struct init *p = parameters;

	(void)g;
	return initialize(p->flags & INIT_ES, p->tmr, p->tmr_bytes);
}

static enum sev_error do_INIT_EX(void *parameters, struct guest *g)
{
	const struct init_ex *p = parameters;

	(void)g;
	if (p->length < sizeof(*p))
		return SEV_INVALID_LENGTH;
	return initialize(p->flags & INIT_ES, p->tmr, p->tmr_bytes);
}

static enum sev_error do_SHUTDOWN(void *parameters, struct guest *g)
{
	(void)parameters;
	(void)g;
	for (unsigned i = 1; i < GUESTS; i++)
		asid_leave(firmware.guests[i].asid, false);
	memset(&firmware, 0, sizeof(firmware));
	return SEV_OK;
}

static enum sev_error do_PLATFORM_RESET(void *parameters, struct guest *g)
{
	return do_SHUTDOWN(parameters, g);
}

static enum sev_error do_PLATFORM_STATUS(void *parameters, struct guest *g)
{
	struct status *p = parameters;

	(void)g;
	*p = (struct status){
		.major = SEV_API_MAJOR,
		.minor = SEV_API_MINOR,
		.state = firmware.state,
		.flags = firmware.es ? 1u << 8 : 0,
		.build = SEV_BUILD,
	};
	for (unsigned i = 1; i < GUESTS; i++)
		p->guests += firmware.guests[i].used;
	return SEV_OK;
}

static enum sev_error nothing_to_do(void *parameters, struct guest *g)
{
	(void)parameters;
	(void)g;
	return SEV_OK;
}
#define do_PEK_GEN nothing_to_do
#define do_PDH_GEN nothing_to_do

static enum sev_error do_DF_FLUSH(void *parameters, struct guest *g)
{
	(void)parameters;
	(void)g;
	asid_flush();
	return SEV_OK;
}

/* A buffer of L1's for an answer. Too small: the size that is needed, and an error. */
static enum sev_error room_for(struct buffer_parameters *p, uint32_t bytes, void **room)
{
	bool fits = p->bytes >= bytes;
	void *to = firmware_memory(p->at & ~C_BIT, bytes);

	p->bytes = bytes;
	if (!fits)
		return SEV_INVALID_LENGTH;
	if (!to)
		return SEV_INVALID_ADDRESS;
	if (!snp_may_write(p->at & ~C_BIT, bytes))
		return SEV_INVALID_PAGE_STATE;
	*room = to;
	return SEV_OK;
}

static enum sev_error fill(struct buffer_parameters *p, uint32_t bytes, int filler)
{
	void *to;
	enum sev_error error = room_for(p, bytes, &to);

	if (!error)
		memset(to, filler, bytes);
	return error;
}

static enum sev_error do_PDH_CERT_EXPORT(void *parameters, struct guest *g)
{
	struct pdh *p = parameters;
	bool fit = p->certificate.bytes >= PDH_BYTES && p->chain.bytes >= CHAIN_BYTES;
	enum sev_error error;

	(void)g;
	if (!fit) {
		p->certificate.bytes = PDH_BYTES;
		p->chain.bytes = CHAIN_BYTES;
		return SEV_INVALID_LENGTH;
	}
	error = fill(&p->certificate, PDH_BYTES, 'P');
	return error ? error : fill(&p->chain, CHAIN_BYTES, 'C');
}

static enum sev_error do_GET_ID(void *parameters, struct guest *g)
{
	(void)g;
	return fill(parameters, ID_BYTES, 'I');
}

/* -- Guests. --------------------------------------------------------------------------------------- */

static enum sev_error do_LAUNCH_START(void *parameters, struct guest *g)
{
	struct launch_start *p = parameters;
	unsigned handle = 1;

	(void)g;
	if (p->handle) {
		/* Its key is to be another guest's. */
		if (p->handle >= GUESTS || !firmware.guests[p->handle].used)
			return SEV_INVALID_GUEST;
		if (firmware.guests[p->handle].policy & POLICY_NOKS || p->policy & POLICY_NOKS)
			return SEV_POLICY_FAILURE;
		return SEV_UNSUPPORTED;
	}
	/* Byte 2 and 3 of the policy: the least version of the API. */
	if ((p->policy >> 16 & 0xff) > SEV_API_MAJOR ||
	    ((p->policy >> 16 & 0xff) == SEV_API_MAJOR && p->policy >> 24 > SEV_API_MINOR))
		return SEV_POLICY_FAILURE;
	if (p->policy & POLICY_ES && !firmware.es)
		return SEV_POLICY_FAILURE;
	while (handle < GUESTS && firmware.guests[handle].used)
		handle++;
	if (handle == GUESTS)
		return SEV_RESOURCE_LIMIT;
	firmware.guests[handle] =
		(struct guest){.used = true, .state = GUEST_LUPDATE, .policy = p->policy};
	digest_begin(&firmware.guests[handle].digest);
	p->handle = handle;
	count_guests();
	return SEV_OK;
}

static enum sev_error do_ACTIVATE(void *parameters, struct guest *g)
{
	const struct guest_parameters *p = parameters;
	enum sev_error error = g->asid ? SEV_ACTIVE : asid_take(p->asid, g->policy & POLICY_ES);

	if (!error)
		g->asid = p->asid;
	return error;
}

static enum sev_error do_DEACTIVATE(void *parameters, struct guest *g)
{
	(void)parameters;
	asid_leave(g->asid, true);
	g->asid = 0;
	return SEV_OK;
}

static enum sev_error do_DECOMMISSION(void *parameters, struct guest *g)
{
	const struct guest_parameters *p = parameters;

	if (g->asid)
		return SEV_ACTIVE;
	if (tracing)
		say("l0: guest %u is gone, launched with %lu bytes and %lu VMSAs\n", p->handle,
		    g->bytes, g->vmsas);
	g->used = false;
	count_guests();
	return SEV_OK;
}

static enum sev_error do_GUEST_STATUS(void *parameters, struct guest *g)
{
	struct guest_status *p = parameters;

	p->policy = g->policy;
	p->asid = g->asid;
	p->state = g->state;
	return SEV_OK;
}

static enum sev_error encrypt(struct guest *g, const struct buffer_parameters *p)
{
	uint64_t at = p->at & ~C_BIT;

	if (!p->bytes || p->bytes % UNIT)
		return SEV_INVALID_LENGTH;
	if (at % UNIT || !firmware_memory(at, p->bytes))
		return SEV_INVALID_ADDRESS;
	measure_data(&g->digest, at, p->bytes);
	views_encrypt(at, p->bytes, views_key(g->asid));
	return SEV_OK;
}

static enum sev_error do_LAUNCH_UPDATE_DATA(void *parameters, struct guest *g)
{
	const struct update *p = parameters;
	enum sev_error error = encrypt(g, &p->data);

	if (!error)
		g->bytes += p->data.bytes;
	return error;
}

static enum sev_error do_LAUNCH_UPDATE_VMSA(void *parameters, struct guest *g)
{
	const struct update *p = parameters;
	enum sev_error error;

	if (!(g->policy & POLICY_ES))
		return SEV_POLICY_FAILURE;
	if (p->data.bytes != PAGE)
		return SEV_INVALID_LENGTH;
	if (p->data.at % PAGE)
		return SEV_INVALID_ADDRESS;
	error = encrypt(g, &p->data);
	if (!error)
		g->vmsas++;
	return error;
}

static enum sev_error do_LAUNCH_MEASURE(void *parameters, struct guest *g)
{
	struct update *p = parameters;
	void *to;
	enum sev_error error = room_for(&p->data, MEASUREMENT_BYTES, &to);

	if (error)
		return error;
	measure_launch(&g->digest, g->policy, p->handle, to);
	g->state = GUEST_LSECRET;
	return SEV_OK;
}

static enum sev_error do_LAUNCH_FINISH(void *parameters, struct guest *g)
{
	(void)parameters;
	g->state = GUEST_RUNNING;
	return SEV_OK;
}

/* Between a guest's memory and L1's; both may be the same frame. */
static enum sev_error debug(const struct debug *p, struct guest *g, bool decrypt)
{
	uint64_t from = p->from & ~C_BIT, to = p->to & ~C_BIT;
	unsigned key = views_key(g->asid);
	uint8_t bytes[PAGE];

	if (g->policy & POLICY_NODBG)
		return SEV_POLICY_FAILURE;
	if (!p->bytes || p->bytes % UNIT || p->bytes > sizeof(bytes))
		return SEV_INVALID_LENGTH;
	if (from % UNIT || to % UNIT || from % PAGE + p->bytes > PAGE ||
	    to % PAGE + p->bytes > PAGE || !firmware_memory(from, p->bytes) ||
	    !firmware_memory(to, p->bytes))
		return SEV_INVALID_ADDRESS;
	views_show(from, decrypt ? key : 0);
	memcpy(bytes, (void *)from, p->bytes);
	views_show(to, decrypt ? 0 : key);
	memcpy((void *)to, bytes, p->bytes);
	return SEV_OK;
}

static enum sev_error do_DBG_DECRYPT(void *parameters, struct guest *g)
{
	return debug(parameters, g, true);
}

static enum sev_error do_DBG_ENCRYPT(void *parameters, struct guest *g)
{
	return debug(parameters, g, false);
}

/* -- The way to them. ------------------------------------------------------------------------------ */

enum { U = 1 << PLATFORM_UNINIT, I = 1 << PLATFORM_INIT, W = 1 << PLATFORM_WORKING };
enum { NONE, L = 1 << GUEST_LUPDATE, S = 1 << GUEST_LSECRET, R = 1 << GUEST_RUNNING };
enum { ACTIVE = 1, REFUSED = 2, ANSWERS = 4 };

typedef enum sev_error action(void *parameters, struct guest *g);

static enum sev_error refuse(void *parameters, struct guest *g)
{
	(void)parameters;
	(void)g;
	return SEV_UNSUPPORTED;
}
#define do_PEK_CSR refuse
#define do_PEK_CERT_IMPORT refuse
#define do_DOWNLOAD_FIRMWARE refuse
#define do_LAUNCH_UPDATE_SECRET refuse
#define do_ATTESTATION_REPORT refuse
#define do_SEND_START refuse
#define do_SEND_UPDATE_DATA refuse
#define do_SEND_UPDATE_VMSA refuse
#define do_SEND_FINISH refuse
#define do_SEND_CANCEL refuse
#define do_RECEIVE_START refuse
#define do_RECEIVE_UPDATE_DATA refuse
#define do_RECEIVE_UPDATE_VMSA refuse
#define do_RECEIVE_FINISH refuse

static const struct command {
	uint16_t id, bytes;
	uint8_t platform, guest, more;
	action *act;
} commands[] = {
#define COMMAND(id, name, bytes, platform, guest, more) \
	{id, bytes, platform, guest, more, do_##name},
#include "firmware.def"
#undef COMMAND
};

static const struct command *find(unsigned id)
{
	for (unsigned i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (commands[i].id == id)
			return &commands[i];
	return NULL;
}

enum sev_error firmware_command(unsigned id, uint64_t buffer)
{
	const struct command *c = find(id);
	struct guest *g = NULL;
	void *parameters = NULL;

	if (id >= SNP_COMMANDS)
		return snp_command(id, buffer, firmware.state != PLATFORM_UNINIT);
	if (!c)
		return SEV_INVALID_COMMAND;
	if (c->bytes) {
		parameters = firmware_memory(buffer & ~C_BIT, c->bytes);
		if (!parameters)
			return SEV_INVALID_ADDRESS;
	}
	if (!(c->platform >> firmware.state & 1))
		return SEV_INVALID_PLATFORM_STATE;
	if (c->more & ANSWERS && !snp_may_write(buffer & ~C_BIT, c->bytes))
		return SEV_INVALID_PAGE_STATE;
	if (c->guest) {
		const struct guest_parameters *p = parameters;

		if (!p->handle || p->handle >= GUESTS || !firmware.guests[p->handle].used)
			return SEV_INVALID_GUEST;
		g = &firmware.guests[p->handle];
		if (!(c->guest >> g->state & 1))
			return SEV_INVALID_GUEST_STATE;
		if (c->more & ACTIVE && !g->asid)
			return SEV_INACTIVE;
	}
	return c->act(parameters, g);
}
