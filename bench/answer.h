/*
 * answer: reads one HTTP response after the other from what a connection delivers, however it is cut,
 * and keeps of each what load judges: the status, the verdict of the cache, the size of the body,
 * whether it came whole.
 */
#ifndef BENCH_ANSWER_H
#define BENCH_ANSWER_H

#include <llhttp.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>
#include <sys/types.h>

#define ANSWER_VERDICT "cf-aig-cache-status"

struct answer {
	llhttp_t parser; /* its data is the answer */
	bool is_due;     /* one may come: any other is an error */
	bool is_whole;
	bool stays;  /* the connection, behind this answer: the parser knows only at its end */
	size_t size; /* of the body */
	void (*on_bytes)(struct answer *a, const char *p, size_t n); /* of the body; NULL: none */
	char name[sizeof(ANSWER_VERDICT) + 1], verdict[16];
};

/* Behind what is there; what does not fit is cut. */
static inline void
answer_append(char *to, size_t size, const char *at, size_t n)
{
	size_t have = strlen(to);

	n = n < size - 1 - have ? n : size - 1 - have;
	memcpy(to + have, at, n);
	to[have + n] = '\0';
}

static inline int
answer_on_begin(llhttp_t *parser)
{
	struct answer *a = parser->data;

	return a->is_due && !a->is_whole ? 0 : -1;
}

static inline int
answer_on_name(llhttp_t *parser, const char *at, size_t n)
{
	struct answer *a = parser->data;

	answer_append(a->name, sizeof(a->name), at, n);
	return 0;
}

static inline int
answer_on_value(llhttp_t *parser, const char *at, size_t n)
{
	struct answer *a = parser->data;

	if (strcasecmp(a->name, ANSWER_VERDICT) == 0)
		answer_append(a->verdict, sizeof(a->verdict), at, n);
	return 0;
}

static inline int
answer_on_value_complete(llhttp_t *parser)
{
	struct answer *a = parser->data;

	a->name[0] = '\0';
	return 0;
}

static inline int
answer_on_body(llhttp_t *parser, const char *at, size_t n)
{
	struct answer *a = parser->data;

	a->size += n;
	if (a->on_bytes != NULL)
		a->on_bytes(a, at, n);
	return 0;
}

static inline int
answer_on_complete(llhttp_t *parser)
{
	struct answer *a = parser->data;

	a->is_whole = true;
	a->stays = llhttp_should_keep_alive(parser) != 0;
	return 0;
}

static inline void
answer_callbacks(llhttp_settings_t *to)
{
	llhttp_settings_init(to);
	to->on_message_begin = answer_on_begin;
	to->on_header_field = answer_on_name;
	to->on_header_value = answer_on_value;
	to->on_header_value_complete = answer_on_value_complete;
	to->on_body = answer_on_body;
	to->on_message_complete = answer_on_complete;
}

/* For a new connection. */
static inline void
answer_init(struct answer *a, const llhttp_settings_t *callbacks)
{
	*a = (struct answer){.is_due = false};
	llhttp_init(&a->parser, HTTP_RESPONSE, callbacks);
	a->parser.data = a;
}

/* The next answer may come. */
static inline void
answer_expect(struct answer *a)
{
	a->is_due = true;
	a->is_whole = false;
	a->size = 0;
	a->name[0] = a->verdict[0] = '\0';
}

/*
 * n bytes came, or the connection ended (n < 0). True: that was the end of the answer, or of all hope for it; whether it is
 * whole and whether the connection may be used again is in the struct.
 */
static inline bool
answer_came(struct answer *a, const char *p, ssize_t n)
{
	bool is_open = n >= 0 && llhttp_execute(&a->parser, p, (size_t)n) == HPE_OK;

	if (n < 0 && a->is_due &&
	    llhttp_finish(&a->parser) != HPE_OK) /* without a length it ends so */
		a->is_whole = false;
	if (n == 0 || (is_open && !a->is_whole))
		return false;
	a->is_whole = a->is_whole && (is_open || n < 0);
	a->stays = a->stays && is_open;
	return true;
}

#endif
