/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bugs on demand: each is one switch, asked for at the place where the right behaviour stands. The ids
 * are those of bugs.toml; `bug=ID[,ID]` in the model's argument block switches them on.
 */
#ifndef MODEL_BUG_H
#define MODEL_BUG_H

#include <stdbool.h>

#define MODEL_BUGS(bug)                                                                            \
	/* Re-injection */                                                                         \
	bug(KVM_SEV_INT3_UD, "kvm-sev-int3-ud") bug(KVM_INT3_RETRY, "kvm-int3-retry")              \
		bug(KVM_INTN_RETRY, "kvm-intn-retry") bug(KVM_SPEC_RIP, "kvm-spec-rip")            \
			bug(MODEL_EVENT_LOST, "model-event-lost") bug(MODEL_EVENT_TWICE,           \
								      "model-event-twice")         \
				bug(MODEL_RF_LOST, "model-rf-lost") /* Software interrupts */      \
		bug(XSA_106, "xsa-106") bug(XEN_INTN_SIDE_EFFECTS, "xen-intn-side-effects")        \
			bug(XEN_PV_INTN_ERRCODE, "xen-pv-intn-errcode")                            \
				bug(MODEL_INTN_RIP, "model-intn-rip")                              \
					bug(MODEL_INTN_AS_EXCEPTION, "model-intn-as-exception")    \
						bug(MODEL_INTN_NEEDS_IF, "model-intn-needs-if")    \
							bug(TCG_IDT_ERRCODE_64,                    \
							    "tcg-idt-errcode-64") /* Interrupts */ \
		bug(TCG_ILLEGAL_VECTOR, "tcg-illegal-vector") bug(KVM_ILLEGAL_VECTOR,              \
								  "kvm-illegal-vector")            \
			bug(MODEL_IPI_ERRCODE, "model-ipi-errcode") bug(                           \
				MODEL_ISR_NOT_SET, "model-isr-not-set") bug(MODEL_TPR_IGNORED,     \
									    "model-tpr-ignored")   \
				bug(MODEL_EOI_WRONG_VECTOR, "model-eoi-wrong-vector") bug(         \
					MODEL_LOW_CLASS_REFUSED, "model-low-class-refused")        \
					bug(OPENVMM_APIC_TOGGLE,                                   \
					    "openvmm-apic-toggle") /* Shadow and single-step */    \
		bug(MODEL_SHADOW_LOST, "model-shadow-lost")                                        \
			bug(MODEL_SHADOW_INVENTED, "model-shadow-invented")                        \
				bug(KVM_TF_SKIPPED, "kvm-tf-skipped") bug(MODEL_DB_TWICE,          \
									  "model-db-twice")        \
					bug(MODEL_DB_WITHOUT_BS, "model-db-without-bs")            \
						bug(OPENVMM_TF_MMIO, "openvmm-tf-mmio") /* NMI */  \
		bug(MODEL_NMI_UNBLOCKED_EARLY, "model-nmi-unblocked-early")                        \
			bug(MODEL_NMI_LOST, "model-nmi-lost")                                      \
				bug(MODEL_NMI_TWICE, "model-nmi-twice")

enum model_bug {
#define BUG_NAME(name, id) BUG_##name,
	MODEL_BUGS(BUG_NAME) BUG_COUNT
#undef BUG_NAME
};

/* Whether the model is to have this bug. */
#define bug(name) bug_is_on(BUG_##name)
bool bug_is_on(enum model_bug which);

/* Switches on the bugs of a comma list; the first unknown id, or NULL. */
const char *bugs_switch_on(const char *list);

#endif
