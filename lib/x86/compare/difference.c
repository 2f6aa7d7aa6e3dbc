/* SPDX-License-Identifier: BSD-2-Clause */
#include "difference.h"

void difference_add(struct differences *all, const struct difference *one)
{
	for (unsigned i = 0; i < all->used && i < MAX_DIFFERENCES; i++) {
		const struct difference *d = &all->list[i];

		if (d->name == one->name && d->where == one->where && d->vector == one->vector)
			return;
	}
	if (all->used < MAX_DIFFERENCES)
		all->list[all->used] = *one;
	all->used++;
}
