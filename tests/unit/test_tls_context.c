#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "crypto_group.h"
#include "pki.h"
#include "tls/context_int.h"
#include "tls/server.h"

#define DETAIL 256

/* A server context of these texts must fail, and say `text` and the file (0: chain, 1: key). */
static void
assert_server_fails(const char *chain, const char *key, int guilty, const char *text)
{
	char detail[DETAIL] = "";
	struct pki_pair pair;

	pki_pair_put(&pair, chain, key);
	assert_null(tls_server_new(
	    &(struct config_listen){.tls = &pair.config, .n_tls = 1}, NULL, detail, DETAIL));
	if (strstr(detail, text) == NULL)
		fail_msg("\"%s\" is not in \"%s\"", text, detail);
	assert_memory_equal(detail, pair.files[guilty], strlen(pair.files[guilty]));
	assert_null(strchr(detail, '\n'));
	pki_pair_drop(&pair);
}

static void
a_server_names_the_file_and_the_fault(void **state)
{
	UNUSED(state);
	assert_server_fails("nothing", PEM_LEAF_KEY, 0, "no PEM certificate");
	assert_server_fails("", PEM_LEAF_KEY, 0, "no PEM certificate");
	assert_server_fails(PEM_LEAF, "nothing", 1, "no PEM private key");
	assert_server_fails(PEM_LEAF, PEM_LEAF, 1, "no PEM private key");
	assert_server_fails(PEM_LEAF, PEM_OTHER_KEY, 1, "does not belong");
	assert_server_fails(PEM_LEAF, PEM_RSA_KEY, 1, "does not belong");
	assert_server_fails(PEM_LEAF
	    "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
	    PEM_LEAF_KEY, 0, "cannot be read");
}

static void
a_missing_file_is_named(void **state)
{
	char detail[DETAIL], chain[] = "/nonexistent/c.pem", key[] = "/nonexistent/k.pem";
	struct config_pair pair = {chain, key};

	UNUSED(state);
	assert_null(tls_server_new(
	    &(struct config_listen){.tls = &pair, .n_tls = 1}, NULL, detail, DETAIL));
	assert_string_equal(detail, "/nonexistent/c.pem: No such file or directory");
	assert_null(tls_client_new("/nonexistent/ca.pem", detail, sizeof(detail)));
	assert_string_equal(detail, "/nonexistent/ca.pem: No such file or directory");
	assert_null(tls_client_new("/", detail, sizeof(detail)));
	assert_string_equal(detail, "/: Is a directory");
}

static void
a_file_without_certificates_is_no_ca(void **state)
{
	char file[PKI_PATH], detail[256];

	UNUSED(state);
	pki_file(file, "-----BEGIN NONSENSE-----\n-----END NONSENSE-----\n");
	assert_null(tls_client_new(file, detail, sizeof(detail)));
	assert_non_null(strstr(detail, "no PEM certificate"));
	unlink(file);
}

static void
a_bundle_with_one_unreadable_root_serves_with_the_others(void **state)
{
	char file[PKI_PATH], detail[256];
	struct tls_ctx *c;

	UNUSED(state);
	pki_file(file, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n" PEM_ROOT);
	c = tls_client_new(file, detail, sizeof(detail));
	assert_non_null(c);
	assert_true(c->has_roots);
	tls_ctx_unref(c);
	unlink(file);
}

static void
a_context_lives_as_long_as_its_references(void **state)
{
	char detail[256];
	struct tls_ctx *c = tls_client_new(NULL, detail, sizeof(detail));

	UNUSED(state);
	assert_ptr_equal(tls_ctx_ref(c), c);
	tls_ctx_unref(c);
	assert_int_equal(c->refs, 1);
	tls_ctx_unref(c);
	tls_ctx_unref(NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_server_names_the_file_and_the_fault),
	    cmocka_unit_test(a_missing_file_is_named),
	    cmocka_unit_test(a_file_without_certificates_is_no_ca),
	    cmocka_unit_test(a_bundle_with_one_unreadable_root_serves_with_the_others),
	    cmocka_unit_test(a_context_lives_as_long_as_its_references),
	};

	return cmocka_run_group_tests(tests, crypto_group_start, crypto_group_stop);
}
