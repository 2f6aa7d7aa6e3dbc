/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A VMM for guests of this suite, on /dev/kvm: memory, the image at the top of 4 GiB, KVM's own interrupt
 * controllers, and a few ports. It emulates no more than the guests' library touches, so that a run costs
 * milliseconds on a machine that is itself emulated.
 */
#ifndef KVM_VMM_H
#define KVM_VMM_H

/*
 * Runs the image until the guest ends, says why (R) and ends the process. `options` are words with commas
 * between: step=…, turns, and those of churn.h.
 */
_Noreturn void vmm(const char *image, unsigned cpus, const char *options, const char *words);

#endif
