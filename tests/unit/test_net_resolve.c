/* The resolver against a scripted DNS server on loopback; the clock of its cache is faked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/clock.h"
#include "net/resolve.h"
#include "net_ends.h"

/* ---- the server ---- */

struct record {
	const char *name;
	const char *v4[10], *v6[10];
	unsigned ttl;
	int rcode; /* 0; 2: SERVFAIL; 3: NXDOMAIN */
	bool is_silent, is_truncated;
	enum { FINE, GARBAGE, CUT, OTHER_ID, OTHER_NAME, COUNT_LIES, LOOPING_NAME } spoilt;
};

struct fixture {
	struct loop *loop;
	struct resolver *resolver;
	uv_poll_t poll, tcp_poll, tcp_query;
	int fd, tcp, tcp_peer;
	struct record *records;
	size_t n_records;
	unsigned asked; /* A queries for names in the records */
	int closed;
	/* what came */
	int calls;
	enum err why;
	size_t n;
	struct address got[RESOLVE_MAX];
};

static void
put16(unsigned char **p, unsigned v)
{
	*(*p)++ = (unsigned char)(v >> 8);
	*(*p)++ = (unsigned char)v;
}

static void
put_record(unsigned char **p, unsigned type, unsigned ttl, const char *text)
{
	unsigned char ip[16];
	unsigned n = type == 1 ? 4 : 16;

	assert_int_equal(inet_pton(type == 1 ? AF_INET : AF_INET6, text, ip), 1);
	put16(p, 0xc00c); /* the name of the question */
	put16(p, type);
	put16(p, 1);
	put16(p, ttl >> 16);
	put16(p, ttl & 0xffff);
	put16(p, n);
	memcpy(*p, ip, n);
	*p += n;
}

/* The name of the question as text; gives the bytes it takes, with type and class. */
static size_t
read_question(const unsigned char *q, char *name, unsigned *type)
{
	size_t at = 0, n = 0;

	while (q[at] != 0) {
		if (n > 0)
			name[n++] = '.';
		memcpy(name + n, q + at + 1, q[at]);
		n += q[at];
		at += 1u + q[at];
	}
	name[n] = '\0';
	*type = (unsigned)q[at + 1] << 8 | q[at + 2];
	return at + 5;
}

static const struct record *
find_record(struct fixture *f, const char *name)
{
	for (size_t i = 0; i < f->n_records; i++) {
		if (strcasecmp(f->records[i].name, name) == 0)
			return &f->records[i];
	}
	return NULL;
}

/* An answer of n bytes as a broken or hostile server would send it. */
static size_t
spoil(const struct record *r, unsigned char *m, size_t n)
{
	switch (r->spoilt) {
	case FINE:
		break;
	case GARBAGE:
		memset(m + 2, 0xa5, n - 2);
		break;
	case CUT:
		return n - 7;
	case OTHER_ID:
		m[0] ^= 0x55;
		break;
	case OTHER_NAME:
		m[13] ^= 1;
		break;
	case COUNT_LIES:
		m[7] = 200;
		break;
	case LOOPING_NAME: /* the record's name points at itself */
		m[n - 15] = (unsigned char)(n - 16);
		break;
	}
	return n;
}

/* The length of the answer to the query of n bytes in `m`, which it overwrites; 0: say nothing. */
static size_t
answer(struct fixture *f, unsigned char *m, bool is_tcp)
{
	char name[260];
	unsigned type, count = 0;
	size_t question = read_question(m + 12, name, &type);
	const struct record *r = find_record(f, name);
	unsigned char *p = m + 12 + question, *head = m + 2;

	if (r != NULL && type == 1)
		f->asked++;
	if (r != NULL && r->is_silent)
		return 0;
	for (int i = 0; r != NULL && r->rcode == 0 && i < 10; i++) {
		const char *text = type == 1 ? r->v4[i] : r->v6[i];

		if (text == NULL)
			break;
		put_record(&p, type, r->ttl, text);
		count++;
	}
	if (r != NULL && r->is_truncated && !is_tcp) {
		p = m + 12 + question;
		count = 0;
	}
	put16(&head,
	    0x8180 | (unsigned)(r == NULL ? 3 : r->rcode) |
		(r != NULL && r->is_truncated && !is_tcp ? 0x200 : 0));
	put16(&head, 1);
	put16(&head, count);
	put16(&head, 0);
	put16(&head, 0);
	return r == NULL || type != 1 ? (size_t)(p - m) : spoil(r, m, (size_t)(p - m));
}

static void
on_query(uv_poll_t *h, int status, int events)
{
	struct fixture *f = h->data;
	unsigned char m[2048];
	struct sockaddr_in from;
	socklen_t n_from = sizeof(from);
	ssize_t n;

	UNUSED(status);
	UNUSED(events);
	n = recvfrom(f->fd, m, 512, 0, (struct sockaddr *)(void *)&from, &n_from);
	if (n < 12)
		return;
	n = (ssize_t)answer(f, m, false);
	if (n > 0)
		sendto(f->fd, m, (size_t)n, 0, (struct sockaddr *)(void *)&from, n_from);
}

static void
watch(struct fixture *f, uv_poll_t *poll, int fd, uv_poll_cb fn)
{
	assert_int_equal(uv_poll_init(&f->loop->uv, poll, fd), 0);
	poll->data = f;
	assert_int_equal(uv_poll_start(poll, UV_READABLE, fn), 0);
}

