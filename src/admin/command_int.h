/*
 * command_int: the parts of a command.
 *
 *   command.c  its words     list.c  records as rows, JSON, CSV; one record     follow.c  logs -f     cache and backup: command.c
 */
#ifndef ADMIN_COMMAND_INT_H
#define ADMIN_COMMAND_INT_H

#include "admin/command.h"
#include "journal/journal.h"
#include "journal/query.h"

#define FOLLOW_LIMIT 10 /* records before the first new one */
#define FOLLOW_LIMIT_MAX 1000

enum verb {
	VERB_LOGS,
	VERB_LOG,
	VERB_EXPORT,
	VERB_FOLLOW,
	VERB_CACHE_STATS,
	VERB_CACHE_PURGE,
	VERB_CACHE_COMPACT,
	VERB_BACKUP
};
enum form { FORM_ROW, FORM_JSON, FORM_CSV };

/*
 * Following. `pending` is the loop's: records as they are written, each behind its length. command_collect hands them to the step
 * that is about to run as `taken`; from then on they are that thread's.
 */
struct follow {
	struct journal_watch watch;
	struct buf pending, taken;
	uint64_t lost; /* the loop's: what pending had no room for */
	void (*woken)(void *ctx);
	void *ctx;
	bool is_watching, is_last;
	/* the steps': the last records from before, newest first, until they are out */
	bool is_past_done;
	struct buf rows;
	size_t ends[FOLLOW_LIMIT_MAX];
	struct id ids[FOLLOW_LIMIT_MAX];
	size_t n;
};

struct command {
	struct command_stores stores;
	enum verb verb;
	enum form form;
	struct query query;
	struct id id;
	struct span unseal; /* the credential that opens sealed payloads; empty: none */
	bool is_json, has_begun;
	bool has_limit, has_until, has_format;
	uint64_t left;            /* records still to show; 0 with has_limit false: all */
	struct follow *follow;    /* VERB_FOLLOW */
	struct backup *backup;    /* VERB_BACKUP */
	const char *backup_shown; /* where it will be at last; in copies */
	char *copies[64];         /* the arguments, which the query points into */
};

/* list.c */
MUST_CHECK bool command_put(const struct command *c, const struct record *r, struct buf *out);
MUST_CHECK bool command_put_heading(struct command *c, struct buf *out);
enum command_result command_list(struct command *c, struct buf *out);
enum command_result command_show(struct command *c, struct buf *out);
/* follow.c */
struct follow *follow_new(void);
void follow_free(struct follow *f);
enum command_result command_follow(struct command *c, struct buf *out);

#endif
