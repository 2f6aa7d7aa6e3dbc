/* SPDX-License-Identifier: BSD-2-Clause */
#include "digest.h"

#include <bearssl/bearssl_hash.h>
#include <bearssl/bearssl_hmac.h>

_Static_assert(sizeof(br_sha256_context) <= sizeof(struct digest), "digest.h");

bool digest_works(void)
{
	return true;
}

void digest_begin(struct digest *d)
{
	br_sha256_init((br_sha256_context *)d->state);
}

void digest_add(struct digest *d, const void *data, uint64_t bytes)
{
	br_sha256_update((br_sha256_context *)d->state, data, bytes);
}

void digest_so_far(const struct digest *d, uint8_t result[SHA256_BYTES])
{
	br_sha256_out((const br_sha256_context *)d->state, result);
}

void digest_sha384(const void *data, uint64_t bytes, uint8_t result[SHA384_BYTES])
{
	br_sha384_context context;

	br_sha384_init(&context);
	br_sha384_update(&context, data, bytes);
	br_sha384_out(&context, result);
}

void digest_hmac(const void *key, unsigned key_bytes, const void *data, uint64_t bytes,
		 uint8_t result[SHA256_BYTES])
{
	br_hmac_key_context prepared;
	br_hmac_context context;

	br_hmac_key_init(&prepared, &br_sha256_vtable, key, key_bytes);
	br_hmac_init(&context, &prepared, SHA256_BYTES);
	br_hmac_update(&context, data, bytes);
	br_hmac_out(&context, result);
}
