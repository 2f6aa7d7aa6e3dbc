/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The smallest guest: one case that passes. It is the template for a new guest, and what `make bench`
 * boots to find out what a boot costs.
 *
 * Rule: an instruction that causes no event delivers none. Nobody has a bug here; if this case fails,
 * the library or the machine is broken, and no other verdict can be believed.
 */
#include "trapline.h"

SNIPPET(nop, "nop");

CASE(nothing, CPL0,
     "SDM 3A, Sources of Interrupts and Exceptions: an instruction that raises nothing delivers nothing",
     CATCHES("model-nmi-spurious"))
{
	expect("(none)");
	run(nop);
}
