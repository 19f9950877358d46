#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/num.h"
#include "obs/log.h"
#include "store/segment_int.h"

#define KEEP_OPEN 16
#define NAME_SIZE 48
#define MAP_MIN (UINT64_C(64) << 20)

static const char *const file_names[SEGMENT_PARTS] = {
    [PART_ROWS] = "rows.mdb", [PART_PAYLOADS] = "payloads.mdb"};

static const struct env_dbi rows_dbis[] = {[DBI_ROWS] = {"rows", 0}, [DBI_META] = {"meta", 0}};
static const struct env_dbi payload_dbis[] = {{"pieces", 0}};

/* ---- names ---- */

int32_t
day_of_id(const struct id *id)
{
	return (int32_t)(id_wall_ms(id) / DAY_MS);
}

static void
segment_name(const struct segment *g, char out[NAME_SIZE])
{
	time_t at = (time_t)g->day * 86400;
	struct tm tm;

	CHK(gmtime_r(&at, &tm) != NULL);
	(void)snprintf(out, NAME_SIZE, "%04d%02d%02d-%u", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
	    g->number);
}

/* Only what segment_name writes. */
static bool
parse_name(const char *name, int32_t *day, uint32_t *number)
{
	struct span rest = span_str(name), date;
	uint64_t ymd, n;
	struct tm tm = {.tm_mday = 0};
	struct segment check;
	char again[NAME_SIZE];

	if (!span_next(&rest, '-', &date) || date.n < 8 || date.n > 10 || !num_u64(date, &ymd) ||
	    !num_u64(rest, &n) || n > UINT32_MAX)
		return false;
	tm.tm_year = (int)(ymd / 10000) - 1900;
	tm.tm_mon = (int)(ymd / 100 % 100) - 1;
	tm.tm_mday = (int)(ymd % 100);
	check = (struct segment){.day = (int32_t)(timegm(&tm) / 86400), .number = (uint32_t)n};
	segment_name(&check, again);
	*day = check.day;
	*number = check.number;
	return strcmp(again, name) == 0;
}

static void
segment_dir(const struct segments *s, const struct segment *g, char out[FILE_PATH_SIZE])
{
	char name[NAME_SIZE];

	segment_name(g, name);
	file_path(out, s->dir, name);
}

static void
segment_file_path(const struct segments *s, const struct segment *g, enum segment_part part,
    char out[FILE_PATH_SIZE])
{
	char dir[FILE_PATH_SIZE];

	segment_dir(s, g, dir);
	file_path(out, dir, file_names[part]);
}

/* ---- the set ---- */

static bool
is_newer(const struct segment *a, const struct segment *b)
{
	return a->day != b->day ? a->day > b->day : a->number > b->number;
}

static void
insert(struct segments *s, struct segment *g)
{
	struct list *at = &s->all;

	while (at->next != &s->all && is_newer(CONTAINER_OF(at->next, struct segment, node), g))
		at = at->next;
	list_insert(at, &g->node);
}

static void
measure(struct segments *s, struct segment *g)
{
	char path[FILE_PATH_SIZE], lock[FILE_PATH_SIZE];

	segment_dir(s, g, path);
	g->bytes = file_disk_bytes(path);
	for (int i = 0; i < SEGMENT_PARTS; i++) {
		segment_file_path(s, g, (enum segment_part)i, path);
		CHK((size_t)snprintf(lock, sizeof(lock), "%s-lock", path) < sizeof(lock));
		g->bytes += file_disk_bytes(path) + file_disk_bytes(lock);
	}
}

void
segment_measure(struct segments *s, struct segment *g)
{
	(void)pthread_mutex_lock(&s->lock);
	measure(s, g);
	(void)pthread_mutex_unlock(&s->lock);
}

static void
take_up(struct segments *s, const char *name)
{
	int32_t day;
	uint32_t number;
	struct segment *g;

	if (!parse_name(name, &day, &number))
		return;
	g = xcalloc(1, sizeof(*g));
	g->day = day;
	g->number = number;
	measure(s, g);
	insert(s, g);
}

enum err
segments_open(struct segments *s, const char *dir, bool is_readonly, const struct fault *f)
{
	DIR *d = opendir(dir);
	const struct dirent *entry;

	if (d == NULL)
		return fault_set(f, E_IO, "%s: %s", dir, strerror(errno));
	*s = (struct segments){.is_readonly = is_readonly};
	CHK((size_t)snprintf(s->dir, sizeof(s->dir), "%s", dir) < sizeof(s->dir));
	CHK(pthread_mutex_init(&s->lock, NULL) == 0);
	list_init(&s->all);
	while ((entry = readdir(d)) != NULL)
		take_up(s, entry->d_name);
	(void)closedir(d);
	return E_OK;
}

