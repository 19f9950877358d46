#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "crypto_group.h"
#include "tls/context_int.h"
#include "tls_pair.h"

#define ALL SIZE_MAX

struct pair {
	struct tls_ctx *server_ctx, *client_ctx;
	struct tls *server, *client;
	enum tls_result server_result, client_result;
};

static struct pair
pair_of(struct tls_ctx *server, struct tls_ctx *client, const char *name)
{
	struct pair p = {.server_ctx = server, .client_ctx = client};

	p.server = tls_new(server, NULL);
	p.client = tls_new(client, name);
	assert_non_null(p.server);
	assert_non_null(p.client);
	return p;
}

static struct pair
good_pair(void)
{
	return pair_of(
	    pki_server(PEM_LEAF PEM_INTERMEDIATE, PEM_LEAF_KEY), pki_client(PEM_ROOT), "api.test");
}

static void
free_engines(struct pair *p)
{
	tls_free(p->server);
	tls_free(p->client);
}

static void
free_pair(struct pair *p)
{
	free_engines(p);
	tls_ctx_unref(p->server_ctx);
	tls_ctx_unref(p->client_ctx);
}

/* Until nothing moves any more, `chunk` bytes a feed. Each piece is answered before the next. */
static void
shake(struct pair *p, size_t chunk)
{
	size_t moved;

	do {
		p->client_result = tls_handshake(p->client);
		moved = tls_move(p->client, p->server, chunk, chunk);
		p->server_result = tls_handshake(p->server);
		moved += tls_move(p->server, p->client, chunk, chunk);
	} while (moved > 0);
}

static void
assert_shaken(struct pair *p)
{
	assert_string_equal(tls_detail(p->client), "");
	assert_string_equal(tls_detail(p->server), "");
	assert_int_equal(p->client_result, TLS_OK);
	assert_int_equal(p->server_result, TLS_OK);
}

/* The client refuses; its detail has `text`; the server learns of it. */
static void
assert_refused(
    const char *chain, const char *key, const char *root, const char *name, const char *text)
{
	struct pair p = pair_of(pki_server(chain, key), pki_client(root), name);

	shake(&p, ALL);
	assert_int_equal(p.client_result, TLS_FAILED);
	if (strstr(tls_detail(p.client), text) == NULL)
		fail_msg("\"%s\" is not in \"%s\"", text, tls_detail(p.client));
	assert_int_equal(p.server_result, TLS_FAILED);
	assert_non_null(strstr(tls_detail(p.server), "gave up"));
	assert_int_equal(tls_handshake(p.client), TLS_FAILED); /* for ever */
	free_pair(&p);
}

static bool
contains(struct span s, const char *needle)
{
	return span_find_span(s, span_str(needle)) < s.n;
}

/* ---- handshake ---- */

static void
a_good_chain_is_accepted_on_both_sides(void **state)
{
	struct pair p = good_pair();

	UNUSED(state);
	shake(&p, ALL);
	assert_shaken(&p);
	assert_false(tls_is_resumed(p.client));
	assert_false(tls_is_resumed(p.server));
	free_pair(&p);
}

static void
a_handshake_works_one_byte_at_a_time(void **state)
{
	struct pair p = good_pair();

	UNUSED(state);
	shake(&p, 1);
	assert_shaken(&p);
	free_pair(&p);
}

static void
tls_12_works_too_and_nothing_older(void **state)
{
	struct pair p = {.server_ctx = pki_server(PEM_LEAF PEM_INTERMEDIATE, PEM_LEAF_KEY),
	    .client_ctx = pki_client(PEM_ROOT)};

	UNUSED(state);
	mbedtls_ssl_conf_max_tls_version(&p.client_ctx->conf, MBEDTLS_SSL_VERSION_TLS1_2);
	p = pair_of(p.server_ctx, p.client_ctx, "api.test");
	shake(&p, 1);
	assert_shaken(&p);
	free_pair(&p);
}

static void
an_rsa_certificate_serves_as_well(void **state)
{
	struct pair p = pair_of(
	    pki_server(PEM_RSA PEM_INTERMEDIATE, PEM_RSA_KEY), pki_client(PEM_ROOT), "api.test");

	UNUSED(state);
	shake(&p, ALL);
	assert_shaken(&p);
	free_pair(&p);
}

