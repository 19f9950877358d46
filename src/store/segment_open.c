#include <pthread.h>
#include <string.h>

#include "obs/log.h"
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

static enum err
open_frozen(struct segments *s, struct segment *g, enum segment_part part)
{
	struct env_options o = segment_env_options(part);
	struct segment_file *file = &g->file[part];
	char path[FILE_PATH_SIZE];
	enum err e;

	o.is_frozen = true;
	o.is_readonly = s->is_readonly;
	segment_path(s, g, part, path);
	e = env_open(path, &o, &file->env);
	if (e == E_OK) {
		s->idle_open++;
		return E_OK;
	}
	if (e != E_EOF)
		log_line(LOG_WARN, "log: %s cannot be read: %s", path, err_row(e)->text);
	/* Out of files or memory may pass; the others will not. */
	file->is_absent = e == E_EOF || e == E_CORRUPT;
	return e;
}

static enum err
enter(struct segments *s, struct segment *g, enum segment_part part)
{
	struct segment_file *file = &g->file[part];
	enum err e = E_OK;

	(void)pthread_mutex_lock(&s->lock);
	if (file->is_absent)
		e = E_EOF;
	else if (file->env.mdb == NULL)
		e = g->is_writable ? E_EOF : open_frozen(s, g, part);
	if (e == E_OK && file->users++ == 0 && !g->is_writable)
		s->idle_open--;
	(void)pthread_mutex_unlock(&s->lock);
	return e;
}

/* A file that nobody reads or writes any more: closed if it is gone or too many are open. */
static void
settle(struct segments *s, struct segment *g, enum segment_part part)
{
	struct segment_file *file = &g->file[part];

	if (file->users > 0 || g->is_writable || file->env.mdb == NULL)
		return;
	if (file->is_absent || g->is_dropped || s->idle_open >= KEEP_OPEN)
		env_close(&file->env);
	else
		s->idle_open++;
}

static void
leave(struct segments *s, struct segment *g, enum segment_part part)
{
	(void)pthread_mutex_lock(&s->lock);
	g->file[part].users--;
	settle(s, g, part);
	(void)pthread_mutex_unlock(&s->lock);
}

enum err
segment_begin(struct segments *s, struct segment *g, enum segment_part part, MDB_txn **txn)
{
	enum err e = enter(s, g, part);
	int rc;

	if (e != E_OK)
		return e;
	rc = mdb_txn_begin(g->file[part].env.mdb, NULL, MDB_RDONLY, txn);
	if (rc != 0)
		leave(s, g, part);
	return env_err(rc);
}

void
segment_end(struct segments *s, struct segment *g, enum segment_part part, MDB_txn *txn)
{
	mdb_txn_abort(txn);
	leave(s, g, part);
}

/* Of the rows that are whole: a damaged id could say any day, and what is newest is the floor for
 * new ids. */
static int
edge(MDB_txn *txn, MDB_dbi dbi, bool is_last, struct id *out)
{
	MDB_cursor *c;
	MDB_val key, value;
	int rc = mdb_cursor_open(txn, dbi, &c);

	if (rc != 0)
		return rc;
	rc = mdb_cursor_get(c, &key, &value, is_last ? MDB_LAST : MDB_FIRST);
	while (rc == 0 && !segment_is_row(&key, &value))
		rc = mdb_cursor_get(c, &key, &value, is_last ? MDB_PREV : MDB_NEXT);
	if (rc == 0)
		memcpy(out, key.mv_data, sizeof(*out));
	mdb_cursor_close(c);
	return rc == MDB_NOTFOUND ? 0 : rc;
}

static int
read_facts(MDB_txn *txn, MDB_dbi dbi, struct segment_facts *out)
{
	MDB_stat st;
	int rc = mdb_stat(txn, dbi, &st);

	if (rc == 0)
		rc = edge(txn, dbi, false, &out->first);
	if (rc == 0)
		rc = edge(txn, dbi, true, &out->last);
	if (rc == 0)
		out->records = st.ms_entries;
	return rc;
}

static bool
known_facts(struct segments *s, struct segment *g, struct segment_facts *out)
{
	bool is_known;

	(void)pthread_mutex_lock(&s->lock);
	is_known = g->is_known;
	*out = g->facts;
	(void)pthread_mutex_unlock(&s->lock);
	return is_known;
}

void
segment_note(struct segments *s, struct segment *g, const struct segment_facts *facts)
{
	(void)pthread_mutex_lock(&s->lock);
	g->facts = *facts;
	g->is_known = true;
	(void)pthread_mutex_unlock(&s->lock);
}

bool
segment_know(struct segments *s, struct segment *g, struct segment_facts *out)
{
	MDB_txn *txn;
	int rc;

	/* A frozen one does not change, and the writer notes what it commits. */
	if (known_facts(s, g, out))
		return true;
	if (segment_begin(s, g, PART_ROWS, &txn) != E_OK)
		return false;
	rc = read_facts(txn, g->file[PART_ROWS].env.dbi[DBI_ROWS], out);
	segment_end(s, g, PART_ROWS, txn);
	if (rc == 0)
		segment_note(s, g, out);
	return rc == 0;
}
