#include <pthread.h>

#include "obs/log.h"
#include "obs/metric.h"
#include "store/segment_int.h"

#define KEEP_OPEN 16

static const struct env_dbi rows_dbis[] = {[DBI_ROWS] = {"rows", 0}, [DBI_META] = {"meta", 0}};
static const struct env_dbi payload_dbis[] = {{"pieces", 0}};

struct env_options
segment_env_options(enum segment_part part)
{
	if (part == PART_ROWS)
		return (struct env_options){.dbis = rows_dbis, .n_dbis = COUNT_OF(rows_dbis)};
	return (struct env_options){.dbis = payload_dbis, .n_dbis = COUNT_OF(payload_dbis)};
}

enum err
segment_open_tree(const char *path, enum segment_part part, struct tree **out)
{
	const struct env_options o = segment_env_options(part);
	const char *names[ENV_DBIS_MAX];

	for (size_t i = 0; i < o.n_dbis; i++)
		names[i] = o.dbis[i].name;
	return tree_open(path, names, o.n_dbis, out);
}

/* ---- files, opened when they are read ---- */

void
segment_close_file(struct segment_file *file)
{
	env_close(&file->env);
	tree_cursor_free(file->spare);
	tree_close(file->tree);
	file->spare = NULL;
	file->tree = NULL;
}

/* Once for each file; with the lock held. */
static void
say_damaged(const struct segments *s, struct segment *g, enum segment_part part, bool is_lost)
{
	char dir[FILE_PATH_SIZE], path[FILE_PATH_SIZE];

	if (g->file[part].is_damaged)
		return;
	g->file[part].is_damaged = true;
	metric_add(M_LOG_DAMAGED, 1);
	segment_dir(s, g, dir);
	segment_path(s, g, part, path);
	log_line(LOG_ERROR,
	    "log: %s is damaged: %s; put %s back from a backup, or remove it, while no server runs",
	    path, is_lost ? "all of it is left out" : "what cannot be read of it is left out", dir);
}

static enum err
open_frozen(struct segments *s, struct segment *g, enum segment_part part)
{
	struct segment_file *file = &g->file[part];
	char path[FILE_PATH_SIZE];
	enum err e;

	segment_path(s, g, part, path);
	e = segment_open_tree(path, part, &file->tree);
	if (e == E_OK) {
		s->idle_open++;
		return E_OK;
	}
	if (e == E_CORRUPT)
		say_damaged(s, g, part, true);
	else if (e != E_EOF)
		log_line(LOG_WARN, "log: %s cannot be read: %s", path, err_row(e)->text);
	file->is_absent = e == E_EOF; /* out of files or memory may pass */
	return e;
}

static enum err
enter(struct segments *s, struct segment *g, enum segment_part part, struct segment_reader *out)
{
	struct segment_file *file = &g->file[part];
	enum err e = E_OK;

	(void)pthread_mutex_lock(&s->lock);
	if (file->is_absent)
		e = E_EOF;
	else if (file->env.mdb == NULL && file->tree == NULL)
		e = g->is_writable ? E_EOF : open_frozen(s, g, part);
	if (e == E_OK) {
		if (file->tree != NULL && file->users == 0)
			s->idle_open--;
		file->users++;
		*out = (struct segment_reader){.env = file->env.mdb != NULL ? &file->env : NULL,
		    .tree = file->tree,
		    .cursor = file->spare};
		file->spare = NULL;
	}
	(void)pthread_mutex_unlock(&s->lock);
	return e;
}

/* A file that nobody reads or writes any more: closed if it is gone or too many are open. */
static void
settle(struct segments *s, struct segment *g, enum segment_part part)
{
	struct segment_file *file = &g->file[part];

	if (file->users > 0 || g->is_writable)
		return;
	if (file->tree == NULL || file->is_absent || g->is_dropped || s->idle_open >= KEEP_OPEN)
		segment_close_file(file);
	else
		s->idle_open++;
}

static void
leave(
    struct segments *s, struct segment *g, enum segment_part part, const struct segment_reader *rd)
{
	struct segment_file *file = &g->file[part];

