/* SPDX-License-Identifier: BSD-2-Clause */
/* The layers that there are. */
#ifndef LIB_X86_LAYERS_H
#define LIB_X86_LAYERS_H

#include "x86/record/layer.h"

extern const struct layer layer_svm, layer_svm_nonpt, layer_svm_reflect;
extern const struct layer layer_vmx, layer_vmx_noept, layer_vmx_reflect;

/*
 * Lists of layers, in the order of their points. A guest that is about one layer only defines
 * GUEST_LAYERS as its list before it includes trapline.h; all others get all.
 */
#define SVM_LAYERS(do) \
	do             \
	(svm, "svm") do(svm_nonpt, "svm-nonpt")
#define VMX_LAYERS(do) \
	do             \
	(vmx, "vmx") do(vmx_noept, "vmx-noept")
#define ALL_LAYERS(do)                                                   \
	do                                                               \
	(native, "native") SVM_LAYERS(do) do(svm_reflect, "svm-reflect") \
		VMX_LAYERS(do) do(vmx_reflect, "vmx-reflect")

#endif
