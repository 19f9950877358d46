#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/num.h"
#include "obs/metric.h"
#include "store/segment_int.h"

#define NAME_SIZE 48

static const char *const file_names[SEGMENT_PARTS] = {
    [PART_ROWS] = "rows.mdb", [PART_PAYLOADS] = "payloads.mdb"};

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
	(void)snprintf(out, NAME_SIZE, "%04d%02d%02d-%u", tm.tm_year + 1900, tm.tm_mon + 1,
	    tm.tm_mday, g->number);
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

void
segment_dir(const struct segments *s, const struct segment *g, char out[FILE_PATH_SIZE])
{
	char name[NAME_SIZE];

	segment_name(g, name);
	file_path(out, s->dir, name);
}

void
segment_path(const struct segments *s, const struct segment *g, enum segment_part part,
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

void
segments_insert(struct segments *s, struct segment *g)
{
	struct list *at = &s->all;

	while (at->next != &s->all && is_newer(CONTAINER_OF(at->next, struct segment, node), g))
		at = at->next;
	list_insert(at, &g->node);
}

void
segment_measure_locked(const struct segments *s, struct segment *g)
{
	char path[FILE_PATH_SIZE], lock[FILE_PATH_SIZE];

	segment_dir(s, g, path);
	g->bytes = file_disk_bytes(path);
	for (int i = 0; i < SEGMENT_PARTS; i++) {
		uint64_t bytes;

		segment_path(s, g, (enum segment_part)i, path);
		CHK((size_t)snprintf(lock, sizeof(lock), "%s-lock", path) < sizeof(lock));
		bytes = file_disk_bytes(path) + file_disk_bytes(lock);
		g->bytes += bytes;
		if (i == PART_PAYLOADS)
			g->payload_bytes = bytes;
	}
}

void
segment_measure(struct segments *s, struct segment *g)
{
	(void)pthread_mutex_lock(&s->lock);
	segment_measure_locked(s, g);
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
	segment_measure_locked(s, g);
	segments_insert(s, g);
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

void
segment_free(struct segment *g)
{
	for (int i = 0; i < SEGMENT_PARTS; i++) {
		CHK(g->file[i].users == 0);
		segment_close_file(&g->file[i]);
		metric_sub(M_LOG_DAMAGED, g->file[i].is_damaged);
	}
	free(g);
}

void
segments_close(struct segments *s)
{
	LIST_EACH(node, &s->all)
	{
		list_remove(node);
		segment_free(CONTAINER_OF(node, struct segment, node));
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

uint64_t
segments_payload_bytes(struct segments *s)
{
	uint64_t sum = 0;

	(void)pthread_mutex_lock(&s->lock);
	LIST_EACH(node, &s->all)
	sum += CONTAINER_OF(node, struct segment, node)->payload_bytes;
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

void
segment_unpin(struct segment *g)
{
	CHK(g->refs > 0);
	if (--g->refs == 0 && g->is_dropped)
		segment_free(g);
}

static size_t
count_day(const struct segments *s, int32_t at_most, int32_t *day)
{
	size_t n = 0;

	LIST_EACH(node, &s->all)
	{
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
	LIST_EACH(node, &s->all)
	{
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

	*out = NULL;
	(void)pthread_mutex_lock(&s->lock);
	LIST_EACH(node, &s->all)
	n++;
	if (n > 0)
		*out = xcalloc(n, sizeof(**out));
	i = n;
	LIST_EACH(node, &s->all)
	{
		CHK(i > 0 && *out != NULL);
		(*out)[--i] = pin(CONTAINER_OF(node, struct segment, node));
	}
	(void)pthread_mutex_unlock(&s->lock);
	return n;
}

void
segments_unpin(struct segments *s, struct segment **v, size_t n)
{
	(void)pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < n; i++)
		segment_unpin(v[i]);
	(void)pthread_mutex_unlock(&s->lock);
	free(v);
}
