#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/clock.h"
#include "crypto_group.h"
#include "pki.h"
#include "tls/context_int.h"
#include "tls/server.h"

#define DETAIL 256

static void
a_name_is_certified_exactly_or_by_a_star_for_one_label(void **state)
{
	static const struct {
		const char *certified, *name;
		enum name_match wanted;
	} cases[] = {
	    {"api.test", "api.test", NAME_EXACT},
	    {"API.test", "api.TEST", NAME_EXACT},
	    {"api.test", "api.tes", NAME_OTHER},
	    {"api.test", "xapi.test", NAME_OTHER},
	    {"api.test", "a.api.test", NAME_OTHER},
	    {"api.test", "", NAME_OTHER},
	    {"*.wild.test", "a.wild.test", NAME_WILD},
	    {"*.Wild.test", "A.wilD.test", NAME_WILD},
	    {"*.wild.test", "wild.test", NAME_OTHER},
	    {"*.wild.test", ".wild.test", NAME_OTHER},
	    {"*.wild.test", "a.b.wild.test", NAME_OTHER},
	    {"*.wild.test", "a.wild.tests", NAME_OTHER},
	    {"*.wild.test", "a", NAME_OTHER},
	    {"*.wild.test", "", NAME_OTHER},
	    {"a*.wild.test", "ab.wild.test", NAME_OTHER},
	    {"a.*.test", "a.wild.test", NAME_OTHER},
	    {"*", "a", NAME_OTHER},
	    {"", "a", NAME_OTHER},
	};

	UNUSED(state);
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		enum name_match m =
		    name_match(span_str(cases[i].certified), span_str(cases[i].name));

		if (m != cases[i].wanted)
			fail_msg("\"%s\" for \"%s\": %d", cases[i].certified, cases[i].name, m);
	}
	assert_int_equal(
	    name_match(span_of("api.test\0.evil.example", 22), SPAN_LIT("api.test")), NAME_OTHER);
}

static struct identity *
identity_of(const char *chain, const char *key)
{
	char text[DETAIL];
	struct pki_pair pair;
	struct identity *id;

	pki_pair_put(&pair, chain, key);
	id = identity_new(&pair.config, &(struct pem_detail){text, sizeof(text)});
	pki_pair_drop(&pair);
	assert_non_null(id);
	return id;
}

static void
an_identity_has_the_dns_names_of_its_certificate_and_no_others(void **state)
{
	struct identity *id = identity_of(PEM_LEAF PEM_INTERMEDIATE, PEM_LEAF_KEY);

	UNUSED(state);
	assert_int_equal(identity_match(id, SPAN_LIT("api.test")), NAME_EXACT);
	assert_int_equal(identity_match(id, SPAN_LIT("x.wild.test")), NAME_WILD);
	assert_int_equal(identity_match(id, SPAN_LIT("127.0.0.1")), NAME_OTHER);
	assert_int_equal(identity_match(id, SPAN_LIT("Test Intermediate")), NAME_OTHER);
	identity_unref(id);
	id = identity_of(PEM_LEAF_NUL_CN, PEM_LEAF_KEY); /* no alternative names at all */
	assert_int_equal(identity_match(id, SPAN_LIT("api.test")), NAME_OTHER);
	identity_unref(id);
	id = identity_of(PEM_LEAF_NUL_SAN, PEM_LEAF_KEY);
	assert_int_equal(identity_match(id, SPAN_LIT("api.test")), NAME_OTHER);
	identity_unref(id);
}

/* ---- renewal ---- */

static struct tls_ctx *
server_of(struct pki_pair *p, struct tls_ctx *old, char detail[DETAIL])
{
	return tls_server_new(
	    &(struct config_listen){.tls = &p->config, .n_tls = 1}, old, detail, DETAIL);
}

static void
a_start_takes_what_it_finds_and_a_renewal_only_what_is_in_its_dates(void **state)
{
	static const struct {
		const char *chain, *says;
	} cases[] = {
	    {PEM_LEAF_EXPIRED, ": the certificate expired on 2002-02-03"},
	    {PEM_LEAF_FUTURE, ": the certificate is not valid before 2100-01-01"},
	};
	char detail[DETAIL];
	struct pki_pair p;
	struct tls_ctx *old, *c;

	UNUSED(state);
	pki_pair_put(&p, PEM_LEAF, PEM_LEAF_KEY);
	old = server_of(&p, NULL, detail);
	pki_pair_drop(&p);
	assert_true(tls_server_certificate(old, 0).is_new);
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		pki_pair_put(&p, cases[i].chain, PEM_LEAF_KEY);
		assert_null(server_of(&p, old, detail));
		assert_memory_equal(detail, p.files[0], strlen(p.files[0]));
		assert_string_equal(detail + strlen(p.files[0]), cases[i].says);
		c = server_of(&p, NULL, detail);
		assert_non_null(c);
		tls_ctx_unref(c);
		pki_pair_drop(&p);
	}
	tls_ctx_unref(old);
}

