#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "crypto/crypto.h"
#include "store/queue_int.h"
#include "store_dir.h"

#define RING QUEUE_SIZE_MIN
#define HEADER 65536

static char detail[512];
static const struct fault fault = {detail, sizeof(detail)};
static char path[256];

static int
set_up(void **state)
{
	static struct store_dir dir;

	store_dir_make(&dir);
	(void)snprintf(path, sizeof(path), "%s/queue", dir.base);
	*state = &dir;
	return 0;
}

static int
tear_down(void **state)
{
	store_dir_remove(*state);
	return 0;
}

static struct queue
opened(bool is_trusted)
{
	struct queue q;

	assert_int_equal(queue_open(path, RING, is_trusted, &q, &fault), E_OK);
	return q;
}

static struct id
id_of(uint32_t n)
{
	struct id id = {{0}};

	memcpy(id.b + 12,
	    (uint8_t[]){(uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n}, 4);
	return id;
}

static char filler[11 << 20];

/* A record of n bytes and payloads of the given sizes; -1: none. */
static int
append(struct queue *q, uint32_t number, size_t n, long request, long response)
{
	struct queue_item item = {
	    .id = id_of(number), .record = span_of(filler + number % 1000, n)};

	if (request >= 0)
		item.payload[RECORD_REQUEST] = span_of(filler + 1, (size_t)request);
	if (response >= 0)
		item.payload[RECORD_RESPONSE] = span_of(filler + 2, (size_t)response);
	return queue_append(q, &item);
}

static void
frames_come_out_as_they_went_in(void **state)
{
	struct queue q = opened(true);
	const struct queue_frame *f;
	uint64_t pos = queue_tail(&q);

	(void)state;
	assert_null(queue_at(&q, pos));
	assert_int_equal(append(&q, 1, 300, 1000, -1), 0);
	assert_int_equal(append(&q, 2, 0, -1, 0), 0);
	f = queue_at(&q, pos);
	assert_non_null(f);
	assert_memory_equal(&f->id, id_of(1).b, 16);
	assert_true(span_eq(queue_record(f), span_of(filler + 1, 300)));
	assert_true(span_eq(queue_payload(f, RECORD_REQUEST), span_of(filler + 1, 1000)));
	assert_null(queue_payload(f, RECORD_RESPONSE).p);
	f = queue_at(&q, pos + f->size);
	assert_int_equal(queue_record(f).n, 0);
	assert_null(queue_payload(f, RECORD_REQUEST).p);
	assert_non_null(queue_payload(f, RECORD_RESPONSE).p);
	assert_int_equal(queue_payload(f, RECORD_RESPONSE).n, 0);
	queue_close(&q);
}

static void
goes_round_and_round(void **state)
{
	struct queue q = opened(true);
	uint32_t in = 0, out = 0;

	(void)state;
	for (int round = 0; round < 3000; round++) {
		for (int i = 0; i < 7; i++, in++)
			assert_int_equal(append(&q, in, in * 7919 % 4000, -1, in * 31 % 300), 0);
		/* some are left behind, so that it is never empty */
		while (in - out > 20) {
			const struct queue_frame *f = queue_at(&q, queue_tail(&q));

			assert_memory_equal(&f->id, id_of(out).b, 16);
			assert_true(span_eq(
			    queue_record(f), span_of(filler + out % 1000, out * 7919 % 4000)));
			assert_true(span_eq(queue_payload(f, RECORD_RESPONSE),
			    span_of(filler + 2, out * 31 % 300)));
			queue_advance(&q, queue_tail(&q) + f->size);
			out++;
		}
	}
	assert_true(queue_head(&q) > 20 * RING);
	queue_close(&q);
}

static void
an_empty_one_starts_at_the_same_pages(void **state)
{
	struct queue q = opened(true);
	const struct queue_frame *first, *again;

	(void)state;
	(void)append(&q, 1, 3000, -1, -1);
	first = queue_at(&q, queue_tail(&q));
	for (uint32_t i = 2; i < 50; i++) {
		queue_advance(&q, queue_head(&q));
		assert_int_equal(append(&q, i, 3000, -1, -1), 0);
		again = queue_at(&q, queue_tail(&q));
		assert_ptr_equal(first, again);
	}
	queue_close(&q);
}

#define FRAME sizeof(struct queue_frame)

static void
is_filled_to_the_last_byte(void **state)
{
	struct queue q = opened(true);

	(void)state;
	for (uint32_t i = 0; i < RING / 32768 - 1; i++)
		assert_int_equal(append(&q, i, 32768 - FRAME, -1, -1), 0);
	assert_int_equal(append(&q, 100, 32768 - FRAME + 1, -1, -1), -1);
	assert_int_equal(append(&q, 101, 32768 - FRAME, -1, -1), 0);
	assert_int_equal(queue_head(&q) - queue_tail(&q), RING);
	assert_int_equal(append(&q, 102, 0, -1, -1), -1);
	queue_advance(&q, queue_tail(&q) + 32768);
	assert_int_equal(append(&q, 103, 0, -1, -1), 0);
	queue_close(&q);
}

static void
payloads_leave_an_eighth_to_records(void **state)
{
	struct queue q = opened(true);
	long most = (long)(RING - RING / 8 - FRAME - 8);

	(void)state;
	assert_int_equal(append(&q, 1, 8, most + 1, -1), 1);
	queue_advance(&q, queue_head(&q));
	assert_int_equal(append(&q, 2, 8, most, -1), 0);
	/* ... the records that fit into it are kept, their payloads not */
	assert_int_equal(append(&q, 3, 8, 1, 1), 2);
	assert_int_equal(
	    queue_at(&q, queue_tail(&q) + RING - RING / 8)->has_payload[RECORD_REQUEST], 0);
	assert_int_equal(append(&q, 4, RING / 8 - 2 * FRAME - 8 + 1, -1, -1), -1);
	assert_int_equal(append(&q, 5, RING / 8 - 2 * FRAME - 8, 5, -1), 1);
	assert_int_equal(append(&q, 6, 0, -1, -1), -1);
	queue_close(&q);
}

static void
the_response_goes_before_the_request(void **state)
{
	struct queue q = opened(true);
	const struct queue_frame *f;

	(void)state;
	assert_int_equal(append(&q, 1, 8, 1000, (long)RING), 1);
	f = queue_at(&q, queue_tail(&q));
	assert_int_equal(queue_payload(f, RECORD_REQUEST).n, 1000);
	assert_null(queue_payload(f, RECORD_RESPONSE).p);
	queue_close(&q);
}

static void
records_and_payloads_have_limits_of_their_own(void **state)
{
	struct queue q;

	(void)state;
	assert_int_equal(queue_open(path, 64 << 20, true, &q, &fault), E_OK);
	assert_int_equal(append(&q, 1, QUEUE_RECORD_MAX, -1, -1), 0);
	assert_int_equal(append(&q, 2, QUEUE_RECORD_MAX + 1, -1, -1), -1);
	assert_int_equal(append(&q, 3, 10, QUEUE_PAYLOAD_MAX, QUEUE_PAYLOAD_MAX), 0);
	assert_int_equal(append(&q, 4, 10, QUEUE_PAYLOAD_MAX + 1, QUEUE_PAYLOAD_MAX), 1);
	queue_close(&q);
}

/* ---- over a restart ---- */

static void
keeps_what_it_holds(void **state)
{
	struct queue q = opened(true);
	uint64_t generation = q.h->generation, head;

	(void)state;
	for (uint32_t i = 0; i < 5; i++)
		(void)append(&q, i, 100, 10, 10);
	queue_advance(&q, queue_tail(&q) + queue_at(&q, queue_tail(&q))->size);
	head = queue_head(&q);
	queue_close(&q);
	q = opened(true);
	assert_int_equal(queue_head(&q), head);
	assert_int_equal(q.h->generation, generation);
	assert_memory_equal(&queue_at(&q, queue_tail(&q))->id, id_of(1).b, 16);
	assert_memory_equal(&q.h->newest, id_of(4).b, 16);
	queue_close(&q);
	q = opened(false);
	assert_int_not_equal(q.h->generation, generation);
	assert_memory_equal(&queue_at(&q, queue_tail(&q))->id, id_of(1).b, 16);
	queue_close(&q);
}

static void
takes_another_size_when_it_is_empty(void **state)
{
	struct queue q = opened(true);

	(void)state;
	(void)append(&q, 9, 100, -1, -1);
	queue_close(&q);
	assert_int_equal(queue_open(path, 2 * RING, true, &q, &fault), E_OK);
	assert_int_equal(q.size, RING);
	queue_advance(&q, queue_head(&q));
	queue_close(&q);
	assert_int_equal(queue_open(path, 2 * RING - 1, true, &q, &fault), E_OK);
	assert_int_equal(q.size, 2 * RING);
	/* ... and still knows the newest id */
	assert_memory_equal(&q.h->newest, id_of(9).b, 16);
	assert_int_equal(
	    append(&q, 10, 60000, 2 * (long)RING - (long)RING / 4 - 60000 - (long)FRAME, -1), 0);
	queue_close(&q);
}

static unsigned
count(const struct queue *q)
{
	const struct queue_frame *f;
	unsigned n = 0;

	for (uint64_t pos = queue_tail(q); (f = queue_at(q, pos)) != NULL; pos += f->size)
		n++;
	return n;
}

/* A power loss may leave any page of the file older than another. */
static void
believes_no_frame_with_a_flipped_bit(void **state)
{
	struct queue q = opened(true);
	size_t size;

	(void)state;
	for (uint32_t i = 0; i < 4; i++)
		(void)append(&q, i, 20, 9, 9);
	size = queue_at(&q, queue_tail(&q))->size;
	queue_close(&q);
	for (size_t at = 2 * size; at < 3 * size; at++)
		for (int bit = 0; bit < 8; bit += 7) {
			store_dir_flip(path, (off_t)(HEADER + at), bit);
			assert_int_equal(queue_open_readonly(path, &q, &fault), E_OK);
			assert_int_equal(count(&q), 2);
			queue_close(&q);
			store_dir_flip(path, (off_t)(HEADER + at), bit);
		}
	store_dir_flip(path, (off_t)(HEADER + size), 0);
	q = opened(false);
	assert_int_equal(count(&q), 1);
	assert_int_equal(append(&q, 7, 20, -1, -1), 0);
	assert_int_equal(count(&q), 2);
	queue_close(&q);
}

static void
a_damaged_header_makes_a_new_queue(void **state)
{
	static const off_t fields[] = {0, 8, 16, 64 + 7, 128 + 7};

	(void)state;
	for (size_t i = 0; i < 5; i++) {
		struct queue q = opened(true);

		(void)append(&q, 1, 20, -1, -1);
		queue_close(&q);
		store_dir_flip(path, fields[i], 6);
		assert_int_equal(queue_open_readonly(path, &q, &fault), E_EOF);
		q = opened(true);
		assert_int_equal(count(&q), 0);
		assert_int_equal(append(&q, 2, 20, -1, -1), 0);
		queue_advance(&q, queue_head(&q));
		queue_close(&q);
	}
}

static void
no_file_is_no_queue_and_no_room_is_said(void **state)
{
	struct queue q;

	(void)state;
	assert_int_equal(queue_open_readonly(path, &q, &fault), E_EOF);
	/* larger than any file may be; a full disk: test_store_records_full */
	assert_int_equal(queue_open(path, UINT64_C(1) << 60, true, &q, &fault), E_IO);
	assert_non_null(strstr(detail, path));
	assert_int_not_equal(access(path, F_OK), 0);
}

static long
resident_kb(void)
{
	char line[256];
	long kb = -1;
	FILE *f = fopen("/proc/self/status", "re");

	assert_non_null(f);
	while (fgets(line, sizeof(line), f) != NULL)
		if (sscanf(line, "VmRSS: %ld kB", &kb) == 1)
			break;
	(void)fclose(f);
	return kb;
}

static void
does_not_hold_its_pages_in_memory_when_it_rests(void **state)
{
	struct queue q;
	long before;

	(void)state;
	before = resident_kb();
	assert_int_equal(queue_open(path, 64 << 20, true, &q, &fault), E_OK);
	assert_true(resident_kb() - before < 4096);
	/* twice round; never empty */
	(void)append(&q, 0, 1000, -1, -1);
	for (uint32_t i = 1; i < 2 * (64 << 20) / 60000; i++) {
		assert_int_equal(append(&q, i, 60000, -1, -1), 0);
		queue_advance(&q, queue_tail(&q) + queue_at(&q, queue_tail(&q))->size);
	}
	assert_true(resident_kb() - before < (64 << 10) + 6144);
	queue_advance(&q, queue_head(&q));
	queue_rest(&q);
	assert_true(resident_kb() - before < 6144);
	/* ... and goes on as before */
	assert_int_equal(append(&q, 1, 60000, -1, -1), 0);
	assert_int_equal(queue_record(queue_at(&q, queue_tail(&q))).n, 60000);
	queue_close(&q);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(frames_come_out_as_they_went_in, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(goes_round_and_round, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(
		an_empty_one_starts_at_the_same_pages, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(is_filled_to_the_last_byte, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(payloads_leave_an_eighth_to_records, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(
		the_response_goes_before_the_request, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(
		records_and_payloads_have_limits_of_their_own, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(keeps_what_it_holds, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(takes_another_size_when_it_is_empty, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(
		believes_no_frame_with_a_flipped_bit, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(a_damaged_header_makes_a_new_queue, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(
		no_file_is_no_queue_and_no_room_is_said, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(
		does_not_hold_its_pages_in_memory_when_it_rests, set_up, tear_down),
	};

	if (!crypto_init())
		return 1;
	for (size_t i = 0; i < sizeof(filler); i++)
		filler[i] = (char)(i * 2654435761u >> 24);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
