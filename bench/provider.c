/*
 * provider: a mock of an AI provider that costs as little as it can, so that what is measured in front
 * of it is the gateway. Its answers are built once at start and are the same for every request.
 *
 *   provider [-p PORT] [-b BYTES] [-e EVENTS]      prints its port when it listens on 127.0.0.1
 *
 * POST .../chat/completions: a chat completion of BYTES (1024) with usage; if the body has
 * "stream":true, EVENTS (20) chunks, one with the usage, and [DONE], all at once. Else 404.
 */
#include <llhttp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "text.h"

#define USAGE "\"usage\":{\"prompt_tokens\":230,\"completion_tokens\":160,\"total_tokens\":390}"
#define READ_SIZE 65536
#define URL_SIZE 256
#define BYTES_MAX (64 << 20)
#define EVENTS_MAX 100000

struct answer {
	char *p; /* the whole response, for as long as the process lives */
	size_t n;
};

struct provider {
	uv_loop_t loop;
	uv_tcp_t listener;
	llhttp_settings_t callbacks;
	struct answer completion, stream;
	char in[READ_SIZE]; /* one for all: what is read is consumed at once */
};

struct conn {
	uv_tcp_t tcp;
	llhttp_t parser;
	struct provider *provider;
	char url[URL_SIZE]; /* zeroed behind its end */
	size_t url_n;
	size_t matched; /* of stream_member; all of it: the request asks for a stream */
};

struct pending {
	uv_write_t write;
	uv_buf_t rest;
};

static struct answer not_found = { .p = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", .n = 45 };
static const char stream_member[] = "\"stream\":true";
#define MATCHED_ALL (sizeof(stream_member) - 1)

/* ---- the answers ---- */

static void
build_completion(struct answer *a, size_t bytes)
{
	static const char front[] =
	    "{\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion\",\"created\":1700000000,"
	    "\"model\":\"gpt-4o-mini\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"";
	static const char back[] = "\"},\"finish_reason\":\"stop\"}]," USAGE "}";
	size_t frame = sizeof(front) - 1 + sizeof(back) - 1;
	FILE *f = open_memstream(&a->p, &a->n);

	bytes = bytes < frame ? frame : bytes;
	fprintf(f,
	    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n"
	    "x-request-id: req_bench\r\n\r\n%s",
	    bytes, front);
	text_put(f, bytes - frame);
	fputs(back, f);
	fclose(f);
}

/* One event, as one HTTP chunk: that is how providers send them. */
static void
put_event(FILE *f, const char *data)
{
	fprintf(f, "%zx\r\ndata: %s\n\n\r\n", strlen(data) + strlen("data: \n\n"), data);
}

static void
build_stream(struct answer *a, size_t events)
{
	static const char head[] = "{\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\","
				   "\"created\":1700000000,\"model\":\"gpt-4o-mini\",\"choices\":[";
	char data[512];
	FILE *f = open_memstream(&a->p, &a->n);

	fputs("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n"
	      "x-request-id: req_bench\r\n\r\n",
	    f);
	for (size_t i = 0; i < events; i++) {
		snprintf(data, sizeof(data), "%s{\"index\":0,\"delta\":{\"content\":\"word%zu \"},\"finish_reason\":%s}]}",
		    head, i, i + 1 < events ? "null" : "\"stop\"");
		put_event(f, data);
	}
	snprintf(data, sizeof(data), "%s]," USAGE "}", head);
	put_event(f, data);
	put_event(f, "[DONE]");
	fputs("0\r\n\r\n", f);
	fclose(f);
}

/* ---- a connection ---- */

static void
on_conn_closed(uv_handle_t *handle)
{
	free(handle->data);
}

static void
close_conn(struct conn *c)
{
	if (!uv_is_closing((uv_handle_t *)&c->tcp))
		uv_close((uv_handle_t *)&c->tcp, on_conn_closed);
}

static void
on_written(uv_write_t *write, int status)
{
	(void)status; /* a reader that has gone is noticed by the read */
	free(write->data);
}

/* The answer outlives the write, so only what the socket did not take at once is remembered. */
static void
send_answer(struct conn *c, const struct answer *a)
{
	uv_buf_t whole = uv_buf_init(a->p, (unsigned)a->n);
	int sent = uv_try_write((uv_stream_t *)&c->tcp, &whole, 1);
	size_t done = sent > 0 ? (size_t)sent : 0;

	if (done == a->n)
		return;
	struct pending *p = malloc(sizeof(*p));
	if (p == NULL)
		abort();
	p->write.data = p;
	p->rest = uv_buf_init(a->p + done, (unsigned)(a->n - done));
	if (uv_write(&p->write, (uv_stream_t *)&c->tcp, &p->rest, 1, on_written) != 0)
		free(p);
}

static int
on_begin(llhttp_t *parser)
{
	struct conn *c = parser->data;

	c->url_n = 0;
	c->matched = 0;
	return 0;
}

static int
on_url(llhttp_t *parser, const char *at, size_t n)
{
	struct conn *c = parser->data;

	if (n > URL_SIZE - c->url_n)
		return -1;
	memcpy(c->url + c->url_n, at, n);
	c->url_n += n;
	return 0;
}

/* Looks for the member over the joints of what the socket delivers; a blank behind the colon is fine. */
static int
on_body(llhttp_t *parser, const char *at, size_t n)
{
	struct conn *c = parser->data;

	for (size_t i = 0; i < n && c->matched < MATCHED_ALL; i++) {
		if (at[i] == stream_member[c->matched])
			c->matched++;
		else if (at[i] != ' ' || c->matched == 0 || stream_member[c->matched - 1] != ':')
			c->matched = at[i] == '"';
	}
	return 0;
}

static int
on_complete(llhttp_t *parser)
{
	static const char suffix[] = "/chat/completions";
	const size_t n = sizeof(suffix) - 1;
	struct conn *c = parser->data;
	struct provider *p = c->provider;
	bool is_chat = llhttp_get_method(parser) == HTTP_POST && c->url_n >= n &&
	    memcmp(c->url + c->url_n - n, suffix, n) == 0;

	if (!is_chat)
		send_answer(c, &p->not_found);
	else
		send_answer(c, c->matched == MATCHED_ALL ? &p->stream : &p->completion);
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
	uv_tcp_init(&p->loop, &c->tcp);
	c->tcp.data = c;
	llhttp_init(&c->parser, HTTP_REQUEST, &p->callbacks);
	c->parser.data = c;
	if (uv_accept(listener, (uv_stream_t *)&c->tcp) != 0) {
		close_conn(c);
		return;
	}
	uv_tcp_nodelay(&c->tcp, 1);
	uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read);
}

