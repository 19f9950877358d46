/*
 * net: what the programs here do on libuv's loop in the same way: read into one buffer, write what the socket does not take at
 * once later, listen, connect, notice that nothing moves any more.
 */
#ifndef BENCH_NET_H
#define BENCH_NET_H

#include <err.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#define NET_STILL_MS 60000

struct net {
	uv_loop_t loop; /* first: so a handle's loop is the net */
	uv_timer_t watchdog;
	const long *progress;
	long progress_before;
	size_t in_size;
	char in[65536]; /* one for all: what is read is consumed at once */
};

/* What a client asks: http://IPV4:PORT/PATH. */
struct target {
	struct sockaddr_in to;
	char host[72]; /* with the port */
	const char *path;
};

struct net_rest {
	uv_write_t write;
	char bytes[];
};

static inline void
net_init(struct net *n)
{
	uv_loop_init(&n->loop);
	n->in_size = sizeof(n->in);
}

static inline bool
target_parse(struct target *t, const char *url)
{
	char ip[64];
	int port = 0, n = 0;

	if (url == NULL || sscanf(url, "http://%63[0-9.]:%d%n", ip, &port, &n) != 2 ||
	    url[n] != '/' || uv_ip4_addr(ip, port, &t->to) != 0)
		return false;
	t->path = url + n;
	snprintf(t->host, sizeof(t->host), "%s:%d", ip, port);
	return true;
}

/* ---- bytes ---- */

static inline void
net_on_alloc(uv_handle_t *handle, size_t size, uv_buf_t *out)
{
	struct net *n = (struct net *)handle->loop;

	(void)size;
	*out = uv_buf_init(n->in, (unsigned)n->in_size);
}

static inline int
net_read(uv_tcp_t *from, uv_read_cb on_read)
{
	return uv_read_start((uv_stream_t *)from, net_on_alloc, on_read);
}

static inline void
net_on_sent(uv_write_t *write, int status)
{
	(void)status; /* that the reader has gone is noticed by reading */
	free(write);
}

/* How much the socket takes at once. */
static inline size_t
net_try(uv_tcp_t *to, const char *p, size_t n)
{
	uv_buf_t bytes = uv_buf_init((char *)(uintptr_t)p, (unsigned)n);
	int sent = uv_try_write((uv_stream_t *)to, &bytes, 1);

	return sent > 0 ? (size_t)sent : 0;
}

/* copied: all of n, or none if p stays as long as the connection does. */
static inline void
net_send_rest(uv_tcp_t *to, const char *p, size_t n, size_t copied)
{
	struct net_rest *rest = malloc(sizeof(*rest) + copied);

	if (rest == NULL)
		errx(2, "no memory");
	memcpy(rest->bytes, p, copied);
	uv_buf_t bytes = uv_buf_init(copied > 0 ? rest->bytes : (char *)(uintptr_t)p, (unsigned)n);
	if (uv_write(&rest->write, (uv_stream_t *)to, &bytes, 1, net_on_sent) != 0)
		free(rest);
}

/* What the socket does not take at once is copied. */
static inline void
net_send(uv_tcp_t *to, const char *p, size_t n)
{
	size_t done = net_try(to, p, n);

	if (done < n)
		net_send_rest(to, p + done, n - done, n - done);
}

/* The bytes stay as long as the connection does: ten thousand that read slowly share them. */
static inline void
net_send_shared(uv_tcp_t *to, const char *p, size_t n)
{
	size_t done = net_try(to, p, n);

	if (done < n)
		net_send_rest(to, p + done, n - done, 0);
}

/* ---- connections ---- */

static inline void
net_connect(struct net *n, uv_connect_t *connect, uv_tcp_t *tcp, const struct target *t,
    uv_connect_cb on_connect)
{
	uv_tcp_init(&n->loop, tcp);
	uv_tcp_nodelay(tcp, 1);
	if (uv_tcp_connect(connect, tcp, (const struct sockaddr *)&t->to, on_connect) != 0)
		errx(2, "no socket to connect");
}

static inline int
net_accept(uv_stream_t *listener, uv_tcp_t *tcp)
{
	int failed = uv_accept(listener, (uv_stream_t *)tcp);

	return failed != 0 ? failed : uv_tcp_nodelay(tcp, 1);
}

/* Listens on that port of 127.0.0.1 (0: any), prints it, and serves; returns main's exit status. */
static inline int
net_serve(struct net *n, uv_tcp_t *listener, int port, uv_connection_cb on_connection)
{
	struct sockaddr_in at;
	int size = sizeof(at), failed;

	uv_tcp_init(&n->loop, listener);
	uv_ip4_addr("127.0.0.1", port, &at);
	if ((failed = uv_tcp_bind(listener, (struct sockaddr *)&at, 0)) != 0 ||
	    (failed = uv_listen((uv_stream_t *)listener, 4096, on_connection)) != 0 ||
	    (failed = uv_tcp_getsockname(listener, (struct sockaddr *)&at, &size)) != 0)
		errx(2, "cannot listen: %s", uv_strerror(failed));
	printf("%d\n", ntohs(at.sin_port));
	fflush(stdout);
	return uv_run(&n->loop, UV_RUN_DEFAULT);
}

/* ---- that something goes on ---- */

static inline void
net_on_watchdog(uv_timer_t *timer)
{
	struct net *n = timer->data;

	if (*n->progress == n->progress_before)
		errx(2, "nothing moved for %d s", NET_STILL_MS / 1000);
	n->progress_before = *n->progress;
}

/* Gives up when *progress does not change any more; it does not keep the loop running. */
static inline void
net_watch(struct net *n, const long *progress)
{
	n->progress = progress;
	uv_timer_init(&n->loop, &n->watchdog);
	n->watchdog.data = n;
	uv_timer_start(&n->watchdog, net_on_watchdog, NET_STILL_MS, NET_STILL_MS);
	uv_unref((uv_handle_t *)&n->watchdog);
}

#endif
