/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The Secure Processor's firmware (lab/host/psp/firmware.c) against the SEV API: numbers, orders and errors are written
 * down here from AMD's text a second time. Memory is this program's own, an address is a pointer.
 */
#include "psp/firmware.h"

#include "base/log.h"
#include "base/options.h"
#include "demand.h"
#include "rmp_ground.h"

#include "string.h"

/* -- What the firmware stands on. ------------------------------------------------------------------ */

struct features features = {.sev = true, .es = true, .views = true};
bool tracing;

static uint8_t memory[4 << 20] __attribute__((aligned(1 << 20)));
static uint64_t encrypted_at, encrypted_bytes;
static unsigned encrypted_key, keys_made;

void say(const char *format, ...)
{
	(void)format;
}

void *firmware_memory(uint64_t at, uint64_t bytes)
{
	uint64_t begin = (uint64_t)memory;

	return at >= begin && at + bytes <= begin + sizeof(memory) ? (void *)at : NULL;
}

void views_new_key(unsigned asid)
{
	(void)asid;
	keys_made++;
}

unsigned views_key(unsigned asid)
{
	return asid;
}

void views_show(uint64_t at, unsigned key)
{
	(void)at;
	(void)key;
}

void views_encrypt(uint64_t at, uint64_t bytes, unsigned key)
{
	encrypted_at = at;
	encrypted_bytes = bytes;
	encrypted_key = key;
}

/* -- Commands, with parameters by offsets of the API's tables. -------------------------------------- */

static uint8_t *const buffer = memory;
static uint8_t *const page = memory + 8192;
static unsigned checks;

static unsigned give(unsigned id)
{
	checks++;
	return firmware_command(id, (uint64_t)buffer);
}

static void put32(unsigned offset, uint32_t value)
{
	memcpy(buffer + offset, &value, 4);
}

static void put64(unsigned offset, uint64_t value)
{
	memcpy(buffer + offset, &value, 8);
}

static uint32_t get32(unsigned offset)
{
	uint32_t value;

	memcpy(&value, buffer + offset, 4);
	return value;
}

static unsigned initialize(bool es)
{
	memset(buffer, 0, 64);
	put32(0, es);
	put64(8, (uint64_t)memory + (1 << 20));
	put32(16, 1 << 20);
	return give(0x001);
}

static unsigned start(uint32_t policy)
{
	memset(buffer, 0, 64);
	put32(4, policy);
	return give(0x030);
}

static unsigned about(unsigned id, uint32_t handle)
{
	memset(buffer, 0, 64);
	put32(0, handle);
	return give(id);
}

static unsigned activate(uint32_t handle, uint32_t asid)
{
	memset(buffer, 0, 64);
	put32(0, handle);
	put32(4, asid);
	return give(0x021);
}

static unsigned update(unsigned id, uint32_t handle, uint64_t at, uint32_t bytes)
{
	memset(buffer, 0, 64);
	put32(0, handle);
	put64(8, at);
	put32(16, bytes);
	return give(id);
}

/* SEV API, "PLATFORM_STATUS": version, state, owner and ES, build, guests. */
static void expect_status(unsigned state, bool es, unsigned guests)
{
	memset(buffer, 0xee, 64);
	DEMAND(give(0x004) == 0);
	DEMAND(buffer[0] == 1 && buffer[1] == 55 && buffer[2] == state);
	DEMAND(get32(3) == (es ? 0x100 : 0) && get32(8) == guests);
	DEMAND(buffer[12] == 0xee);
}

/* A number that is no command's, and an address that is no memory. */
static void what_is_nothing(void)
{
	DEMAND(give(0x000) == 0x11 && give(0x3ff) == 0x11 && give(0x054) == 0x11);
	DEMAND(firmware_command(0x004, 0x1000) == 0x09);
}

