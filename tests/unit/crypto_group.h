/*
 * The setup and the teardown of a group of tests that needs crypto/.
 */
#ifndef TESTS_UNIT_CRYPTO_GROUP_H
#define TESTS_UNIT_CRYPTO_GROUP_H

#include "base/chk.h"
#include "crypto/crypto.h"

static inline int
crypto_group_start(void **state)
{
	UNUSED(state);
	return crypto_init() ? 0 : -1;
}

static inline int
crypto_group_stop(void **state)
{
	UNUSED(state);
	crypto_fini();
	return 0;
}

#endif
