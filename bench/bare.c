/*
 * bare: the least that a proxy can do, with the libraries that the gateway has too: it reads both sides as HTTP, so that it knows
 * where each message ends, and passes every byte on as it came. No pool: each client has a connection of its own to the provider.
 * What a gateway does beyond that is measured against it. (The least that an answer costs is bench/provider itself.)
 *
 *   bare PROVIDER_PORT      prints its port when it listens on 127.0.0.1
 */
#include <llhttp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#define READ_SIZE 65536

struct bare {
	uv_loop_t loop;
	uv_tcp_t listener;
	llhttp_settings_t callbacks;
	struct sockaddr_in provider;
	char in[READ_SIZE]; /* one for all: what is read is consumed at once */
};

struct pair;

struct side {
	uv_tcp_t tcp;
	llhttp_t parser;
	struct pair *pair;
	struct side *other;
};

struct pair {
	struct side client, provider;
	struct bare *bare;
	uv_connect_t connect;
	int open; /* handles that are not closed yet */
};

struct pending {
	uv_write_t write;
	char bytes[];
};

static void
on_side_closed(uv_handle_t *handle)
{
	struct pair *p = ((struct side *)handle->data)->pair;

	if (--p->open == 0)
		free(p);
}

static void
close_pair(struct pair *p)
{
	if (uv_is_closing((uv_handle_t *)&p->client.tcp))
		return;
	uv_close((uv_handle_t *)&p->client.tcp, on_side_closed);
	uv_close((uv_handle_t *)&p->provider.tcp, on_side_closed);
}

static void
on_written(uv_write_t *write, int status)
{
	(void)status; /* that the reader has gone is noticed by reading */
	free(write->data);
}

/* What the socket does not take at once is copied: the bytes it was read into are for all. */
static void
pass_on(struct side *to, const char *p, size_t n)
{
	uv_buf_t all = uv_buf_init((char *)(uintptr_t)p, (unsigned)n);
	int sent = uv_try_write((uv_stream_t *)&to->tcp, &all, 1);
	size_t done = sent > 0 ? (size_t)sent : 0;

	if (done == n)
		return;
	struct pending *rest = malloc(sizeof(*rest) + n - done);
	if (rest == NULL)
		abort();
	memcpy(rest->bytes, p + done, n - done);
	rest->write.data = rest;
	all = uv_buf_init(rest->bytes, (unsigned)(n - done));
	if (uv_write(&rest->write, (uv_stream_t *)&to->tcp, &all, 1, on_written) != 0)
		free(rest);
}

static void
on_alloc(uv_handle_t *handle, size_t size, uv_buf_t *out)
{
	struct side *s = handle->data;

	(void)size;
	*out = uv_buf_init(s->pair->bare->in, READ_SIZE);
}

static void
on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *in)
{
	struct side *s = stream->data;

	if (n < 0 || (n > 0 && llhttp_execute(&s->parser, in->base, (size_t)n) != HPE_OK))
		close_pair(s->pair);
	else if (n > 0)
		pass_on(s->other, in->base, (size_t)n);
}

static void
on_connect(uv_connect_t *connect, int status)
{
	struct pair *p = connect->data;

	if (status != 0 || uv_is_closing((uv_handle_t *)&p->client.tcp) ||
	    uv_read_start((uv_stream_t *)&p->provider.tcp, on_alloc, on_read) != 0 ||
	    uv_read_start((uv_stream_t *)&p->client.tcp, on_alloc, on_read) != 0)
		close_pair(p);
}

static void
init_side(struct pair *p, struct side *s, llhttp_type_t type)
{
	uv_tcp_init(&p->bare->loop, &s->tcp);
	s->tcp.data = s;
	s->pair = p;
	s->other = s == &p->client ? &p->provider : &p->client;
	llhttp_init(&s->parser, type, &p->bare->callbacks);
	p->open++;
}

static void
on_connection(uv_stream_t *listener, int status)
{
	struct bare *b = listener->data;
	struct pair *p = status == 0 ? calloc(1, sizeof(*p)) : NULL;

	if (p == NULL)
		return;
	p->bare = b;
	p->connect.data = p;
	init_side(p, &p->client, HTTP_REQUEST);
	init_side(p, &p->provider, HTTP_RESPONSE);
	uv_tcp_nodelay(&p->provider.tcp, 1);
	if (uv_accept(listener, (uv_stream_t *)&p->client.tcp) != 0 ||
	    uv_tcp_nodelay(&p->client.tcp, 1) != 0 ||
	    uv_tcp_connect(&p->connect, &p->provider.tcp, (struct sockaddr *)&b->provider, on_connect) != 0)
		close_pair(p);
}

int
main(int argc, char **argv)
{
	static struct bare b; /* large for a stack */
	struct sockaddr_in at;
	int size = sizeof(at), failed;

	if (argc != 2 || uv_ip4_addr("127.0.0.1", (int)strtol(argv[1], NULL, 10), &b.provider) != 0) {
		fprintf(stderr, "usage: bare PROVIDER_PORT\n");
		return 2;
	}
	uv_loop_init(&b.loop);
	uv_tcp_init(&b.loop, &b.listener);
	b.listener.data = &b;
	llhttp_settings_init(&b.callbacks);
	uv_ip4_addr("127.0.0.1", 0, &at);
	if ((failed = uv_tcp_bind(&b.listener, (struct sockaddr *)&at, 0)) != 0 ||
	    (failed = uv_listen((uv_stream_t *)&b.listener, 1024, on_connection)) != 0 ||
	    (failed = uv_tcp_getsockname(&b.listener, (struct sockaddr *)&at, &size)) != 0) {
		fprintf(stderr, "bare: cannot listen: %s\n", uv_strerror(failed));
		return 2;
	}
	printf("%d\n", ntohs(at.sin_port));
	fflush(stdout);
	return uv_run(&b.loop, UV_RUN_DEFAULT);
}
