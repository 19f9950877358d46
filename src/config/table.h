/*
 * table: every key of the configuration file, one row each. The parser, the defaults, the printed
 * configuration, the JSON Schema, the suggestions in errors and the tests all follow from it; a new
 * setting is one row here and one field in config.h.
 *
 * Paths are dotted; '*' stands for a name that the operator chooses ("gateways.*.cache.ttl").
 * Rows of one section stand together: table_next relies on it.
 */
#ifndef CONFIG_TABLE_H
#define CONFIG_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"

enum config_type {
	CONFIG_BOOL,     /* bool */
	CONFIG_INT,      /* uint64_t */
	CONFIG_DURATION, /* uint64_t, milliseconds */
	CONFIG_SIZE,     /* uint64_t, bytes */
	CONFIG_ENUM,     /* an enum of config.h, by its choices */
	CONFIG_STRING,   /* char *, NULL: not set; with choices: one of these words */
	CONFIG_STRINGS,  /* char **, NULL-terminated */
	CONFIG_LISTEN,   /* struct config's listen and n_listen */
};

enum config_flag {
	CONFIG_NOT_YET = 1,  /* its feature is not in this version: the key is an error */
	CONFIG_NOT_TRUE = 2, /* a bool whose `true` is not in this version */
	CONFIG_USERINFO = 4, /* a URL that may have a password: printed without user and password */
};

/* Which struct a row's offset is into. */
enum config_root { ROOT_SERVER, ROOT_GATEWAY, ROOT_PROVIDER };

#define CONFIG_NO_FIELD ((size_t)-1) /* offset of rows that are not in this version */
#define CONFIG_PATH_SIZE 128

struct config_choice { /* a list of them ends with a NULL word */
	const char *word;
	int value;
	bool is_not_yet;
};

/* NULL: fine. Else what is wrong and the mend, to stand behind the key's name: "has no port;
 * write host:port". */
typedef const char *(*config_check_fn)(struct span value);

struct config_row {
	const char *path;
	enum config_type type;
	size_t offset;
	const char *def; /* as one would write it in the file; NULL: not set */
	uint64_t min,
	    max; /* of CONFIG_INT, CONFIG_DURATION (ms) and CONFIG_SIZE; both are allowed */
	unsigned flags;
	const struct config_choice *choices;
	config_check_fn check; /* of a string, or of each item */
	const char *pattern;   /* for the schema: what check allows, roughly */
	const char *null_word; /* a spelling that leaves a string NULL ("system") */
	const char *doc;
};

struct config_section {
	const char *path; /* "" is the whole file */
	const char *doc;
	config_check_fn
	    check_name; /* set where the keys are names of the operator's: children are under PATH.* */
	const char *name_pattern;
};

size_t table_count(void);
const struct config_row *table_at(size_t i);
const struct config_row *table_find(const char *path);        /* NULL: no such row */
const struct config_section *table_section(const char *path); /* NULL: no such section */
/* The row, in whatever section, whose last segment is name, and that is in this version. NULL:
 * none. */
const struct config_row *table_find_leaf(struct span name);
enum config_root table_root(const struct config_row *row);
/* PARENT.name into out; "" is the root. */
void table_join(const char *parent, struct span name, char out[CONFIG_PATH_SIZE]);
/* Not CONFIG_NOT_YET. */
bool table_is_available(const struct config_row *row);

/* The keys right under a section, in table order, one a call. Start with a zeroed iterator whose
 * section is set. */
struct table_iter {
	const char *section;
	size_t i;
	struct span name;             /* out */
	const struct config_row *row; /* out; NULL: a section */
};
bool table_next(struct table_iter *it);

#endif
