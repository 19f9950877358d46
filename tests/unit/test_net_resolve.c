/* The resolver against a scripted DNS server on loopback; the clock of its cache is faked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/clock.h"
#include "net/resolve.h"
#include "dns_server.h"

struct fixture {
	struct loop *loop;
	struct resolver *resolver;
	struct dns_server dns;
	/* what came */
	int calls;
	enum err why;
	size_t n;
	struct address got[RESOLVE_MAX];
};

#define NOW_NS 5000000000000ull

static struct fixture *
fixture_new(struct record *records, size_t n, unsigned answer_ms)
{
	struct fixture *f = xcalloc(1, sizeof(*f));

	clock_fake(NOW_NS, 1);
	f->loop = loop_new();
	dns_server_open(&f->dns, f->loop, records, n);
	f->resolver = resolver_new(f->loop);
	resolver_set_servers(f->resolver, f->dns.address, answer_ms);
	return f;
}

static void
fixture_free(struct fixture *f)
{
	if (f->resolver != NULL)
		CALL(resolver_close(f->resolver));
	dns_server_close(&f->dns);
	loop_free(f->loop);
	clock_fake(0, 0);
	free(f);
}

static void
advance_ms(uint64_t ms)
{
	static uint64_t base;

	base = clock_mono_ns() + ms * 1000000;
	clock_fake(base, 1);
}

/* ---- asking ---- */

static void
resolved(void *ctx, enum err why, const struct address *addresses, size_t n)
{
	struct fixture *f = ctx;

	assert_int_equal(net_inside, 0);
	f->calls++;
	f->why = why;
	f->n = n;
	assert_true(n <= RESOLVE_MAX && (n > 0) == (why == E_OK));
	if (n > 0)
		memcpy(f->got, addresses, n * sizeof(*addresses));
}

static void
ask(struct fixture *f, const char *host, bool allow_private)
{
	int before = f->calls;

	CALL(assert_non_null(resolve_start(f->resolver, host, 443, allow_private, resolved, f)));
	RUN_UNTIL(f->loop, f->calls > before);
	assert_int_equal(f->calls, before + 1);
}

/* "a b c", ports checked on the way. */
static void
assert_got(struct fixture *f, const char *want)
{
	char all[RESOLVE_MAX * 50] = "", one[ADDRESS_TEXT_SIZE];

	for (size_t i = 0; i < f->n; i++) {
		assert_int_equal(address_port(&f->got[i]), 443);
		address_ip_text(&f->got[i], one);
		if (i > 0)
			strcat(all, " ");
		strcat(all, one);
	}
	assert_string_equal(all, want);
}

static void
literals_and_localhost_need_no_server(void **state)
{
	struct fixture *f = fixture_new(NULL, 0, 5000);

	UNUSED(state);
	ask(f, "192.0.2.1", false);
	assert_got(f, "192.0.2.1");
	ask(f, "2606:4700::1111", false);
	assert_got(f, "2606:4700::1111");
	ask(f, "localhost", true);
	assert_got(f, "127.0.0.1 ::1");
	ask(f, "api.LOCALHOST", true);
	assert_got(f, "127.0.0.1 ::1");
	ask(f, "localhost", false);
	assert_int_equal(f->why, E_UPSTREAM_ADDRESS);
	ask(f, "169.254.169.254", false);
	assert_int_equal(f->why, E_UPSTREAM_ADDRESS);
	fixture_free(f);
}

static void
names_that_are_none_are_refused(void **state)
{
	struct fixture *f = fixture_new(NULL, 0, 5000);
	static const char *const bad[] = {
	    "", "a..b", ".a", "a.", "a b", "a%b", "a/b", "a@b", "a:b", "[::1]"};
	static const char *const tricks[] = {
	    "127.1", "0x7f.1", "2130706433", "0177.0.0.1", "127.0.0.1."};
	char name[256];

	UNUSED(state);
	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		ask(f, bad[i], true);
		assert_int_equal(f->why, E_UPSTREAM_DNS);
	}
	for (size_t i = 0; i < COUNT_OF(tricks); i++) {
		ask(f, tricks[i], true);
		assert_int_equal(f->why, E_UPSTREAM_ADDRESS);
	}
	memset(name, 'a', sizeof(name));
	for (int i = 50; i < 250; i += 50)
		name[i] = '.';
	name[254] = '\0';
	ask(f, name, true);
	assert_int_equal(f->why, E_UPSTREAM_DNS);
	fixture_free(f);
}

