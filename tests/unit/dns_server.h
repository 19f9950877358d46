/*
 * A scripted DNS server on loopback, UDP and TCP, on the test's own loop.
 */
#ifndef TESTS_UNIT_DNS_SERVER_H
#define TESTS_UNIT_DNS_SERVER_H

#include "net/resolve.h"
#include "net_ends.h"

struct record {
	const char *name;
	const char *v4[10], *v6[10];
	unsigned ttl;
	int rcode; /* 0; 2: SERVFAIL; 3: NXDOMAIN */
	bool is_silent, is_truncated;
	enum { FINE, GARBAGE, CUT, OTHER_ID, OTHER_NAME, COUNT_LIES, LOOPING_NAME } spoilt;
};

struct dns_server {
	struct loop *loop;
	uv_poll_t poll, tcp_poll, tcp_query;
	int fd, tcp, tcp_peer;
	struct record *records;
	size_t n_records;
	unsigned asked; /* A queries for names in the records */
	int closed;
	char address[64]; /* for resolver_set_servers */
};

static inline void
dns_put16(unsigned char **p, unsigned v)
{
	*(*p)++ = (unsigned char)(v >> 8);
	*(*p)++ = (unsigned char)v;
}

static inline void
dns_put_record(unsigned char **p, unsigned type, unsigned ttl, const char *text)
{
	unsigned char ip[16];
	unsigned n = type == 1 ? 4 : 16;

	assert_int_equal(inet_pton(type == 1 ? AF_INET : AF_INET6, text, ip), 1);
	dns_put16(p, 0xc00c); /* the name of the question */
	dns_put16(p, type);
	dns_put16(p, 1);
	dns_put16(p, ttl >> 16);
	dns_put16(p, ttl & 0xffff);
	dns_put16(p, n);
	memcpy(*p, ip, n);
	*p += n;
}

/* The name of the question as text; gives the bytes it takes, with type and class. */
static inline size_t
dns_read_question(const unsigned char *q, char *name, unsigned *type)
{
	size_t at = 0, n = 0;

	while (q[at] != 0) {
		if (n > 0)
			name[n++] = '.';
		memcpy(name + n, q + at + 1, q[at]);
		n += q[at];
		at += 1u + q[at];
	}
	name[n] = '\0';
	*type = (unsigned)q[at + 1] << 8 | q[at + 2];
	return at + 5;
}

static inline const struct record *
dns_find_record(struct dns_server *d, const char *name)
{
	for (size_t i = 0; i < d->n_records; i++) {
		if (strcasecmp(d->records[i].name, name) == 0)
			return &d->records[i];
	}
	return NULL;
}

/* An answer of n bytes as a broken or hostile server would send it. */
static inline size_t
dns_spoil(const struct record *r, unsigned char *m, size_t n)
{
	switch (r->spoilt) {
	case FINE:
		break;
	case GARBAGE:
		memset(m + 2, 0xa5, n - 2);
		break;
	case CUT:
		return n - 7;
	case OTHER_ID:
		m[0] ^= 0x55;
		break;
	case OTHER_NAME:
		m[13] ^= 1;
		break;
	case COUNT_LIES:
		m[7] = 200;
		break;
	case LOOPING_NAME: /* the record's name points at itself */
		m[n - 15] = (unsigned char)(n - 16);
		break;
	}
	return n;
}

/* The length of the answer to the query of n bytes in `m`, which it overwrites; 0: say nothing. */
static inline size_t
dns_answer(struct dns_server *d, unsigned char *m, bool is_tcp)
{
	char name[260];
	unsigned type, count = 0;
	size_t question = dns_read_question(m + 12, name, &type);
	const struct record *r = dns_find_record(d, name);
	unsigned char *p = m + 12 + question, *head = m + 2;

	if (r != NULL && type == 1)
		d->asked++;
	if (r != NULL && r->is_silent)
		return 0;
	for (int i = 0; r != NULL && r->rcode == 0 && i < 10; i++) {
		const char *text = type == 1 ? r->v4[i] : r->v6[i];

		if (text == NULL)
			break;
		dns_put_record(&p, type, r->ttl, text);
		count++;
	}
	if (r != NULL && r->is_truncated && !is_tcp) {
		p = m + 12 + question;
		count = 0;
	}
	dns_put16(&head,
	    0x8180 | (unsigned)(r == NULL ? 3 : r->rcode) |
		(r != NULL && r->is_truncated && !is_tcp ? 0x200 : 0));
	dns_put16(&head, 1);
	dns_put16(&head, count);
	dns_put16(&head, 0);
	dns_put16(&head, 0);
	return r == NULL || type != 1 ? (size_t)(p - m) : dns_spoil(r, m, (size_t)(p - m));
}

