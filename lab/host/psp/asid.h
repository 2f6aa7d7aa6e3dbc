/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ASIDs of guests with a key: those of SEV, SEV-ES and SEV-SNP are the same ones, and one that was taken from a guest is
 * not to be used before DF_FLUSH or SNP_DF_FLUSH. SEV API, "ACTIVATE", "DEACTIVATE"; SNP ABI, "SNP_ACTIVATE".
 */
#ifndef HOST_ASID_H
#define HOST_ASID_H

#include "firmware.h"

/**
 * asid_take - a guest gets an ASID, and a new key with it
 * @asid:   wanted
 * @sealed: the guest is one of SEV-ES or SEV-SNP, which have those below SEV_MIN_ASID
 */
enum sev_error asid_take(unsigned asid, bool sealed);

/* It is no guest's any more; `flush`: not before one. 0 is none. */
void asid_leave(unsigned asid, bool flush);

void asid_flush(void);

#endif
