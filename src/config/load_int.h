/*
 * load: the steps between a tree of nodes and a finished struct config.
 */
#ifndef CONFIG_LOAD_INT_H
#define CONFIG_LOAD_INT_H

#include "config/config.h"
#include "config/node_int.h"

/* All defaults, and the gateway "default". Heap; refs is 1. */
struct config *config_defaults(void);
/* Lays a tree over c, which has the defaults. root NULL: nothing. */
MUST_CHECK bool config_apply(struct config *c, const struct node *root, struct buf *err);
/* What no key alone can say: addresses that must be in listen, scopes that need protection. */
MUST_CHECK bool config_check(const struct config *c, const struct node *root, struct buf *err);

/* What a --set, a variable or a flag says, as a tree for node_merge; NULL and a line in err. */
struct node *source_set(struct tree *t, const char *set, struct buf *err);
/* What variables say that other programs read too, HTTPS_PROXY and NO_PROXY: under all other sources. */
struct node *source_standard(struct tree *t, char *const *variables, struct buf *err);
struct node *source_environ(struct tree *t, char *const *variables, struct buf *err);
struct node *source_flags(struct tree *t, const struct config_source *src, struct buf *err);

#endif