static inline void
dns_on_query(uv_poll_t *h, int status, int events)
{
	struct dns_server *d = h->data;
	unsigned char m[2048];
	struct sockaddr_in from;
	socklen_t n_from = sizeof(from);
	ssize_t n;

	UNUSED(status);
	UNUSED(events);
	n = recvfrom(d->fd, m, 512, 0, (struct sockaddr *)(void *)&from, &n_from);
	if (n < 12)
		return;
	n = (ssize_t)dns_answer(d, m, false);
	if (n > 0)
		sendto(d->fd, m, (size_t)n, 0, (struct sockaddr *)(void *)&from, n_from);
}

static inline void
dns_watch(struct dns_server *d, uv_poll_t *poll, int fd, uv_poll_cb fn)
{
	assert_int_equal(uv_poll_init(&d->loop->uv, poll, fd), 0);
	poll->data = d;
	assert_int_equal(uv_poll_start(poll, UV_READABLE, fn), 0);
}

/* Over TCP each message has its length before it. */
static inline void
dns_on_tcp_query(uv_poll_t *h, int status, int events)
{
	struct dns_server *d = h->data;
	unsigned char m[2048], *p = m;
	ssize_t n = recv(d->tcp_peer, m, sizeof(m), 0);

	UNUSED(status);
	UNUSED(events);
	if (n <= 14) {
		uv_poll_stop(h);
		return;
	}
	/* one query is one segment here; A and AAAA may come together */
	for (ssize_t at = 0; at < n;) {
		size_t length = (size_t)m[at] << 8 | m[at + 1];
		unsigned char reply[2048];
		size_t size;

		memcpy(reply + 2, m + at + 2, length);
		size = dns_answer(d, reply + 2, true);
		p = reply;
		dns_put16(&p, (unsigned)size);
		assert_int_equal(send(d->tcp_peer, reply, size + 2, 0), (ssize_t)size + 2);
		at += (ssize_t)length + 2;
	}
}

static inline void
dns_on_tcp_connection(uv_poll_t *h, int status, int events)
{
	struct dns_server *d = h->data;

	UNUSED(status);
	UNUSED(events);
	if (d->tcp_peer > 0)
		return;
	d->tcp_peer = accept4(d->tcp, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	assert_true(d->tcp_peer > 0);
	uv_poll_stop(h);
	dns_watch(d, &d->tcp_query, d->tcp_peer, dns_on_tcp_query);
}

static inline void
dns_on_server_closed(uv_handle_t *h)
{
	((struct dns_server *)h->data)->closed++;
}

static inline bool
dns_bind_to(int fd, struct sockaddr_in *sa)
{
	socklen_t n = sizeof(*sa);

	return bind(fd, (struct sockaddr *)(void *)sa, n) == 0 &&
	    getsockname(fd, (struct sockaddr *)(void *)sa, &n) == 0;
}

/* UDP, and TCP on the same port, for answers that UDP has no room for; the port may be taken there. */
static inline void
dns_open_sockets(struct dns_server *d, struct sockaddr_in *sa)
{
	bool ok = false;

	for (int i = 0; i < 100 && !ok; i++) {
		*sa = (struct sockaddr_in){
		    .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
		d->fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		d->tcp = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		ok = dns_bind_to(d->fd, sa) && dns_bind_to(d->tcp, sa) && listen(d->tcp, 4) == 0;
		if (!ok) {
			close(d->fd);
			close(d->tcp);
		}
	}
	assert_true(ok);
}

static inline void
dns_server_open(struct dns_server *d, struct loop *l, struct record *records, size_t n)
{
	struct sockaddr_in sa;

	*d = (struct dns_server){.loop = l, .records = records, .n_records = n};
	dns_open_sockets(d, &sa);
	dns_watch(d, &d->poll, d->fd, dns_on_query);
	dns_watch(d, &d->tcp_poll, d->tcp, dns_on_tcp_connection);
	snprintf(d->address, sizeof(d->address), "127.0.0.1:%u", ntohs(sa.sin_port));
}

static inline void
dns_server_close(struct dns_server *d)
{
	uv_close((uv_handle_t *)&d->poll, dns_on_server_closed);
	uv_close((uv_handle_t *)&d->tcp_poll, dns_on_server_closed);
	if (d->tcp_peer > 0)
		uv_close((uv_handle_t *)&d->tcp_query, dns_on_server_closed);
	RUN_UNTIL(d->loop, d->closed == (d->tcp_peer > 0 ? 3 : 2));
	close(d->fd);
	close(d->tcp);
	if (d->tcp_peer > 0)
		close(d->tcp_peer);
}

#endif
