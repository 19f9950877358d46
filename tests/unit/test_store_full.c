#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <sched.h>
#include <stdbool.h>
#include <sys/mount.h>

#include "crypto/crypto.h"
#include "obs/metric.h"
#include "store/index_int.h"
#include "store_cache.h"
#include "store_log.h"

/* A file system of a few megabytes that only this process sees. */
static bool has_tmpfs;

static void
need_tmpfs(void)
{
	if (has_tmpfs)
		return;
	print_message("no right to mount a small tmpfs here: skipped\n");
	skip();
}

static void
mount_small(const struct store_dir *d, const char *options)
{
	assert_int_equal(mkdir(d->data, 0700), 0);
	assert_int_equal(mount("tmpfs", d->data, "tmpfs", 0, options), 0);
}

static void
unmount(const struct store_dir *d)
{
	assert_int_equal(umount2(d->data, MNT_DETACH), 0);
}

/* Fills the disk but for less than a page. */
static void
fill_disk(const struct store_dir *d)
{
	static const char zeros[4096];
	int fd =
	    open(store_dir_path(d, "ballast"), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	while (write(fd, zeros, sizeof(zeros)) > 0)
		continue;
	assert_int_equal(errno, ENOSPC);
	(void)close(fd);
}

static void
empty_disk(const struct store_dir *d)
{
	assert_int_equal(unlink(store_dir_path(d, "ballast")), 0);
}

static void
a_full_disk_stops_the_log_and_nothing_else(void **state)
{
	struct logs l = {.o = {.queue_size = 1 << 20}};
	uint64_t lost = metric_get(M_LOG_LOST), payloads = metric_get(M_LOG_PAYLOADS_LOST);
	uint32_t n = 0, kept = 0, payloads_first;

	(void)state;
	need_tmpfs();
	store_dir_make(&l.dir);
	mount_small(&l.dir, "size=8m,mode=0700");
	logs_open(&l);
	for (; n < 200; n++)
		log_append(&l, log_id(LOG_NOW + n, n), 300, 100, -1);
	log_settle(&l);
	assert_false(records_is_failing(l.r));

	fill_disk(&l.dir);
	for (; !records_is_failing(l.r); n++) {
		log_append(&l, log_id(LOG_NOW + n, n), 300, -1, -1);
		/* a writer who gets no processor may not make the queue overflow yet */
		STORE_WAIT_UNTIL(
		    log_stats(&l).queued_bytes < l.o.queue_size / 2 || records_is_failing(l.r));
	}
	assert_int_equal(metric_get(M_LOG_FAILING), 1);
	for (uint32_t i = 0; i < n; i++)
		assert_true(log_has(
		    &l, log_id(LOG_NOW + i, i), 300)); /* the queue has what the disk has not */
	assert_int_equal(metric_get(M_LOG_LOST), lost);

	/* payloads are given up first, records last */
	for (; metric_get(M_LOG_PAYLOADS_LOST) == payloads; n++)
		log_append(&l, log_id(LOG_NOW + n, n), 300, 5000, -1);
	assert_int_equal(metric_get(M_LOG_LOST), lost);
	payloads_first = n;
	for (; metric_get(M_LOG_LOST) == lost; n++)
		log_append(&l, log_id(LOG_NOW + n, n), 300, 5000, -1);
	assert_true(n > payloads_first + 200);
	for (int i = 0; i < 10; i++, n++)
		log_append(&l, log_id(LOG_NOW + n, n), 300, -1, -1);
	kept = n - 11;
	assert_int_equal(log_stats(&l).lost, 11);
	assert_int_equal(metric_get(M_LOG_LOST), lost + 11);
	assert_int_equal(log_count(&l), kept > 5000 ? 5000 : kept);

	/* ... and it goes on by itself */
	empty_disk(&l.dir);
	STORE_WAIT_UNTIL(!records_is_failing(l.r));
	assert_int_equal(metric_get(M_LOG_FAILING), 0);
	log_settle(&l);
	log_append(&l, log_id(LOG_NOW + n, n), 300, 100, -1);
	assert_true(log_has_payload(&l, log_id(LOG_NOW + n, n), RECORD_REQUEST, 100));
	for (uint32_t i = 0; i < kept; i++)
		assert_true(log_has(&l, log_id(LOG_NOW + i, i), 300));
	logs_reopen(&l);
	assert_int_equal(log_count(&l), kept + 1);
	logs_close(&l);
	unmount(&l.dir);
	store_dir_remove(&l.dir);
}

/* Stopped and started again while it is full: what stands in the queue waits there. */
static void
a_full_disk_at_the_start_is_survived(void **state)
{
	struct logs l = {.o = {.queue_size = 1 << 20}};

	(void)state;
	need_tmpfs();
	store_dir_make(&l.dir);
	mount_small(&l.dir, "size=4m,mode=0700");
	logs_open(&l);
	fill_disk(&l.dir);
	for (uint32_t i = 0; i < 100; i++)
		log_append(&l, log_id(LOG_NOW, i), 300, -1, -1);
	records_close(l.r);
	assert_int_equal(records_open(&l.data, &l.o, &l.r, l.detail, sizeof(l.detail)), E_OK);
	assert_int_equal(log_count(&l), 100);
	log_append(&l, log_id(LOG_NOW, 100), 300, -1, -1);
	STORE_WAIT_UNTIL(records_is_failing(l.r));
	assert_int_equal(log_count(&l), 101);
	empty_disk(&l.dir);
	STORE_WAIT_UNTIL(!records_is_failing(l.r));
	log_settle(&l);
	assert_int_equal(log_count(&l), 101);
	logs_close(&l);
	unmount(&l.dir);
	store_dir_remove(&l.dir);
}

static void
no_room_for_the_queue_is_said_at_the_start(void **state)
{
	struct logs l = {.o = {.queue_size = 8 << 20}};

	(void)state;
	need_tmpfs();
	store_dir_make(&l.dir);
	mount_small(&l.dir, "size=4m,mode=0700");
	assert_int_equal(datadir_open(l.dir.data, &l.data, l.detail, sizeof(l.detail)), E_OK);
	assert_int_equal(records_open(&l.data, &l.o, &l.r, l.detail, sizeof(l.detail)), E_FULL);
	assert_non_null(strstr(l.detail, "log/queue"));
	assert_non_null(strstr(l.detail, "No space left"));
	datadir_close(&l.data);
	unmount(&l.dir);
	store_dir_remove(&l.dir);
}

/* The cache is promised more than the disk has. */
static void
a_full_disk_costs_the_cache_entries_and_nothing_else(void **state)
{
	struct cache c = {.max_size = 64 << 20};
	unsigned hits = 0;

	(void)state;
	need_tmpfs();
	store_dir_make(&c.dir);
	mount_small(&c.dir, "size=6m,mode=0700");
	cache_open(&c);
	for (unsigned i = 0; i < 4000; i++) {
		struct sample s = {.number = i, .preimage = 500, .body = i % 20 ? 3000 : 150000};

		(void)sample_put(&c, &s);
		if (i % 10 == 0)
			cache_settle(&c);
		(void)sample_hits(&c, &s); /* whole or not at all */
	}
	cache_settle(&c);
	for (unsigned i = 0; i < 4000; i++) {
		struct sample s = {.number = i, .preimage = 500, .body = i % 20 ? 3000 : 150000};

		hits += sample_hits(&c, &s);
	}
	assert_int_equal(cache_stats(&c).entries, hits);
	assert_true(hits > 100); /* it makes room among its own */
	cache_reopen(&c);
	cache_settle(&c);
	assert_int_equal(cache_stats(&c).entries, hits);
	cache_close(&c);
	unmount(&c.dir);
	store_dir_remove(&c.dir);
}

/* It does not grow, and goes on with what it has. */
static void
a_full_disk_keeps_the_index_small(void **state)
{
	struct store_dir dir;
	char path[FILE_PATH_SIZE], text[512];
	const struct fault f = {text, sizeof(text)};
	struct index x;
	uint64_t slots;

	(void)state;
	need_tmpfs();
	store_dir_make(&dir);
	mount_small(&dir, "size=256k,mode=0700");
	file_path(path, dir.data, "index");
	assert_int_equal(index_open(path, 1 << 20, &x, &f), E_OK);
	for (uint64_t i = 1; i <= 100000; i++) {
		index_fit(&x, i);
		index_put(&x, i * UINT64_C(0x9e3779b97f4a7c15) >> 7, i);
		assert_int_equal(index_find(&x, i * UINT64_C(0x9e3779b97f4a7c15) >> 7), i);
	}
	slots = index_slots(&x);
	assert_true(slots >= 4096 && slots * 16 < 256 << 10);
	index_close(&x);
	fill_disk(&dir);
	assert_int_equal(unlink(path), 0);
	fill_disk(&dir);
	assert_int_equal(index_open(path, 1 << 20, &x, &f), E_FULL);
	assert_non_null(strstr(text, "index"));
	unmount(&dir);
	store_dir_remove(&dir);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_full_disk_stops_the_log_and_nothing_else),
	    cmocka_unit_test(a_full_disk_at_the_start_is_survived),
	    cmocka_unit_test(no_room_for_the_queue_is_said_at_the_start),
	    cmocka_unit_test(a_full_disk_costs_the_cache_entries_and_nothing_else),
	    cmocka_unit_test(a_full_disk_keeps_the_index_small),
	};

	if (!crypto_init())
		return 1;
	has_tmpfs =
	    unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
