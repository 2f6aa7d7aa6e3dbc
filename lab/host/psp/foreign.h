/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Around code of a library that was compiled for programs of Linux (digest_bearssl.c): it uses XMM registers, which are
 * L1's here, and looks for the stack protector's canary at FS:28h, where L1 has something else.
 */
#ifndef HOST_FOREIGN_H
#define HOST_FOREIGN_H

void foreign_begin(void);
void foreign_end(void);

#endif
