/*
 * json_spell: JSON values made from fuzz input, each spelled in either of two ways.
 *
 * The input alone decides the value: the plain spelling and the odd one (members backwards, blanks,
 * every character escaped, numbers in another notation) of the same input are the same value. With
 * `change` set to the number of a leaf, that leaf gets another value.
 */
#ifndef TESTS_FUZZ_JSON_SPELL_H
#define TESTS_FUZZ_JSON_SPELL_H

#include "base/buf.h"

struct spell {
	struct span in;
	bool is_odd;
	int change; /* -1: none */
	int leaf;   /* leaves spelled so far */
};

static unsigned
spell_byte(struct spell *s)
{
	unsigned c = s->in.n == 0 ? 0 : (uint8_t)s->in.p[0];

	s->in = span_skip(s->in, 1);
	return c;
}

static void
spell_put(struct buf *out, struct span text)
{
	CHK(buf_put_span(out, text));
}

static void
spell_blank(const struct spell *s, struct buf *out)
{
	spell_put(out, s->is_odd ? SPAN_LIT(" \n\t\r") : SPAN_NONE);
}

static void
spell_literal(struct buf *out, unsigned cp)
{
	const char b[4] = {(char)(0xf0 | cp >> 18), (char)(0x80 | (cp >> 12 & 0x3f)),
	    (char)(0x80 | (cp >> 6 & 0x3f)), (char)(0x80 | (cp & 0x3f))};

	if (cp < 0x80)
		CHK(buf_putc(out, (char)cp));
	else if (cp < 0x800)
		CHK(buf_putc(out, (char)(0xc0 | cp >> 6)) && buf_putc(out, b[3]));
	else if (cp < 0x10000)
		CHK(buf_putc(out, (char)(0xe0 | cp >> 12)) && buf_put(out, b + 2, 2));
	else
		CHK(buf_put(out, b, 4));
}

static void
spell_char(const struct spell *s, struct buf *out, unsigned cp)
{
	bool must = cp < 0x20 || cp == '"' || cp == '\\';

	if (!s->is_odd && !must)
		spell_literal(out, cp);
	else if (cp < 0x10000)
		CHK(buf_printf(out, s->is_odd ? "\\u%04X" : "\\u%04x", cp));
	else
		CHK(buf_printf(out, "\\u%04x\\u%04X", 0xd7c0 + (cp >> 10), 0xdc00 + (cp & 0x3ff)));
}

/* A few characters of every kind that the order of UTF-16 tells apart, then `last`. */
static void
spell_string(struct spell *s, struct buf *out, unsigned last)
{
	static const struct {
		unsigned first, count;
	} kinds[] = {{0, 0x80}, {0x80, 0xd780}, {0xe000, 0x2000}, {0x10000, 0x100000}};

	spell_put(out, SPAN_LIT("\""));
	for (unsigned n = spell_byte(s) % 4; n > 0; n--) {
		unsigned kind = spell_byte(s) % 4, hi = spell_byte(s), lo = spell_byte(s);

		spell_char(
		    s, out, kinds[kind].first + (hi << 13 | hi << 8 | lo) % kinds[kind].count);
	}
	spell_char(s, out, last);
	spell_put(out, SPAN_LIT("\""));
}

/* Up to 17 digits and any exponent: short, long and lossy ones, zero, infinite ones. */
static void
spell_number(struct spell *s, struct buf *out, bool is_changed)
{
	const char *sign = spell_byte(s) % 2 ? "-" : "";
	unsigned long long digits = 0;
	int exponent = (int)spell_byte(s) - 128;

	for (unsigned n = spell_byte(s) % 8; n > 0; n--)
		digits = digits << 8 | spell_byte(s);
	exponent *= spell_byte(s) % 8 == 0 ? 1000 : 1;
	digits ^= is_changed;
	if (s->is_odd)
		CHK(buf_printf(
		    out, "%s%llu.%llu00E%+05d", sign, digits / 10, digits % 10, exponent + 1));
	else
		CHK(buf_printf(out, "%s%llue%d", sign, digits, exponent));
}

static void spell_value(struct spell *s, struct buf *out, int depth);

/* Every name ends in a character of its own, so that none is there twice. */
static void
spell_container(struct spell *s, struct buf *out, int depth, bool is_object)
{
	struct buf all = {.max = out->max};

	for (unsigned i = 0, n = spell_byte(s) % 6; i < n; i++) {
		struct buf one = {.max = out->max};

		spell_blank(s, &one);
		if (is_object) {
			spell_string(s, &one, 'a' + i);
			spell_blank(s, &one);
			spell_put(&one, SPAN_LIT(":"));
		}
		spell_value(s, &one, depth + 1);
		if (is_object && s->is_odd) {
			spell_put(&one, i == 0 ? SPAN_NONE : SPAN_LIT(","));
			spell_put(&one, buf_view(&all));
			buf_reset(&all);
		} else if (i > 0) {
			spell_put(&all, SPAN_LIT(","));
		}
		spell_put(&all, buf_view(&one));
		buf_fini(&one);
	}
	spell_put(out, is_object ? SPAN_LIT("{") : SPAN_LIT("["));
	spell_put(out, buf_view(&all));
	spell_put(out, is_object ? SPAN_LIT("}") : SPAN_LIT("]"));
	buf_fini(&all);
}

static void
spell_value(struct spell *s, struct buf *out, int depth)
{
	unsigned kind = spell_byte(s) % 8, which;
	bool is_changed;

	spell_blank(s, out);
	if (kind < 4 && depth < 8) {
		spell_container(s, out, depth, kind < 3);
	} else {
		is_changed = s->leaf++ == s->change;
		which = spell_byte(s) % 3 + is_changed;
		if (kind == 7)
			spell_put(out,
			    span_str((const char *const[]){"null", "true", "false", "0"}[which]));
		else if (kind < 6)
			spell_number(s, out, is_changed);
		else
			spell_string(s, out, is_changed ? 'x' : 'y');
	}
	spell_blank(s, out);
}

#endif
