#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/chk.h"
#include "base/list.h"

struct item {
	struct list link;
	char name;
};

static void
assert_order(struct list *head, const char *want)
{
	LIST_EACH(n, head)
	{
		assert_int_equal(CONTAINER_OF(n, struct item, link)->name, *want);
		want++;
	}
	assert_int_equal(*want, '\0');
}

static void
a_list_keeps_the_order_of_push_and_append(void **state)
{
	struct item a = {.name = 'a'}, b = {.name = 'b'}, c = {.name = 'c'}, d = {.name = 'd'};
	struct list head;

	(void)state;
	list_init(&head);
	assert_true(list_is_empty(&head));
	assert_order(&head, "");
	list_append(&head, &b.link);
	list_push(&head, &a.link);
	list_append(&head, &d.link);
	list_insert(&b.link, &c.link);
	assert_false(list_is_empty(&head));
	assert_order(&head, "abcd");
	list_remove(&c.link);
	assert_order(&head, "abd");
}

static void
a_node_knows_whether_it_is_in_a_list(void **state)
{
	struct item a = {.name = 'a'};
	struct list head;

	(void)state;
	list_init(&head);
	assert_false(list_has(&a.link));
	list_append(&head, &a.link);
	assert_true(list_has(&a.link));
	list_remove(&a.link);
	assert_false(list_has(&a.link));
	list_remove(&a.link);
	assert_true(list_is_empty(&head));
}

static void
walking_survives_removal_of_the_current_node(void **state)
{
	struct item a = {.name = 'a'}, b = {.name = 'b'}, c = {.name = 'c'};
	struct list head;
	int seen = 0;

	(void)state;
	list_init(&head);
	list_append(&head, &a.link);
	list_append(&head, &b.link);
	list_append(&head, &c.link);
	LIST_EACH(n, &head)
	{
		list_remove(n);
		seen++;
	}
	assert_int_equal(seen, 3);
	assert_true(list_is_empty(&head));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_list_keeps_the_order_of_push_and_append),
	    cmocka_unit_test(a_node_knows_whether_it_is_in_a_list),
	    cmocka_unit_test(walking_survives_removal_of_the_current_node),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
