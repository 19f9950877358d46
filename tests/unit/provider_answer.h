/*
 * Helpers of the meter's tests that read one answer after the other, dialect by dialect: the last one stays in `m`.
 */
#ifndef TESTS_UNIT_PROVIDER_ANSWER_H
#define TESTS_UNIT_PROVIDER_ANSWER_H

#include "provider_meter.h"

static struct meter *m;

static inline const struct meter_result *
read_bytes(enum dialect d, const char *path, const char *type, struct span body)
{
	struct answer a = {d, path, type, body, NULL, 0};

	meter_free(m);
	m = measure(&a);
	return meter_result(m);
}

static inline const struct meter_result *
read_text(enum dialect d, const char *path, const char *type, const char *body)
{
	return read_bytes(d, path, type, span_str(body));
}

/* A test's teardown. */
static inline int
forget(void **state)
{
	(void)state;
	meter_free(m);
	m = NULL;
	return 0;
}

#endif
