/*
 * join_int: how a request's path meets a provider's base URL, between join.c, which knows the rule, and
 * join_vendor.c, which knows the vendors whose host is built from the path.
 *
 * A vendor's function takes its segments off `rest` and sets host, labels, base or direct. It returns
 * E_OK, E_BAD_UPSTREAM_HOST or E_NOMEM.
 */
#ifndef PROVIDER_JOIN_INT_H
#define PROVIDER_JOIN_INT_H

#include "provider/registry.h"

#define LABEL_MAX 63
#define LABELS 2

/* What a join works on: where the request goes so far. */
struct join {
	const struct provider *provider;
	struct arena *arena;
	struct span host; /* may hold {n} until fill_labels */
	struct span base; /* path of the base URL, filled */
	struct span rest; /* what is left of the request's path */
	struct span labels[LABELS];
	struct span direct; /* not empty: goes before rest, whatever the rule says */
};

bool join_is_label(struct span s); /* [a-z0-9-]{1,63} */
bool join_is_account(struct span s);
bool join_is_version(struct span s);
/* The first segment of "/a/b"; empty when there is none. */
struct span join_segment(struct span path);
/* Whether path is root or goes on below it with a '/'. */
bool join_is_under(struct span path, struct span root);
bool join_is_under_root(const struct provider *p, struct span path);
/* Takes the first segment off rest as label n. */
bool join_take_label(struct join *j, size_t n);
size_t join_count_labels(struct span template);
/* Of its host and port; in `a` where a port is to be named. */
enum err join_set_host_header(struct arena *a, struct upstream_target *out);

enum err join_azure(struct join *j);
enum err join_bedrock(struct join *j);
enum err join_vertex(struct join *j);
enum err join_workers(struct join *j);
enum err join_huggingface(struct join *j);
enum err join_baseten(struct join *j);

#endif
