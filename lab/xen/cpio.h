/* SPDX-License-Identifier: BSD-2-Clause */
/* Files in the archive that Xen's boot loader gives dom0. */
#ifndef XEN_CPIO_H
#define XEN_CPIO_H

#include <stddef.h>
#include <stdint.h>

/* The file `name` of the folder images/ in the archive (cpio, "newc"); NULL if it is not there. */
const uint8_t *cpio_image(const uint8_t *archive, size_t archive_bytes, const char *name,
			  size_t *bytes);

#endif
