/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Launch measurement: the digest of what a guest is launched with, and what is told of it. SEV API, "LAUNCH_MEASURE";
 * SNP ABI, "Launch Digest".
 */
#ifndef HOST_MEASURE_H
#define HOST_MEASURE_H

#include "digest.h"

#include <stdbool.h>
#include <stdint.h>

/* -- SEV and SEV-ES. ------------------------------------------------------------------------------- */

#define NONCE_BYTES 16
#define MEASUREMENT_BYTES (SHA256_BYTES + NONCE_BYTES)

/* Memory of L1 that becomes the guest's, in the raw view. */
void measure_data(struct digest *d, uint64_t at, uint64_t bytes);

/**
 * measure_launch - what LAUNCH_MEASURE answers
 * @d:      all that the guest was launched with
 * @policy: of the guest
 * @handle: of the guest
 * @to:     gets HMAC and nonce
 *
 * The key is no secret: measure.c has it. The nonce is the handle.
 */
void measure_launch(const struct digest *d, uint32_t policy, uint32_t handle,
		    uint8_t to[MEASUREMENT_BYTES]);

/* -- SEV-SNP. -------------------------------------------------------------------------------------- */

/**
 * measure_page - add a page of 4 KiB to a launch digest
 * @digest: all zero before the first
 * @type:   of the page, as SNP_LAUNCH_UPDATE has it
 * @data:   the page, NULL where its contents are not measured
 * @gpa:    where the guest will have it
 */
void measure_page(uint8_t digest[SHA384_BYTES], unsigned type, const void *data, uint64_t gpa);

/* -- Both. ----------------------------------------------------------------------------------------- */

/* A line of the log: WHAT of guest NUMBER, and the bytes. */
void measure_say(const char *what, unsigned number, const uint8_t *bytes, unsigned count);

#endif