static void
a_bad_certificate_is_refused_with_its_reason(void **state)
{
	UNUSED(state);
	assert_refused(PEM_LEAF_EXPIRED PEM_INTERMEDIATE, PEM_LEAF_KEY, PEM_ROOT, "api.test",
	    "expired on 2002-02-03");
	assert_refused(PEM_LEAF_FUTURE PEM_INTERMEDIATE, PEM_LEAF_KEY, PEM_ROOT, "api.test",
	    "not valid before 2100-01-01");
	assert_refused(PEM_LEAF PEM_INTERMEDIATE, PEM_LEAF_KEY, PEM_ROOT, "other.test",
	    "not for the name other.test");
	assert_refused(PEM_LEAF_SELF_SIGNED, PEM_LEAF_KEY, PEM_ROOT, "api.test", "self-signed");
	assert_refused(
	    PEM_LEAF PEM_INTERMEDIATE, PEM_LEAF_KEY, PEM_OTHER_ROOT, "api.test", "unknown CA");
	assert_refused(
	    PEM_LEAF, PEM_LEAF_KEY, PEM_ROOT, "api.test", "unknown CA"); /* link missing */
}

/* "api.test\0.evil.example", for which a careless authority may sign, is not api.test. */
static void
a_name_does_not_end_at_a_nul(void **state)
{
	UNUSED(state);
	assert_refused(
	    PEM_LEAF_NUL_SAN, PEM_LEAF_KEY, PEM_NUL_ROOT, "api.test", "not for the name api.test");
	assert_refused(
	    PEM_LEAF_NUL_CN, PEM_LEAF_KEY, PEM_NUL_ROOT, "api.test", "not for the name api.test");
}

static void
a_wildcard_stands_for_one_label(void **state)
{
	struct pair p = pair_of(pki_server(PEM_LEAF PEM_INTERMEDIATE, PEM_LEAF_KEY),
	    pki_client(PEM_ROOT), "a.wild.test");

	UNUSED(state);
	shake(&p, ALL);
	assert_shaken(&p);
	free_pair(&p);
	assert_refused(PEM_LEAF PEM_INTERMEDIATE, PEM_LEAF_KEY, PEM_ROOT, "a.b.wild.test", "name");
	assert_refused(PEM_LEAF PEM_INTERMEDIATE, PEM_LEAF_KEY, PEM_ROOT, "wild.test", "name");
}

static void
an_address_is_matched_but_not_sent_as_a_name(void **state)
{
	static const char *const good[] = {"127.0.0.1", "::1"};

	UNUSED(state);
	for (size_t i = 0; i < COUNT_OF(good); i++) {
		struct pair p = pair_of(pki_server(PEM_LEAF PEM_INTERMEDIATE, PEM_LEAF_KEY),
		    pki_client(PEM_ROOT), good[i]);

		assert_int_equal(tls_handshake(p.client), TLS_WANT);
		assert_false(contains(tls_output(p.client), good[i]));
		shake(&p, ALL);
		assert_shaken(&p);
		free_pair(&p);
	}
	assert_refused(PEM_LEAF PEM_INTERMEDIATE, PEM_LEAF_KEY, PEM_ROOT, "127.0.0.2", "127.0.0.2");
	assert_refused(PEM_LEAF PEM_INTERMEDIATE, PEM_LEAF_KEY, PEM_ROOT, "::2", "::2");
}

static void
the_hello_names_the_server_and_http_11(void **state)
{
	struct pair p = good_pair();

	UNUSED(state);
	assert_int_equal(tls_handshake(p.client), TLS_WANT);
	assert_true(contains(tls_output(p.client), "api.test"));
	assert_true(contains(tls_output(p.client), "http/1.1"));
	free_pair(&p);
}

