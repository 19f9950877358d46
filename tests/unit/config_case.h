/*
 * For the tests of src/config: a configuration written as text, loaded from a file "postern.yaml" in the
 * current directory, which case_begin makes and case_end removes.
 */
#ifndef CONFIG_CASE_H
#define CONFIG_CASE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "config/config.h"

struct config_case {
	char directory[128];
	char error[2048]; /* of the last load */
	char *environ[16];
	const char *set[8], *listen[4], *data; /* as in struct config_source */
};

static struct config_case this_case;

static inline int
case_begin(void **state)
{
	const char *tmp = getenv("TMPDIR");

	UNUSED(state);
	memset(&this_case, 0, sizeof(this_case));
	(void)snprintf(this_case.directory, sizeof(this_case.directory), "%s/postern-config-XXXXXX",
	    tmp != NULL ? tmp : P_tmpdir);
	if (mkdtemp(this_case.directory) == NULL || chdir(this_case.directory) != 0)
		return -1;
	return 0;
}

static inline int
case_end(void **state)
{
	UNUSED(state);
	(void)unlink("postern.yaml");
	return chdir("/") == 0 ? rmdir(this_case.directory) : -1;
}

/* No flags, no --set, and an environment that names a home. */
static inline void
case_reset(void)
{
	static char home[] = "HOME=/home/gw";

	memset(this_case.environ, 0, sizeof(this_case.environ));
	memset(this_case.set, 0, sizeof(this_case.set));
	memset(this_case.listen, 0, sizeof(this_case.listen));
	this_case.data = NULL;
	this_case.environ[0] = home;
}

static inline void
case_write(const char *text, size_t n)
{
	FILE *f = fopen("postern.yaml", "w");

	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, n, f), n);
	assert_int_equal(fclose(f), 0);
}

/* yaml NULL: without a file. NULL: refused, this_case.error says why. */
static inline struct config *
case_load(const char *yaml)
{
	struct config_source src = {.set = this_case.set,
	    .environ = this_case.environ,
	    .listen = this_case.listen,
	    .data = this_case.data};
	struct config *c = NULL;
	struct buf err;
	int result;

	if (yaml != NULL) {
		case_write(yaml, strlen(yaml));
		src.file = "postern.yaml";
	}
	buf_init(&err, sizeof(this_case.error) - 1);
	result = config_load(&src, &c, &err);
	(void)snprintf(this_case.error, sizeof(this_case.error), "%.*s", SPAN_FMT(buf_view(&err)));
	buf_fini(&err);
	assert_int_equal(result, c == NULL ? -1 : 0);
	assert_true((c == NULL) == (this_case.error[0] != '\0'));
	assert_null(strchr(this_case.error, '\n'));
	return c;
}

static inline struct config *
case_must_load(const char *yaml)
{
	struct config *c = case_load(yaml);

	assert_string_equal(this_case.error, "");
	return c;
}

static inline void
case_refuses(const char *yaml, const char *error)
{
	struct config *c = case_load(yaml);

	config_unref(c);
	assert_string_equal(this_case.error, error);
}

/* A --set alone, without a file. */
static inline void
case_set_refuses(const char *set, const char *error)
{
	this_case.set[0] = set;
	case_refuses(NULL, error);
	this_case.set[0] = NULL;
}

#endif
