/* SPDX-License-Identifier: BSD-2-Clause */
#include "smm.h"

#include "mode.h"
#include "x86/cpu/percpu.h"
#include "x86/record/recorder.h"
#include "x86/record/recording.h"

#include "string.h"

extern const uint8_t smm_code[], smm_code_end[], smm_stubs[], smm_stray[], smm_stray_end[];

#define STUB_BYTES 8
#define STUBS 0x22
#define AT(offset) ((void *)(uint64_t)(SMBASE + (offset)))

volatile struct smm_plan *const smm = AT(SMM_PLAN);
const volatile struct smm_seen *const smm_seen = AT(SMM_SEEN);

/* APM 2, "SMM State-Save Area" (revision xxxx0064h), and SDM 3C, "SMRAM State Save Map for Intel 64 Architecture". */
static const struct field {
	uint16_t amd, intel, bytes;
} fields[SMM_FIELDS] = {
	[SMM_RIP] = {0xff78, 0xffd8, 8},
	[SMM_RFLAGS] = {0xff70, 0xffe8, 8},
	[SMM_CR0] = {0xff58, 0xfff8, 8},
	[SMM_CR3] = {0xff50, 0xfff0, 8},
	[SMM_CR4] = {0xff48, 0, 8},
	[SMM_EFER] = {0xfed0, 0xffe0, 8},
	[SMM_DR6] = {0xff68, 0xffd0, 8},
	[SMM_DR7] = {0xff60, 0xffc8, 8},
	[SMM_RAX] = {0xfff8, 0xff5c, 8},
	[SMM_RCX] = {0xfff0, 0xff64, 8},
	[SMM_RSI] = {0xffc8, 0xff8c, 8},
	[SMM_RSP] = {0xffd8, 0xff7c, 8},
	[SMM_AUTO_HALT] = {0xfec9, 0xff02, 1},
	[SMM_IO_RESTART] = {0xfec8, 0xff00, 1},
	[SMM_REVISION] = {0xfefc, 0xfefc, 4},
	[SMM_BASE] = {0xff00, 0xfef8, 4},
};

#define STRAY 0xef00ul
#define REVISION_OF_AMD64 0x64

static void fill_vectors(void)
{
	uint16_t *vectors = AT(SMM_VECTORS);
	uint16_t stubs = SMM_ENTRY + (smm_stubs - smm_code);

	for (unsigned v = 0; v < STUBS; v++) {
		vectors[2 * v] = stubs + v * STUB_BYTES;
		vectors[2 * v + 1] = SMM_SELECTOR;
	}
}

/* Bytes 4 to 7 of our IDTs, whichever the mode: IP EE00h, CS 10h. */
static void lay_stray(void)
{
	memcpy((void *)STRAY, smm_stray, smm_stray_end - smm_stray);
}

void smm_install(void)
{
	uint32_t table = SMBASE + SMM_VECTORS;

	memcpy(AT(SMM_ENTRY), smm_code, smm_code_end - smm_code);
	memset(AT(SMM_PLAN), 0, sizeof(*smm));
	memset(AT(SMM_SEEN), 0, SMM_MAX_SEEN * sizeof(*smm_seen));
	fill_vectors();
	lay_stray();
	smm->table_limit = STUBS * 4 - 1;
	smm->table_low = table;
	smm->table_high = table >> 16;
	smm->pae = mode_pae_pointers();
	smm->delivered_at = (uint64_t)&this_recording()->trace->delivered;
}

static uint64_t read_state(unsigned n, unsigned offset, unsigned bytes)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < bytes; i++)
		value |= (uint64_t)smm_seen[n].state[offset - SMM_STATE + i] << 8 * i;
	return value;
}

unsigned smm_offset(enum smm_field field)
{
	const struct field *revision = &fields[SMM_REVISION];
	bool is_amd = (read_state(0, revision->amd, 2)) == REVISION_OF_AMD64;

	return is_amd ? fields[field].amd : fields[field].intel;
}

uint64_t smm_saved(unsigned n, enum smm_field field)
{
	return read_state(n, smm_offset(field), fields[field].bytes);
}

void smm_into_trace(void)
{
	/* In real mode RIP is relative to CS. */
	uint64_t base = mode_code_base() ? LOW_BASE : 0;

	for (unsigned n = 0; n < smm->count && n < SMM_MAX_SEEN; n++) {
		struct event smi = {
			.origin = FROM_SMM,
			.rip = base + smm_saved(n, SMM_RIP),
			.rflags = smm_saved(n, SMM_RFLAGS),
		};

		event_insert(&smi, smm_seen[n].delivered);
	}
}
