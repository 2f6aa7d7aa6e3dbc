/* SPDX-License-Identifier: BSD-2-Clause */
/* What the fuzz targets and unit tests hold true, or die. */
#ifndef TESTS_HOST_DEMAND_H
#define TESTS_HOST_DEMAND_H

#include <stdio.h>
#include <stdlib.h>

#define DEMAND(x)                                                                         \
	do {                                                                              \
		if (!(x)) {                                                               \
			fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #x); \
			abort();                                                          \
		}                                                                         \
	} while (0)

#endif
