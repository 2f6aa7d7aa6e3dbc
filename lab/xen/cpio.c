/* SPDX-License-Identifier: BSD-2-Clause */
#include "cpio.h"

#include <string.h>

#define MAGIC "070701"
#define FOLDER "images/"
#define HEADER_BYTES 110
/* Fields of eight hexadecimal digits behind the magic. */
enum { FIELD_FILE_BYTES = 6, FIELD_NAME_BYTES = 11 };

static size_t field(const uint8_t *entry, unsigned number)
{
	const uint8_t *digit = entry + strlen(MAGIC) + 8 * number;
	size_t value = 0;

	for (unsigned i = 0; i < 8; i++)
		value = value * 16 +
			(digit[i] <= '9' ? digit[i] - '0' : (digit[i] | 0x20) - 'a' + 10);
	return value;
}

static size_t padded(size_t bytes)
{
	return (bytes + 3) & ~3ul;
}

const uint8_t *cpio_image(const uint8_t *archive, size_t archive_bytes, const char *name,
			  size_t *bytes)
{
	const uint8_t *entry = archive, *end = archive + archive_bytes;
	size_t wanted = strlen(FOLDER) + strlen(name) + 1;

	while (entry + HEADER_BYTES < end && !memcmp(entry, MAGIC, strlen(MAGIC))) {
		size_t file_bytes = field(entry, FIELD_FILE_BYTES);
		size_t name_bytes = field(entry, FIELD_NAME_BYTES);
		const uint8_t *path = entry + HEADER_BYTES;
		const uint8_t *data = entry + padded(HEADER_BYTES + name_bytes);

		if (name_bytes == wanted && !memcmp(path, FOLDER, strlen(FOLDER)) &&
		    !memcmp(path + strlen(FOLDER), name, strlen(name))) {
			*bytes = file_bytes;
			return data;
		}
		entry = data + padded(file_bytes);
	}
	return NULL;
}
