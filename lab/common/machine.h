/* SPDX-License-Identifier: BSD-2-Clause */
/* The machine that the lab's VMMs make for a guest, whatever runs it: its size, and where its memory is. */
#ifndef COMMON_MACHINE_H
#define COMMON_MACHINE_H

#define PAGE_BYTES 4096ul
#define FOUR_GIB (1ul << 32) /* the image ends here */
#define RAM_BYTES (64ul << 20)
#define MAX_CPUS 16

/* In the midst of RAM: nothing, and what the PAM registers of the host bridge are about. */
#define HOLE_BASE 0xa0000ul
#define PAM_BASE 0xc0000ul
#define PAM_END 0x100000ul

#endif
