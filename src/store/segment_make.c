#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "store/segment_int.h"

#define MAP_MIN (UINT64_C(64) << 20)

static int
open_writable(struct segments *s, struct segment *g, enum segment_part part, struct env *out)
{
	struct env_options o = segment_env_options(part);
	char path[FILE_PATH_SIZE];
	enum err e;

	o.map_size = s->segment_size * 4 > MAP_MIN ? s->segment_size * 4 : MAP_MIN;
	segment_path(s, g, part, path);
	e = env_open(path, &o, out);
	if (e == E_OK)
		return 0;
	return e == E_FULL ? ENOSPC : EIO;
}

static void
unlink_part(struct segments *s, const struct segment *g, enum segment_part part)
{
	char path[FILE_PATH_SIZE], lock[FILE_PATH_SIZE];

	segment_path(s, g, part, path);
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
	LIST_EACH(node, &s->all)
	{
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
	segment_measure_locked(s, g);
	segments_insert(s, g);
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
			segment_close_file(&g->file[i]);
	}
	segment_unpin(g);
	(void)pthread_mutex_unlock(&s->lock);
}

/* With the lock held: nobody comes in any more, who is in stays. */
static void
forbid(struct segments *s, struct segment_file *file)
{
	file->is_absent = true;
	if (file->users == 0 && file->tree != NULL) {
		s->idle_open--;
		segment_close_file(file);
	}
}

/* Unlinking a large file takes its time: that is not done under the lock. */
void
segment_drop_payloads(struct segments *s, struct segment *g)
{
	(void)pthread_mutex_lock(&s->lock);
	CHK(!g->is_writable);
	forbid(s, &g->file[PART_PAYLOADS]);
	(void)pthread_mutex_unlock(&s->lock);
	unlink_part(s, g, PART_PAYLOADS);
	segment_measure(s, g);
}

void
segment_drop(struct segments *s, struct segment *g)
{
	bool was_there;

	(void)pthread_mutex_lock(&s->lock);
	CHK(!g->is_writable);
	was_there = !g->is_dropped;
	if (was_there) {
		g->refs++; /* until it is unlinked */
		list_remove(&g->node);
		g->is_dropped = true;
		for (int i = 0; i < SEGMENT_PARTS; i++)
			forbid(s, &g->file[i]);
	}
	(void)pthread_mutex_unlock(&s->lock);
	if (!was_there)
		return;
	unlink_segment(s, g);
	(void)pthread_mutex_lock(&s->lock);
	segment_unpin(g);
	(void)pthread_mutex_unlock(&s->lock);
}