static void
alpn_is_refused_only_when_offered_without_http_11(void **state)
{
	static const char *h2[] = {"h2", NULL}, *both[] = {"h2", "http/1.1", NULL};
	static const char **offers[] = {NULL, both, h2};

	UNUSED(state);
	for (size_t i = 0; i < COUNT_OF(offers); i++) {
		struct tls_ctx *client = pki_client(PEM_ROOT);
		struct pair p;

		client->conf.MBEDTLS_PRIVATE(alpn_list) = offers[i];
		p = pair_of(
		    pki_server(PEM_LEAF PEM_INTERMEDIATE, PEM_LEAF_KEY), client, "api.test");
		shake(&p, ALL);
		if (offers[i] == h2) {
			assert_int_equal(p.server_result, TLS_FAILED);
			assert_non_null(strstr(tls_detail(p.server), "http/1.1"));
			assert_non_null(strstr(tls_detail(p.client), "no_application_protocol"));
		} else {
			assert_shaken(&p);
		}
		free_pair(&p);
	}
}

static void
a_peer_that_speaks_no_tls_is_told_so(void **state)
{
	struct pair p = good_pair();
	struct span http = SPAN_LIT("GET / HTTP/1.1\r\nHost: a\r\n\r\n");

	UNUSED(state);
	assert_int_equal(tls_feed(p.server, http), http.n);
	assert_int_equal(tls_handshake(p.server), TLS_FAILED);
	assert_string_equal(tls_detail(p.server), "the peer does not speak TLS");
	free_pair(&p);
}

static void
the_systems_roots_do_not_trust_a_test_root(void **state)
{
	char detail[256];
	struct tls_ctx *client = tls_client_new(NULL, detail, sizeof(detail));
	struct pair p;

	UNUSED(state);
	assert_non_null(client);
	assert_false(client->has_roots); /* not before they are needed */
	p = pair_of(pki_server(PEM_LEAF PEM_INTERMEDIATE, PEM_LEAF_KEY), client, "api.test");
	shake(&p, ALL);
	assert_int_equal(p.client_result, TLS_FAILED);
	if (client->has_roots)
		assert_non_null(strstr(tls_detail(p.client), "unknown CA"));
	else
		assert_non_null(strstr(tls_detail(p.client), "no root certificates"));
	free_pair(&p);
}

/* ---- resumption ---- */

/* The ticket of TLS 1.3 comes behind the handshake. */
static void
read_nothing(struct tls *t)
{
	char byte;
	size_t n;

	assert_int_equal(tls_read(t, &byte, 1, &n), TLS_WANT);
	assert_int_equal(n, 0);
}

static void
check_resumption(struct pair *p)
{
	shake(p, ALL);
	assert_shaken(p);
	read_nothing(p->client);
	free_engines(p);
	*p = pair_of(p->server_ctx, p->client_ctx, "api.test");
	shake(p, ALL);
	assert_shaken(p);
	assert_true(tls_is_resumed(p->client));
	assert_true(tls_is_resumed(p->server));
}

static void
the_last_session_of_a_name_is_resumed(void **state)
{
	struct pair p = good_pair();

	UNUSED(state);
	check_resumption(&p);
	read_nothing(p.client);
	free_engines(&p);
	p = pair_of(p.server_ctx, p.client_ctx, "x.wild.test"); /* another name: not */
	shake(&p, ALL);
	assert_shaken(&p);
	assert_false(tls_is_resumed(p.client));
	free_pair(&p);
}

/* Of many that are made at once the first brings a session to those whose handshake has not begun. */
static void
a_session_that_comes_before_the_first_step_is_offered(void **state)
{
	struct pair p = good_pair();
	struct pair late = pair_of(p.server_ctx, p.client_ctx, "api.test");

	UNUSED(state);
	shake(&p, ALL);
	assert_shaken(&p);
	assert_false(tls_is_resumed(p.client));
	read_nothing(p.client);
	shake(&late, ALL);
	assert_shaken(&late);
	assert_true(tls_is_resumed(late.client));
	free_engines(&late);
	free_pair(&p);
}

static void
tls_12_resumes_as_well(void **state)
{
	struct pair p = good_pair();

	UNUSED(state);
	free_engines(&p);
	mbedtls_ssl_conf_max_tls_version(&p.client_ctx->conf, MBEDTLS_SSL_VERSION_TLS1_2);
	p = pair_of(p.server_ctx, p.client_ctx, "api.test");
	check_resumption(&p);
	free_pair(&p);
}

