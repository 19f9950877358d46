/*
 * streams: opens streams of a paced provider (bench/provider with PACE) and says how late what it
 * wrote arrived here, and whether all of it did.
 *
 *   streams [-c STREAMS] [-k ROUNDS] [-e EVENTS] [-H FIELD] http://IPV4:PORT/PATH
 *
 * Each of STREAMS (1) connections asks for ROUNDS (1) streams of EVENTS (20) events, one after the
 * other; the connections begin 1 ms apart, so that the provider's events do not come in one burst.
 * The delay of an event is from the provider's write to its arrival here, both read from the
 * machine's monotonic clock; the first token's time is from the request's write. One line of figures,
 * in us, on standard output. Exit 1 if an event was lost or out of order, or a stream not whole; 2 if
 * it cannot go on.
 */
#include "answer.h"
#include "bodies.h"
#include "figures.h"
#include "net.h"
#include <unistd.h>

#define LATE_US 10000
#define TAIL 64 /* of what came, for a stamp that is cut */

struct streams {
	struct net net;
	long connections, rounds, events;
	struct target to;
	llhttp_settings_t callbacks;
	char *request;
	size_t request_size;
	struct figures delays, firsts;
	long broken, lost;
	struct conn *conns;
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
		figures_add(&s->firsts, now - c->sent_at);
	figures_add(&s->delays, now > at ? now - at : 0);
}

static const char *
find_stamp(const char *p, size_t n)
{
	return memmem(p, n, BODY_STAMP, sizeof(BODY_STAMP) - 1);
}

/* A stamp of which the first part came before: it began in the tail, and did not end there. */
static void
note_cut(struct conn *c, const char *p, size_t n)
{
	char joint[2 * TAIL];
	size_t more = n < TAIL ? n : TAIL;

	memcpy(joint, c->tail, c->tail_size);
	memcpy(joint + c->tail_size, p, more);
	const char *middle = joint + c->tail_size, *hit = find_stamp(joint, c->tail_size + more);
	if (hit != NULL && hit < middle && hit + BODY_STAMP_SIZE > middle &&
	    hit + BODY_STAMP_SIZE <= middle + more)
		note_event(c, hit);
}

static void
on_bytes(struct answer *a, const char *p, size_t n)
{
	struct conn *c = conn_of(a);
	const char *end = p + n, *at = p;

	if (c->tail_size > 0)
		note_cut(c, p, n);
	while ((at = find_stamp(at, (size_t)(end - at))) != NULL &&
	    (size_t)(end - at) >= BODY_STAMP_SIZE) {
		note_event(c, at);
		at += BODY_STAMP_SIZE;
	}
	c->tail_size = n < BODY_STAMP_SIZE - 1 ? n : BODY_STAMP_SIZE - 1;
	memcpy(c->tail, end - c->tail_size, c->tail_size);
}

static void
send_next(struct conn *c)
{
	answer_expect(&c->answer);
	c->answer.on_bytes = on_bytes;
	c->next = 0;
	c->tail_size = 0;
	c->sent_at = uv_hrtime();
	net_send(&c->tcp, c->all->request, c->all->request_size);
}

static void
on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *in)
{
	struct conn *c = stream->data;
	struct answer *a = &c->answer;

	if (!answer_came(a, in->base, n))
		return;
	if (!a->is_whole || a->parser.status_code != 200)
		c->all->broken++;
	c->all->lost += c->all->events - c->next;
	c->rounds--;
	if (a->stays && c->rounds > 0)
		send_next(c);
	else
		uv_close((uv_handle_t *)&c->tcp, NULL);
}

static void
on_connect(uv_connect_t *connect, int status)
{
	struct conn *c = connect->handle->data;

	if (status != 0 || net_read(&c->tcp, on_read) != 0)
		errx(2, "cannot connect");
	send_next(c);
}

static void
on_start(uv_timer_t *timer)
{
	struct conn *c = timer->data;

	uv_close((uv_handle_t *)timer, NULL);
	answer_init(&c->answer, &c->all->callbacks);
	net_connect(&c->all->net, &c->connect, &c->tcp, &c->all->to, on_connect);
	c->tcp.data = c;
}

/* The delays are sorted: those over the bound are the last ones. */
static long
count_late(const struct figures *f)
{
	long late = 0;

	while (late < f->n && f->us[f->n - 1 - late] > LATE_US)
		late++;
	return late;
}

static int
report(struct streams *s)
{
	const struct figures *d = &s->delays, *f = &s->firsts;

	figures_sort(&s->delays);
	figures_sort(&s->firsts);
	printf("events %ld lost %ld broken %ld late %ld first_p50_us %u first_p99_us %u "
	       "delay_p50_us %u delay_p99_us %u delay_p999_us %u delay_max_us %u\n",
	    d->n, s->lost, s->broken, count_late(d), figures_at(f, 0.5), figures_at(f, 0.99),
	    figures_at(d, 0.5), figures_at(d, 0.99), figures_at(d, 0.999), figures_at(d, 1));
	return s->lost != 0 || s->broken != 0 || d->n != d->room;
}

/* ---- start ---- */

static bool
parse(struct streams *s, int argc, char **argv, FILE *fields)
{
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
	return optind + 1 == argc && target_parse(&s->to, argv[optind]) && s->connections > 0 &&
	    s->rounds > 0 && s->events > 0;
}

static void
start_all(struct streams *s)
{
	for (long i = 0; i < s->connections; i++) {
		struct conn *c = &s->conns[i];
		c->all = s;
		c->rounds = s->rounds;
		uv_timer_init(&s->net.loop, &c->start);
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
		errx(2, "usage: streams [-c STREAMS] [-k ROUNDS] [-e EVENTS] [-H FIELD] URL");
	fclose(f);
	const struct body_ask ask = {.path = s.to.path,
	    .host = s.to.host,
	    .fields = fields,
	    .size = 1024,
	    .is_stream = true};
	body_request(&ask, &s.request, &s.request_size);
	figures_init(&s.delays, s.connections * s.rounds * s.events);
	figures_init(&s.firsts, s.connections * s.rounds);
	s.conns = calloc((size_t)s.connections, sizeof(*s.conns));
	answer_callbacks(&s.callbacks);
	net_init(&s.net);
	net_watch(&s.net, &s.delays.n);
	start_all(&s);
	uv_run(&s.net.loop, UV_RUN_DEFAULT);
	return report(&s);
}