/* Before INIT nothing goes but INIT, SHUTDOWN, PLATFORM_RESET, PLATFORM_STATUS and GET_ID. */
static void uninitialized(void)
{
	static const uint16_t refused[] = {0x005, 0x006, 0x007, 0x008, 0x009, 0x00a, 0x020,
					   0x021, 0x022, 0x023, 0x030, 0x031, 0x032, 0x033,
					   0x034, 0x035, 0x036, 0x040, 0x050, 0x060, 0x061};

	memset(buffer, 0, 64);
	for (unsigned i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
		DEMAND(give(refused[i]) == 0x01);
	expect_status(0, false, 0);
	DEMAND(give(0x003) == 0);
	/* GET_ID says how much room it needs. */
	memset(buffer, 0, 64);
	put64(0, (uint64_t)page);
	DEMAND(give(0x00c) == 0x04 && get32(8) == 128);
	DEMAND(give(0x00c) == 0);
}

static void initialization(void)
{
	memset(buffer, 0, 64);
	put32(0, 1);
	put64(8, (uint64_t)memory + (1 << 20));
	DEMAND(give(0x001) == 0x04); /* ES without its region */
	put32(16, 1 << 20);
	put64(8, (uint64_t)memory + 4096);
	DEMAND(give(0x001) == 0x09); /* which is to be aligned */
	DEMAND(initialize(true) == 0);
	expect_status(1, true, 0);
	DEMAND(initialize(true) == 0x01 && give(0x003) == 0x01);
	DEMAND(give(0x002) == 0);
	expect_status(0, false, 0);
	/* The driver asks for ES whether the CPU has it or not. */
	features.es = false;
	DEMAND(initialize(true) == 0 && give(0x002) == 0);
	features.es = true;
	/* INIT_EX: its length, flags, region. */
	memset(buffer, 0, 64);
	DEMAND(give(0x00d) == 0x04);
	put32(0, 36);
	DEMAND(give(0x00d) == 0);
	expect_status(1, false, 0);
	DEMAND(start(1 | 4) == 0x07); /* an ES guest on a platform without */
	DEMAND(give(0x002) == 0 && initialize(true) == 0);
}

static void certificates(void)
{
	memset(buffer, 0, 64);
	put64(0, (uint64_t)page);
	put64(16, (uint64_t)page + 4096);
	DEMAND(give(0x008) == 0x04 && get32(8) == 2084 && get32(24) == 6252);
	DEMAND(give(0x008) == 0);
	DEMAND(give(0x006) == 0x15 && give(0x007) == 0x15 && give(0x00b) == 0x15);
}

/* LAUNCH_START, ACTIVATE, LAUNCH_UPDATE_*, LAUNCH_MEASURE, LAUNCH_FINISH, in this order alone. */
static void launch(void)
{
	uint32_t plain, sealed;

	DEMAND(start(1u | 2u << 16) == 0x07); /* wants version 2 of the API */
	DEMAND(start(1) == 0);
	plain = get32(0);
	DEMAND(start(1 | 4) == 0);
	sealed = get32(0);
	DEMAND(plain && sealed && plain != sealed);
	expect_status(2, true, 2);

	DEMAND(about(0x031, 0) == 0x10 && about(0x031, 99) == 0x10 &&
	       about(0x020, sealed + 1) == 0x10);
	DEMAND(update(0x031, plain, (uint64_t)page, 4096) == 0x08); /* inactive */
	DEMAND(activate(plain, 0) == 0x0d && activate(plain, 64) == 0x0d);
	DEMAND(activate(plain, 31) == 0x0d && activate(sealed, 32) == 0x0d);
	DEMAND(activate(plain, 32) == 0 && keys_made == 1);
	DEMAND(activate(plain, 33) == 0x12);
	DEMAND(activate(sealed, 1) == 0);
	DEMAND(start(1) == 0);
	DEMAND(activate(3, 32) == 0x0c); /* the ASID is taken */
	DEMAND(about(0x020, 3) == 0);

	DEMAND(update(0x031, plain, (uint64_t)page, 0) == 0x04);
	DEMAND(update(0x031, plain, (uint64_t)page, 17) == 0x04);
	DEMAND(update(0x031, plain, (uint64_t)page + 8, 16) == 0x09);
	DEMAND(update(0x031, plain, 0x1000, 16) == 0x09);
	DEMAND(update(0x031, plain, (uint64_t)page, 4096) == 0);
	DEMAND(encrypted_at == (uint64_t)page && encrypted_bytes == 4096 && encrypted_key == 32);
	DEMAND(update(0x032, plain, (uint64_t)page, 4096) == 0x07); /* no ES in its policy */
	DEMAND(update(0x032, sealed, (uint64_t)page, 16) == 0x04);
	DEMAND(update(0x032, sealed, (uint64_t)page, 4096) == 0 && encrypted_key == 1);

	DEMAND(about(0x035, plain) == 0x02); /* not measured yet */
	DEMAND(update(0x033, plain, (uint64_t)page, 0) == 0x04 && get32(16) == 48);
	DEMAND(update(0x033, plain, (uint64_t)page, 48) == 0);
	DEMAND(update(0x031, plain, (uint64_t)page, 4096) == 0x02);
	DEMAND(update(0x033, plain, (uint64_t)page, 48) == 0x02);
	DEMAND(about(0x035, plain) == 0 && about(0x035, plain) == 0x02);
	/* GUEST_STATUS: policy, ASID, state. */
	DEMAND(about(0x023, plain) == 0);
	DEMAND(get32(4) == 1 && get32(8) == 32 && buffer[12] == 3);

	/* NODBG is in both policies; what needs keys for transport is refused. */
	DEMAND(about(0x060, plain) == 0x07 && about(0x040, plain) == 0x15 &&
	       about(0x036, plain) == 0x15);

	DEMAND(about(0x020, plain) == 0x12); /* still active */
	DEMAND(about(0x022, plain) == 0);
	DEMAND(about(0x020, plain) == 0 && about(0x023, plain) == 0x10);
	DEMAND(start(1) == 0);
	plain = get32(0);
	DEMAND(activate(plain, 32) == 0x0f); /* DF_FLUSH first */
	DEMAND(give(0x00a) == 0 && activate(plain, 32) == 0);
	DEMAND(about(0x022, plain) == 0 && about(0x020, plain) == 0);
	DEMAND(about(0x022, sealed) == 0 && about(0x020, sealed) == 0);
	expect_status(1, true, 0);
}

static void debug(void)
{
	uint32_t handle;

	DEMAND(start(0) == 0);
	handle = get32(0);
	DEMAND(give(0x00a) == 0 && activate(handle, 40) == 0);
	memset(page, 7, 16);
	memset(buffer, 0, 64);
	put32(0, handle);
	put64(8, (uint64_t)page);
	put64(16, (uint64_t)page + 4096);
	put32(24, 15);
	DEMAND(give(0x060) == 0x04);
	put32(24, 16);
	DEMAND(give(0x060) == 0 && !memcmp(page, page + 4096, 16));
	put64(16, (uint64_t)page + 4090);
	DEMAND(give(0x061) == 0x09);
	DEMAND(about(0x022, handle) == 0 && about(0x020, handle) == 0);
}

static void too_many(void)
{
	unsigned n = 0, error;

	while (!(error = start(1)))
		n++;
	DEMAND(n == 63 && error == 0x17);
	DEMAND(give(0x002) == 0);
	expect_status(0, false, 0);
}

int main(void)
{
	what_is_nothing();
	uninitialized();
	initialization();
	certificates();
	launch();
	debug();
	too_many();
	printf("%u commands, 0 wrong\n", checks);
	return 0;
}
