/*
 * provider: a mock of an AI provider that costs as little as it can, so that what is measured in front
 * of it is the gateway. Its answers are built once, at start, and are the same for every request.
 *
 *   provider [PORT [BYTES [EVENTS [PACE [DELAY]]]]]      prints its port when it listens on 127.0.0.1
 *
 * .../chat/completions: a chat completion of BYTES (1024) with usage; if the body has
 * "stream":true, EVENTS (20) chunks, one with the usage, and [DONE], all at once. Else 404.
 * With PACE, in ms, the first event of a stream comes at once and the others that far apart; each
 * has in it when it was written (body_put_paced_event), for bench/streams to read. With DELAY, in ms,
 * whatever is not paced takes so long.
 *
 * /counts: how many connections it accepted and how many chats it answered, as JSON, these not with it.
 */
#include "bodies.h"
#include "net.h"
#include <llhttp.h>

#define STREAM "\"stream\":true"
#define STREAM_SIZE (sizeof(STREAM) - 1)
#define CHAT "/chat/completions"
#define CHAT_SIZE (sizeof(CHAT) - 1)
#define COUNTS "/counts"
#define COUNTS_SIZE (sizeof(COUNTS) - 1)
#define NOT_FOUND "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
#define STREAM_FIELDS "Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
#define STREAM_HEAD "HTTP/1.1 200 OK\r\n" STREAM_FIELDS

struct provider {
	struct net net;
	uv_tcp_t listener;
	llhttp_settings_t callbacks;
	uv_buf_t completion, stream; /* whole responses */
	long events, pace_ms, delay_ms;
	long connections, chats;
};

struct conn {
	uv_tcp_t tcp;
	uv_timer_t pace;
	long paced;           /* events of the stream that were written */
	const uv_buf_t *owed; /* with a delay */
	int open;             /* handles that are not closed yet */
	llhttp_t parser;
	struct provider *provider;
	char url[256];
	size_t url_size;
	size_t matched; /* of STREAM; all of it: the request asks for a stream */
};

/* ---- the answers ---- */

static uv_buf_t
with_head(const char *head, char *body)
{
	char *p;
	int n = asprintf(&p, "HTTP/1.1 200 OK\r\n%s%s", head, body);

	free(body);
	return uv_buf_init(p, (unsigned)n);
}

static uv_buf_t
build_completion(size_t size)
{
	char *body, head[128];
	size_t n;
	FILE *f = open_memstream(&body, &n);

	body_put_completion(f, size);
	fclose(f);
	snprintf(
	    head, sizeof(head), "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n", n);
	return with_head(head, body);
}

static uv_buf_t
build_stream(long events)
{
	char *body;
	size_t size;
	FILE *f = open_memstream(&body, &size);

	body_put_stream(f, events);
	fclose(f);
	return with_head(STREAM_FIELDS, body);
}

/* ---- a connection ---- */

static void
on_conn_closed(uv_handle_t *handle)
{
	struct conn *c = handle->data;

	if (--c->open == 0)
		free(c);
}

static void
close_conn(struct conn *c)
{
	if (uv_is_closing((uv_handle_t *)&c->tcp))
		return;
	uv_close((uv_handle_t *)&c->pace, on_conn_closed);
	uv_close((uv_handle_t *)&c->tcp, on_conn_closed);
}

static void
send_answer(struct conn *c, const uv_buf_t *answer)
{
	net_send_shared(&c->tcp, answer->base, answer->len);
}

static void
on_delayed(uv_timer_t *timer)
{
	struct conn *c = timer->data;

	send_answer(c, c->owed);
}

/* Whoever asks is on a connection of its own. */
static void
send_counts(struct conn *c)
{
	char body[96], text[192];
	int size = snprintf(body, sizeof(body), "{\"connections\":%ld,\"chats\":%ld}",
	    --c->provider->connections, c->provider->chats);
	int n = snprintf(text, sizeof(text),
	    "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", size, body);

	net_send(&c->tcp, text, (size_t)n);
	close_conn(c);
}

/* ---- a paced stream ---- */

/* An event is small, and whoever is so far behind that its socket takes none is not measured. */
static void
on_pace(uv_timer_t *timer)
{
	struct conn *c = timer->data;
	char text[512];
	FILE *f = fmemopen(text, sizeof(text), "w");

	if (f == NULL)
		abort();
	if (c->paced < c->provider->events) {
		body_put_paced_event(f, c->paced++, uv_hrtime());
	} else {
		fputs(BODY_STREAM_END, f);
		uv_timer_stop(timer);
	}
	long n = ftell(f);
	fclose(f);
	uv_buf_t out = uv_buf_init(text, (unsigned)n);
	if (uv_try_write((uv_stream_t *)&c->tcp, &out, 1) != n)
		close_conn(c);
}

