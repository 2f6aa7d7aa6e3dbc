/* SPDX-License-Identifier: BSD-2-Clause */
#include "measure.h"

#include "base/log.h"
#include "firmware.h"
#include "memory/views.h"

#include "string.h"

#define PAGE 4096u

/* The transport integrity key. A guest's owner would have brought one in a session; here it is known to all. */
static const uint8_t key[] = "Trapline's TIK.";
_Static_assert(sizeof(key) == 16, "SEV API, TIK");

void measure_data(struct digest *d, uint64_t at, uint64_t bytes)
{
	while (bytes) {
		uint64_t part = PAGE - at % PAGE;

		part = part < bytes ? part : bytes;
		views_show(at, 0);
		digest_add(d, (const void *)at, part);
		at += part;
		bytes -= part;
	}
}

void measure_launch(const struct digest *d, uint32_t policy, uint32_t handle,
		    uint8_t to[MEASUREMENT_BYTES])
{
	struct {
		uint8_t context, major, minor, build;
		uint32_t policy;
		uint8_t digest[SHA256_BYTES], nonce[NONCE_BYTES];
	} __attribute__((packed)) measured = {
		.context = 4,
		.major = SEV_API_MAJOR,
		.minor = SEV_API_MINOR,
		.build = SEV_BUILD,
		.policy = policy,
	};

	memcpy(measured.nonce, &handle, sizeof(handle));
	digest_so_far(d, measured.digest);
	digest_hmac(key, sizeof(key), &measured, sizeof(measured), to);
	memcpy(to + SHA256_BYTES, measured.nonce, NONCE_BYTES);
	measure_say("launch digest", handle, measured.digest, SHA256_BYTES);
	measure_say("measurement", handle, to, MEASUREMENT_BYTES);
}

/* SNP ABI, "PAGE_INFO". */
struct page_info {
	uint8_t so_far[SHA384_BYTES], contents[SHA384_BYTES];
	uint16_t bytes;
	uint8_t type, flags;
	uint8_t rights[3], reserved; /* of VMPL 3, 2, 1 */
	uint64_t gpa;
} __attribute__((packed));
_Static_assert(sizeof(struct page_info) == 0x70, "SNP ABI, PAGE_INFO");

void measure_page(uint8_t digest[SHA384_BYTES], unsigned type, const void *data, uint64_t gpa)
{
	struct page_info info = {.bytes = sizeof(info), .type = type, .gpa = gpa};

	memcpy(info.so_far, digest, SHA384_BYTES);
	if (data)
		digest_sha384(data, PAGE, info.contents);
	digest_sha384(&info, sizeof(info), digest);
}

void measure_say(const char *what, unsigned number, const uint8_t *bytes, unsigned count)
{
	char text[2 * MEASUREMENT_BYTES + 1] = "";

	if (!digest_works())
		return;
	for (unsigned i = 0; i < count && 2 * i < sizeof(text) - 2; i++) {
		text[2 * i] = "0123456789abcdef"[bytes[i] >> 4];
		text[2 * i + 1] = "0123456789abcdef"[bytes[i] & 15];
	}
	say("l0: guest %u, %s %s\n", number, what, text);
}
