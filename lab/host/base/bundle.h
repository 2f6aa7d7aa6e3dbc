/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the monitor is started with. QEMU loads the monitor itself (-kernel host.elf, a PVH image) and a bundle
 * (-initrd), which holds the kernel of L1 and its initramfs; -append is for both. One file, because the PVH loader
 * passes on one.
 *
 *   0       struct bundle
 *   4096    the kernel: an unpacked vmlinux (an emulator needs seconds to decompress one), or a bzImage
 *   …       the initramfs
 *
 * Both begin at a multiple of 4096. All numbers are little endian, offsets and sizes are in bytes from the start of
 * the bundle.
 *
 * Words of the command line that begin with "l0." are the monitor's (options.h) and do not reach L1.
 */
#ifndef HOST_BUNDLE_H
#define HOST_BUNDLE_H

#include <stdint.h>

#define BUNDLE_MAGIC "L0BUNDLE"
#define BUNDLE_ALIGN 4096

struct bundle {
	char magic[8];
	uint64_t kernel_at, kernel_bytes;
	uint64_t initrd_at, initrd_bytes;
};

#endif
