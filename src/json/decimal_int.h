/*
 * decimal: the value of a number's text, whatever its spelling. 100, 1e2 and 0.10E+3 are one.
 *
 * Exact up to 20 significant digits: a double's shortest form has at most 17, a 64-bit integer 20.
 * Of longer ones only the first 20 are kept, and is_longer says that there are more. Nothing is
 * ever expanded: 1e999999999 is one digit and an exponent.
 */
#ifndef JSON_DECIMAL_INT_H
#define JSON_DECIMAL_INT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"

#define DECIMAL_DIGITS 20
#define DECIMAL_TEXT_SIZE 32

struct decimal {
	bool is_negative; /* -0 is */
	bool is_longer;
	uint8_t n;                   /* significant digits; 0: the value is 0 */
	char digits[DECIMAL_DIGITS]; /* neither the first nor, unless is_longer, the last is '0' */
	int64_t point;               /* the value is 0.DIGITS * 10^point; saturates at +-2^40 */
};

/* text is a number by RFC 8259's grammar. */
struct decimal decimal_of(struct span text);
/* As ECMAScript's Number::toString lays digits out (-0 as "0"); returns the length, no NUL. */
size_t decimal_text(const struct decimal *d, char out[DECIMAL_TEXT_SIZE]);
/* The double nearest to a number's text, which ends in NUL; it may be infinite. */
double decimal_read_double(const char *text);
/* Shortest digits that read back as `value`, the closest to it where there are several. Finite. */
struct decimal decimal_of_double(double value);

#endif
