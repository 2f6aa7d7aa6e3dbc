/* SPDX-License-Identifier: BSD-2-Clause */
/* Everything that a guest may use. */
#ifndef TRAPLINE_H
#define TRAPLINE_H

#include "x86/apic.h"
#include "x86/breadth.h"
#include "x86/cold.h"
#include "x86/cpu.h"
#include "x86/debugreg.h"
#include "x86/desc.h"
#include "x86/event.h"
#include "x86/exceptions.h"
#include "x86/exits.h"
#include "x86/faults.h"
#include "x86/layer.h"
#include "x86/notation.h"
#include "x86/paging.h"
#include "x86/pending.h"
#include "x86/percpu.h"
#include "x86/sev/sev.h"
#include "x86/smp.h"
#include "x86/snippet.h"
#include "x86/testcase.h"

#include "printf.h"
#include "string.h"

#ifndef GUEST_LAYERS
#define GUEST_LAYERS ALL_LAYERS
#endif
DEFINE_GUEST_LAYERS(GUEST_LAYERS);

/* The Makefile names the guest after its file. */
const char guest_name[] __attribute__((weak)) = GUEST;

#endif
