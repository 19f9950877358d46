/* The pool with a scripted DNS server and plain sockets for providers: the address that was checked is the one that is
 * connected to, and no other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "base/clock.h"
#include "dns_server.h"
#include "gateway_lessee.h"

#define NOW_NS 5000000000000ull

struct fixture {
	struct loop *loop;
	struct dns_server dns;
	struct resolver *resolver;
	struct pool *pool;
	int provider; /* listens */
	uint16_t port;
	struct lessee one;
};

static struct fixture *
fixture_new(struct record *records, size_t n)
{
	struct fixture *f = xcalloc(1, sizeof(*f));
	struct address a;

	clock_fake(NOW_NS, 1);
	f->loop = loop_new();
	dns_server_open(&f->dns, f->loop, records, n);
	f->resolver = resolver_new(f->loop);
	resolver_set_servers(f->resolver, f->dns.address, 5000);
	f->pool = pool_new(f->loop, f->resolver, lessee_is_own, f);
	arena_init(&f->one.head, 1 << 20);
	f->provider = peer_listen(&a, 8);
	assert_int_equal(fcntl(f->provider, F_SETFL, O_NONBLOCK), 0);
	f->port = address_port(&a);
	return f;
}

static void
fixture_free(struct fixture *f)
{
	pool_free(f->pool);
	resolver_close(f->resolver);
	dns_server_close(&f->dns);
	close(f->provider);
	loop_free(f->loop);
	arena_fini(&f->one.head);
	clock_fake(0, 0);
	free(f);
}

static struct upstream *
lease_one(struct fixture *f, const char *host, bool allow_private, enum pool_choice which)
{
	const struct origin o = {
	    .host = span_str(host), .port = f->port, .allow_private = allow_private};
	const struct upstream_timeouts t = {.connect_ms = 5000, .tls_ms = 5000, .idle_ms = 5000};
	struct upstream *u = pool_lease(f->pool, &o, &t, which);

	f->one.ready = f->one.failed = f->one.heads = f->one.complete = 0;
	upstream_attach(u, &lessee_events, &f->one, &f->one.head, METHOD_GET);
	return u;
}

/* A connection to that name, or why there is none; the caller gives it back. */
static struct upstream *
lease(struct fixture *f, const char *host, bool allow_private)
{
	struct upstream *u = lease_one(f, host, allow_private, POOL_ANY);

	RUN_UNTIL(f->loop, f->one.ready + f->one.failed > 0);
	return u;
}

static int
accepted(struct fixture *f)
{
	return accept4(f->provider, NULL, NULL, SOCK_CLOEXEC);
}

/* Where something listens, on the very port: what rebinding is after. */
static void
a_name_that_leads_to_loopback_is_not_connected_to(void **state)
{
	struct record r = {.name = "evil.test", .v4 = {"127.0.0.1"}, .ttl = 1};
	struct fixture *f = fixture_new(&r, 1);
	struct upstream *u;

	UNUSED(state);
	u = lease(f, "evil.test", false);
	assert_int_equal(f->one.failed, 1);
	assert_int_equal(f->one.why, E_UPSTREAM_ADDRESS);
	assert_string_equal(upstream_detail(u), "all of its addresses are private");
	upstream_cancel(u);
	run_turns(f->loop, 20);
	assert_int_equal(accepted(f), -1);

	u = lease(f, "evil.test", true); /* the operator means it */
	assert_int_equal(f->one.ready, 1);
	upstream_cancel(u);
	close(accepted(f));
	fixture_free(f);
}

/* Of an answer with both, the private address is left out, also when the public one is dead. */
static void
a_private_address_is_not_the_second_choice(void **state)
{
	struct record r = {
	    .name = "both.test", .v4 = {"127.0.0.1", "10.0.0.1"}, .v6 = {"::1"}, .ttl = 60};
	struct fixture *f = fixture_new(&r, 1);
	struct upstream *u = lease(f, "both.test", false);

	UNUSED(state);
	assert_int_equal(f->one.why, E_UPSTREAM_ADDRESS);
	upstream_cancel(u);
	run_turns(f->loop, 20);
	assert_int_equal(accepted(f), -1);
	fixture_free(f);
}