static void
a_ticket_of_another_server_leads_to_a_full_handshake(void **state)
{
	struct pair p = good_pair();

	UNUSED(state);
	shake(&p, ALL);
	read_nothing(p.client);
	free_engines(&p);
	tls_ctx_unref(p.server_ctx);
	p.server_ctx = pki_server(PEM_LEAF PEM_INTERMEDIATE, PEM_LEAF_KEY); /* other ticket keys */
	p = pair_of(p.server_ctx, p.client_ctx, "api.test");
	shake(&p, ALL);
	assert_shaken(&p);
	assert_false(tls_is_resumed(p.client));
	free_pair(&p);
}

static void
a_session_that_led_nowhere_is_not_offered_again(void **state)
{
	struct pair p = good_pair();

	UNUSED(state);
	shake(&p, ALL);
	read_nothing(p.client);
	assert_int_equal(p.client_ctx->n_sessions, 1);
	free_engines(&p);
	p = pair_of(p.server_ctx, p.client_ctx, "api.test");
	assert_int_equal(tls_handshake(p.client), TLS_WANT);
	assert_int_equal(tls_feed(p.client, SPAN_LIT("HTTP/1.1 400")), 12);
	assert_int_equal(tls_handshake(p.client), TLS_FAILED);
	assert_int_equal(p.client_ctx->n_sessions, 0);
	free_pair(&p);
}

static void
sessions_are_kept_for_128_names(void **state)
{
	struct pair p = good_pair();
	char name[32];

	UNUSED(state);
	for (int i = 0; i <= 128; i++) {
		free_engines(&p);
		snprintf(name, sizeof(name), "n%d.wild.test", i);
		p = pair_of(p.server_ctx, p.client_ctx, name);
		shake(&p, ALL);
		read_nothing(p.client);
		assert_int_equal(p.client_ctx->n_sessions, i < 128 ? i + 1 : 128);
	}
	free_engines(&p);
	p = pair_of(p.server_ctx, p.client_ctx, "n0.wild.test"); /* the oldest made room */
	shake(&p, ALL);
	assert_false(tls_is_resumed(p.client));
	free_pair(&p);
}

/* ---- data ---- */

static void
data_behind_a_ticket_is_not_left_in_the_engine(void **state)
{
	struct pair p = good_pair();
	char got[16];
	size_t n;

	UNUSED(state);
	/* The client's last flight, then ticket and data in one feed. */
	while (tls_handshake(p.client) == TLS_WANT) {
		tls_move(p.client, p.server, ALL, ALL);
		assert_int_equal(tls_handshake(p.server), TLS_WANT);
		tls_move(p.server, p.client, ALL, ALL);
	}
	tls_move(p.client, p.server, ALL, ALL);
	assert_int_equal(tls_handshake(p.server), TLS_OK);
	assert_int_equal(tls_write(p.server, SPAN_LIT("hello")), TLS_OK);
	tls_move(p.server, p.client, ALL, ALL);
	assert_int_equal(tls_read(p.client, got, sizeof(got), &n), TLS_OK);
	assert_int_equal(n, 5);
	assert_memory_equal(got, "hello", 5);
	free_pair(&p);
}

static void
a_short_buffer_leaves_the_rest_for_the_next_read(void **state)
{
	struct pair p = good_pair();
	char got[4];
	size_t n;

	UNUSED(state);
	shake(&p, ALL);
	assert_int_equal(tls_write(p.client, SPAN_LIT("abcdefg")), TLS_OK);
	tls_move(p.client, p.server, ALL, ALL);
	assert_int_equal(tls_read(p.server, got, 4, &n), TLS_OK);
	assert_int_equal(n, 4);
	assert_int_equal(tls_read(p.server, got, 4, &n), TLS_OK);
	assert_int_equal(n, 3);
	assert_memory_equal(got, "efg", 3);
	assert_int_equal(tls_read(p.server, got, 4, &n), TLS_WANT);
	free_pair(&p);
}

#define MEGABYTE (1u << 20)

