/* SPDX-License-Identifier: BSD-2-Clause */
/* Everything that a guest may use. */
#ifndef TRAPLINE_H
#define TRAPLINE_H

#include "x86/arch/exceptions.h"
#include "x86/cpu/cpu.h"
#include "x86/cpu/desc.h"
#include "x86/cpu/paging.h"
#include "x86/cpu/percpu.h"
#include "x86/devices/apic.h"
#include "x86/devices/smp.h"
#include "x86/harness/breakpoints.h"
#include "x86/harness/cold.h"
#include "x86/harness/exits.h"
#include "x86/harness/faults.h"
#include "x86/harness/needs.h"
#include "x86/harness/pending.h"
#include "x86/harness/snippet.h"
#include "x86/harness/testcase.h"
#include "x86/modes/mode.h"
#include "x86/modes/smm.h"
#include "x86/nested/layers.h"
#include "x86/record/breadth.h"
#include "x86/record/event.h"
#include "x86/record/notation.h"
#include "x86/record/recorder.h"
#include "x86/record/recording.h"
#include "x86/record/trace.h"
#include "x86/sev/sev.h"

#include "printf.h"
#include "string.h"

#ifndef GUEST_LAYERS
#define GUEST_LAYERS ALL_LAYERS
#endif
DEFINE_GUEST_LAYERS(GUEST_LAYERS);

/* The Makefile names the guest after its file. */
const char guest_name[] __attribute__((weak)) = GUEST;

#endif