/* Asked once: what is connected to is the answer that was checked, whatever DNS says a moment later. */
static void
one_answer_is_checked_and_connected_to(void **state)
{
	struct record r = {.name = "moves.test", .v4 = {"127.0.0.1"}, .ttl = 60};
	struct fixture *f = fixture_new(&r, 1);
	struct upstream *u = lease(f, "moves.test", true);
	int fd;

	UNUSED(state);
	assert_int_equal(f->one.ready, 1);
	r.v4[0] = "127.0.0.2";
	upstream_cancel(u);
	u = lease(f, "MOVES.test", true);
	assert_int_equal(f->one.ready, 1);
	assert_int_equal(f->dns.asked, 1);
	upstream_cancel(u);
	while ((fd = accepted(f)) >= 0)
		close(fd);
	fixture_free(f);
}

static void
numbers_in_disguise_are_not_connected_to(void **state)
{
	static const char *const tricks[] = {
	    "127.1", "0x7f.1", "2130706433", "0177.0.0.1", "127.0.0.1."};
	struct fixture *f = fixture_new(NULL, 0);

	UNUSED(state);
	for (size_t i = 0; i < COUNT_OF(tricks); i++) {
		struct upstream *u = lease(f, tricks[i], true);

		assert_int_equal(f->one.why, E_UPSTREAM_ADDRESS);
		upstream_cancel(u);
	}
	run_turns(f->loop, 20);
	assert_int_equal(accepted(f), -1);
	fixture_free(f);
}

static void
a_name_that_is_none_says_so(void **state)
{
	struct record r = {.name = "gone.test", .rcode = 3};
	struct fixture *f = fixture_new(&r, 1);
	struct upstream *u = lease(f, "gone.test", false);

	UNUSED(state);
	assert_int_equal(f->one.why, E_UPSTREAM_DNS);
	assert_string_equal(
	    upstream_detail(u), "there is no such name, or no DNS server could say");
	upstream_cancel(u);
	fixture_free(f);
}

/* ---- what comes on a pooled connection before anything was asked (CVE-2026-48931) ---- */

static const char asks[] = "GET / HTTP/1.1\r\nhost: one.test\r\n\r\n";
static const char answer[] = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/* Asked and answered once; the provider's end. */
static int
answered(struct fixture *f, struct upstream *u)
{
	struct span all = span_str(asks);
	int fd = accepted(f);
	char in[256];

	assert_true(fd >= 0);
	assert_true(upstream_write(u, &all, 1));
	RUN_UNTIL(f->loop, recv(fd, in, sizeof(in), MSG_PEEK | MSG_DONTWAIT) == (ssize_t)all.n);
	assert_int_equal(recv(fd, in, sizeof(in), MSG_DONTWAIT), all.n);
	peer_send(fd, answer);
	RUN_UNTIL(f->loop, f->one.complete == 1);
	return fd;
}

/* The provider's end of the connection that is in the pool now. */
static int
pooled(struct fixture *f)
{
	struct upstream *u = lease(f, "one.test", true);
	int fd = answered(f, u);

	upstream_return(u, true);
	return fd;
}

struct asker {
	uv_poll_t poll;
	struct fixture *f;
	struct upstream *u;
	enum pool_choice which;
};

static void
ask(uv_poll_t *p, int status, int events_seen)
{
	struct asker *a = p->data;
	struct span all = span_str(asks);

	UNUSED(status);
	UNUSED(events_seen);
	uv_poll_stop(p);
	a->u = lease_one(a->f, "one.test", true, a->which);
	if (upstream_is_ready(a->u))
		assert_true(upstream_write(a->u, &all, 1));
}

