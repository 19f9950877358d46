/*
 * Damaged files of the log: cut, zeroed, overwritten. What can still be read is right; what cannot
 * is left out; nothing ends the process.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdbool.h>

#include "crypto/crypto.h"
#include "obs/metric.h"
#include "store/page_int.h"
#include "store/tree_int.h"
#include "store_log.h"

#define PAGE 4096
#define OLD 400 /* records of the day that is damaged */
#define NEW 20  /* of the day after */

static const char *const parts[] = {"log/20241004-1/rows.mdb", "log/20241004-1/payloads.mdb"};

static uint32_t dice;

static uint32_t
roll(uint32_t sides)
{
	dice = dice * 1664525 + 1013904223;
	return (uint32_t)((uint64_t)(dice >> 8) * sides >> 24);
}

static struct id
old_id(uint32_t i)
{
	return log_id(LOG_NOW + i, i);
}

static struct id
new_id(uint32_t i)
{
	return log_id(LOG_NOW + LOG_DAY + i, i);
}

/* Small rows and large ones, bodies of one piece and of several. */
static size_t
row_size(uint32_t i)
{
	return i % 20 == 0 ? 9000 : 300;
}

static long
body_size(uint32_t i)
{
	return i % 50 == 0 ? 600000 : 700;
}

/* Two days, the older with trees of several levels, closed; the files as they are. */
struct damage {
	struct logs l;
	char *whole[2];
	size_t size[2];
};

static void
slurp(const char *path, char **out, size_t *n)
{
	struct stat st;
	FILE *f = fopen(path, "re");

	assert_non_null(f);
	assert_int_equal(fstat(fileno(f), &st), 0);
	*n = (size_t)st.st_size;
	*out = malloc(*n);
	assert_int_equal(fread(*out, 1, *n, f), *n);
	(void)fclose(f);
}

static void
put_back(struct damage *d, int part)
{
	FILE *f = fopen(store_dir_path(&d->l.dir, parts[part]), "we");

	assert_non_null(f);
	assert_int_equal(fwrite(d->whole[part], 1, d->size[part], f), d->size[part]);
	assert_int_equal(fclose(f), 0);
}

static int
damage_set_up(void **state)
{
	struct damage *d = calloc(1, sizeof(*d));

	assert_non_null(d);
	store_dir_make(&d->l.dir);
	d->l.o = (struct records_options){.queue_size = 32 << 20};
	logs_open(&d->l);
	for (uint32_t i = 0; i < OLD; i++)
		log_append(&d->l, old_id(i), row_size(i), body_size(i), -1);
	for (uint32_t i = 0; i < NEW; i++)
		log_append(&d->l, new_id(i), 300, 700, -1);
	log_settle(&d->l);
	logs_close(&d->l);
	for (int i = 0; i < 2; i++)
		slurp(store_dir_path(&d->l.dir, parts[i]), &d->whole[i], &d->size[i]);
	*state = d;
	return 0;
}

static int
damage_tear_down(void **state)
{
	struct damage *d = *state;

	store_dir_remove(&d->l.dir);
	free(d->whole[0]);
	free(d->whole[1]);
	free(d);
	return 0;
}

/* Of the older day; log_scan and log_has check that what is said is right. */
struct left {
	size_t rows, found, bodies;
};

static struct left
look(struct logs *l)
{
	struct left left = {.rows = log_count(l) - NEW};

	for (uint32_t i = 0; i < NEW; i++) {
		assert_true(log_has(l, new_id(i), 300));
		assert_true(log_has_payload(l, new_id(i), RECORD_REQUEST, 700));
	}
	for (uint32_t i = 0; i < OLD; i++) {
		left.found += log_has(l, old_id(i), row_size(i));
		left.bodies += log_has_payload(l, old_id(i), RECORD_REQUEST, (size_t)body_size(i));
	}
	assert_in_range(left.rows, 0, OLD);
	return left;
}

/* By a command alone, and by a server, which writes and stops as ever. */
static struct left
probe(struct damage *d)
{
	struct logs *l = &d->l;
	struct left left, again;

	assert_int_equal(
	    datadir_open_readonly(l->dir.data, &l->data, l->detail, sizeof(l->detail)), E_OK);
	assert_int_equal(
	    records_open_readonly(&l->data, &l->r, l->detail, sizeof(l->detail)), E_OK);
	left = look(l);
	logs_close(l);
	logs_open(l);
	again = look(l);
	assert_memory_equal(&again, &left, sizeof(left));
	logs_close(l);
	return left;
}

