/*
 * deploy/postern.yaml: every key, with its default, and it loads; deploy/postern.1 names them too.
 * Run from the top of the tree.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "config/config.h"
#include "config/node_int.h"
#include "config/table.h"

#define SAMPLE "deploy/postern.yaml"
#define MANUAL "deploy/postern.1"

/* Freed by the caller. */
static char *
text_of(const char *path)
{
	FILE *f = fopen(path, "r");
	char *text = xcalloc(1, 64 << 10);

	assert_non_null(f);
	assert_true(fread(text, 1, (64 << 10) - 1, f) > 1000);
	assert_int_equal(fclose(f), 0);
	return text;
}

static void
print_of(const char *file, struct buf *out)
{
	static char home[] = "HOME=/h";
	char *const variables[] = {home, NULL};
	struct config_source src = {.file = file, .environ = variables};
	struct config *c = NULL;
	struct buf err;

	buf_init(&err, 1024);
	buf_init(out, 1 << 20);
	if (config_load(&src, &c, &err) != 0)
		fail_msg("%.*s", SPAN_FMT(buf_view(&err)));
	assert_true(config_print(c, out));
	config_unref(c);
	buf_fini(&err);
}

static void
it_loads_and_says_nothing_but_the_defaults(void **state)
{
	struct buf with, without;

	(void)state;
	print_of(SAMPLE, &with);
	print_of(NULL, &without);
	assert_true(span_eq(buf_view(&with), buf_view(&without)));
	buf_fini(&with);
	buf_fini(&without);
}

/* Does a comment hold a key, "# name: value"? Other comments begin with a capital or have no colon there. */
static bool
is_commented_key(const char *comment)
{
	const char *word = comment + strspn(comment, "# ");
	size_t n = strspn(word, "abcdefghijklmnopqrstuvwxyz_");

	return comment[0] == '#' && n > 0 && word[n] == ':';
}

/* The text with the keys that are commented out written as keys, in a file of its own: its path. */
static void
write_uncommented(char *text, char path[64])
{
	int fd = memfd_create("sample", MFD_CLOEXEC);
	unsigned found = 0;

	assert_true(fd >= 0);
	for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
		int blanks = (int)strspn(line, " ");
		bool is_key = is_commented_key(line + blanks);

		found += is_key;
		assert_true(
		    dprintf(fd, "%.*s%s\n", blanks, line, line + blanks + (is_key ? 2 : 0)) > 0);
	}
	assert_int_equal(found, 11);
	(void)snprintf(path, 64, "/proc/self/fd/%d", fd);
}

static void
its_commented_keys_load_too(void **state)
{
	char *const variables[] = {NULL};
	char path[64], *text = text_of(SAMPLE);
	struct config_source src = {.file = path, .environ = variables};
	struct config *c = NULL;
	struct buf err;

	(void)state;
	write_uncommented(text, path);
	buf_init(&err, 1024);
	if (config_load(&src, &c, &err) != 0)
		fail_msg("%.*s", SPAN_FMT(buf_view(&err)));
	assert_string_equal(c->data, "/var/lib/postern");
	assert_string_equal(c->gateways[1].name, "batch");
	assert_int_equal(c->gateways[1].cache.ttl_ms, UINT64_C(7) * 86400000);
	assert_string_equal(c->providers[0].slug, "ollama");
	assert_string_equal(c->providers[1].ca, "/etc/postern/corp.pem");
	assert_true(c->providers[1].allow_private);
	config_unref(c);
	buf_fini(&err);
	free(text);
}

/* Is the row's key in the tree, under any name where the path has '*'? */
static bool
has_path(const struct node *n, const char *path)
{
	struct span part = span_of(path, strcspn(path, "."));
	const char *rest = path[part.n] == '.' ? path + part.n + 1 : NULL;

	if (n == NULL || n->kind != NODE_MAP)
		return false;
	for (const struct node *child = n->first; child != NULL; child = child->next)
		if ((span_eq(part, SPAN_LIT("*")) || span_eq(part, child->key)) &&
		    (rest == NULL || has_path(child, rest)))
			return true;
	return false;
}

static void
every_key_of_this_version_is_in_it(void **state)
{
	char *text = text_of(SAMPLE);
	struct tree tree;
	struct node *root = NULL;
	struct buf err;

	(void)state;
	tree_init(&tree);
	buf_init(&err, 1024);
	assert_true(yaml_read(
	    &tree, (struct place){.source = SAMPLE, .line = 1}, span_str(text), &root, &err));
	for (size_t i = 0; i < table_count(); i++) {
		const struct config_row *row = table_at(i);
		const char *dot = strrchr(row->path, '.');
		char commented[CONFIG_PATH_SIZE];

		(void)snprintf(
		    commented, sizeof(commented), " %s:", dot == NULL ? row->path : dot + 1);
		if (!table_is_available(row))
			assert_false(has_path(root, row->path));
		else if (row->def != NULL && table_root(row) != ROOT_PROVIDER)
			assert_true(has_path(root, row->path));
		else
			assert_non_null(strstr(text, commented));
	}
	buf_fini(&err);
	tree_fini(&tree);
	free(text);
}

/* As the manual sets a key: at the beginning of a bold line. "--min-tokens" does not describe admin.token. */
static bool
is_described(const char *manual, const char *key)
{
	char bold[128], mixed[128];

	(void)snprintf(bold, sizeof(bold), "\n.B %s\n", key);
	(void)snprintf(mixed, sizeof(mixed), "\n.BR %s ", key);
	return strstr(manual, bold) != NULL || strstr(manual, mixed) != NULL;
}

static void
the_manual_names_every_key_of_this_version(void **state)
{
	char *text = text_of(MANUAL);

	(void)state;
	for (size_t i = 0; i < table_count(); i++) {
		const char *path = table_at(i)->path, *dot = strrchr(path, '.');

		if (table_is_available(table_at(i)))
			assert_non_null(strstr(text, dot == NULL ? path : dot + 1));
		else
			assert_false(is_described(text, dot == NULL ? path : dot + 1));
	}
	free(text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(it_loads_and_says_nothing_but_the_defaults),
	    cmocka_unit_test(its_commented_keys_load_too),
	    cmocka_unit_test(every_key_of_this_version_is_in_it),
	    cmocka_unit_test(the_manual_names_every_key_of_this_version),
	};

	return cmocka_run_group_tests_name("config sample", tests, NULL, NULL);
}