static void
free_segment(struct segment *g)
{
	for (int i = 0; i < SEGMENT_PARTS; i++) {
		CHK(g->file[i].users == 0);
		env_close(&g->file[i].env);
	}
	free(g);
}

void
segments_close(struct segments *s)
{
	LIST_EACH(node, &s->all) {
		list_remove(node);
		free_segment(CONTAINER_OF(node, struct segment, node));
	}
	(void)pthread_mutex_destroy(&s->lock);
}

uint64_t
segments_bytes(struct segments *s)
{
	uint64_t sum = 0;

	(void)pthread_mutex_lock(&s->lock);
	LIST_EACH(node, &s->all)
		sum += CONTAINER_OF(node, struct segment, node)->bytes;
	(void)pthread_mutex_unlock(&s->lock);
	return sum;
}

/* ---- pins ---- */

static struct segment *
pin(struct segment *g)
{
	g->refs++;
	return g;
}

static void
unpin(struct segment *g)
{
	CHK(g->refs > 0);
	if (--g->refs == 0 && g->is_dropped)
		free_segment(g);
}

static size_t
count_day(const struct segments *s, int32_t at_most, int32_t *day)
{
	size_t n = 0;

	LIST_EACH(node, &s->all) {
		const struct segment *g = CONTAINER_OF(node, struct segment, node);

		if (g->day > at_most || (n > 0 && g->day != *day))
			continue;
		*day = g->day;
		n++;
	}
	return n;
}

size_t
segments_pin(struct segments *s, int32_t at_most, struct segment ***out)
{
	int32_t day = 0;
	size_t n, i = 0;

	(void)pthread_mutex_lock(&s->lock);
	n = count_day(s, at_most, &day);
	*out = n == 0 ? NULL : xcalloc(n, sizeof(**out));
	LIST_EACH(node, &s->all) {
		struct segment *g = CONTAINER_OF(node, struct segment, node);

		if (i < n && g->day == day)
			(*out)[i++] = pin(g);
	}
	(void)pthread_mutex_unlock(&s->lock);
	return n;
}

size_t
segments_pin_all(struct segments *s, struct segment ***out)
{
	size_t n = 0, i;

	(void)pthread_mutex_lock(&s->lock);
	LIST_EACH(node, &s->all)
		n++;
	*out = n == 0 ? NULL : xcalloc(n, sizeof(**out));
	i = n;
	LIST_EACH(node, &s->all)
		(*out)[--i] = pin(CONTAINER_OF(node, struct segment, node));
	(void)pthread_mutex_unlock(&s->lock);
	return n;
}

void
segments_unpin(struct segments *s, struct segment **v, size_t n)
{
	(void)pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < n; i++)
		unpin(v[i]);
	(void)pthread_mutex_unlock(&s->lock);
	free(v);
}

/* ---- reading ---- */

