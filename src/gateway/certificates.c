#include "gateway/certificates.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "config/config.h"
#include "net/listener.h"
#include "net/loop.h"
#include "obs/log.h"
#include "obs/metric.h"
#include "tls/context.h"
#include "tls/server.h"

#define LOOK_MS 1000
#define DAY_S (24 * 3600)
#define DETAIL_SIZE 512

/* What tells one state of a file from the next; all zero while it is not there. */
struct stamp {
	int64_t s, ns, size;
	uint64_t inode, device;
};

/* Of one listener. */
struct shown {
	struct listener *listener;
	struct tls_ctx *tls;
	struct config *config; /* says where the files are */
	size_t item;
	size_t n_files;
	struct stamp *read; /* as they were when they were last read, well or not */
	struct stamp *seen; /* at the last look */
	unsigned *told;     /* of each certificate of tls: how many of the warnings about its end */
};

struct certificates {
	struct loop *loop;
	struct timer timer;
	struct look *look; /* under way */
	struct shown *list;
	size_t n;
};

/* The files of all listeners, as a worker finds them: a file system may be slow to answer. */
struct look {
	struct certificates *owner; /* NULL: nobody wants it any more */
	char **files;
	struct stamp *stamps;
	size_t n;
};

static const struct config_listen *
item_of(const struct shown *s)
{
	return &s->config->listen[s->item];
}

/* ---- files ---- */

static size_t
count_files(const struct config_listen *l)
{
	return 2 * l->n_tls + (l->client_ca != NULL ? 1 : 0);
}

static const char *
file_at(const struct config_listen *l, size_t i)
{
	if (i == 2 * l->n_tls)
		return l->client_ca;
	return i % 2 == 0 ? l->tls[i / 2].certificate : l->tls[i / 2].key;
}

static struct stamp
stamp_of(const char *file)
{
	struct stat st;
	struct stamp out = {0};

	if (stat(file, &st) == 0)
		out = (struct stamp){.s = st.st_mtim.tv_sec,
		    .ns = st.st_mtim.tv_nsec,
		    .size = st.st_size,
		    .inode = st.st_ino,
		    .device = st.st_dev};
	return out;
}

/* Before they are read: what changes in between is seen by the next look. */
static void
note_files(struct shown *s)
{
	const struct config_listen *l = item_of(s);

	free(s->read);
	free(s->seen);
	s->n_files = count_files(l);
	s->read = xcalloc(s->n_files, sizeof(*s->read));
	s->seen = xcalloc(s->n_files, sizeof(*s->seen));
	for (size_t i = 0; i < s->n_files; i++)
		s->read[i] = s->seen[i] = stamp_of(file_at(l, i));
}

/* ---- how long they last ---- */

static void
tell_end(const char *file, int64_t until_s, int64_t left_s)
{
	char date[CLOCK_RFC3339_SIZE];

	clock_rfc3339(until_s * 1000, date);
	if (left_s <= 0)
		log_line(LOG_ERROR, "certificate %s: it expired on %.10s", file, date);
	else if (left_s < DAY_S)
		log_line(LOG_WARN, "certificate %s: it expires within a day, at %s", file, date);
	else
		log_line(LOG_WARN, "certificate %s: it expires in %d days, on %.10s", file,
		    (int)(left_s / DAY_S), date);
}

/* Says so with 30, 7 and 1 days left and at the end, each once. */
static void
warn_of_end(const struct tls_server_certificate *c, int64_t left_s, unsigned *told)
{
	static const int days[] = {30, 7, 1, 0};
	unsigned due = 0;

	while (due < COUNT_OF(days) && left_s <= (int64_t)days[due] * DAY_S)
		due++;
	if (due > *told)
		tell_end(c->file, c->until_s, left_s);
	*told = due;
}

static void
note_ends(struct certificates *cs)
{
	int64_t now_s = clock_wall_ms() / 1000, least_s = INT64_MAX;
	size_t count = 0;

	for (size_t i = 0; i < cs->n; i++) {
		const struct shown *s = &cs->list[i];

		for (size_t k = 0; k < tls_server_count(s->tls); k++, count++) {
			struct tls_server_certificate c = tls_server_certificate(s->tls, k);

			warn_of_end(&c, c.until_s - now_s, &s->told[k]);
			if (c.until_s - now_s < least_s)
				least_s = c.until_s - now_s;
		}
	}
	metric_set(M_CERTIFICATES, count);
	metric_set(M_CERTIFICATE_EXPIRES, count == 0 || least_s < 0 ? 0 : (uint64_t)least_s);
}

/* ---- loading ---- */

static void
show(struct shown *s, struct tls_ctx *tls)
{
	size_t n = tls_server_count(tls), before = s->tls == NULL ? 0 : tls_server_count(s->tls);
	unsigned *told = xcalloc(n, sizeof(*told));

	for (size_t i = 0; i < n && i < before; i++)
		if (!tls_server_certificate(tls, i).is_new)
			told[i] = s->told[i];
	free(s->told);
	s->told = told;
	tls_ctx_unref(s->tls);
	s->tls = tls;
}

static void
say_renewed(const struct shown *s)
{
	char date[CLOCK_RFC3339_SIZE];

	for (size_t i = 0; i < tls_server_count(s->tls); i++) {
		struct tls_server_certificate c = tls_server_certificate(s->tls, i);

		clock_rfc3339(c.until_s * 1000, date);
		if (c.is_new)
			log_line(LOG_INFO, "certificate %s: a new one is shown, valid until %.10s",
			    c.file, date);
	}
}

