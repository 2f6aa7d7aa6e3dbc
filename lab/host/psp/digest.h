/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the Secure Processor computes of what is launched: SHA-256, SHA-384 and HMAC, by the library BearSSL
 * (digest_bearssl.c). Where the monitor was built without it (digest_none.c), nothing is computed.
 */
#ifndef HOST_DIGEST_H
#define HOST_DIGEST_H

#include <stdbool.h>
#include <stdint.h>

#define SHA256_BYTES 32
#define SHA384_BYTES 48

/* SHA-256 of what comes piece by piece. */
struct digest {
	uint64_t state[16];
};

/* Whether there is anybody who computes. If not, results are zero. */
bool digest_works(void);

void digest_begin(struct digest *d);
void digest_add(struct digest *d, const void *data, uint64_t bytes);
/* Of what has come so far; more may come. */
void digest_so_far(const struct digest *d, uint8_t result[SHA256_BYTES]);

void digest_sha384(const void *data, uint64_t bytes, uint8_t result[SHA384_BYTES]);

/* HMAC with SHA-256. */
void digest_hmac(const void *key, unsigned key_bytes, const void *data, uint64_t bytes,
		 uint8_t result[SHA256_BYTES]);

#endif
