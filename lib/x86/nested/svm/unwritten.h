/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The fields of a VMCB that no VMRUN and no #VMEXIT writes, compared around each: APM 2, "#VMEXIT" names what is
 * saved, "VMSAVE and VMLOAD" what is left to those two. What has changed goes into the trace, as `!VMCB.ASID`.
 */
#ifndef LIB_X86_SVM_UNWRITTEN_H
#define LIB_X86_SVM_UNWRITTEN_H

struct l2;

/* Right before VMRUN, and behind the #VMEXIT. */
void unwritten_note(const struct l2 *v);
void unwritten_compare(const struct l2 *v);

#endif
