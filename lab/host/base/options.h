/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The monitor's words on the command line:
 *
 *   l0.without=NAME,…   features that L1's CPU shall not have: nrips, decode, sev, es, views
 *   l0.with=NAME,…      features that it has when asked for: lbrv (to KVM of 6.12 a condition of SEV-ES), snp
 *   l0.as-is=ID,…|all   defects of the emulator that are not to be corrected (correct.def)
 *   l0.trace            each exit in the log
 *
 * A word that is none of these stops the machine with a sentence that names it.
 */
#ifndef HOST_OPTIONS_H
#define HOST_OPTIONS_H

#include <stdbool.h>

struct features {
	bool nrips;  /* next_rip at an exit, and for an injected software interrupt */
	bool decode; /* decode assists, and FlushByAsid, which KVM's SEV wants with them */
	bool sev;    /* SEV, and a Secure Processor on the PCI bus */
	bool es;     /* SEV-ES */
	bool views; /* what is read with the wrong key is garbage; without: "encrypted" memory is plain */
	bool lbrv; /* reported, not there: the emulator has no LBR */
	bool snp;  /* SEV-SNP, with the CPU's family and the IOMMU that Linux wants for it */
};

extern struct features features;
extern bool tracing;

enum correction {
#define CORRECT(name, id, how) CORRECT_##name,
#include "correct.def"
#undef CORRECT
	CORRECTIONS
};
extern bool correction_off[CORRECTIONS];
#define corrects(name) (!correction_off[CORRECT_##name])

/**
 * options_take - obey the monitor's words, and cut them out
 * @line: the command line, which only has L1's words afterwards
 *
 * Returns NULL, or a sentence about the first word that is not understood.
 */
const char *options_take(char *line);

#endif
