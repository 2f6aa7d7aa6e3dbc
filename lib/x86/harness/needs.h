/* SPDX-License-Identifier: BSD-2-Clause */
/* What a case needs of the machine: each skips the rest of the case where it is not there. */
#ifndef LIB_X86_NEEDS_H
#define LIB_X86_NEEDS_H

#include "testcase.h"
#include "x86/sev/sev.h"

/* For cases about what only SEV-ES has, and about what it has not. */
#define need_es() need_of_machine(sev_is_es(), "SEV-ES")
#define need_snp() need_of_machine(sev_is_snp(), "SEV-SNP")
#define need_iret_unblocks_nmi() \
	need_of_machine(!sev_is_es(), "IRET that unblocks NMIs (SEV-ES has a call for it)")

/* QEMU's device edu, ready to send (devices/edu.h). */
void need_edu(void);

/* The first 8259 (devices/pic.h). */
void need_pic(void);

/*
 * An edge of the serial port's line reaches this CPU through LINE_PIN (devices/ioapic.h), with IF clear.
 * Masks the 8259s, which have the line as well.
 */
void need_line(void);

#endif
