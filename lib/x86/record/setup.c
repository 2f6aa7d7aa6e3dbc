/* SPDX-License-Identifier: BSD-2-Clause */
#include "setup.h"

struct setup setup;