static unsigned char
byte_at(size_t i, unsigned salt)
{
	return (unsigned char)((i * 2654435761u + salt) >> 11);
}

/* Sends a megabyte from one to the other through the 64 KB that an engine takes. */
static void
send_megabyte(struct tls *from, struct tls *to, unsigned salt)
{
	static char plain[MEGABYTE], got[70000];
	size_t have = 0, n;

	for (size_t i = 0; i < MEGABYTE; i++)
		plain[i] = (char)byte_at(i, salt);
	assert_int_equal(tls_write(from, span_of(plain, MEGABYTE)), TLS_OK);
	while (have < MEGABYTE) {
		assert_true(tls_move(from, to, ALL, 5000 + have % 60000) > 0);
		while (tls_read(to, got, sizeof(got), &n) == TLS_OK) {
			assert_true(have + n <= MEGABYTE);
			assert_memory_equal(got, plain + have, n);
			have += n;
		}
	}
	assert_int_equal(tls_output(from).n, 0);
}

static void
a_megabyte_goes_both_ways(void **state)
{
	struct pair p = good_pair();

	UNUSED(state);
	shake(&p, ALL);
	send_megabyte(p.client, p.server, 1);
	send_megabyte(p.server, p.client, 2);
	free_pair(&p);
}

static void
data_arrives_byte_by_byte_too(void **state)
{
	struct pair p = good_pair();
	char got[8];
	size_t n = 0;

	UNUSED(state);
	shake(&p, ALL);
	assert_int_equal(tls_write(p.client, SPAN_LIT("drop")), TLS_OK);
	while (tls_output(p.client).n > 0) {
		assert_int_equal(n, 0);
		tls_move(p.client, p.server, 1, 1);
		assert_int_not_equal(tls_read(p.server, got, sizeof(got), &n), TLS_FAILED);
	}
	assert_int_equal(n, 4);
	assert_memory_equal(got, "drop", 4);
	free_pair(&p);
}

static void
an_empty_write_makes_no_record(void **state)
{
	struct pair p = good_pair();

	UNUSED(state);
	shake(&p, ALL);
	assert_int_equal(tls_write(p.client, SPAN_NONE), TLS_OK);
	assert_int_equal(tls_output(p.client).n, 0);
	free_pair(&p);
}

static void
an_engine_holds_64_kb_and_no_more(void **state)
{
	static char bytes[TLS_INPUT_MAX + 1];
	struct pair p = good_pair();

	UNUSED(state);
	assert_int_equal(tls_room(p.server), TLS_INPUT_MAX);
	assert_int_equal(tls_feed(p.server, span_of(bytes, TLS_INPUT_MAX - 1)), TLS_INPUT_MAX - 1);
	assert_int_equal(tls_feed(p.server, span_of(bytes, 2)), 1);
	assert_int_equal(tls_room(p.server), 0);
	assert_int_equal(tls_feed(p.server, span_of(bytes, 1)), 0);
	free_pair(&p);
}

static void
a_damaged_record_ends_the_connection(void **state)
{
	struct pair p = good_pair();
	char wire[256], got[16];
	size_t n;
	struct span out;

	UNUSED(state);
	shake(&p, ALL);
	assert_int_equal(tls_write(p.client, SPAN_LIT("secret")), TLS_OK);
	out = tls_output(p.client);
	assert_true(out.n < sizeof(wire));
	memcpy(wire, out.p, out.n);
	wire[out.n - 1] ^= 1;
	assert_int_equal(tls_feed(p.server, span_of(wire, out.n)), out.n);
	assert_int_equal(tls_read(p.server, got, sizeof(got), &n), TLS_FAILED);
	assert_string_equal(tls_detail(p.server), "a record was damaged or forged");
	assert_int_equal(tls_write(p.server, SPAN_LIT("x")), TLS_FAILED);
	free_pair(&p);
}

