/*
 * provider: a mock of an AI provider that costs as little as it can, so that what is measured in front
 * of it is the gateway. Its answers are built once, at start, and are the same for every request.
 *
 *   provider [PORT [BYTES [EVENTS [PACE [DELAY]]]]]      prints its port when it listens on 127.0.0.1
 *
 * .../chat/completions: a chat completion of BYTES (1024) with usage; if the body has
 * "stream":true, EVENTS (20) chunks, one with the usage, and [DONE], all at once. Else 404.
 * With PACE, in ms, the first event of a stream comes at once and the others that far apart; each
 * has in it when it was written (body_put_paced_event), for bench/streams to read. With DELAY, in ms, a
 * chat completion takes so long.
 *
 * /counts: how many connections it accepted and how many chats it answered, as JSON, these not with it.
 */
#include <llhttp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "bodies.h"

#define STREAM "\"stream\":true"
#define STREAM_SIZE (sizeof(STREAM) - 1)
#define CHAT "/chat/completions"
#define CHAT_SIZE (sizeof(CHAT) - 1)
#define COUNTS "/counts"
#define COUNTS_SIZE (sizeof(COUNTS) - 1)
#define READ_SIZE 65536
#define STREAM_FIELDS "Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
#define STREAM_HEAD "HTTP/1.1 200 OK\r\n" STREAM_FIELDS

struct provider {
	uv_loop_t loop;
	uv_tcp_t listener;
	llhttp_settings_t callbacks;
	uv_buf_t completion, stream, not_found; /* whole responses */
	char in[READ_SIZE];                     /* one for all: what is read is consumed at once */
	long events, pace_ms, delay_ms;
	long connections, chats;
};

struct conn {
	uv_tcp_t tcp;
	uv_timer_t pace;
	long paced; /* events of the stream that were written */
	int open;   /* handles that are not closed yet */
	llhttp_t parser;
	struct provider *provider;
	char url[256];
	size_t url_size;
	size_t matched; /* of STREAM; all of it: the request asks for a stream */
};

struct pending {
	uv_write_t write;
	uv_buf_t rest;
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
on_written(uv_write_t *write, int status)
{
	(void)status; /* that the reader has gone is noticed by reading */
	free(write->data);
}

/* The answer outlives the write, so only what the socket did not take at once is remembered. */
static void
send_answer(struct conn *c, uv_buf_t answer)
{
	int sent = uv_try_write((uv_stream_t *)&c->tcp, &answer, 1);
	size_t done = sent > 0 ? (size_t)sent : 0;

	if (done == answer.len)
		return;
	struct pending *p = malloc(sizeof(*p));
	if (p == NULL)
		abort();
	p->write.data = p;
	p->rest = uv_buf_init(answer.base + done, (unsigned)(answer.len - done));
	if (uv_write(&p->write, (uv_stream_t *)&c->tcp, &p->rest, 1, on_written) != 0)
		free(p);
}

static void
on_delayed(uv_timer_t *timer)
{
	struct conn *c = timer->data;

	send_answer(c, c->provider->completion);
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
	uv_buf_t out = uv_buf_init(text, (unsigned)n);

	uv_try_write((uv_stream_t *)&c->tcp, &out, 1);
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
	static char head[] = STREAM_HEAD;

	send_answer(c, uv_buf_init(head, sizeof(head) - 1));
	c->paced = 0;
	on_pace(&c->pace);
	uv_timer_start(&c->pace, on_pace, (uint64_t)c->provider->pace_ms, (uint64_t)c->provider->pace_ms);
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
	if (is_stream && p->pace_ms > 0)
		start_paced(c);
	else if (!is_stream && p->delay_ms > 0)
		uv_timer_start(&c->pace, on_delayed, (uint64_t)p->delay_ms, 0);
	else
		send_answer(c, is_stream ? p->stream : p->completion);
}

static int
on_complete(llhttp_t *parser)
{
	struct conn *c = parser->data;
	struct provider *p = c->provider;

	if (c->url_size == COUNTS_SIZE && memcmp(c->url, COUNTS, COUNTS_SIZE) == 0)
		send_counts(c);
	else if (c->url_size < CHAT_SIZE ||
	    memcmp(c->url + c->url_size - CHAT_SIZE, CHAT, CHAT_SIZE) != 0)
		send_answer(c, p->not_found);
	else
		answer_chat(c);
	return 0;
}

static void
on_alloc(uv_handle_t *handle, size_t size, uv_buf_t *out)
{
	struct conn *c = handle->data;

	(void)size;
	*out = uv_buf_init(c->provider->in, READ_SIZE);
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
	uv_tcp_init(&p->loop, &c->tcp);
	uv_timer_init(&p->loop, &c->pace);
	c->tcp.data = c->pace.data = c;
	c->open = 2;
	llhttp_init(&c->parser, HTTP_REQUEST, &p->callbacks);
	c->parser.data = c;
	if (uv_accept(listener, (uv_stream_t *)&c->tcp) != 0 || uv_tcp_nodelay(&c->tcp, 1) != 0 ||
	    uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read) != 0)
		close_conn(c);
}

/* ---- start ---- */

/* The port it listens on, or what libuv says (negative). */
static int
listen_on(struct provider *p, int port)
{
	struct sockaddr_in at;
	int size = sizeof(at), failed;

	uv_loop_init(&p->loop);
	uv_tcp_init(&p->loop, &p->listener);
	p->listener.data = p;
	uv_ip4_addr("127.0.0.1", port, &at);
	if ((failed = uv_tcp_bind(&p->listener, (struct sockaddr *)&at, 0)) != 0 ||
	    (failed = uv_listen((uv_stream_t *)&p->listener, 1024, on_connection)) != 0 ||
	    (failed = uv_tcp_getsockname(&p->listener, (struct sockaddr *)&at, &size)) != 0)
		return failed;
	return ntohs(at.sin_port);
}

int
main(int argc, char **argv)
{
	static struct provider p; /* large for a stack */
	static char nothing[] = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";

	p.completion = build_completion(argc > 2 ? strtoul(argv[2], NULL, 10) : 1024);
	p.events = argc > 3 ? strtol(argv[3], NULL, 10) : 20;
	p.pace_ms = argc > 4 ? strtol(argv[4], NULL, 10) : 0;
	p.delay_ms = argc > 5 ? strtol(argv[5], NULL, 10) : 0;
	p.stream = build_stream(p.events);
	p.not_found = uv_buf_init(nothing, sizeof(nothing) - 1);
	llhttp_settings_init(&p.callbacks);
	p.callbacks.on_message_begin = on_begin;
	p.callbacks.on_url = on_url;
	p.callbacks.on_body = on_body;
	p.callbacks.on_message_complete = on_complete;
	int port = listen_on(&p, argc > 1 ? (int)strtol(argv[1], NULL, 10) : 0);
	if (port < 0) {
		fprintf(stderr, "provider: cannot listen: %s\n", uv_strerror(port));
		return 2;
	}
	printf("%d\n", port);
	fflush(stdout);
	return uv_run(&p.loop, UV_RUN_DEFAULT);
}