static void
undamaged_all_is_there(void **state)
{
	struct damage *d = *state;
	struct left left = probe(d);

	assert_int_equal(left.rows, OLD);
	assert_int_equal(left.found, OLD);
	assert_int_equal(left.bodies, OLD);
	assert_int_equal(metric_get(M_LOG_DAMAGED), 0);
}

/* At every page, and between; to nothing. */
static void
a_file_cut_anywhere(void **state)
{
	struct damage *d = *state;

	for (int part = 0; part < 2; part++) {
		const char *path = store_dir_path(&d->l.dir, parts[part]);
		size_t step = part == 0 ? PAGE : d->size[part] / 40, most = 0;

		for (size_t n = 0; n < d->size[part]; n += n < 4 * PAGE ? 1000 : step) {
			struct left left;

			assert_int_equal(truncate(path, (off_t)n), 0);
			left = probe(d);
			put_back(d, part);
			if (n < 2 * PAGE)
				assert_int_equal(part == 0 ? left.rows : left.bodies, 0);
			if (part == 1)
				assert_int_equal(left.rows, OLD);
			most = left.rows + left.bodies > most ? left.rows + left.bodies : most;
		}
		assert_in_range(most, 1, 2 * OLD);
	}
	assert_int_equal(probe(d).bodies, OLD);
}

static void
write_at(struct damage *d, int part, off_t at, const void *p, size_t n)
{
	int fd = open(store_dir_path(&d->l.dir, parts[part]), O_WRONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, p, n, at), n);
	(void)close(fd);
}

/* Both headers gone: the file says nothing, and that is said and counted. One: all is there. */
static void
headers_that_are_zero(void **state)
{
	static const char zeros[2 * PAGE];
	struct damage *d = *state;
	struct left left;

	for (int part = 0; part < 2; part++) {
		write_at(d, part, 0, zeros, 2 * PAGE);
		logs_open(&d->l);
		left = look(&d->l);
		assert_int_equal(metric_get(M_LOG_DAMAGED), 1);
		assert_int_equal(left.rows, part == 0 ? 0 : OLD);
		assert_int_equal(left.bodies, 0);
		logs_close(&d->l);
		put_back(d, part);
		for (off_t at = 0; at < 2 * PAGE; at += PAGE) {
			write_at(d, part, at, zeros, PAGE);
			left = probe(d);
			/* the other one may be of the commit before */
			assert_in_range(part == 0 ? left.rows : left.bodies, OLD / 10, OLD);
			put_back(d, part);
		}
	}
	assert_int_equal(metric_get(M_LOG_DAMAGED), 0);
}

static void
pages_of_garbage(void **state)
{
	struct damage *d = *state;
	size_t lost = 0;

	for (int round = 0; round < 100; round++) {
		int part = (int)roll(2);
		char garbage[PAGE];
		off_t page = (off_t)roll((uint32_t)(d->size[part] / PAGE));
		struct left left;

		random_bytes(garbage, sizeof(garbage));
		/* or another page of the file: whole, but in the wrong place */
		if (round % 2 == 0)
			memcpy(garbage,
			    d->whole[part] + (size_t)roll((uint32_t)(d->size[part] / PAGE)) * PAGE,
			    PAGE);
		write_at(d, part, page * PAGE, garbage, PAGE);
		left = probe(d);
		lost += 2 * OLD - left.rows - left.bodies;
		put_back(d, part);
	}
	assert_true(lost > 0);
}

/* The heads of pages and nodes: numbers, offsets, lengths. */
static void
bits_of_the_trees(void **state)
{
	struct damage *d = *state;
	size_t lost = 0;

	for (int round = 0; round < 300; round++) {
		int part = (int)roll(2);
		off_t page = (off_t)roll((uint32_t)(d->size[part] / PAGE));
		off_t at = page * PAGE + (off_t)roll(round % 3 == 0 ? PAGE : 160);
		struct left left;

		if (round % 4 == 0)
			at = (off_t)roll(2 * PAGE); /* the roots */
		store_dir_flip(store_dir_path(&d->l.dir, parts[part]), at, (int)roll(8));
		left = probe(d);
		lost += 2 * OLD - left.rows - left.bodies;
		put_back(d, part);
	}
	assert_true(lost > 0);
}