static void
close_notify_is_a_clean_end_of_one_direction(void **state)
{
	struct pair p = good_pair();
	char got[16];
	size_t n;

	UNUSED(state);
	shake(&p, ALL);
	read_nothing(p.client);
	assert_int_equal(tls_write(p.client, SPAN_LIT("last")), TLS_OK);
	tls_shutdown(p.client);
	tls_shutdown(p.client); /* once is enough */
	tls_move(p.client, p.server, ALL, ALL);
	assert_int_equal(tls_read(p.server, got, sizeof(got), &n), TLS_OK);
	assert_int_equal(n, 4);
	assert_int_equal(tls_read(p.server, got, sizeof(got), &n), TLS_END);
	assert_int_equal(tls_read(p.server, got, sizeof(got), &n), TLS_END);
	assert_int_equal(tls_write(p.server, SPAN_LIT("answer")), TLS_OK);
	tls_move(p.server, p.client, ALL, ALL);
	assert_int_equal(tls_read(p.client, got, sizeof(got), &n), TLS_OK);
	assert_int_equal(n, 6);
	free_pair(&p);
}

static void
without_close_notify_there_is_no_end(void **state)
{
	struct pair p = good_pair();
	char got[16];
	size_t n;

	UNUSED(state);
	shake(&p, ALL);
	assert_int_equal(tls_write(p.client, SPAN_LIT("last")), TLS_OK);
	tls_move(p.client, p.server, ALL, ALL);
	assert_int_equal(tls_read(p.server, got, sizeof(got), &n), TLS_OK);
	assert_int_equal(tls_read(p.server, got, sizeof(got), &n), TLS_WANT); /* not TLS_END */
	free_pair(&p);
}

static void
an_idle_engine_gives_its_buffers_back(void **state)
{
	struct pair p = good_pair();

	UNUSED(state);
	shake(&p, ALL);
	send_megabyte(p.client, p.server, 3);
	assert_int_equal(tls_room(p.server), TLS_INPUT_MAX);
	assert_int_equal(tls_output(p.client).n, 0);
	free_pair(&p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_good_chain_is_accepted_on_both_sides),
	    cmocka_unit_test(a_handshake_works_one_byte_at_a_time),
	    cmocka_unit_test(tls_12_works_too_and_nothing_older),
	    cmocka_unit_test(an_rsa_certificate_serves_as_well),
	    cmocka_unit_test(a_bad_certificate_is_refused_with_its_reason),
	    cmocka_unit_test(a_name_does_not_end_at_a_nul),
	    cmocka_unit_test(a_wildcard_stands_for_one_label),
	    cmocka_unit_test(an_address_is_matched_but_not_sent_as_a_name),
	    cmocka_unit_test(the_hello_names_the_server_and_http_11),
	    cmocka_unit_test(alpn_is_refused_only_when_offered_without_http_11),
	    cmocka_unit_test(a_peer_that_speaks_no_tls_is_told_so),
	    cmocka_unit_test(the_systems_roots_do_not_trust_a_test_root),
	    cmocka_unit_test(the_last_session_of_a_name_is_resumed),
	    cmocka_unit_test(a_session_that_comes_before_the_first_step_is_offered),
	    cmocka_unit_test(tls_12_resumes_as_well),
	    cmocka_unit_test(a_ticket_of_another_server_leads_to_a_full_handshake),
	    cmocka_unit_test(a_session_that_led_nowhere_is_not_offered_again),
	    cmocka_unit_test(sessions_are_kept_for_128_names),
	    cmocka_unit_test(data_behind_a_ticket_is_not_left_in_the_engine),
	    cmocka_unit_test(a_short_buffer_leaves_the_rest_for_the_next_read),
	    cmocka_unit_test(a_megabyte_goes_both_ways),
	    cmocka_unit_test(data_arrives_byte_by_byte_too),
	    cmocka_unit_test(an_empty_write_makes_no_record),
	    cmocka_unit_test(an_engine_holds_64_kb_and_no_more),
	    cmocka_unit_test(a_damaged_record_ends_the_connection),
	    cmocka_unit_test(close_notify_is_a_clean_end_of_one_direction),
	    cmocka_unit_test(without_close_notify_there_is_no_end),
	    cmocka_unit_test(an_idle_engine_gives_its_buffers_back),
	};

	return cmocka_run_group_tests(tests, crypto_group_start, crypto_group_stop);
}
