/*
 * value: one key's value: from a node into the field of its row, and that field's life.
 *
 * `base` is the struct of the row's root (config/table.h): struct config, config_gateway or
 * config_provider.
 */
#ifndef CONFIG_VALUE_INT_H
#define CONFIG_VALUE_INT_H

#include "config/config.h"
#include "config/node_int.h"
#include "config/table.h"

struct target {
	const struct config_row *row;
	const char *name; /* for messages: the path with the operator's names in it */
	void *base;
};

/* Sets the field, freeing what it held. False, and a line in err: wrong type, range, word or
 * form. */
MUST_CHECK bool value_read(const struct target *t, const struct node *n, struct buf *err);
/* The field has its row's default. It must be zeroed before. */
void value_set_default(const struct config_row *row, void *base);
void value_copy(const struct config_row *row, void *to, const void *from); /* to is zeroed before */
void value_free(const struct config_row *row, void *base);

/* Typed views of the field. */
bool *value_bool(const struct config_row *row, void *base);
uint64_t *value_u64(const struct config_row *row, void *base);
char **value_string(const struct config_row *row, void *base);
char ***value_strings(const struct config_row *row, void *base);
const char *value_enum_word(const struct config_row *row, const void *base);

/* Room for so many strings, NULL-terminated as far as it is filled. */
char **strings_new(size_t most);
void strings_free(char **list);

/* listen.c: the one key whose items have a shape of their own. */
MUST_CHECK bool listen_read(struct config *c, const struct node *n, struct buf *err);
void listen_free(struct config *c);
extern const char *const listen_client_words[]; /* by enum client_certificates; NULL-terminated */

#endif