static void
load_anew(struct shown *s)
{
	char detail[DETAIL_SIZE];
	struct tls_ctx *tls;

	note_files(s);
	tls = tls_server_new(item_of(s), s->tls, detail, sizeof(detail));
	metric_add(tls == NULL ? M_CERTIFICATES_FAILED : M_CERTIFICATES_READ, 1);
	if (tls == NULL) {
		log_line(LOG_ERROR, "certificates of %s: %s; the old ones stay",
		    item_of(s)->address, detail);
		return;
	}
	show(s, tls);
	listener_set_tls(s->listener, tls);
	say_renewed(s);
}

/* ---- watching ---- */

static void
look_free(struct look *look)
{
	for (size_t i = 0; i < look->n; i++)
		free(look->files[i]);
	free(look->files);
	free(look->stamps);
	free(look);
}

static void
run_look(void *ctx)
{
	struct look *look = ctx;

	for (size_t i = 0; i < look->n; i++)
		look->stamps[i] = stamp_of(look->files[i]);
}

/* Two files are not written at once, nor one in an instant: they are read when nothing moves. */
static void
compare(struct shown *s, const struct stamp *now)
{
	size_t size = s->n_files * sizeof(*now);
	bool stands = memcmp(s->seen, now, size) == 0;

	memcpy(s->seen, now, size);
	if (stands && memcmp(s->read, now, size) != 0)
		load_anew(s);
}

static void start_look(void *ctx);

static void
on_looked(void *ctx)
{
	struct look *look = ctx;
	struct certificates *cs = look->owner;
	const struct stamp *now = look->stamps;

	for (size_t i = 0; cs != NULL && i < cs->n; i++) {
		size_t n = cs->list[i].n_files;

		compare(&cs->list[i], now);
		now += n;
	}
	look_free(look);
	if (cs == NULL)
		return;
	cs->look = NULL;
	note_ends(cs);
	timer_start(cs->loop, &cs->timer, LOOK_MS, start_look, cs);
}

static void
add_files(struct look *look, const struct shown *s)
{
	for (size_t i = 0; i < s->n_files; i++)
		look->files[look->n++] = xstrdup(file_at(item_of(s), i));
}

static void
start_look(void *ctx)
{
	struct certificates *cs = ctx;
	size_t n = 0;

	for (size_t i = 0; i < cs->n; i++)
		n += cs->list[i].n_files;
	cs->look = xcalloc(1, sizeof(*cs->look));
	cs->look->owner = cs;
	cs->look->files = xcalloc(n, sizeof(*cs->look->files));
	cs->look->stamps = xcalloc(n, sizeof(*cs->look->stamps));
	for (size_t i = 0; i < cs->n; i++)
		add_files(cs->look, &cs->list[i]);
	work_start(cs->loop, run_look, on_looked, cs->look);
}

static void
forget_look(struct certificates *cs)
{
	if (cs->look != NULL)
		cs->look->owner = NULL;
	cs->look = NULL;
}

/* ---- life ---- */

struct certificates *
certificates_new(struct loop *l)
{
	struct certificates *cs = xcalloc(1, sizeof(*cs));

	cs->loop = l;
	return cs;
}

struct tls_ctx *
certificates_load(
    struct certificates *cs, struct config *config, size_t item, char *detail, size_t detail_size)
{
	struct shown *s;
	struct tls_ctx *tls;

	cs->list = xrealloc(cs->list, (cs->n + 1) * sizeof(*cs->list));
	s = &cs->list[cs->n];
	*s = (struct shown){.config = config, .item = item};
	note_files(s);
	tls = tls_server_new(item_of(s), NULL, detail, detail_size);
	if (tls == NULL) {
		free(s->read);
		free(s->seen);
		return NULL;
	}
	config_ref(config);
	show(s, tls);
	cs->n++;
	return tls;
}

void
certificates_shown_by(struct certificates *cs, struct listener *l)
{
	cs->list[cs->n - 1].listener = l;
}

void
certificates_watch(struct certificates *cs)
{
	note_ends(cs);
	if (cs->n > 0)
		timer_start(cs->loop, &cs->timer, LOOK_MS, start_look, cs);
}

/* Of several items with the same address, which is one with port 0, the first is the first. */
static const struct config_listen *
find_item(const struct config *c, const struct shown *s)
{
	const char *address = item_of(s)->address;
	size_t before = 0;

	for (size_t i = 0; i < s->item; i++)
		before += strcmp(s->config->listen[i].address, address) == 0 ? 1 : 0;
	for (size_t i = 0; i < c->n_listen; i++)
		if (strcmp(c->listen[i].address, address) == 0 && before-- == 0)
			return c->listen[i].tls == NULL ? NULL : &c->listen[i];
	return NULL;
}

void
certificates_reload(struct certificates *cs, struct config *config)
{
	forget_look(cs);
	for (size_t i = 0; i < cs->n; i++) {
		struct shown *s = &cs->list[i];
		const struct config_listen *l = find_item(config, s);

		if (l == NULL) /* gone, or plain now: that waits for a restart */
			continue;
		s->item = (size_t)(l - config->listen);
		config_ref(config);
		config_unref(s->config);
		s->config = config;
		load_anew(s);
	}
	certificates_watch(cs);
}

void
certificates_free(struct certificates *cs)
{
	if (cs == NULL)
		return;
	forget_look(cs);
	timer_stop(cs->loop, &cs->timer);
	for (size_t i = 0; i < cs->n; i++) {
		struct shown *s = &cs->list[i];

		tls_ctx_unref(s->tls);
		config_unref(s->config);
		free(s->read);
		free(s->seen);
		free(s->told);
	}
	free(cs->list);
	free(cs);
}
