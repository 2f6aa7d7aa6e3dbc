/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a guest can ask the model for, by VMMCALL with RAX = MODEL_CALL under SEV-ES: to intercept more,
 * or to be the hypervisor that nobody should trust, once. Shared with guests.
 */
#ifndef MODEL_CALLS_H
#define MODEL_CALLS_H

#define MODEL_CALL 0x5452415000000000ul /* RAX: this, or'ed with one of the following */
#define MODEL_CALL_DONE 0x444f4e45	/* RAX, if the model knows the call */

/* RBX: mask of MODEL_INTERCEPT_ that are on from now. */
#define MODEL_CALL_INTERCEPT 1
#define MODEL_INTERCEPT_RDTSC 1
#define MODEL_INTERCEPT_RDTSCP 2

/* RBX: how the answer to VMGEXIT number RCX from now (1: the next) is spoilt; RDX: a value for it. */
#define MODEL_CALL_SPOIL 2
#define MODEL_SPOIL_RESULT 1   /* the result word is RDX */
#define MODEL_SPOIL_INJECT 2   /* the result word is 1, the event to inject RDX */
#define MODEL_SPOIL_REASON 3   /* the result word is 2, the reason RDX */
#define MODEL_SPOIL_NO_VALID 4 /* no output is marked valid */

/* A #VC with error code RBX when L2 next executes PAUSE, instead of it or (RCX=1) behind it. */
#define MODEL_CALL_FORGE 3

/* Forgets what is still due of the two above. */
#define MODEL_CALL_BEHAVE 4

#endif