static enum err
open_frozen(struct segments *s, struct segment *g, enum segment_part part)
{
	const struct env_options o = {
	    .dbis = part == PART_ROWS ? rows_dbis : payload_dbis,
	    .n_dbis = part == PART_ROWS ? COUNT_OF(rows_dbis) : COUNT_OF(payload_dbis),
	    .is_frozen = true,
	    .is_readonly = s->is_readonly,
	};
	struct segment_file *file = &g->file[part];
	char path[FILE_PATH_SIZE];
	enum err e;

	segment_file_path(s, g, part, path);
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

static int
edge(MDB_txn *txn, MDB_dbi dbi, MDB_cursor_op op, struct id *out)
{
	MDB_cursor *c;
	MDB_val key, value;
	int rc = mdb_cursor_open(txn, dbi, &c);

	if (rc != 0)
		return rc;
	rc = mdb_cursor_get(c, &key, &value, op);
	if (rc == 0 && key.mv_size != sizeof(*out))
		rc = MDB_CORRUPTED;
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
		rc = edge(txn, dbi, MDB_FIRST, &out->first);
	if (rc == 0)
		rc = edge(txn, dbi, MDB_LAST, &out->last);
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

/* ---- the writer's ---- */

static int
open_writable(struct segments *s, struct segment *g, enum segment_part part, struct env *out)
{
	const struct env_options o = {
	    .dbis = part == PART_ROWS ? rows_dbis : payload_dbis,
	    .n_dbis = part == PART_ROWS ? COUNT_OF(rows_dbis) : COUNT_OF(payload_dbis),
	    .map_size = s->segment_size * 4 > MAP_MIN ? s->segment_size * 4 : MAP_MIN,
	};
	char path[FILE_PATH_SIZE];

	enum err e;

	segment_file_path(s, g, part, path);
	e = env_open(path, &o, out);
	if (e == E_OK)
		return 0;
	return e == E_FULL ? ENOSPC : EIO;
}

static void
unlink_part(struct segments *s, const struct segment *g, enum segment_part part)
{
	char path[FILE_PATH_SIZE], lock[FILE_PATH_SIZE];

	segment_file_path(s, g, part, path);
	CHK((size_t)snprintf(lock, sizeof(lock), "%s-lock", path) < sizeof(lock));
	(void)unlink(path);
	(void)unlink(lock);
}

static void
unlink_segment(struct segments *s, const struct segment *g)
{
	char dir[FILE_PATH_SIZE];

	unlink_part(s, g, PART_ROWS);
	unlink_part(s, g, PART_PAYLOADS);
	segment_dir(s, g, dir);
	(void)rmdir(dir);
}

static uint32_t
next_number(struct segments *s, int32_t day)
{
	uint32_t next = 1;

	(void)pthread_mutex_lock(&s->lock);
	LIST_EACH(node, &s->all) {
		const struct segment *g = CONTAINER_OF(node, struct segment, node);

		if (g->day == day && g->number >= next)
			next = g->number + 1;
	}
	(void)pthread_mutex_unlock(&s->lock);
	return next;
}

/* The names must outlive a power loss as the rows do. */
static int
make_on_disk(struct segments *s, struct segment *g)
{
	char dir[FILE_PATH_SIZE];
	int rc;

	segment_dir(s, g, dir);
	if (mkdir(dir, 0700) != 0)
		return errno;
	rc = open_writable(s, g, PART_ROWS, &g->file[PART_ROWS].env);
	if (rc == 0 && (file_sync_dir(dir) != E_OK || file_sync_dir(s->dir) != E_OK)) {
		rc = errno;
		env_close(&g->file[PART_ROWS].env);
	}
	if (rc != 0)
		unlink_segment(s, g);
	return rc;
}

int
segment_make(struct segments *s, int32_t day, struct segment **out)
{
	struct segment *g = xcalloc(1, sizeof(*g));
	int rc;

	CHK(!s->is_readonly);
	g->day = day;
	g->number = next_number(s, day);
	g->is_writable = g->is_known = true;
	g->made_ms = clock_wall_ms();
	g->refs = 1;
	rc = make_on_disk(s, g);
	if (rc != 0) {
		free(g);
		return rc;
	}
	(void)pthread_mutex_lock(&s->lock);
	measure(s, g);
	insert(s, g);
	(void)pthread_mutex_unlock(&s->lock);
	*out = g;
	return 0;
}

int
segment_add_payloads(struct segments *s, struct segment *g)
{
	char dir[FILE_PATH_SIZE];
	struct env env;
	int rc;

	CHK(g->is_writable);
	if (g->file[PART_PAYLOADS].env.mdb != NULL)
		return 0;
	rc = open_writable(s, g, PART_PAYLOADS, &env);
	if (rc != 0) {
		unlink_part(s, g, PART_PAYLOADS);
		return rc;
	}
	segment_dir(s, g, dir);
	if (file_sync_dir(dir) != E_OK) {
		rc = errno;
		env_close(&env);
		unlink_part(s, g, PART_PAYLOADS);
		return rc;
	}
	(void)pthread_mutex_lock(&s->lock);
	g->file[PART_PAYLOADS].env = env;
	(void)pthread_mutex_unlock(&s->lock);
	return 0;
}

void
segment_freeze(struct segments *s, struct segment *g)
{
	(void)pthread_mutex_lock(&s->lock);
	g->is_writable = false;
	for (int i = 0; i < SEGMENT_PARTS; i++) {
		/* A write environment holds two megabytes more than a reading one needs. */
		if (g->file[i].users == 0)
			env_close(&g->file[i].env);
	}
	unpin(g);
	(void)pthread_mutex_unlock(&s->lock);
}

void
segment_drop_payloads(struct segments *s, struct segment *g)
{
	struct segment_file *file = &g->file[PART_PAYLOADS];

	(void)pthread_mutex_lock(&s->lock);
	CHK(!g->is_writable);
	if (!file->is_absent) {
		unlink_part(s, g, PART_PAYLOADS);
		file->is_absent = true;
		if (file->users == 0 && file->env.mdb != NULL) {
			s->idle_open--;
			env_close(&file->env);
		}
		measure(s, g);
	}
	(void)pthread_mutex_unlock(&s->lock);
}

void
segment_drop(struct segments *s, struct segment *g)
{
	(void)pthread_mutex_lock(&s->lock);
	CHK(!g->is_writable);
	if (!g->is_dropped) {
		unlink_segment(s, g);
		list_remove(&g->node);
		g->is_dropped = true;
		for (int i = 0; i < SEGMENT_PARTS; i++) {
			g->file[i].is_absent = true;
			if (g->file[i].users == 0 && g->file[i].env.mdb != NULL) {
				s->idle_open--;
				env_close(&g->file[i].env);
			}
		}
		if (g->refs == 0)
			free_segment(g);
	}
	(void)pthread_mutex_unlock(&s->lock);
}
