#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "obs/metric.h"

/* Metrics are the process's: every test takes rows of its own. */

static char page[65536];

static const char *
render(void)
{
	struct buf b;

	buf_init(&b, sizeof(page) - 1);
	assert_true(metric_render(&b));
	memcpy(page, buf_view(&b).p, buf_len(&b));
	page[buf_len(&b)] = '\0';
	buf_fini(&b);
	return page;
}

static void
assert_has_line(const char *text, const char *line)
{
	size_t n = strlen(line);

	for (const char *p = text; p != NULL; p = strchr(p, '\n')) {
		p += *p == '\n';
		if (strncmp(p, line, n) == 0 && p[n] == '\n')
			return;
	}
	fail_msg("no line: %s", line);
}

static int
count_of(const char *text, const char *part)
{
	int n = 0;

	for (const char *p = text; (p = strstr(p, part)) != NULL; p++)
		n++;
	return n;
}

static void
counters_add_up(void **state)
{
	(void)state;
	metric_add(M_REQ_HIT, 1);
	metric_add(M_REQ_HIT, 2);
	assert_int_equal(metric_get(M_REQ_HIT), 3);
	assert_has_line(render(), "postern_requests_total{cache=\"hit\"} 3");
	assert_has_line(page, "postern_requests_total{cache=\"miss\"} 0");
}

static void
gauges_go_up_and_down(void **state)
{
	(void)state;
	metric_add(M_CONNECTIONS, 5);
	metric_sub(M_CONNECTIONS, 4);
	metric_set(M_CACHE_BYTES, 12345678901);
	assert_int_equal(metric_get(M_CONNECTIONS), 1);
	assert_has_line(render(), "postern_client_connections 1");
	assert_has_line(page, "postern_cache_bytes 12345678901");
}

static void
a_family_has_one_help_and_one_type_before_its_rows(void **state)
{
	const char *type, *first;

	(void)state;
	render();
	assert_int_equal(count_of(page, "# HELP postern_requests_total "), 1);
	assert_int_equal(count_of(page, "# TYPE postern_requests_total counter\n"), 1);
	type = strstr(page, "# TYPE postern_requests_total");
	first = strstr(page, "\npostern_requests_total{");
	assert_true(type < first);
	assert_has_line(page, "# TYPE postern_client_connections gauge");
	assert_has_line(page, "# TYPE postern_overhead_seconds histogram");
}

/* What a scraper refuses: a sample whose family was not declared directly before it. */
static void
every_sample_belongs_to_the_type_above_it(void **state)
{
	char family[128] = "", *save, *line;

	(void)state;
	render();
	for (line = strtok_r(page, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save)) {
		if (sscanf(line, "# TYPE %127s", family) == 1 || strncmp(line, "# HELP ", 7) == 0)
			continue;
		assert_int_equal(strncmp(line, family, strlen(family)), 0);
		assert_non_null(strchr("{ _", line[strlen(family)]));
		assert_non_null(strrchr(line, ' '));
	}
}

static void
a_histogram_counts_each_observation_in_every_bucket_that_holds_it(void **state)
{
	(void)state;
	metric_observe_us(M_OVERHEAD, 0);
	metric_observe_us(M_OVERHEAD, 10);
	metric_observe_us(M_OVERHEAD, 11);
	metric_observe_us(M_OVERHEAD, 1500000);
	metric_observe_us(M_OVERHEAD, 500000000);
	metric_observe_us(M_OVERHEAD, 500000001);
	assert_int_equal(metric_get(M_OVERHEAD), 6);
	render();
	assert_has_line(page, "postern_overhead_seconds_bucket{le=\"1e-05\"} 2");
	assert_has_line(page, "postern_overhead_seconds_bucket{le=\"2e-05\"} 3");
	assert_has_line(page, "postern_overhead_seconds_bucket{le=\"1\"} 3");
	assert_has_line(page, "postern_overhead_seconds_bucket{le=\"2\"} 4");
	assert_has_line(page, "postern_overhead_seconds_bucket{le=\"500\"} 5");
	assert_has_line(page, "postern_overhead_seconds_bucket{le=\"+Inf\"} 6");
	assert_has_line(page, "postern_overhead_seconds_sum 1001.500022");
	assert_has_line(page, "postern_overhead_seconds_count 6");
	assert_has_line(page, "postern_upstream_first_byte_seconds_count 0");
}

static void *
add_many(void *unused)
{
	for (int i = 0; i < 100000; i++) {
		metric_add(M_LOG_WRITTEN, 1);
		metric_observe_us(M_DURATION, 100);
	}
	return unused;
}

static void
threads_lose_nothing(void **state)
{
	pthread_t threads[4];

	(void)state;
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, add_many, NULL), 0);
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_int_equal(metric_get(M_LOG_WRITTEN), 400000);
	assert_int_equal(metric_get(M_DURATION), 400000);
}

static void
a_page_that_does_not_fit_fails(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 1000);
	assert_false(metric_render(&b));
	buf_fini(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(counters_add_up),
	    cmocka_unit_test(gauges_go_up_and_down),
	    cmocka_unit_test(a_family_has_one_help_and_one_type_before_its_rows),
	    cmocka_unit_test(every_sample_belongs_to_the_type_above_it),
	    cmocka_unit_test(a_histogram_counts_each_observation_in_every_bucket_that_holds_it),
	    cmocka_unit_test(threads_lose_nothing),
	    cmocka_unit_test(a_page_that_does_not_fit_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
