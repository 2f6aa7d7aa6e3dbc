/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which bugs a case can meet: those that are asked for while it runs. With the word "reach" the model
 * listens to what the payload prints, and puts the numbers of these bugs (their place in bugs.def) before
 * each result: "# note reached 3 17". `--prove` tries a bug on no other case.
 */
#ifndef MODEL_REACH_H
#define MODEL_REACH_H

#include <stdbool.h>

void reach_switch_on(void);
bool reach_is_on(void);

/* The payload sends a byte by COM1. */
void reach_byte(char byte);

#endif
