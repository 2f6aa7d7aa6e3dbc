/* SPDX-License-Identifier: BSD-2-Clause */
/* What every case finds when it starts, and the check that it left it so. */
#ifndef LIB_X86_STATE_H
#define LIB_X86_STATE_H

#include <stdbool.h>

/* Notes the machine's state as the standard that state_restore compares with. Once, after boot. */
void state_learn(void);

/* Before a case: everything that cases bend through the library is as after boot. */
void state_reset(void);

/*
 * After a case: false, with a note for each, if something is not as it was that the library does not
 * reset by itself (control registers, RFLAGS, debug registers, the local APIC). It is put back.
 */
bool state_restore(void);

/* The report's line about this machine: container, CPU, hypervisor. */
void state_describe(void);

#endif
