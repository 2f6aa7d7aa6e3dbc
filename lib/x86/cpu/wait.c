/* SPDX-License-Identifier: BSD-2-Clause */
#include "wait.h"

unsigned waits_in_vain;