static void
a_name_of_253_bytes_is_asked_for(void **state)
{
	char name[256];
	struct record r = {.name = name, .v4 = {"192.0.2.1"}, .ttl = 60};
	struct fixture *f;

	UNUSED(state);
	memset(name, 'a', sizeof(name));
	for (int i = 63; i < 253; i += 64)
		name[i] = '.';
	name[253] = '\0';
	f = fixture_new(&r, 1, 5000);
	ask(f, name, false);
	assert_got(f, "192.0.2.1");
	name[63] = 'a'; /* a label of 127 */
	ask(f, name, false);
	assert_int_equal(f->why, E_UPSTREAM_DNS);
	fixture_free(f);
}

static void
families_alternate_and_eight_are_kept(void **state)
{
	struct record r = {.name = "api.test",
	    .ttl = 60,
	    .v4 = {"192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4", "192.0.2.5", "192.0.2.6"},
	    .v6 = {"2606:4700::1", "2606:4700::2", "2606:4700::3"}};
	struct fixture *f = fixture_new(&r, 1, 5000);
	size_t v6 = 0;

	UNUSED(state);
	ask(f, "API.test", false);
	assert_int_equal(f->n, RESOLVE_MAX);
	for (size_t i = 0; i < f->n; i++) {
		enum address_kind kind = address_kind(&f->got[i]);

		v6 += kind == ADDRESS_V6;
		if (i > 0 && i < 6)
			assert_int_not_equal(kind, address_kind(&f->got[i - 1]));
	}
	assert_int_equal(v6, 3);
	fixture_free(f);
}

static void
private_answers_are_dropped_unless_allowed(void **state)
{
	struct record r[] = {
	    {.name = "mixed.test", .ttl = 60, .v4 = {"10.0.0.1", "192.0.2.1", "127.0.0.1"}},
	    {.name = "inside.test", .ttl = 60, .v4 = {"10.0.0.1"}, .v6 = {"fd00:ec2::254"}},
	    {.name = "mapped.test", .ttl = 60, .v6 = {"::ffff:127.0.0.1", "64:ff9b::7f00:1"}},
	};
	struct fixture *f = fixture_new(r, 3, 5000);

	UNUSED(state);
	ask(f, "mixed.test", false);
	assert_got(f, "192.0.2.1");
	ask(f, "inside.test", false);
	assert_int_equal(f->why, E_UPSTREAM_ADDRESS);
	ask(f, "inside.test", true); /* what is cached is judged for each asker */
	assert_int_equal(f->n, 2);
	ask(f, "mapped.test", false);
	assert_int_equal(f->why, E_UPSTREAM_ADDRESS);
	fixture_free(f);
}

static void
concurrent_questions_are_one_query(void **state)
{
	struct record r = {.name = "api.test", .ttl = 60, .v4 = {"192.0.2.1"}};
	struct fixture *f = fixture_new(&r, 1, 5000);

	UNUSED(state);
	for (int i = 0; i < 10; i++)
		CALL(resolve_start(
		    f->resolver, i % 2 ? "api.test" : "Api.Test", 443, false, resolved, f));
	RUN_UNTIL(f->loop, f->calls == 10);
	assert_int_equal(f->dns.asked, 1);
	fixture_free(f);
}

/* Each in turn: how long it lives, whatever its record says. */
static struct record lives[] = {
    {.name = "hasty.test", .ttl = 0, .v4 = {"192.0.2.1"}},
    {.name = "fine.test", .ttl = 60, .v4 = {"192.0.2.2"}},
    {.name = "lazy.test", .ttl = 86400, .v4 = {"192.0.2.3"}},
};
static const uint64_t lives_ms[] = {5000, 60000, 300000};

static void
answers_live_as_long_as_their_ttl_within_bounds(void **state)
{
	struct fixture *f = fixture_new(lives, 3, 5000);

	UNUSED(state);
	for (size_t i = 0; i < 3; i++) {
		f->dns.asked = 0;
		ask(f, lives[i].name, false);
		advance_ms(lives_ms[i] / 4 * 3 - 1);
		ask(f, lives[i].name, false);
		run_turns(f->loop, 20);
		assert_int_equal(f->dns.asked, 1);
		advance_ms(lives_ms[i] / 4 + 1);
		lives[i].is_silent = true; /* now it has to be waited for */
		CALL(resolve_start(f->resolver, lives[i].name, 443, false, resolved, f));
		RUN_UNTIL(f->loop, f->dns.asked == 2);
		assert_int_equal(f->calls, 2);
		lives[i].is_silent = false;
		RUN_UNTIL(f->loop, f->calls == 3); /* c-ares asks once more */
		f->calls = 0;
	}
	fixture_free(f);
}