static void
start_paced(struct conn *c)
{
	net_send(&c->tcp, STREAM_HEAD, sizeof(STREAM_HEAD) - 1);
	c->paced = 0;
	on_pace(&c->pace);
	uv_timer_start(
	    &c->pace, on_pace, (uint64_t)c->provider->pace_ms, (uint64_t)c->provider->pace_ms);
}

static int
on_begin(llhttp_t *parser)
{
	struct conn *c = parser->data;

	c->url_size = c->matched = 0;
	return 0;
}

static int
on_url(llhttp_t *parser, const char *at, size_t n)
{
	struct conn *c = parser->data;

	if (n > sizeof(c->url) - c->url_size)
		return -1;
	memcpy(c->url + c->url_size, at, n);
	c->url_size += n;
	return 0;
}

/* Looks for STREAM across the joints of what the socket delivers; a blank behind the colon is fine. */
static int
on_body(llhttp_t *parser, const char *at, size_t n)
{
	struct conn *c = parser->data;

	for (size_t i = 0; i < n && c->matched < STREAM_SIZE; i++) {
		if (at[i] == STREAM[c->matched])
			c->matched++;
		else if (at[i] != ' ' || c->matched == 0 || STREAM[c->matched - 1] != ':')
			c->matched = at[i] == '"';
	}
	return 0;
}

static void
answer_chat(struct conn *c)
{
	struct provider *p = c->provider;
	bool is_stream = c->matched == STREAM_SIZE;

	p->chats++;
	c->owed = is_stream ? &p->stream : &p->completion;
	if (is_stream && p->pace_ms > 0)
		start_paced(c);
	else if (p->delay_ms > 0)
		uv_timer_start(&c->pace, on_delayed, (uint64_t)p->delay_ms, 0);
	else
		send_answer(c, c->owed);
}

static int
on_complete(llhttp_t *parser)
{
	struct conn *c = parser->data;

	if (c->url_size == COUNTS_SIZE && memcmp(c->url, COUNTS, COUNTS_SIZE) == 0)
		send_counts(c);
	else if (c->url_size < CHAT_SIZE ||
	    memcmp(c->url + c->url_size - CHAT_SIZE, CHAT, CHAT_SIZE) != 0)
		net_send(&c->tcp, NOT_FOUND, sizeof(NOT_FOUND) - 1);
	else
		answer_chat(c);
	return 0;
}

static void
on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *in)
{
	struct conn *c = stream->data;

	if (n < 0 || (n > 0 && llhttp_execute(&c->parser, in->base, (size_t)n) != HPE_OK))
		close_conn(c);
}

static void
on_connection(uv_stream_t *listener, int status)
{
	struct provider *p = listener->data;
	struct conn *c = status == 0 ? calloc(1, sizeof(*c)) : NULL;

	if (c == NULL)
		return;
	c->provider = p;
	p->connections++;
	uv_tcp_init(&p->net.loop, &c->tcp);
	uv_timer_init(&p->net.loop, &c->pace);
	c->tcp.data = c->pace.data = c;
	c->open = 2;
	llhttp_init(&c->parser, HTTP_REQUEST, &p->callbacks);
	c->parser.data = c;
	if (net_accept(listener, &c->tcp) != 0 || net_read(&c->tcp, on_read) != 0)
		close_conn(c);
}

/* ---- start ---- */

static long
argument(int argc, char **argv, int i, long otherwise)
{
	return argc > i ? strtol(argv[i], NULL, 10) : otherwise;
}

int
main(int argc, char **argv)
{
	static struct provider p; /* large for a stack */

	p.completion = build_completion((size_t)argument(argc, argv, 2, 1024));
	p.events = argument(argc, argv, 3, 20);
	p.pace_ms = argument(argc, argv, 4, 0);
	p.delay_ms = argument(argc, argv, 5, 0);
	p.stream = build_stream(p.events);
	llhttp_settings_init(&p.callbacks);
	p.callbacks.on_message_begin = on_begin;
	p.callbacks.on_url = on_url;
	p.callbacks.on_body = on_body;
	p.callbacks.on_message_complete = on_complete;
	net_init(&p.net);
	p.listener.data = &p;
	return net_serve(&p.net, &p.listener, (int)argument(argc, argv, 1, 0), on_connection);
}
