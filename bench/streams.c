/*
 * streams: opens streams of a paced provider (bench/provider with PACE) and says how late what it wrote arrived here, and whether
 * all of it did.
 *
 *   streams [-c STREAMS] [-k ROUNDS] [-e EVENTS] [-H FIELD] http://IPV4:PORT/PATH
 *
 * Each of STREAMS (1) connections asks for ROUNDS (1) streams of EVENTS (20) events, one after the other; the connections begin
 * 1 ms apart, so that the provider's events do not come in one burst. The delay of an event is from the provider's write to its
 * arrival here, both read from the machine's monotonic clock; the first token's time is from the request's write. One line of
 * figures, in us, on standard output. Exit 1 if an event was lost or out of order, or a stream not whole; 2 if it cannot go on.
 */
#include "answer.h"
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <uv.h>

#include "bodies.h"

#define STILL_MS 60000
#define TAIL 64 /* of what came, for a stamp that is cut */

struct streams {
	long connections, rounds, events;
	struct sockaddr_in to;
	uv_loop_t loop;
	uv_timer_t watchdog;
	llhttp_settings_t callbacks;
	char *request;
	size_t request_size;
	uint32_t *delays, *firsts; /* us */
	size_t n_delays, n_firsts, n_delays_before, max_delays;
	long broken, lost;
	struct conn *conns;
	char in[65536];
};

struct conn {
	uv_tcp_t tcp;
	uv_connect_t connect;
	uv_timer_t start;
	struct streams *all;
	struct answer answer;
	long rounds, next; /* number of the event that comes next */
	uint64_t sent_at;
	char tail[TAIL];
	size_t tail_size;
};

static void
die(const char *why)
{
	fprintf(stderr, "streams: %s\n", why);
	exit(2);
}

static struct conn *
conn_of(struct answer *a)
{
	return (struct conn *)((char *)a - offsetof(struct conn, answer));
}

static void
note_event(struct conn *c, const char *stamp)
{
	struct streams *s = c->all;
	uint64_t now = uv_hrtime(), at = strtoull(stamp + sizeof(BODY_STAMP) - 1, NULL, 10);
	long n = strtol(stamp + BODY_STAMP_NUMBER, NULL, 10);

	if (n != c->next)
		s->lost++;
	c->next = n + 1;
	if (n == 0)
		s->firsts[s->n_firsts++] = (uint32_t)((now - c->sent_at) / 1000);
	if (s->n_delays < s->max_delays)
		s->delays[s->n_delays++] = (uint32_t)((now > at ? now - at : 0) / 1000);
}

/* Stamps in what came, also where it is cut within one. */
static void
on_bytes(struct answer *a, const char *p, size_t n)
{
	struct conn *c = conn_of(a);
	char joint[2 * TAIL];

	for (const char *at = p, *hit; n >= BODY_STAMP_SIZE &&
	    (hit = memmem(at, n - (size_t)(at - p), BODY_STAMP, sizeof(BODY_STAMP) - 1)) != NULL &&
	    n - (size_t)(hit - p) >= BODY_STAMP_SIZE;
	    at = hit + BODY_STAMP_SIZE)
		note_event(c, hit);
	if (c->tail_size > 0) {
		size_t more = n < TAIL ? n : TAIL;
		memcpy(joint, c->tail, c->tail_size);
		memcpy(joint + c->tail_size, p, more);
		const char *hit = memmem(joint, c->tail_size + more, BODY_STAMP, sizeof(BODY_STAMP) - 1);
		/* It is the joint's own only if it began before it and did not end there. */
		if (hit != NULL && hit < joint + c->tail_size && hit + BODY_STAMP_SIZE > joint + c->tail_size &&
		    hit + BODY_STAMP_SIZE <= joint + c->tail_size + more)
			note_event(c, hit);
	}
	c->tail_size = n < BODY_STAMP_SIZE - 1 ? n : BODY_STAMP_SIZE - 1;
	memcpy(c->tail, p + n - c->tail_size, c->tail_size);
}

static void
send_next(struct conn *c)
{
	uv_buf_t out = uv_buf_init(c->all->request, (unsigned)c->all->request_size);

	answer_expect(&c->answer);
	c->answer.on_bytes = on_bytes;
	c->next = 0;
	c->tail_size = 0;
	c->sent_at = uv_hrtime();
	if (uv_try_write((uv_stream_t *)&c->tcp, &out, 1) != (int)c->all->request_size)
		die("a request did not go out at once");
}

static void
on_alloc(uv_handle_t *handle, size_t size, uv_buf_t *out)
{
	struct conn *c = handle->data;

	(void)size;
	*out = uv_buf_init(c->all->in, sizeof(c->all->in));
}

static void
on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *in)
{
	struct conn *c = stream->data;
	struct answer *a = &c->answer;
	bool is_open = n >= 0 && (n == 0 || answer_feed(a, in->base, (size_t)n));

	if (is_open && !a->is_whole)
		return;
	if (!a->is_whole || a->parser.status_code != 200)
		c->all->broken++;
	c->all->lost += c->all->events - c->next;
	c->rounds--;
	if (is_open && a->stays && c->rounds > 0)
		send_next(c);
	else
		uv_close((uv_handle_t *)&c->tcp, NULL);
}

static void
on_connect(uv_connect_t *connect, int status)
{
	struct conn *c = connect->handle->data;

	if (status != 0 || uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read) != 0)
		die("cannot connect");
	send_next(c);
}

