#include "gateway/tap.h"

#include "base/clock.h"
#include "cache/flight.h"
#include "provider/dialect.h"

static void
capture_bytes(struct tap *tap, struct span piece)
{
	struct capture_tap *t = CONTAINER_OF(tap, struct capture_tap, tap);
	if (t->is_full)
		return;
	size_t room = t->body.max - buf_len(&t->body);
	t->is_full = !buf_put_span(&t->body, span_head(piece, room)) || piece.n > room;
	t->is_cut = t->is_full || buf_len(&t->body) > t->wanted;
}

static void
nothing(struct tap *tap)
{
	UNUSED(tap);
}

void
capture_tap_init(struct capture_tap *t, size_t wanted, size_t max)
{
	t->tap = (struct tap){.bytes = capture_bytes, .end = nothing};
	t->wanted = wanted;
	t->is_cut = t->is_full = false;
	t->body.max = max;
	buf_reset(&t->body);
}

void
capture_tap_stop(struct capture_tap *t)
{
	t->is_cut = t->is_full = true;
}

static void
meter_bytes(struct tap *tap, struct span piece)
{
	struct meter_tap *t = CONTAINER_OF(tap, struct meter_tap, tap);
	meter_feed(t->meter, piece);
	if (t->first_output_us == 0 && meter_result(t->meter)->has_output)
		t->first_output_us = clock_mono_us();
}

static void
meter_end(struct tap *tap)
{
	struct meter_tap *t = CONTAINER_OF(tap, struct meter_tap, tap);
	if (!t->is_borrowing)
		meter_finish(t->meter);
}

void
meter_tap_init(struct meter_tap *t, struct meter *m)
{
	t->tap = (struct tap){.bytes = meter_bytes, .end = meter_end};
	t->meter = m;
	t->is_borrowing = false;
	t->first_output_us = 0;
}

static void
flight_bytes(struct tap *tap, struct span piece)
{
	flight_put(CONTAINER_OF(tap, struct flight_tap, tap)->flight, piece);
}

void
flight_tap_init(struct flight_tap *t, struct flight *f)
{
	t->tap = (struct tap){.bytes = flight_bytes, .end = nothing};
	t->flight = f;
}
