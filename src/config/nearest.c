#include "config/nearest_int.h"

#define NAME_MOST 64

static char
lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static unsigned
least(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

/* One cell of the table: row i of it, with the two rows above. */
static unsigned
cell(struct span a, struct span b, unsigned rows[3][NAME_MOST + 1], size_t at[2])
{
	size_t i = at[0], j = at[1];
	const unsigned *up = rows[(i + 2) % 3], *up2 = rows[(i + 1) % 3];
	bool same = lower(a.p[i - 1]) == lower(b.p[j - 1]);
	unsigned d = least(up[j - 1] + !same, least(up[j], rows[i % 3][j - 1]) + 1);

	if (i > 1 && j > 1 && lower(a.p[i - 1]) == lower(b.p[j - 2]) &&
	    lower(a.p[i - 2]) == lower(b.p[j - 1]))
		d = least(d, up2[j - 2] + 1);
	return d;
}

unsigned
nearest_distance(struct span a, struct span b)
{
	unsigned rows[3][NAME_MOST + 1];

	if (a.n > NAME_MOST || b.n > NAME_MOST)
		return (unsigned)(a.n > b.n ? a.n : b.n);
	for (size_t j = 0; j <= b.n; j++)
		rows[0][j] = (unsigned)j;
	for (size_t i = 1; i <= a.n; i++) {
		rows[i % 3][0] = (unsigned)i;
		for (size_t j = 1; j <= b.n; j++)
			rows[i % 3][j] = cell(a, b, rows, (size_t[2]){i, j});
	}
	return rows[a.n % 3][b.n];
}

void
nearest_try(struct nearest *n, struct span name)
{
	unsigned d = nearest_distance(n->wanted, name);
	unsigned limit = name.n < 6 ? 1 : (unsigned)name.n / 3;

	if (d > limit || d >= n->wanted.n || (n->best.p != NULL && d >= n->distance))
		return;
	n->best = name;
	n->distance = d;
}
