/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The monitor's words on the command line:
 *
 *   l0.without=NAME,…   features that L1's CPU shall not have (features.def)
 *   l0.with=NAME,…      features that it has when asked for: lbrv, snp
 *   l0.as-is=ID,…|all   defects of the emulator that are not to be corrected (correct.def)
 *   l0.trace            each exit in the log
 *
 * A word that is none of these stops the machine with a sentence that names it.
 */
#ifndef HOST_OPTIONS_H
#define HOST_OPTIONS_H

#include <stdbool.h>

struct features {
#define FEATURE(name, usual, what) bool name;
#include "features.def"
#undef FEATURE
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
