#include "base/clock.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>

/* Read from several threads. */
static _Atomic uint64_t fake_mono_ns;
static _Atomic int64_t fake_wall_ms;

void
clock_fake(uint64_t mono_ns, int64_t wall_ms)
{
	atomic_store_explicit(&fake_mono_ns, mono_ns, memory_order_relaxed);
	atomic_store_explicit(&fake_wall_ms, wall_ms, memory_order_relaxed);
}

static bool
is_fake(uint64_t *mono_ns, int64_t *wall_ms)
{
	*mono_ns = atomic_load_explicit(&fake_mono_ns, memory_order_relaxed);
	*wall_ms = atomic_load_explicit(&fake_wall_ms, memory_order_relaxed);
	return *mono_ns != 0 || *wall_ms != 0;
}

uint64_t
clock_mono_ns(void)
{
	struct timespec ts;
	uint64_t mono;
	int64_t wall;

	if (is_fake(&mono, &wall))
		return mono;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

int64_t
clock_wall_ms(void)
{
	struct timespec ts;
	uint64_t mono;
	int64_t wall;

	if (is_fake(&mono, &wall))
		return wall;
	clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* By hand: gcc cannot see that the fields of a struct tm fit, and would warn of snprintf. */
static char *
put_digits(char *to, int value, int digits)
{
	for (int i = digits - 1; i >= 0; i--, value /= 10)
		to[i] = (char)('0' + value % 10);
	return to + digits;
}

#define FIRST_MS INT64_C(-62167219200000) /* 0000-01-01 */
#define LAST_MS INT64_C(253402300799999)  /* the end of 9999 */

void
clock_rfc3339(int64_t wall_ms, char out[CLOCK_RFC3339_SIZE])
{
	int64_t ms = wall_ms < FIRST_MS ? FIRST_MS : wall_ms > LAST_MS ? LAST_MS : wall_ms;
	int milli = (int)((ms % 1000 + 1000) % 1000);
	time_t seconds = (time_t)((ms - milli) / 1000);
	struct tm tm;
	char *p = out;

	gmtime_r(&seconds, &tm);
	p = put_digits(p, tm.tm_year + 1900, 4);
	*p++ = '-';
	p = put_digits(p, tm.tm_mon + 1, 2);
	*p++ = '-';
	p = put_digits(p, tm.tm_mday, 2);
	*p++ = 'T';
	p = put_digits(p, tm.tm_hour, 2);
	*p++ = ':';
	p = put_digits(p, tm.tm_min, 2);
	*p++ = ':';
	p = put_digits(p, tm.tm_sec, 2);
	*p++ = '.';
	p = put_digits(p, milli, 3);
	memcpy(p, "Z", 2);
}

struct cursor {
	const char *p, *end;
};

/* Exactly `digits` digits or nothing; the cursor is then anywhere. */
static bool
get_digits(struct cursor *c, int digits, int *out)
{
	int v = 0;

	if (c->end - c->p < digits)
		return false;
	for (int i = 0; i < digits; i++, c->p++) {
		if (*c->p < '0' || *c->p > '9')
			return false;
		v = v * 10 + (*c->p - '0');
	}
	*out = v;
	return true;
}

static bool
get_one_of(struct cursor *c, const char *set)
{
	if (c->p == c->end || *c->p == '\0' || strchr(set, *c->p) == NULL)
		return false;
	c->p++;
	return true;
}

static bool
get_date(struct cursor *c, struct tm *tm)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	int year, month, day, leap;

	if (!get_digits(c, 4, &year) || !get_one_of(c, "-") || !get_digits(c, 2, &month) ||
	    !get_one_of(c, "-") || !get_digits(c, 2, &day) || month < 1 || month > 12)
		return false;
	leap = month == 2 && year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
	if (day < 1 || day > days[month - 1] + leap)
		return false;
	*tm = (struct tm){.tm_year = year - 1900, .tm_mon = month - 1, .tm_mday = day};
	return true;
}

/* Digits past the millisecond are read and dropped. */
static bool
get_fraction(struct cursor *c, int *milli)
{
	int unit = 100;

	*milli = 0;
	if (!get_one_of(c, "."))
		return true;
	if (c->p == c->end || *c->p < '0' || *c->p > '9')
		return false;
	for (; c->p < c->end && *c->p >= '0' && *c->p <= '9'; c->p++, unit /= 10)
		*milli += (*c->p - '0') * unit;
	return true;
}

static bool
get_time(struct cursor *c, struct tm *tm, int *milli)
{
	return get_digits(c, 2, &tm->tm_hour) && get_one_of(c, ":") &&
	    get_digits(c, 2, &tm->tm_min) && get_one_of(c, ":") && get_digits(c, 2, &tm->tm_sec) &&
	    get_fraction(c, milli) && tm->tm_hour < 24 && tm->tm_min < 60 &&
	    tm->tm_sec <= 60; /* 60: a leap second */
}

static bool
get_offset(struct cursor *c, int *minutes)
{
	int hour, minute, sign;

	*minutes = 0;
	if (get_one_of(c, "Zz"))
		return true;
	sign = get_one_of(c, "-") ? -1 : 1;
	if ((sign > 0 && !get_one_of(c, "+")) || !get_digits(c, 2, &hour) || !get_one_of(c, ":") ||
	    !get_digits(c, 2, &minute) || hour > 23 || minute > 59)
		return false;
	*minutes = sign * (hour * 60 + minute);
	return true;
}

int64_t
clock_parse(const char *s, size_t n)
{
	struct cursor c = {s, s + n};
	int milli = 0, offset = 0;
	int64_t ms;
	struct tm tm;

	if (!get_date(&c, &tm))
		return -1;
	if (c.p < c.end &&
	    (!get_one_of(&c, "Tt ") || !get_time(&c, &tm, &milli) || !get_offset(&c, &offset) ||
		c.p != c.end))
		return -1;
	ms = ((int64_t)timegm(&tm) - offset * 60) * 1000 + milli;
	return ms < 0 ? -1 : ms;
}
