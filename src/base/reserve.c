#include "base/reserve.h"

#include <stdatomic.h>
#include <stdlib.h>

static _Atomic(void *) reserve;

bool
reserve_is_spent(void)
{
	return atomic_load_explicit(&reserve, memory_order_relaxed) == NULL;
}

bool
reserve_is_whole(void)
{
	void *none = NULL, *p;

	if (!reserve_is_spent())
		return true;
	p = malloc(RESERVE_BYTES);
	if (p == NULL)
		return false;
	if (!atomic_compare_exchange_strong(&reserve, &none, p))
		free(p);
	return true;
}

void
reserve_open(void)
{
	free(atomic_exchange(&reserve, NULL));
}
