/*
 * bare: the least that a proxy can do, with the libraries that the gateway has too: it reads both
 * sides as HTTP, so that it knows where each message ends, and passes every byte on as it came. No
 * pool: each client has a connection of its own to the provider. What a gateway does beyond that is
 * measured against it. (The least that an answer costs is bench/provider itself.)
 *
 *   bare PROVIDER_PORT      prints its port when it listens on 127.0.0.1
 */
#include "net.h"
#include <llhttp.h>

struct bare {
	struct net net;
	uv_tcp_t listener;
	llhttp_settings_t callbacks;
	struct target provider;
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
on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *in)
{
	struct side *s = stream->data;

	if (n < 0 || (n > 0 && llhttp_execute(&s->parser, in->base, (size_t)n) != HPE_OK))
		close_pair(s->pair);
	else if (n > 0)
		net_send(&s->other->tcp, in->base, (size_t)n);
}

static void
on_connect(uv_connect_t *connect, int status)
{
	struct pair *p = connect->data;

	if (status != 0 || uv_is_closing((uv_handle_t *)&p->client.tcp) ||
	    net_read(&p->provider.tcp, on_read) != 0 || net_read(&p->client.tcp, on_read) != 0)
		close_pair(p);
}

static void
init_side(struct pair *p, struct side *s, llhttp_type_t type)
{
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
	uv_tcp_init(&b->net.loop, &p->client.tcp);
	net_connect(&b->net, &p->connect, &p->provider.tcp, &b->provider, on_connect);
	if (net_accept(listener, &p->client.tcp) != 0)
		close_pair(p);
}

int
main(int argc, char **argv)
{
	static struct bare b; /* large for a stack */

	if (argc != 2 ||
	    uv_ip4_addr("127.0.0.1", (int)strtol(argv[1], NULL, 10), &b.provider.to) != 0)
		errx(2, "usage: bare PROVIDER_PORT");
	net_init(&b.net);
	b.listener.data = &b;
	llhttp_settings_init(&b.callbacks);
	return net_serve(&b.net, &b.listener, 0, on_connection);
}