/* Over TCP each message has its length before it. */
static void
on_tcp_query(uv_poll_t *h, int status, int events)
{
	struct fixture *f = h->data;
	unsigned char m[2048], *p = m;
	ssize_t n = recv(f->tcp_peer, m, sizeof(m), 0);

	UNUSED(status);
	UNUSED(events);
	if (n <= 14) {
		uv_poll_stop(h);
		return;
	}
	/* one query is one segment here; A and AAAA may come together */
	for (ssize_t at = 0; at < n;) {
		size_t length = (size_t)m[at] << 8 | m[at + 1];
		unsigned char reply[2048];
		size_t size;

		memcpy(reply + 2, m + at + 2, length);
		size = answer(f, reply + 2, true);
		p = reply;
		put16(&p, (unsigned)size);
		assert_int_equal(send(f->tcp_peer, reply, size + 2, 0), (ssize_t)size + 2);
		at += (ssize_t)length + 2;
	}
}

static void
on_tcp_connection(uv_poll_t *h, int status, int events)
{
	struct fixture *f = h->data;

	UNUSED(status);
	UNUSED(events);
	if (f->tcp_peer > 0)
		return;
	f->tcp_peer = accept4(f->tcp, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	assert_true(f->tcp_peer > 0);
	uv_poll_stop(h);
	watch(f, &f->tcp_query, f->tcp_peer, on_tcp_query);
}

static void
on_server_closed(uv_handle_t *h)
{
	((struct fixture *)h->data)->closed++;
}

static bool
bind_to(int fd, struct sockaddr_in *sa)
{
	socklen_t n = sizeof(*sa);

	return bind(fd, (struct sockaddr *)(void *)sa, n) == 0 &&
	    getsockname(fd, (struct sockaddr *)(void *)sa, &n) == 0;
}

/* UDP, and TCP on the same port, for answers that UDP has no room for; the port may be taken there. */
static void
open_sockets(struct fixture *f, struct sockaddr_in *sa)
{
	bool ok = false;

	for (int i = 0; i < 100 && !ok; i++) {
		*sa = (struct sockaddr_in){
		    .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
		f->fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		f->tcp = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		ok = bind_to(f->fd, sa) && bind_to(f->tcp, sa) && listen(f->tcp, 4) == 0;
		if (!ok) {
			close(f->fd);
			close(f->tcp);
		}
	}
	assert_true(ok);
}

#define NOW_NS 5000000000000ull

static struct fixture *
fixture_new(struct record *records, size_t n, unsigned answer_ms)
{
	struct fixture *f = xcalloc(1, sizeof(*f));
	struct sockaddr_in sa;
	char servers[64];

	clock_fake(NOW_NS, 1);
	f->records = records;
	f->n_records = n;
	f->loop = loop_new();
	open_sockets(f, &sa);
	watch(f, &f->poll, f->fd, on_query);
	watch(f, &f->tcp_poll, f->tcp, on_tcp_connection);
	snprintf(servers, sizeof(servers), "127.0.0.1:%u", ntohs(sa.sin_port));
	f->resolver = resolver_new(f->loop);
	resolver_set_servers(f->resolver, servers, answer_ms);
	return f;
}

static void
fixture_free(struct fixture *f)
{
	if (f->resolver != NULL)
		CALL(resolver_close(f->resolver));
	uv_close((uv_handle_t *)&f->poll, on_server_closed);
	uv_close((uv_handle_t *)&f->tcp_poll, on_server_closed);
	if (f->tcp_peer > 0)
		uv_close((uv_handle_t *)&f->tcp_query, on_server_closed);
	RUN_UNTIL(f->loop, f->closed == (f->tcp_peer > 0 ? 3 : 2));
	close(f->fd);
	close(f->tcp);
	if (f->tcp_peer > 0)
		close(f->tcp_peer);
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
	assert_int_equal(f->asked, 1);
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
		f->asked = 0;
		ask(f, lives[i].name, false);
		advance_ms(lives_ms[i] / 4 * 3 - 1);
		ask(f, lives[i].name, false);
		run_turns(f->loop, 20);
		assert_int_equal(f->asked, 1);
		advance_ms(lives_ms[i] / 4 + 1);
		lives[i].is_silent = true; /* now it has to be waited for */
		CALL(resolve_start(f->resolver, lives[i].name, 443, false, resolved, f));
		RUN_UNTIL(f->loop, f->asked == 2);
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
	assert_int_equal(f->asked, 2);
	advance_ms(45000 - 1); /* it has a whole life again */
	ask(f, "api.test", false);
	run_turns(f->loop, 20);
	assert_int_equal(f->asked, 2);
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
		RUN_UNTIL(f->loop, f->asked >= 2);
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
	assert_int_equal(f->asked, 1);
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
	RUN_UNTIL(f->loop, f->asked >= 2);
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
	assert_true(f->tcp_peer > 0);
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
	assert_int_equal(f->asked, 1);
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
	assert_int_equal(f->asked, 512);
	ask(f, names[512], false); /* in the place of the one not used longest: 1 */
	ask(f, names[0], false);
	assert_int_equal(f->asked, 513);
	ask(f, names[1], false);
	assert_int_equal(f->asked, 514);
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
