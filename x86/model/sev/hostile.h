/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a guest asks our model for that no hypervisor does (calls.h): to intercept more, to spoil one answer,
 * to forge one #VC.
 */
#ifndef MODEL_HOSTILE_H
#define MODEL_HOSTILE_H

#include "ghcb_event.h"

#include <stdbool.h>

/* MODEL_INTERCEPT_… of calls.h that are on. */
extern unsigned hostile_tsc_intercepts;

/* A call of calls.h; false: there is none such. */
bool hostile_call(struct ghcb_known *k);

/* The answer is in the page: is it to be spoilt? */
void hostile_spoil(struct ghcb_known *k);

/* PAUSE was intercepted; false: not for a forged #VC. */
bool hostile_pause(struct vcpu *v);

#endif
