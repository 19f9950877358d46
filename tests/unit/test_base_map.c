#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdbool.h>
#include <string.h>

#include "base/chk.h"
#include "base/map.h"

struct thing {
	struct map_node node;
	int name;
};

static struct thing *
find(const struct map *m, uint64_t hash, int name)
{
	for (struct map_node *n = map_first(m, hash); n != NULL; n = map_next(n)) {
		struct thing *t = CONTAINER_OF(n, struct thing, node);

		assert_int_equal(n->hash, hash);
		if (t->name == name)
			return t;
	}
	return NULL;
}

static void
an_empty_map_finds_nothing(void **state)
{
	struct map m;

	(void)state;
	map_init(&m);
	assert_null(map_first(&m, 0));
	map_fini(&m);
}

static void
what_was_inserted_is_found_until_removed(void **state)
{
	static struct thing things[10000];
	struct map m;

	(void)state;
	map_init(&m);
	for (int i = 0; i < 10000; i++) {
		things[i].name = i;
		map_insert(&m, &things[i].node, (uint64_t)i * 7919);
	}
	assert_int_equal(m.count, 10000);
	for (int i = 0; i < 10000; i += 2)
		map_remove(&m, &things[i].node);
	assert_int_equal(m.count, 5000);
	for (int i = 0; i < 10000; i++) {
		struct thing *want = i % 2 == 0 ? NULL : &things[i];

		assert_ptr_equal(find(&m, (uint64_t)i * 7919, i), want);
	}
	map_fini(&m);
	assert_null(map_first(&m, 7919));
}

static void
equal_hashes_chain(void **state)
{
	static struct thing same[100];
	bool seen[100] = {false};
	struct map m;
	int n = 0;

	(void)state;
	map_init(&m);
	for (int i = 0; i < 100; i++) {
		same[i].name = i;
		map_insert(&m, &same[i].node, 42);
	}
	for (struct map_node *at = map_first(&m, 42); at != NULL; at = map_next(at), n++) {
		struct thing *t = CONTAINER_OF(at, struct thing, node);

		assert_false(seen[t->name]);
		seen[t->name] = true;
	}
	assert_int_equal(n, 100);
	map_remove(&m, &same[50].node);
	assert_null(find(&m, 42, 50));
	assert_non_null(find(&m, 42, 49));
	assert_non_null(find(&m, 42, 51));
	map_fini(&m);
}

/* Ids have their differences in the high bits; a table that masks the low ones would be a list. */
static void
hashes_that_differ_only_high_up_still_spread(void **state)
{
	static struct thing things[4096];
	size_t longest = 0;
	struct map m;

	(void)state;
	map_init(&m);
	for (size_t i = 0; i < 4096; i++)
		map_insert(&m, &things[i].node, (uint64_t)i << 32);
	for (size_t i = 0; i <= m.mask; i++) {
		size_t n = 0;

		for (struct map_node *at = m.slots[i]; at != NULL; at = at->next)
			n++;
		longest = n > longest ? n : longest;
	}
	assert_true(longest < 32);
	map_fini(&m);
}

static void
a_removed_node_can_come_back(void **state)
{
	struct thing t = {.name = 1};
	struct map m;

	(void)state;
	map_init(&m);
	map_insert(&m, &t.node, 5);
	map_remove(&m, &t.node);
	assert_int_equal(m.count, 0);
	map_insert(&m, &t.node, 6);
	assert_null(map_first(&m, 5));
	assert_ptr_equal(map_first(&m, 6), &t.node);
	map_fini(&m);
}

static void
a_reserved_table_does_not_grow(void **state)
{
	static struct thing things[1025];
	struct map_node **slots;
	struct map m;

	(void)state;
	map_init(&m);
	map_reserve(&m, 1000);
	slots = m.slots;
	assert_null(map_first(&m, 5));
	for (size_t i = 0; i < 1024; i++)
		map_insert(&m, &things[i].node, i);
	assert_ptr_equal(m.slots, slots);
	map_insert(&m, &things[1024].node, 1024);
	assert_int_equal(m.mask, 2047);
	for (size_t i = 0; i < 1025; i++)
		assert_ptr_equal(map_first(&m, i), &things[i].node);
	map_fini(&m);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(an_empty_map_finds_nothing),
	    cmocka_unit_test(what_was_inserted_is_found_until_removed),
	    cmocka_unit_test(equal_hashes_chain),
	    cmocka_unit_test(hashes_that_differ_only_high_up_still_spread),
	    cmocka_unit_test(a_removed_node_can_come_back),
	    cmocka_unit_test(a_reserved_table_does_not_grow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
