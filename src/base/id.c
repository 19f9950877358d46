#include "base/id.h"

#include <endian.h>
#include <string.h>

#include "base/num.h"

/* Layout, in bits: 48 ms | 4 version | 12 counter high | 2 variant | 20 counter low | 42 random. */
#define MS_MASK UINT64_C(0xffffffffffff)
#define RANDOM_MASK UINT64_C(0x3ffffffffff)

/* A counter and a finaliser. Unique, not secret: nobody is let in for knowing an id. */
static uint64_t
next_random(struct id_source *s)
{
	uint64_t z = s->seed[0] += s->seed[1] | 1;

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

static uint64_t
get_be64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return be64toh(v);
}

static void
put_be64(uint8_t *p, uint64_t v)
{
	v = htobe64(v);
	memcpy(p, &v, sizeof(v));
}

static struct id
assemble(uint64_t ms, uint32_t counter, uint64_t random)
{
	struct id id;

	put_be64(id.b, ms << 16 | UINT64_C(7) << 12 | counter >> 20);
	put_be64(id.b + 8,
	    UINT64_C(2) << 62 | (uint64_t)(counter & 0xfffff) << 42 | (random & RANDOM_MASK));
	return id;
}

void
id_source_init(struct id_source *s, const uint8_t seed[16], const struct id *floor)
{
	*s = (struct id_source){.last_ms = 0};
	memcpy(s->seed, seed, sizeof(s->seed));
	if (floor == NULL)
		return;
	s->last_ms = (uint64_t)id_wall_ms(floor);
	s->counter = (uint32_t)(get_be64(floor->b) & 0xfff) << 20 |
	    (uint32_t)(get_be64(floor->b + 8) >> 42 & 0xfffff);
}

/* The half below 2^31 is where a millisecond's counter starts, so that 2^31 ids fit behind it. */
static void
enter_ms(struct id_source *s, uint64_t ms)
{
	s->last_ms = ms & MS_MASK;
	s->counter = (uint32_t)(next_random(s) >> 33);
}

struct id
id_new(struct id_source *s, int64_t wall_ms)
{
	uint64_t ms = wall_ms < 0 ? 0 : (uint64_t)wall_ms & MS_MASK;

	if (ms > s->last_ms)
		enter_ms(s, ms);
	else if (s->counter == UINT32_MAX)
		enter_ms(s, s->last_ms + 1);
	else
		s->counter++;
	return assemble(s->last_ms, s->counter, next_random(s));
}

void
id_text(const struct id *id, char out[ID_TEXT_SIZE])
{
	char hex[2 * sizeof(id->b) + 1];

	num_hex(id->b, sizeof(id->b), hex);
	memcpy(out, hex, 8);
	memcpy(out + 9, hex + 8, 4);
	memcpy(out + 14, hex + 12, 4);
	memcpy(out + 19, hex + 16, 4);
	memcpy(out + 24, hex + 20, 12);
	out[8] = out[13] = out[18] = out[23] = '-';
	out[ID_TEXT_SIZE - 1] = '\0';
}

bool
id_parse(struct span text, struct id *out)
{
	static const uint8_t groups[] = {4, 2, 2, 2, 6};
	struct id id;
	uint8_t *p = id.b;
	struct span part;

	if (text.n != ID_TEXT_SIZE - 1)
		return false;
	for (size_t i = 0; i < sizeof(groups); i++) {
		if (!span_next(&text, '-', &part) || !num_unhex(part, p, groups[i]))
			return false;
		p += groups[i];
	}
	*out = id;
	return true;
}

int64_t
id_wall_ms(const struct id *id)
{
	return (int64_t)(get_be64(id->b) >> 16);
}

struct id
id_floor_at(int64_t wall_ms)
{
	return assemble(wall_ms < 0 ? 0 : (uint64_t)wall_ms & MS_MASK, 0, 0);
}