/* A client asks, the provider speaks without being asked, and both are found in the same turn, the client first. */
static struct upstream *
ask_while_it_speaks(struct fixture *f, int fd, enum pool_choice which)
{
	struct asker a = {.f = f, .which = which, .poll.data = &a};
	int ends[2];

	assert_int_equal(pipe(ends), 0);
	assert_int_equal(uv_poll_init(&f->loop->uv, &a.poll, ends[0]), 0);
	assert_int_equal(uv_poll_start(&a.poll, UV_READABLE, ask), 0);
	run_turns(f->loop, 2);
	assert_int_equal(write(ends[1], "x", 1), 1);
	peer_send(fd, answer);
	RUN_UNTIL(f->loop, a.u != NULL);
	uv_close((uv_handle_t *)&a.poll, NULL);
	run_turns(f->loop, 2);
	close(ends[0]);
	close(ends[1]);
	return a.u;
}

/* How many bytes of a request have come there. */
static ssize_t
heard(int fd)
{
	char in[256];
	ssize_t n = recv(fd, in, sizeof(in), MSG_DONTWAIT);

	return n < 0 ? 0 : n;
}

static void
what_was_staged_is_no_answer_and_the_request_stays_here(void **state)
{
	struct record r = {.name = "one.test", .v4 = {"127.0.0.1"}, .ttl = 60};
	struct fixture *f = fixture_new(&r, 1);
	int fd = pooled(f);
	struct upstream *u = ask_while_it_speaks(f, fd, POOL_ANY);

	UNUSED(state);
	assert_true(upstream_is_reused(u));
	assert_int_equal(f->one.failed, 1);
	assert_int_equal(f->one.why, E_UPSTREAM_CLOSED);
	assert_false(upstream_has_answered(u)); /* so it is asked again, on a new one */
	upstream_cancel(u);
	run_turns(f->loop, 5);
	assert_int_equal(f->one.heads + f->one.complete, 0);
	assert_int_equal(heard(fd), 0);
	close(fd);
	fixture_free(f);
}

static void
who_wants_a_quiet_one_gets_a_new_one(void **state)
{
	struct record r = {.name = "one.test", .v4 = {"127.0.0.1"}, .ttl = 60};
	struct fixture *f = fixture_new(&r, 1);
	int fd = pooled(f);
	struct upstream *u = ask_while_it_speaks(f, fd, POOL_QUIET);

	UNUSED(state);
	assert_false(upstream_is_reused(u));
	RUN_UNTIL(f->loop, f->one.ready == 1);
	assert_int_equal(f->one.failed + f->one.heads, 0);
	upstream_cancel(u);
	close(accepted(f));
	close(fd);
	fixture_free(f);
}

/* Who leaves in the turn in which he asked has asked nobody. */
static void
what_was_not_sent_yet_is_not_sent_after_a_cancel(void **state)
{
	struct record r = {.name = "one.test", .v4 = {"127.0.0.1"}, .ttl = 60};
	struct fixture *f = fixture_new(&r, 1);
	struct span all = span_str(asks);
	int fd = pooled(f);
	struct upstream *u = lease_one(f, "one.test", true, POOL_ANY);

	UNUSED(state);
	assert_true(upstream_write(u, &all, 1));
	upstream_cancel(u);
	run_turns(f->loop, 5);
	assert_int_equal(heard(fd), 0);
	close(fd);
	fixture_free(f);
}

