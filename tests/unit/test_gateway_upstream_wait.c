/* Who waits for a connection. The first one leads to a provider that answers; where the name leads afterwards somebody
 * accepts and says nothing, so that a handshake is under way for as long as the test likes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include "base/clock.h"
#include "crypto_group.h"
#include "dns_server.h"
#include "gateway_lessee.h"
#include "obs/metric.h"
#include "tls_pair.h"

#define DAY_NS (86400 * 1000000000ull)
#define MOST_SPARE 64

struct fixture {
	struct loop *loop;
	struct record record;
	struct dns_server dns;
	struct resolver *resolver;
	struct pool *pool;
	struct tls_ctx *server, *client;
	struct door door;
	int wall; /* listens at the other address */
	uint16_t port;
	struct lessee first;
};

/* ---- asking ---- */

static void
ask_for(struct fixture *f, struct lessee *l, const char *host, enum pool_choice which)
{
	const struct origin o = {
	    .host = span_str(host), .port = f->port, .tls = f->client, .allow_private = true};
	const struct upstream_timeouts t = {.connect_ms = 15000, .tls_ms = 15000, .idle_ms = 15000};

	memset(l, 0, sizeof(*l));
	arena_init(&l->head, 1 << 20);
	l->u = pool_lease(f->pool, &o, &t, which);
	upstream_attach(l->u, &lessee_events, l, &l->head, METHOD_GET);
}

static void
ask(struct fixture *f, struct lessee *l)
{
	ask_for(f, l, "api.test", POOL_ANY);
}

static void
leave(struct lessee *l)
{
	upstream_cancel(l->u);
	arena_fini(&l->head);
}

static void
get_answer(struct fixture *f, struct lessee *l)
{
	struct span all = SPAN_LIT("GET / HTTP/1.1\r\nhost: api.test\r\n\r\n");
	struct end *e = &f->door.ends[0];
	static const char answer[] = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
	size_t had = e->n;

	assert_true(upstream_write(l->u, &all, 1));
	RUN_UNTIL(f->loop, e->n == had + all.n);
	assert_true(end_write(e, answer, sizeof(answer) - 1));
	RUN_UNTIL(f->loop, l->complete == 1);
}

/* What it asked was answered, and it gives the connection back. */
static void
give_back(struct fixture *f, struct lessee *l)
{
	get_answer(f, l);
	upstream_return(l->u, true);
	arena_fini(&l->head);
}

/* The other end of a handshake that is under way. */
static int
at_the_wall(struct fixture *f)
{
	char c;
	int fd;

	RUN_UNTIL(f->loop, (fd = accept4(f->wall, NULL, NULL, SOCK_CLOEXEC)) >= 0);
	RUN_UNTIL(f->loop, recv(fd, &c, 1, MSG_PEEK | MSG_DONTWAIT) == 1);
	return fd;
}

/* Hangs up on it, having heard all: the end is no reset. */
static void
hang_up(int fd)
{
	char heard[4096];

	while (recv(fd, heard, sizeof(heard), MSG_DONTWAIT) > 0)
		continue;
	close(fd);
}

static bool
is_open(int fd)
{
	char heard[4096];
	ssize_t n;

	while ((n = recv(fd, heard, sizeof(heard), MSG_DONTWAIT)) > 0)
		continue;
	return n < 0 && errno == EAGAIN;
}

/* ---- the fixture ---- */

static int
listen_elsewhere(uint16_t port)
{
	struct sockaddr_in sa = {.sin_family = AF_INET,
	    .sin_port = htons(port),
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)(void *)&sa, sizeof(sa)), 0);
	assert_int_equal(listen(fd, 128), 0);
	return fd;
}

/* One connection is made and leased; those who come now meet the wall. */
static struct fixture *
fixture_new(void)
{
	struct fixture *f = xcalloc(1, sizeof(*f));

	clock_fake(DAY_NS, time(NULL) * 1000);
	f->loop = loop_new();
	f->record = (struct record){.name = "api.test", .v4 = {"127.0.0.1"}, .ttl = 1};
	dns_server_open(&f->dns, f->loop, &f->record, 1);
	f->resolver = resolver_new(f->loop);
	resolver_set_servers(f->resolver, f->dns.address, 15000);
	f->pool = pool_new(f->loop, f->resolver, lessee_is_own, f);
	f->server = pki_server(PEM_LEAF PEM_INTERMEDIATE, PEM_LEAF_KEY);
	f->client = pki_client(PEM_ROOT);
	door_open(&f->door, f->loop, f->server);
	f->port = address_port(listener_address(f->door.l));
	f->wall = listen_elsewhere(f->port);
	ask(f, &f->first);
	RUN_UNTIL(f->loop, f->first.ready == 1 && f->door.n == 1);
	f->record.v4[0] = "127.0.0.2";
	clock_fake(3 * DAY_NS, time(NULL) * 1000);
	return f;
}

