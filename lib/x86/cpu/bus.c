/* SPDX-License-Identifier: BSD-2-Clause */
#include "bus.h"

#include <stddef.h>

const struct bus *bus = NULL;