/* Plain ones too; no DNS server says a word any more (test_gateway_upstream_wait.c has the others). */
static void
who_waits_for_a_name_has_what_is_given_back(void **state)
{
	struct record r = {.name = "one.test", .v4 = {"127.0.0.1"}, .ttl = 60};
	struct fixture *f = fixture_new(&r, 1);
	struct upstream *u = lease(f, "one.test", true);
	int fd = answered(f, u);

	UNUSED(state);
	r.is_silent = true;
	clock_fake(NOW_NS + 86400 * 1000000000ull, 1);
	(void)lease_one(f, "one.test", true, POOL_ANY);
	run_turns(f->loop, 20);
	assert_int_equal(f->one.ready + f->one.failed, 0);
	upstream_return(u, true);
	assert_int_equal(f->one.ready, 0); /* no event inside a call */
	RUN_UNTIL(f->loop, f->one.ready == 1);
	assert_ptr_equal(f->one.u, u);
	assert_true(upstream_is_reused(u));
	upstream_cancel(u);
	run_turns(f->loop, 20);
	assert_int_equal(accepted(f), -1); /* nobody else came */
	close(fd);
	fixture_free(f);
}

/* ---- how many are kept ---- */

/* So many at a time, then given back: how many of them stay open. Those that do not are the first that were given back. */
static size_t
kept_of(struct fixture *f, size_t n)
{
	struct upstream **u = xcalloc(n, sizeof(struct upstream *));
	int *fds = xcalloc(n, sizeof(int));
	size_t closed = 0;
	char c;

	for (size_t i = 0; i < n; i++) {
		u[i] = lease(f, "one.test", true);
		fds[i] = answered(f, u[i]);
	}
	for (size_t i = 0; i < n; i++)
		upstream_return(u[i], true);
	run_turns(f->loop, 10);
	while (closed < n && recv(fds[closed], &c, 1, MSG_DONTWAIT) == 0)
		closed++;
	for (size_t i = 0; i < n; i++) {
		assert_true(i < closed || recv(fds[i], &c, 1, MSG_DONTWAIT) == -1);
		close(fds[i]);
	}
	run_turns(f->loop, 10); /* the rest end with that */
	free(fds);
	free(u);
	return n - closed;
}

static void
as_many_unused_ones_are_kept_as_there_may_be_clients(void **state)
{
	struct record r = {.name = "one.test", .v4 = {"127.0.0.1"}, .ttl = 60};
	struct fixture *f = fixture_new(&r, 1);

	UNUSED(state);
	pool_keep(f->pool, 300);
	assert_int_equal(kept_of(f, 300), 300);
	assert_int_equal(kept_of(f, 301), 300);
	pool_keep(f->pool, 1);
	assert_int_equal(kept_of(f, 256), 256);
	assert_int_equal(kept_of(f, 257), 256);
	fixture_free(f);
}

static void
unused_ones_are_at_most_half_the_descriptors(void **state)
{
	struct record r = {.name = "one.test", .v4 = {"127.0.0.1"}, .ttl = 60};
	struct fixture *f = fixture_new(&r, 1);
	struct rlimit lim, few;

	UNUSED(state);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &lim), 0);
	few = lim;
	few.rlim_cur = 64 + 2 * 3;
	pool_free(f->pool);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	f->pool = pool_new(f->loop, f->resolver, lessee_is_own, f);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &lim), 0);
	pool_keep(f->pool, 10000);
	assert_int_equal(kept_of(f, 3), 3);
	assert_int_equal(kept_of(f, 4), 3);
	fixture_free(f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_name_that_leads_to_loopback_is_not_connected_to),
	    cmocka_unit_test(a_private_address_is_not_the_second_choice),
	    cmocka_unit_test(one_answer_is_checked_and_connected_to),
	    cmocka_unit_test(numbers_in_disguise_are_not_connected_to),
	    cmocka_unit_test(a_name_that_is_none_says_so),
	    cmocka_unit_test(what_was_staged_is_no_answer_and_the_request_stays_here),
	    cmocka_unit_test(who_wants_a_quiet_one_gets_a_new_one),
	    cmocka_unit_test(what_was_not_sent_yet_is_not_sent_after_a_cancel),
	    cmocka_unit_test(who_waits_for_a_name_has_what_is_given_back),
	    cmocka_unit_test(as_many_unused_ones_are_kept_as_there_may_be_clients),
	    cmocka_unit_test(unused_ones_are_at_most_half_the_descriptors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