static void
on_start(uv_timer_t *timer)
{
	struct conn *c = timer->data;

	uv_close((uv_handle_t *)timer, NULL);
	uv_tcp_init(&c->all->loop, &c->tcp);
	c->tcp.data = c;
	answer_init(&c->answer, &c->all->callbacks);
	uv_tcp_nodelay(&c->tcp, 1);
	if (uv_tcp_connect(&c->connect, &c->tcp, (struct sockaddr *)&c->all->to, on_connect) != 0)
		die("no socket to connect");
}

static void
on_watchdog(uv_timer_t *timer)
{
	struct streams *s = timer->data;

	if (s->n_delays == s->n_delays_before)
		die("the streams stood still");
	s->n_delays_before = s->n_delays;
}

static int
by_size(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return (x > y) - (x < y);
}

static uint32_t
at(const uint32_t *sorted, size_t n, double share)
{
	return n == 0 ? 0 : sorted[(size_t)((double)(n - 1) * share)];
}

static int
report(struct streams *s)
{
	size_t late = 0;

	qsort(s->delays, s->n_delays, sizeof(*s->delays), by_size);
	qsort(s->firsts, s->n_firsts, sizeof(*s->firsts), by_size);
	for (size_t i = 0; i < s->n_delays; i++)
		late += s->delays[i] > 10000;
	printf("events %zu lost %ld broken %ld late %zu first_p50_us %u first_p99_us %u delay_p50_us %u "
	       "delay_p99_us %u delay_p999_us %u delay_max_us %u\n",
	    s->n_delays, s->lost, s->broken, late, at(s->firsts, s->n_firsts, 0.5),
	    at(s->firsts, s->n_firsts, 0.99), at(s->delays, s->n_delays, 0.5),
	    at(s->delays, s->n_delays, 0.99), at(s->delays, s->n_delays, 0.999),
	    at(s->delays, s->n_delays, 1));
	return s->lost != 0 || s->broken != 0 ||
	    s->n_delays != (size_t)(s->connections * s->rounds * s->events);
}

/* ---- start ---- */

static bool
parse(struct streams *s, int argc, char **argv, FILE *fields)
{
	char host[64];
	int port = 0, n = 0;

	for (int option; (option = getopt(argc, argv, "c:k:e:H:")) != -1;) {
		if (option == 'c')
			s->connections = strtol(optarg, NULL, 10);
		else if (option == 'k')
			s->rounds = strtol(optarg, NULL, 10);
		else if (option == 'e')
			s->events = strtol(optarg, NULL, 10);
		else if (option == 'H')
			fprintf(fields, "%s\r\n", optarg);
		else
			return false;
	}
	return optind + 1 == argc &&
	    sscanf(argv[optind], "http://%63[0-9.]:%d%n", host, &port, &n) == 2 &&
	    argv[optind][n] == '/' && uv_ip4_addr(host, port, &s->to) == 0 && s->connections > 0 &&
	    s->rounds > 0 && s->events > 0;
}

static void
build_request(struct streams *s, const char *url, const char *fields)
{
	const char *authority = url + strlen("http://"), *path = strchr(authority, '/');
	char *body;
	size_t size;
	FILE *f = open_memstream(&body, &size);

	body_put_request(f, 1024, true, "000000000000");
	fclose(f);
	f = open_memstream(&s->request, &s->request_size);
	fprintf(f,
	    "POST %s HTTP/1.1\r\nHost: %.*s\r\nAuthorization: Bearer sk-bench-0123456789abcdef\r\n"
	    "Content-Type: application/json\r\nAccept: */*\r\n%sContent-Length: %zu\r\n\r\n%s",
	    path, (int)(path - authority), authority, fields, size, body);
	fclose(f);
	free(body);
}

static void
start_all(struct streams *s)
{
	uv_timer_init(&s->loop, &s->watchdog);
	s->watchdog.data = s;
	uv_timer_start(&s->watchdog, on_watchdog, STILL_MS, STILL_MS);
	uv_unref((uv_handle_t *)&s->watchdog);
	for (long i = 0; i < s->connections; i++) {
		struct conn *c = &s->conns[i];
		c->all = s;
		c->rounds = s->rounds;
		uv_timer_init(&s->loop, &c->start);
		c->start.data = c;
		uv_timer_start(&c->start, on_start, (uint64_t)i, 0);
	}
}

int
main(int argc, char **argv)
{
	static struct streams s = {.connections = 1, .rounds = 1, .events = 20};
	char *fields;
	size_t size;
	FILE *f = open_memstream(&fields, &size);

	if (!parse(&s, argc, argv, f))
		die("usage: streams [-c STREAMS] [-k ROUNDS] [-e EVENTS] [-H FIELD] http://IPV4:PORT/PATH");
	fclose(f);
	build_request(&s, argv[optind], fields);
	s.max_delays = (size_t)(s.connections * s.rounds * s.events);
	s.delays = calloc(s.max_delays, sizeof(*s.delays));
	s.firsts = calloc((size_t)(s.connections * s.rounds) + 1, sizeof(*s.firsts));
	s.conns = calloc((size_t)s.connections, sizeof(*s.conns));
	answer_callbacks(&s.callbacks);
	uv_loop_init(&s.loop);
	start_all(&s);
	uv_run(&s.loop, UV_RUN_DEFAULT);
	return report(&s);
}