static void
fixture_free(struct fixture *f)
{
	pool_free(f->pool);
	resolver_close(f->resolver);
	dns_server_close(&f->dns);
	close(f->wall);
	door_close(&f->door);
	run_turns(f->loop, 5);
	loop_free(f->loop);
	tls_ctx_unref(f->server);
	tls_ctx_unref(f->client);
	clock_fake(0, 0);
	free(f);
}

/* ---- who has it ---- */

static void
who_waits_longest_has_what_is_given_back(void **state)
{
	struct fixture *f = fixture_new();
	uint64_t reused = metric_get(M_UPSTREAM_REUSED);
	struct upstream *u = f->first.u;
	struct lessee a, b, late;
	int fds[2];

	UNUSED(state);
	ask(f, &a);
	fds[0] = at_the_wall(f);
	ask(f, &b);
	fds[1] = at_the_wall(f);
	give_back(f, &f->first);
	ask(f, &late); /* in the same turn, and not before them */
	assert_false(upstream_is_ready(late.u));
	assert_int_equal(a.ready, 0); /* no event inside a call */
	RUN_UNTIL(f->loop, a.ready == 1);
	assert_ptr_equal(a.u, u);
	assert_true(upstream_is_ready(u) && upstream_is_reused(u));
	give_back(f, &a);
	RUN_UNTIL(f->loop, b.ready == 1);
	give_back(f, &b);
	RUN_UNTIL(f->loop, late.ready == 1);
	assert_ptr_equal(late.u, u);
	assert_int_equal(metric_get(M_UPSTREAM_REUSED), reused + 3);
	assert_int_equal(a.failed + b.failed + late.failed, 0);
	leave(&late);
	close(fds[0]);
	close(fds[1]);
	fixture_free(f);
}

static void
who_leaves_at_the_last_moment_leaves_it_to_the_next(void **state)
{
	struct fixture *f = fixture_new();
	struct lessee a, b, later;
	struct upstream *u = f->first.u;

	UNUSED(state);
	ask(f, &a);
	ask(f, &b);
	give_back(f, &f->first);
	leave(&a);
	RUN_UNTIL(f->loop, b.ready == 1);
	assert_ptr_equal(b.u, u);
	assert_int_equal(a.ready + a.failed, 0);
	ask(f, &a);
	give_back(f, &b);
	leave(&a); /* the last one: it is idle */
	ask(f, &later);
	assert_true(upstream_is_ready(later.u));
	assert_ptr_equal(later.u, u);
	leave(&later);
	fixture_free(f);
}

static void
what_dies_before_he_is_told_leaves_him_waiting(void **state)
{
	struct fixture *f = fixture_new();
	struct lessee a;
	int fd;

	UNUSED(state);
	ask(f, &a);
	fd = at_the_wall(f);
	give_back(f, &f->first);
	assert_true(end_write(&f->door.ends[0], "HTTP/1.1 408 Too Late\r\n\r\n", 25));
	loop_flush(f->loop); /* found before the end of the turn */
	run_turns(f->loop, 5);
	assert_int_equal(a.ready + a.failed, 0);
	hang_up(fd); /* his own is still what he waits for */
	RUN_UNTIL(f->loop, a.failed == 1);
	leave(&a);
	fixture_free(f);
}

static void
a_failure_is_of_one_and_not_of_who_was_served(void **state)
{
	struct fixture *f = fixture_new();
	struct lessee a, b;
	int fds[2];

	UNUSED(state);
	ask(f, &a);
	fds[0] = at_the_wall(f);
	ask(f, &b);
	fds[1] = at_the_wall(f);
	hang_up(fds[0]);
	RUN_UNTIL(f->loop, a.failed == 1);
	assert_int_equal(a.why, E_UPSTREAM_TLS);
	leave(&a);
	assert_int_equal(b.ready + b.failed, 0);
	give_back(f, &f->first);
	RUN_UNTIL(f->loop, b.ready == 1);
	hang_up(fds[1]); /* it was his, and is nobody's now */
	run_turns(f->loop, 20);
	assert_int_equal(b.failed, 0);
	give_back(f, &b);
	fixture_free(f);
}

