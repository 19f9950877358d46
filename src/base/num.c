#include "base/num.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct unit {
	const char *name;
	uint64_t value;
};

/* Largest first: the writers take the first that divides. */
static const struct unit durations[] = {
    {"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}, {NULL, 0}};
static const struct unit sizes[] = {
    {"GB", UINT64_C(1) << 30}, {"MB", 1 << 20}, {"KB", 1 << 10}, {"B", 1}, {NULL, 0}};

static size_t
count_digits(struct span s)
{
	size_t n = 0;

	while (n < s.n && s.p[n] >= '0' && s.p[n] <= '9')
		n++;
	return n;
}

bool
num_u64(struct span s, uint64_t *out)
{
	uint64_t v = 0;

	if (s.n == 0 || count_digits(s) != s.n)
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (__builtin_mul_overflow(v, 10, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(s.p[i] - '0'), &v))
			return false;
	*out = v;
	return true;
}

bool
num_i64(struct span s, int64_t *out)
{
	bool minus = s.n > 0 && s.p[0] == '-';
	uint64_t v;

	if (!num_u64(minus ? span_skip(s, 1) : s, &v) || v > (uint64_t)INT64_MAX + minus)
		return false;
	*out = minus ? (int64_t)(0 - v) : (int64_t)v;
	return true;
}

static bool
parse_with_unit(struct span s, const struct unit *units, uint64_t *out)
{
	size_t digits = count_digits(s);
	struct span name = span_skip(s, digits);
	uint64_t v;

	if (!num_u64(span_head(s, digits), &v))
		return false;
	while (units->name != NULL && !span_eq(name, span_str(units->name)))
		units++;
	if (units->name == NULL || __builtin_mul_overflow(v, units->value, &v))
		return false;
	*out = v;
	return true;
}

bool
num_duration_ms(struct span s, uint64_t *out)
{
	if (!span_eq(s, SPAN_LIT("0")))
		return parse_with_unit(s, durations, out);
	*out = 0;
	return true;
}

bool
num_size(struct span s, uint64_t *out)
{
	return num_u64(s, out) || parse_with_unit(s, sizes, out);
}

char *
num_duration_text(uint64_t ms, char out[NUM_TEXT_SIZE])
{
	const struct unit *u = durations;

	while (ms % u->value != 0)
		u++;
	snprintf(out, NUM_TEXT_SIZE, "%" PRIu64 "%s", ms / u->value, ms == 0 ? "" : u->name);
	return out;
}

char *
num_size_text(uint64_t bytes, char out[NUM_TEXT_SIZE])
{
	const struct unit *u = sizes;

	while (bytes % u->value != 0)
		u++;
	snprintf(out, NUM_TEXT_SIZE, "%" PRIu64 "%s", bytes / u->value,
	    bytes == 0 || u->value == 1 ? "" : u->name);
	return out;
}

void
num_hex(const uint8_t *p, size_t n, char *out)
{
	for (size_t i = 0; i < n; i++) {
		uint8_t byte = p[i];

		out[2 * i] = "0123456789abcdef"[byte >> 4];
		out[2 * i + 1] = "0123456789abcdef"[byte & 15];
	}
	out[2 * n] = '\0';
}

/* 16 when c is no digit. */
static unsigned
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return (unsigned)(c - '0');
	if (c >= 'a' && c <= 'f')
		return (unsigned)(c - 'a') + 10;
	if (c >= 'A' && c <= 'F')
		return (unsigned)(c - 'A') + 10;
	return 16;
}

bool
num_unhex(struct span s, uint8_t *out, size_t n)
{
	if (s.n % 2 != 0 || s.n / 2 != n)
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (hex_value(s.p[i]) == 16)
			return false;
	for (size_t i = 0; i < n; i++)
		out[i] = (uint8_t)(hex_value(s.p[2 * i]) << 4 | hex_value(s.p[2 * i + 1]));
	return true;
}

size_t
num_dec(uint64_t v, char out[NUM_DEC_SIZE])
{
	char digits[NUM_DEC_SIZE];
	size_t at = sizeof(digits);

	do
		digits[--at] = (char)('0' + v % 10);
	while ((v /= 10) > 0);
	memcpy(out, digits + at, sizeof(digits) - at);
	return sizeof(digits) - at;
}