	(void)pthread_mutex_lock(&s->lock);
	if (rd->tree != NULL && atomic_load(&rd->tree->is_damaged))
		say_damaged(s, g, part, false);
	if (file->spare == NULL)
		file->spare = rd->cursor;
	else
		tree_cursor_free(rd->cursor);
	file->users--;
	settle(s, g, part);
	(void)pthread_mutex_unlock(&s->lock);
}

enum err
segment_begin(
    struct segments *s, struct segment *g, enum segment_part part, struct segment_reader *out)
{
	enum err e = enter(s, g, part, out);
	int rc;

	if (e != E_OK)
		return e;
	if (out->env == NULL) {
		if (out->cursor == NULL)
			out->cursor = tree_cursor_new(out->tree);
		return E_OK;
	}
	rc = mdb_txn_begin(out->env->mdb, NULL, MDB_RDONLY, &out->txn);
	if (rc != 0)
		leave(s, g, part, out);
	return env_err(rc);
}

void
segment_end(
    struct segments *s, struct segment *g, enum segment_part part, struct segment_reader *rd)
{
	if (rd->mdb != NULL)
		mdb_cursor_close(rd->mdb);
	if (rd->txn != NULL)
		mdb_txn_abort(rd->txn);
	leave(s, g, part, rd);
}

/* ---- keys and values ---- */

bool
reader_get(struct segment_reader *rd, unsigned dbi, struct span key, struct span *value)
{
	MDB_val k = val_of(key.p, key.n), v;

	if (rd->env == NULL)
		return tree_get(rd->cursor, dbi, key, value);
	if (mdb_get(rd->txn, rd->env->dbi[dbi], &k, &v) != 0)
		return false;
	*value = span_of_val(v);
	return true;
}

uint64_t
reader_count(struct segment_reader *rd, unsigned dbi)
{
	MDB_stat st;

	if (rd->env == NULL)
		return rd->tree->table[dbi].entries;
	return mdb_stat(rd->txn, rd->env->dbi[dbi], &st) == 0 ? st.ms_entries : 0;
}

static bool
open_cursor(struct segment_reader *rd, unsigned dbi)
{
	if (rd->mdb != NULL)
		mdb_cursor_close(rd->mdb);
	rd->mdb = NULL;
	return mdb_cursor_open(rd->txn, rd->env->dbi[dbi], &rd->mdb) == 0;
}

static bool
step(struct segment_reader *rd, MDB_cursor_op op, struct span *key, struct span *value)
{
	MDB_val k, v;

	if (mdb_cursor_get(rd->mdb, &k, &v, op) != 0)
		return false;
	*key = span_of_val(k);
	*value = span_of_val(v);
	return true;
}

bool
reader_start(struct segment_reader *rd, unsigned dbi, enum tree_edge from, struct span *key,
    struct span *value)
{
	if (rd->env == NULL)
		return tree_start(rd->cursor, dbi, from, key, value);
	return open_cursor(rd, dbi) &&
	    step(rd, from == TREE_FIRST ? MDB_FIRST : MDB_LAST, key, value);
}

bool
reader_start_at(
    struct segment_reader *rd, unsigned dbi, struct span most, struct span *key, struct span *value)
{
	MDB_val k = val_of(most.p, most.n), v;

	if (rd->env == NULL)
		return tree_start_at(rd->cursor, dbi, most, key, value);
	if (!open_cursor(rd, dbi))
		return false;
	if (mdb_cursor_get(rd->mdb, &k, &v, MDB_SET_RANGE) != 0)
		return step(rd, MDB_LAST, key, value);
	*key = span_of_val(k);
	*value = span_of_val(v);
	return span_eq(*key, most) || step(rd, MDB_PREV, key, value);
}

bool
reader_next(struct segment_reader *rd, struct span *key, struct span *value)
{
	return rd->env == NULL ? tree_next(rd->cursor, key, value) : step(rd, MDB_NEXT, key, value);
}

bool
reader_prev(struct segment_reader *rd, struct span *key, struct span *value)
{
	return rd->env == NULL ? tree_prev(rd->cursor, key, value) : step(rd, MDB_PREV, key, value);
}