/* Asks until the answer is that one: a refresh goes on behind the answers. */
static void
ask_until(struct fixture *f, const char *host, const char *want)
{
	char got[ADDRESS_TEXT_SIZE] = "";

	for (int i = 0; i < 2000 && strcmp(got, want) != 0; i++) {
		ask(f, host, false);
		assert_true(f->n == 1);
		address_ip_text(&f->got[0], got);
	}
	assert_got(f, want);
}

static void
a_name_in_use_is_refreshed_behind_a_good_answer(void **state)
{
	struct record r = {.name = "api.test", .ttl = 60, .v4 = {"192.0.2.1"}};
	struct fixture *f = fixture_new(&r, 1, 5000);

	UNUSED(state);
	ask(f, "api.test", false);
	r.v4[0] = "192.0.2.2";
	advance_ms(45000);
	ask(f, "api.test", false); /* not waited for: the answer is still good */
	assert_got(f, "192.0.2.1");
	ask_until(f, "api.test", "192.0.2.2");
	assert_int_equal(f->dns.asked, 2);
	advance_ms(45000 - 1); /* it has a whole life again */
	ask(f, "api.test", false);
	run_turns(f->loop, 20);
	assert_int_equal(f->dns.asked, 2);
	fixture_free(f);
}

/* A refresh ahead of time that fails, or finds nothing, takes nothing from an answer that still lives. */
static void
a_refresh_ahead_of_time_cannot_hurt(void **state)
{
	static const int rcodes[] = {2, 3};
	static const enum err after[] = {E_OK, E_UPSTREAM_DNS};

	UNUSED(state);
	for (int i = 0; i < 2; i++) {
		struct record r = {.name = "api.test", .ttl = 60, .v4 = {"192.0.2.1"}};
		struct fixture *f = fixture_new(&r, 1, 5000);

		ask(f, "api.test", false);
		r.rcode = rcodes[i];
		advance_ms(45000);
		ask(f, "api.test", false);
		RUN_UNTIL(f->loop, f->dns.asked >= 2);
		run_turns(f->loop, 200);
		advance_ms(14000);
		ask(f, "api.test", false);
		assert_got(f, "192.0.2.1");
		run_turns(f->loop, 200);
		advance_ms(3000);
		ask(f, "api.test", false);
		assert_int_equal(
		    f->why, after[i]); /* a "no such name" ends it, a failure does not */
		fixture_free(f);
	}
}

/* DNS rebinding: what was public is asked for again and turns inward. */
static void
a_name_that_turns_inward_is_refused(void **state)
{
	static const char *const inside[] = {"127.0.0.1", "169.254.169.254", "10.1.2.3"};
	struct record r = {.name = "evil.test", .ttl = 0};
	struct fixture *f = fixture_new(&r, 1, 5000);

	UNUSED(state);
	for (size_t i = 0; i < COUNT_OF(inside); i++) {
		r.v4[0] = "192.0.2.1";
		advance_ms(5000);
		ask(f, "evil.test", false);
		assert_got(f, "192.0.2.1");
		r.v4[0] = inside[i];
		ask(f, "evil.test", false); /* what was checked is what is given */
		assert_got(f, "192.0.2.1");
		advance_ms(5000);
		ask(f, "evil.test", false);
		assert_int_equal(f->why, E_UPSTREAM_ADDRESS);
		assert_int_equal(f->n, 0);
	}
	fixture_free(f);
}

static void
a_name_that_is_not_there_is_asked_again_after_2_seconds(void **state)
{
	struct record r = {.name = "gone.test", .rcode = 3};
	struct fixture *f = fixture_new(&r, 1, 5000);

	UNUSED(state);
	ask(f, "gone.test", false);
	assert_int_equal(f->why, E_UPSTREAM_DNS);
	advance_ms(1999);
	ask(f, "gone.test", false);
	assert_int_equal(f->why, E_UPSTREAM_DNS);
	assert_int_equal(f->dns.asked, 1);
	advance_ms(1);
	r.rcode = 0;
	r.v4[0] = "192.0.2.1";
	ask(f, "gone.test", false);
	assert_got(f, "192.0.2.1");
	fixture_free(f);
}