static void
who_wants_a_new_one_or_another_one_is_passed_over(void **state)
{
	struct fixture *f = fixture_new();
	struct lessee fresh, other, next;

	UNUSED(state);
	ask_for(f, &fresh, "api.test", POOL_FRESH);
	ask_for(f, &other, "other.api.test", POOL_ANY);
	give_back(f, &f->first);
	run_turns(f->loop, 20);
	assert_int_equal(fresh.ready + other.ready, 0);
	ask_for(f, &next, "api.test", POOL_QUIET); /* it is idle */
	assert_true(upstream_is_ready(next.u));
	leave(&next);
	leave(&fresh);
	leave(&other);
	fixture_free(f);
}

/* ---- what is being made ---- */

static void
what_has_not_begun_is_not_made_for_nobody(void **state)
{
	struct fixture *f = fixture_new();
	struct lessee a, b;

	UNUSED(state);
	get_answer(f, &f->first);
	ask(f, &a); /* begins */
	ask(f, &b); /* would in a later turn */
	leave(&a);
	upstream_return(f->first.u, true);
	arena_fini(&f->first.head);
	RUN_UNTIL(f->loop, b.ready == 1);
	run_turns(f->loop, 20);
	assert_int_equal(accept4(f->wall, NULL, NULL, SOCK_CLOEXEC), -1);
	give_back(f, &b);
	fixture_free(f);
}

/* However many ask in a turn, each has one of his own in the end. */
static void
all_of_a_crowd_begin(void **state)
{
	struct fixture *f = fixture_new();
	struct lessee crowd[10];
	int fds[COUNT_OF(crowd)];

	UNUSED(state);
	for (size_t i = 0; i < COUNT_OF(crowd); i++)
		ask(f, &crowd[i]);
	for (size_t i = 0; i < COUNT_OF(crowd); i++)
		fds[i] = at_the_wall(f);
	for (size_t i = 0; i < COUNT_OF(crowd); i++)
		leave(&crowd[i]);
	for (size_t i = 0; i < COUNT_OF(crowd); i++) {
		RUN_UNTIL(f->loop, !is_open(fds[i])); /* who leaves takes his with him */
		close(fds[i]);
	}
	leave(&f->first);
	fixture_free(f);
}

/* The handshake of so many who were served meanwhile goes on. */
static void
so_many_are_made_for_nobody_and_not_one_more(void **state)
{
	struct fixture *f = fixture_new();
	struct lessee of[2], *has = &f->first;
	int fds[MOST_SPARE + 1];

	UNUSED(state);
	for (size_t i = 0; i < COUNT_OF(fds); i++) {
		struct lessee *next = &of[i % 2];

		ask(f, next);
		fds[i] = at_the_wall(f);
		give_back(f, has);
		RUN_UNTIL(f->loop, next->ready == 1);
		has = next;
	}
	RUN_UNTIL(f->loop, !is_open(fds[MOST_SPARE]));
	for (size_t i = 0; i < MOST_SPARE; i++)
		assert_true(is_open(fds[i]));
	pool_close_idle(f->pool); /* when memory is short */
	for (size_t i = 0; i < MOST_SPARE; i++)
		RUN_UNTIL(f->loop, !is_open(fds[i]));
	for (size_t i = 0; i < COUNT_OF(fds); i++)
		close(fds[i]);
	give_back(f, has);
	fixture_free(f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(who_waits_longest_has_what_is_given_back),
	    cmocka_unit_test(who_leaves_at_the_last_moment_leaves_it_to_the_next),
	    cmocka_unit_test(what_dies_before_he_is_told_leaves_him_waiting),
	    cmocka_unit_test(a_failure_is_of_one_and_not_of_who_was_served),
	    cmocka_unit_test(who_wants_a_new_one_or_another_one_is_passed_over),
	    cmocka_unit_test(what_has_not_begun_is_not_made_for_nobody),
	    cmocka_unit_test(all_of_a_crowd_begin),
	    cmocka_unit_test(so_many_are_made_for_nobody_and_not_one_more),
	};

	return cmocka_run_group_tests(tests, crypto_group_start, crypto_group_stop);
}
