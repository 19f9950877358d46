#include "base/arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define ALIGN 16
#define SMALL_BLOCK 2048 /* holds two short heads: all that most streams go on holding */
#define KEPT_BLOCKS 2    /* small ones: what an idle kept-alive connection goes on holding */
#define LARGEST_BLOCK 16384

struct arena_block {
	struct arena_block *next;
	size_t size;
	size_t used;
	_Alignas(ALIGN) char bytes[];
};
#define SMALL_SIZE (SMALL_BLOCK - sizeof(struct arena_block))

void
arena_init(struct arena *a, size_t max)
{
	*a = (struct arena){.max = max};
}

static void
free_blocks(struct arena_block *b)
{
	while (b != NULL) {
		struct arena_block *next = b->next;

		free(b);
		b = next;
	}
}

void
arena_fini(struct arena *a)
{
	free_blocks(a->blocks);
	free_blocks(a->kept);
	a->blocks = a->kept = NULL;
	a->used = 0;
}

static size_t
count(const struct arena_block *b)
{
	size_t n = 0;

	for (; b != NULL; b = b->next)
		n++;
	return n;
}

void
arena_reset(struct arena *a)
{
	size_t kept = count(a->kept);

	while (a->blocks != NULL) {
		struct arena_block *b = a->blocks;

		a->blocks = b->next;
		if (b->size != SMALL_SIZE || kept == KEPT_BLOCKS) {
			free(b);
			continue;
		}
		b->next = a->kept;
		a->kept = b;
		kept++;
	}
	a->used = 0;
}

static struct arena_block *
new_block(struct arena *a, size_t size)
{
	struct arena_block *b = size == SMALL_SIZE ? a->kept : NULL;

	if (b != NULL)
		a->kept = b->next;
	else
		b = malloc(sizeof(*b) + size);
	if (b == NULL)
		return NULL;
	b->size = size;
	b->used = 0;
	return b;
}

/* A large request gets a block of its own behind the newest, whose rest stays in use. */
static struct arena_block *
add_block(struct arena *a, size_t n)
{
	/* As much as there is already: a stream held open for minutes has little more than it needs. */
	size_t usual = a->used < KEPT_BLOCKS * SMALL_BLOCK ? SMALL_SIZE
	    : a->used < LARGEST_BLOCK                      ? a->used
							   : LARGEST_BLOCK;
	bool is_large = n > usual / 2 && a->blocks != NULL;
	struct arena_block *b = new_block(a, n > usual || is_large ? n : usual);

	if (b == NULL)
		return NULL;
	b->next = is_large ? a->blocks->next : a->blocks;
	if (is_large)
		a->blocks->next = b;
	else
		a->blocks = b;
	return b;
}

void *
arena_alloc(struct arena *a, size_t n)
{
	struct arena_block *b = a->blocks;
	size_t left = a->max - a->used;
	void *p;

	if (n > left || n > SIZE_MAX / 2)
		return NULL;
	n = (n + ALIGN - 1) & ~(size_t)(ALIGN - 1);
	if (b == NULL || n > b->size - b->used)
		b = add_block(a, n);
	if (b == NULL)
		return NULL;
	p = b->bytes + b->used;
	b->used += n;
	a->used += n < left ? n : left;
	return p;
}

void *
arena_zalloc(struct arena *a, size_t n)
{
	void *p = arena_alloc(a, n);

	return p == NULL ? NULL : memset(p, 0, n);
}

struct span
arena_join(struct arena *a, const struct span *parts, size_t count)
{
	size_t n = 0;
	char *p, *to;

	for (size_t i = 0; i < count; i++) {
		if (parts[i].n >= SIZE_MAX - n)
			return SPAN_NONE;
		n += parts[i].n;
	}
	p = to = arena_alloc(a, n + 1);
	if (p == NULL)
		return SPAN_NONE;
	for (size_t i = 0; i < count; i++) {
		if (parts[i].n > 0)
			memcpy(to, parts[i].p, parts[i].n);
		to += parts[i].n;
	}
	*to = '\0';
	return span_of(p, n);
}

struct span
arena_dup(struct arena *a, struct span s)
{
	return arena_join(a, &s, 1);
}

struct span
arena_printf(struct arena *a, const char *fmt, ...)
{
	va_list ap;
	char *p;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	p = n < 0 ? NULL : arena_alloc(a, (size_t)n + 1);
	if (p == NULL)
		return SPAN_NONE;
	va_start(ap, fmt);
	vsnprintf(p, (size_t)n + 1, fmt, ap);
	va_end(ap);
	return span_of(p, (size_t)n);
}