static void
a_failed_refresh_serves_the_last_good_address(void **state)
{
	struct record r = {.name = "api.test", .ttl = 10, .v4 = {"192.0.2.1"}};
	struct fixture *f = fixture_new(&r, 1, 5000);

	UNUSED(state);
	ask(f, "api.test", false);
	r.rcode = 2;
	advance_ms(10000);
	ask(f, "api.test", false);
	assert_got(f, "192.0.2.1");
	r.rcode = 0;
	r.v4[0] = "192.0.2.9";
	advance_ms(2000);
	ask(f, "api.test", false); /* at once; the refresh goes on behind it */
	assert_got(f, "192.0.2.1");
	ask_until(f, "api.test", "192.0.2.9");
	r.rcode = 2;
	advance_ms(10000 + 24 * 3600 * 1000 + 1); /* there is an end to it */
	ask(f, "api.test", false);
	assert_int_equal(f->why, E_UPSTREAM_DNS);
	fixture_free(f);
}

static void
an_authoritative_no_is_no_failed_refresh(void **state)
{
	struct record r = {.name = "api.test", .ttl = 10, .v4 = {"192.0.2.1"}};
	struct fixture *f = fixture_new(&r, 1, 5000);

	UNUSED(state);
	ask(f, "api.test", false);
	r.rcode = 3;
	advance_ms(10000);
	ask(f, "api.test", false);
	assert_int_equal(f->why, E_UPSTREAM_DNS);
	fixture_free(f);
}

static void
a_silent_server_costs_no_more_than_the_limit(void **state)
{
	struct record r[] = {
	    {.name = "slow.test", .is_silent = true},
	    {.name = "slower.test", .is_silent = true},
	    {.name = "fast.test", .ttl = 60, .v4 = {"192.0.2.1"}},
	};
	struct fixture *f = fixture_new(r, 3, 500);

	UNUSED(state);
	CALL(resolve_start(f->resolver, "slow.test", 443, false, resolved, f));
	CALL(resolve_start(f->resolver, "slower.test", 443, false, resolved, f));
	RUN_UNTIL(f->loop, f->dns.asked >= 2);
	ask(f, "fast.test", false); /* hung names delay no other */
	assert_got(f, "192.0.2.1");
	RUN_UNTIL(f->loop, f->calls == 3);
	assert_int_equal(f->why, E_UPSTREAM_DNS_TIMEOUT);
	fixture_free(f);
}

static void
a_silent_server_is_not_waited_for_twice_when_there_is_an_old_answer(void **state)
{
	struct record r = {.name = "api.test", .ttl = 10, .v4 = {"192.0.2.1"}};
	struct fixture *f = fixture_new(&r, 1, 50);
	uint64_t before;

	UNUSED(state);
	ask(f, "api.test", false);
	r.is_silent = true;
	advance_ms(10000);
	ask(f, "api.test", false); /* after 50 ms */
	assert_got(f, "192.0.2.1");
	before = loop_now_ms(f->loop);
	ask(f, "api.test", false);
	assert_got(f, "192.0.2.1");
	assert_true(loop_now_ms(f->loop) - before < 50);
	fixture_free(f);
}

static void
what_does_not_fit_into_udp_is_fetched_over_tcp(void **state)
{
	struct record r = {
	    .name = "long.test", .ttl = 60, .v4 = {"192.0.2.1"}, .is_truncated = true};
	struct fixture *f = fixture_new(&r, 1, 5000);

	UNUSED(state);
	ask(f, "long.test", false);
	assert_got(f, "192.0.2.1");
	assert_true(f->dns.tcp_peer > 0);
	fixture_free(f);
}

/* None of them yields an address, none crashes or outlasts the limit. */
static void
spoilt_answers_are_none(void **state)
{
	UNUSED(state);
	for (int i = GARBAGE; i <= LOOPING_NAME; i++) {
		struct record r = {.name = "odd.test", .ttl = 60, .v4 = {"192.0.2.1"}};
		struct fixture *f = fixture_new(&r, 1, 300);

		memcpy(&r.spoilt, &i, sizeof(i));
		ask(f, "odd.test", true);
		if (f->n != 0 || (f->why != E_UPSTREAM_DNS && f->why != E_UPSTREAM_DNS_TIMEOUT))
			fail_msg("spoilt in way %d: %zu addresses, error %d", i, f->n, f->why);
		fixture_free(f);
	}
}

