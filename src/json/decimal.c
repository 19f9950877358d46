#include "json/decimal_int.h"

#include <math.h>
#include <yyjson.h>

#include "base/chk.h"

#define POINT_MAX (INT64_C(1) << 40)

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* The exponent part, "e-5" or nothing. More digits than any exponent needs saturate. */
static int64_t
exponent_of(struct span s)
{
	bool minus;
	int64_t e = 0;

	if (s.n == 0)
		return 0;
	s = span_skip(s, 1);
	minus = s.n > 0 && s.p[0] == '-';
	for (size_t i = minus || (s.n > 0 && s.p[0] == '+'); i < s.n; i++)
		if (e < POINT_MAX)
			e = e * 10 + (s.p[i] - '0');
	return minus ? -e : e;
}

static int64_t
clamp(int64_t v)
{
	return v > POINT_MAX ? POINT_MAX : v < -POINT_MAX ? -POINT_MAX : v;
}

/* Zeros are held back until a digit follows them, so that trailing ones never count. */
static void
add_digit(struct decimal *d, char c, size_t *zeros)
{
	if (c == '0') {
		*zeros += 1;
		return;
	}
	for (; *zeros > 0 && d->n < DECIMAL_DIGITS; *zeros -= 1)
		d->digits[d->n++] = '0';
	*zeros = 0;
	if (d->n < DECIMAL_DIGITS)
		d->digits[d->n++] = c;
	else
		d->is_longer = true;
}

struct decimal
decimal_of(struct span text)
{
	struct decimal d = {.is_negative = text.n > 0 && text.p[0] == '-'};
	struct span s = span_skip(text, d.is_negative);
	size_t i, zeros = 0;
	int64_t before = 0; /* digits between the first significant one and the point */
	bool is_fraction = false;

	for (i = 0; i < s.n && (is_digit(s.p[i]) || s.p[i] == '.'); i++) {
		if (s.p[i] == '.') {
			is_fraction = true;
		} else if (d.n == 0 && s.p[i] == '0') {
			before -= is_fraction; /* a leading zero */
		} else {
			add_digit(&d, s.p[i], &zeros);
			before += !is_fraction;
		}
	}
	d.point = d.n == 0 ? 0 : clamp(before + exponent_of(span_skip(s, i)));
	return d;
}

static char *
put(char *p, const char *digits, size_t n)
{
	memcpy(p, digits, n);
	return p + n;
}

static char *
put_zeros(char *p, size_t n)
{
	memset(p, '0', n);
	return p + n;
}

static char *
put_exponential(char *p, const struct decimal *d)
{
	int64_t e = d->point - 1;

	*p++ = d->digits[0];
	if (d->n > 1) {
		*p++ = '.';
		p = put(p, d->digits + 1, d->n - 1u);
	}
	*p++ = 'e';
	*p++ = e < 0 ? '-' : '+';
	e = e < 0 ? -e : e;
	CHK(e < 1000);
	if (e >= 100)
		*p++ = (char)('0' + e / 100);
	if (e >= 10)
		*p++ = (char)('0' + e / 10 % 10);
	*p++ = (char)('0' + e % 10);
	return p;
}

/* ECMA-262 6.1.6.1.20 (Number::toString), whose n is our point and whose k is our n. */
size_t
decimal_text(const struct decimal *d, char out[DECIMAL_TEXT_SIZE])
{
	char *p = out;

	if (d->n == 0) {
		*p = '0';
		return 1;
	}
	if (d->is_negative)
		*p++ = '-';
	if (d->point >= d->n && d->point <= 21) {
		p = put(p, d->digits, d->n);
		p = put_zeros(p, (size_t)d->point - d->n);
	} else if (d->point > 0 && d->point <= 21) {
		p = put(p, d->digits, (size_t)d->point);
		*p++ = '.';
		p = put(p, d->digits + d->point, d->n - (size_t)d->point);
	} else if (d->point > -6 && d->point <= 0) {
		p = put(p, "0.", 2);
		p = put_zeros(p, (size_t)-d->point);
		p = put(p, d->digits, d->n);
	} else {
		p = put_exponential(p, d);
	}
	return (size_t)(p - out);
}

double
decimal_read_double(const char *text)
{
	yyjson_val v = {.tag = YYJSON_TYPE_NULL};

	if (yyjson_read_number(text, &v, YYJSON_READ_ALLOW_INF_AND_NAN, NULL, NULL) == NULL)
		return HUGE_VAL;
	return yyjson_get_num(&v);
}

/* yyjson prints doubles shortest and closest (Schubfach). Its memory is the pool on our stack. */
struct decimal
decimal_of_double(double value)
{
	char pool[512];
	yyjson_alc alc;
	yyjson_val v = {.tag = YYJSON_TYPE_NUM | YYJSON_SUBTYPE_REAL, .uni.f64 = value};
	struct decimal d;
	char *text;
	size_t n;

	CHK(yyjson_alc_pool_init(&alc, pool, sizeof(pool)));
	text = yyjson_val_write_opts(&v, YYJSON_WRITE_NOFLAG, &alc, &n, NULL);
	CHK(text != NULL);
	d = decimal_of(span_of(text, n));
	CHK(!d.is_longer);
	return d;
}