static void
one_that_expires_is_read_again(void **state)
{
	char detail[DETAIL];
	struct tls_ctx *old, *c;
	struct pki_pair p;

	UNUSED(state);
	pki_pair_put(&p, PEM_LEAF_EXPIRED, PEM_LEAF_KEY);
	old = server_of(&p, NULL, detail);
	c = server_of(&p, old, detail);
	assert_non_null(c);
	assert_false(tls_server_certificate(c, 0).is_new);
	assert_int_equal(tls_server_certificate(c, 0).until_s, 1012694400); /* 2002-02-03 */
	assert_string_equal(tls_server_certificate(c, 0).file, p.files[0]);
	tls_ctx_unref(old);
	tls_ctx_unref(c);
	pki_pair_drop(&p);
}

static void
the_last_second_counts(void **state)
{
	const int64_t from_s = 978307200, until_s = 1012694400; /* of PEM_LEAF_EXPIRED */
	static const struct {
		int64_t at_s;
		bool is_taken;
	} cases[] = {{from_s - 1, false}, {from_s, true}, {until_s - 1, true}, {until_s, false}};
	char detail[DETAIL];
	struct tls_ctx *old, *c;
	struct pki_pair p;

	UNUSED(state);
	pki_pair_put(&p, PEM_LEAF, PEM_LEAF_KEY);
	old = server_of(&p, NULL, detail);
	pki_pair_drop(&p);
	pki_pair_put(&p, PEM_LEAF_EXPIRED, PEM_LEAF_KEY);
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		clock_fake(1, cases[i].at_s * 1000);
		c = server_of(&p, old, detail);
		clock_fake(0, 0);
		assert_int_equal(c != NULL, cases[i].is_taken);
		tls_ctx_unref(c);
	}
	pki_pair_drop(&p);
	tls_ctx_unref(old);
}

static void
only_the_same_chain_keeps_its_ticket_keys(void **state)
{
	static const struct {
		const char *chain, *key;
		bool keeps;
	} cases[] = {
	    {PEM_LEAF PEM_INTERMEDIATE, PEM_LEAF_KEY, true},
	    {PEM_LEAF, PEM_LEAF_KEY, false},
	    {PEM_RSA PEM_INTERMEDIATE, PEM_RSA_KEY, false},
	};
	char detail[DETAIL];
	struct tls_ctx *old, *c;
	struct pki_pair p;

	UNUSED(state);
	pki_pair_put(&p, PEM_LEAF PEM_INTERMEDIATE, PEM_LEAF_KEY);
	old = server_of(&p, NULL, detail);
	pki_pair_drop(&p);
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		pki_pair_put(&p, cases[i].chain, cases[i].key);
		c = server_of(&p, old, detail);
		pki_pair_drop(&p);
		assert_non_null(c);
		assert_int_equal(
		    c->certificates[0].identity == old->certificates[0].identity, cases[i].keeps);
		assert_int_equal(tls_server_certificate(c, 0).is_new, !cases[i].keeps);
		tls_ctx_unref(c);
	}
	tls_ctx_unref(old);
}

static void
asking_clients_ends_what_tickets_there_were(void **state)
{
	char detail[DETAIL], ca[PKI_PATH];
	struct tls_ctx *old, *c;
	struct pki_pair p;

	UNUSED(state);
	pki_pair_put(&p, PEM_LEAF, PEM_LEAF_KEY);
	pki_file(ca, PEM_ROOT);
	old = server_of(&p, NULL, detail);
	c = tls_server_new(&(struct config_listen){.tls = &p.config,
			       .n_tls = 1,
			       .client_ca = ca,
			       .client_certificates = CLIENTS_REQUIRE},
	    old, detail, sizeof(detail));
	assert_non_null(c);
	assert_false(tls_server_certificate(c, 0).is_new);
	assert_ptr_not_equal(c->certificates[0].identity, old->certificates[0].identity);
	tls_ctx_unref(old);
	old = server_of(&p, c, detail);
	assert_ptr_not_equal(c->certificates[0].identity, old->certificates[0].identity);
	tls_ctx_unref(old);
	tls_ctx_unref(c);
	unlink(ca);
	pki_pair_drop(&p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_name_is_certified_exactly_or_by_a_star_for_one_label),
	    cmocka_unit_test(an_identity_has_the_dns_names_of_its_certificate_and_no_others),
	    cmocka_unit_test(a_start_takes_what_it_finds_and_a_renewal_only_what_is_in_its_dates),
	    cmocka_unit_test(one_that_expires_is_read_again),
	    cmocka_unit_test(the_last_second_counts),
	    cmocka_unit_test(only_the_same_chain_keeps_its_ticket_keys),
	    cmocka_unit_test(asking_clients_ends_what_tickets_there_were),
	};

	return cmocka_run_group_tests(tests, crypto_group_start, crypto_group_stop);
}