static void
a_cancelled_question_is_not_answered(void **state)
{
	struct record r = {.name = "api.test", .ttl = 60, .v4 = {"192.0.2.1"}};
	struct fixture *f = fixture_new(&r, 1, 5000);
	struct resolve_query *waiting, *ready;

	UNUSED(state);
	CALL(waiting = resolve_start(f->resolver, "api.test", 443, false, resolved, f));
	CALL(ready = resolve_start(f->resolver, "192.0.2.7", 443, false, resolved, f));
	CALL(resolve_cancel(waiting));
	CALL(resolve_cancel(ready));
	ask(f, "api.test", false); /* the query itself went on */
	assert_int_equal(f->dns.asked, 1);
	assert_int_equal(f->calls, 1);
	fixture_free(f);
}

static void
closing_fails_what_is_open(void **state)
{
	struct record r = {.name = "slow.test", .is_silent = true};
	struct fixture *f = fixture_new(&r, 1, 5000);

	UNUSED(state);
	CALL(resolve_start(f->resolver, "slow.test", 443, false, resolved, f));
	CALL(resolve_start(f->resolver, "192.0.2.1", 443, false, resolved, f));
	CALL(resolver_close(f->resolver));
	f->resolver = NULL;
	assert_int_equal(f->calls, 0);
	RUN_UNTIL(f->loop, f->calls == 2);
	assert_int_equal(f->why, E_CLOSED);
	fixture_free(f);
}

static void
the_cache_holds_512_names(void **state)
{
	static struct record r[514];
	static char names[514][24];
	struct fixture *f;

	UNUSED(state);
	for (int i = 0; i < 514; i++) {
		snprintf(names[i], sizeof(names[i]), "n%d.test", i);
		r[i] = (struct record){.name = names[i], .ttl = 300, .v4 = {"192.0.2.1"}};
	}
	f = fixture_new(r, 514, 5000);
	for (int i = 0; i < 512; i++)
		ask(f, names[i], false);
	ask(f, names[0], false);
	assert_int_equal(f->dns.asked, 512);
	ask(f, names[512], false); /* in the place of the one not used longest: 1 */
	ask(f, names[0], false);
	assert_int_equal(f->dns.asked, 513);
	ask(f, names[1], false);
	assert_int_equal(f->dns.asked, 514);
	fixture_free(f);
}

static void
the_hosts_file_comes_before_dns(void **state)
{
	struct fixture *f;
	char line[512], *name = NULL, *save = NULL;
	FILE *hosts = fopen("/etc/hosts", "r");

	UNUSED(state);
	/* the first name in it that is no localhost; without one there is nothing to see */
	while (hosts != NULL && name == NULL && fgets(line, sizeof(line), hosts) != NULL) {
		char *ip = strtok_r(line, " \t\n", &save), *host = strtok_r(NULL, " \t\n", &save);

		if (ip != NULL && *ip != '#' && host != NULL && strstr(host, "local") == NULL)
			name = xstrdup(host);
	}
	if (hosts != NULL)
		fclose(hosts);
	if (name == NULL)
		skip();
	f = fixture_new(NULL, 0, 5000); /* knows no name at all */
	ask(f, name, true);
	assert_int_equal(f->why, E_OK);
	free(name);
	fixture_free(f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(literals_and_localhost_need_no_server),
	    cmocka_unit_test(names_that_are_none_are_refused),
	    cmocka_unit_test(a_name_of_253_bytes_is_asked_for),
	    cmocka_unit_test(families_alternate_and_eight_are_kept),
	    cmocka_unit_test(private_answers_are_dropped_unless_allowed),
	    cmocka_unit_test(concurrent_questions_are_one_query),
	    cmocka_unit_test(answers_live_as_long_as_their_ttl_within_bounds),
	    cmocka_unit_test(a_name_in_use_is_refreshed_behind_a_good_answer),
	    cmocka_unit_test(a_refresh_ahead_of_time_cannot_hurt),
	    cmocka_unit_test(a_name_that_turns_inward_is_refused),
	    cmocka_unit_test(what_does_not_fit_into_udp_is_fetched_over_tcp),
	    cmocka_unit_test(spoilt_answers_are_none),
	    cmocka_unit_test(a_name_that_is_not_there_is_asked_again_after_2_seconds),
	    cmocka_unit_test(a_failed_refresh_serves_the_last_good_address),
	    cmocka_unit_test(an_authoritative_no_is_no_failed_refresh),
	    cmocka_unit_test(a_silent_server_costs_no_more_than_the_limit),
	    cmocka_unit_test(a_silent_server_is_not_waited_for_twice_when_there_is_an_old_answer),
	    cmocka_unit_test(a_cancelled_question_is_not_answered),
	    cmocka_unit_test(closing_fails_what_is_open),
	    cmocka_unit_test(the_cache_holds_512_names),
	    cmocka_unit_test(the_hosts_file_comes_before_dns),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