/* A page number turned into another's: a tree that has a circle, or one branch twice. */
static void
branches_that_lead_astray(void **state)
{
	struct damage *d = *state;
	size_t lost = 0, branches = 0;

	for (int part = 0; part < 2; part++)
		for (uint64_t page = 2; page < d->size[part] / PAGE; page++) {
			const char *p = d->whole[part] + page * PAGE;
			unsigned n = page_count(p, PAGE, PAGE_BRANCH, page),
				 i = n > 0 ? roll(n) : 0;
			uint16_t at, to;

			if (n == 0)
				continue;
			branches++;
			for (int round = 0; round < 3; round++) {
				struct left left;

				memcpy(&at, p + PAGE_HEAD + 2 * i, sizeof(at));
				to = (uint16_t)(round == 0
					? page
					: roll((uint32_t)(d->size[part] / PAGE) + 5));
				write_at(d, part, (off_t)(page * PAGE + at), &to, sizeof(to));
				left = probe(d);
				lost += 2 * OLD - left.rows - left.bodies;
				put_back(d, part);
			}
		}
	assert_true(branches > 0 && lost > 0);
}

static void
what_is_not_a_tree_is_no_tree(void **state)
{
	static const char *const names[] = {"rows", "no such table"};
	struct damage *d = *state;
	const char *path = store_dir_path(&d->l.dir, parts[0]);
	struct span key, value;
	struct tree_cursor *c;
	struct tree *t;

	assert_int_equal(tree_open("/no/such/file", names, 2, &t), E_EOF);
	assert_int_equal(
	    tree_open(store_dir_path(&d->l.dir, "log/queue"), names, 2, &t), E_CORRUPT);
	assert_int_equal(tree_open(path, names, 2, &t), E_OK);
	assert_int_equal(t->table[0].entries, OLD);
	c = tree_cursor_new(t);
	assert_false(tree_start(c, 1, TREE_FIRST, &key, &value));
	assert_false(tree_start_at(c, 1, SPAN_LIT("x"), &key, &value));
	assert_false(tree_get(c, 1, SPAN_LIT("x"), &value));
	assert_false(tree_get(c, 0, SPAN_LIT("x"), &value));
	assert_false(tree_get(c, 0, SPAN_LIT("\xff"), &value));
	/* from end to end, both ways */
	for (int way = 0; way < 2; way++) {
		size_t n = 0;

		for (bool is = tree_start(c, 0, way == 0 ? TREE_FIRST : TREE_LAST, &key, &value);
		    is; is = way == 0 ? tree_next(c, &key, &value) : tree_prev(c, &key, &value)) {
			struct id id = old_id((uint32_t)(way == 0 ? n : OLD - 1 - n));

			assert_memory_equal(key.p, &id, ID_BYTES);
			n++;
		}
		assert_int_equal(n, OLD);
	}
	assert_false(tree_start_at(c, 0, SPAN_LIT("\0"), &key, &value));
	assert_true(tree_start_at(c, 0, SPAN_LIT("\xff"), &key, &value));
	assert_false(tree_next(c, &key, &value));
	assert_false(atomic_load(&t->is_damaged));
	tree_cursor_free(c);
	tree_close(t);
}

/* It goes with its day, like any other. */
static void
a_damaged_segment_is_subject_to_retention(void **state)
{
	static const char zeros[2 * PAGE];
	struct damage *d = *state;
	struct logs *l = &d->l;

	write_at(d, 0, 0, zeros, sizeof(zeros));
	clock_fake(0, LOG_NOW + 10 * LOG_DAY);
	l->o.retention_ms = 9 * (uint64_t)LOG_DAY + (uint64_t)LOG_DAY / 4;
	logs_open(l);
	STORE_WAIT_UNTIL(!store_dir_has(&l->dir, "log/20241004-1"));
	assert_int_equal(log_count(l), NEW);
	logs_close(l);
	clock_fake(0, 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, damage_set_up, damage_tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(undamaged_all_is_there),
	    TEST(a_file_cut_anywhere),
	    TEST(headers_that_are_zero),
	    TEST(pages_of_garbage),
	    TEST(bits_of_the_trees),
	    TEST(branches_that_lead_astray),
	    TEST(what_is_not_a_tree_is_no_tree),
	    TEST(a_damaged_segment_is_subject_to_retention),
	};

	if (!crypto_init())
		return 1;
	dice = (uint32_t)getpid();
	print_message("dice %u\n", dice);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