/* ---- start ---- */

/* The port it listens on, or what libuv says (negative). */
static int
listen_on(struct provider *p, int port)
{
	struct sockaddr_in at;
	int size = sizeof(at), failed;

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
	static struct provider p; /* its buffers are large for a stack */
	long port = 0, bytes = 1024, events = 20;

	for (int option; (option = getopt(argc, argv, "p:b:e:")) != -1;) {
		long *value = option == 'p' ? &port : option == 'b' ? &bytes : option == 'e' ? &events : NULL;

		if (value == NULL)
			return 1;
		*value = strtol(optarg, NULL, 10);
	}
	if (port < 0 || port > 65535 || bytes < 0 || bytes > BYTES_MAX || events < 1 || events > EVENTS_MAX) {
		fprintf(stderr, "usage: provider [-p PORT] [-b BYTES] [-e EVENTS]\n");
		return 1;
	}
	build_completion(&p.completion, (size_t)bytes);
	build_stream(&p.stream, (size_t)events);
	llhttp_settings_init(&p.callbacks);
	p.callbacks.on_message_begin = on_begin;
	p.callbacks.on_url = on_url;
	p.callbacks.on_body = on_body;
	p.callbacks.on_message_complete = on_complete;
	uv_loop_init(&p.loop);
	int listening = listen_on(&p, (int)port);
	if (listening < 0) {
		fprintf(stderr, "provider: port %ld: %s\n", port, uv_strerror(listening));
		return 2;
	}
	printf("%d\n", listening);
	fflush(stdout);
	return uv_run(&p.loop, UV_RUN_DEFAULT);
}
