/*
 * load: sends an exact number of chat requests over some connections, one at a time on each, and
 * checks every answer: status 200, the expected verdict, whole, and as long as the first one.
 *
 *   load [-n REQUESTS] [-c CONNECTIONS] [-b BYTES] [-s] [-u FIRST] [-g GROUP] [-v VERDICT] [-r RATE] http://IPV4:PORT/PATH
 *
 * BYTES (1024) is the size of a request's body; -s asks for streams; -u writes FIRST, FIRST + 1, ...
 * into the bodies, so that no two are the same, or with GROUP so that as many in a row are. VERDICT
 * is what cf-aig-cache-status has to say. A connection that the server closes behind an answer is
 * opened again. The time of a request runs from its write to the last byte of its answer; connecting
 * is not in it. With RATE, requests a second, each has its time, whatever became of those before it,
 * and is measured from then on: who falls behind is seen to (no coordinated omission). One line of
 * figures on standard output. Exit 1 if any request failed (how many and why on standard error), 2 if
 * it cannot go on.
 */
#include "answer.h"
#include "bodies.h"
#include "figures.h"
#include "net.h"
#include <sys/timerfd.h>
#include <unistd.h>

enum verdict { FINE, NOT_CONNECTED, BROKEN, STATUS, VERDICT, SIZE, VERDICT_COUNT };
static const char *const verdict_words[VERDICT_COUNT] = {
    "fine", "not connected", "broken off", "not status 200", "another verdict", "another size"};

struct load {
	struct net net;
	long requests, connections, body_size, first; /* number in a body; negative: none */
	long group;                                   /* requests with the same number */
	long rate;                                    /* 0: each when the one before is answered */
	uint64_t begun_at;                            /* ns; with a rate */
	int clock;
	uv_poll_t tick;
	struct conn *idle; /* connected, with a rate, and nothing to send yet */
	bool is_stream;
	const char *verdict; /* that is expected; NULL: any */
	struct target to;
	llhttp_settings_t callbacks;
	char *request; /* of which each connection has a copy */
	size_t request_size, digits_at, answer_size;
	long started, finished, connects;
	long counts[VERDICT_COUNT];
	struct conn *conns;
	struct figures times;
};

struct conn {
	uv_tcp_t tcp;
	uv_connect_t connect;
	struct load *load;
	struct answer answer;
	char *request;
	uint64_t sent_at; /* ns */
	struct conn *next_idle;
};

static void open_conn(struct conn *c);

/* ---- one request ---- */

static enum verdict
judge(const struct conn *c)
{
	const struct load *l = c->load;

	if (!c->answer.is_whole)
		return BROKEN;
	if (c->answer.parser.status_code != 200)
		return STATUS;
	if (l->verdict != NULL && strcmp(c->answer.verdict, l->verdict) != 0)
		return VERDICT;
	return c->answer.size == l->answer_size ? FINE : SIZE;
}

static void
finish(struct conn *c, enum verdict verdict)
{
	struct load *l = c->load;

	c->answer.is_due = false;
	l->finished++;
	figures_add(&l->times, uv_hrtime() - c->sent_at);
	l->counts[verdict]++;
}

/* With a rate: when request i is to be sent. */
static uint64_t
due_at(const struct load *l, long i)
{
	return l->begun_at + (uint64_t)((double)i * 1e9 / (double)l->rate);
}

static void
begin(struct conn *c)
{
	struct load *l = c->load;
	char digits[sizeof(BODY_DIGITS)];

	if (l->first >= 0) {
		snprintf(digits, sizeof(digits), "%012ld", l->first + l->started / l->group);
		memcpy(c->request + l->digits_at, digits, sizeof(digits) - 1);
	}
	l->started++;
	answer_expect(&c->answer);
	c->sent_at = l->rate > 0 ? due_at(l, l->started - 1) : uv_hrtime();
}

/* The connection is opened again while there is something to send. */
static void
on_closed(uv_handle_t *handle)
{
	struct conn *c = handle->data;

	if (c->load->started < c->load->requests)
		open_conn(c);
}

static void
send_now(struct conn *c)
{
	struct load *l = c->load;

	begin(c);
	net_send(&c->tcp, c->request, l->request_size);
}

/* ---- with a rate: a clock finer than libuv's ---- */

static void
arm(const struct load *l)
{
	uint64_t at = due_at(l, l->started);
	const struct itimerspec when = {
	    .it_value = {.tv_sec = (time_t)(at / 1000000000), .tv_nsec = (long)(at % 1000000000)}};

	if (timerfd_settime(l->clock, TFD_TIMER_ABSTIME, &when, NULL) != 0)
		errx(2, "no timer");
}

/* Who has nothing more to send is closed: so it ends. */
static void
end_idle(struct load *l)
{
	uv_poll_stop(&l->tick);
	for (struct conn *c = l->idle; c != NULL; c = c->next_idle)
		uv_close((uv_handle_t *)&c->tcp, on_closed);
	l->idle = NULL;
}

static void
send_due(struct load *l)
{
	while (
	    l->idle != NULL && l->started < l->requests && due_at(l, l->started) <= uv_hrtime()) {
		struct conn *c = l->idle;
		l->idle = c->next_idle;
		send_now(c);
	}
	if (l->started == l->requests)
		end_idle(l);
	else if (l->idle != NULL)
		arm(l);
}

static void
on_tick(uv_poll_t *tick, int status, int events)
{
	struct load *l = tick->data;
	uint64_t times;

	(void)status;
	(void)events;
	if (read(l->clock, &times, sizeof(times)) > 0)
		send_due(l);
}

static void
send_next(struct conn *c)
{
	struct load *l = c->load;

	if (l->started == l->requests) {
		uv_close((uv_handle_t *)&c->tcp, on_closed);
	} else if (l->rate == 0) {
		send_now(c);
	} else {
		c->next_idle = l->idle;
		l->idle = c;
		send_due(l);
	}
}

static void
start_clock(struct load *l)
{
	l->begun_at = uv_hrtime() + 100000000; /* when all are connected */
	l->clock = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (l->clock < 0 || uv_poll_init(&l->net.loop, &l->tick, l->clock) != 0)
		errx(2, "no timer");
	l->tick.data = l;
	uv_poll_start(&l->tick, UV_READABLE, on_tick);
}

/* The server may close who has had nothing to send for long. */
static void
forget_idle(struct conn *c)
{
	struct conn **at = &c->load->idle;

	while (*at != NULL && *at != c)
		at = &(*at)->next_idle;
	if (*at == c)
		*at = c->next_idle;
}

static void
on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *in)
{
	struct conn *c = stream->data;
	struct answer *a = &c->answer;

	if (!answer_came(a, in->base, n))
		return;
	if (a->is_due) {
		if (a->is_whole && c->load->answer_size == 0)
			c->load->answer_size = a->size;
		finish(c, judge(c));
	}
	if (a->stays) {
		send_next(c);
	} else {
		forget_idle(c);
		uv_close((uv_handle_t *)&c->tcp, on_closed);
	}
}

/* ---- connections ---- */

static void
on_connect(uv_connect_t *connect, int status)
{
	struct conn *c = connect->handle->data;

	if (status == 0 && net_read(&c->tcp, on_read) == 0) {
		send_next(c);
		return;
	}
	if (c->load->started < c->load->requests) { /* costs a request, so that there is an end */
		begin(c);
		finish(c, NOT_CONNECTED);
	}
	uv_close((uv_handle_t *)&c->tcp, on_closed);
}

static void
open_conn(struct conn *c)
{
	struct load *l = c->load;

	l->connects++;
	answer_init(&c->answer, &l->callbacks);
	net_connect(&l->net, &c->connect, &c->tcp, &l->to, on_connect);
	c->tcp.data = c;
}

/* ---- start and end ---- */

static bool
parse(struct load *l, int argc, char **argv)
{
	static const char names[] = "ncbugr";
	long *const numbers[] = {
	    &l->requests, &l->connections, &l->body_size, &l->first, &l->group, &l->rate};

	for (int option; (option = getopt(argc, argv, "n:c:b:u:g:r:v:s")) != -1;) {
		const char *name = strchr(names, option);
		if (name != NULL)
			*numbers[name - names] = strtol(optarg, NULL, 10);
		else if (option == 'v')
			l->verdict = optarg;
		else if (option == 's')
			l->is_stream = true;
		else
			return false;
	}
	return optind + 1 == argc && target_parse(&l->to, argv[optind]) && l->requests > 0 &&
	    l->connections > 0 && l->body_size > 0 && l->group > 0;
}

static void
build_request(struct load *l)
{
	const struct body_ask ask = {.path = l->to.path,
	    .host = l->to.host,
	    .fields = "",
	    .size = (size_t)l->body_size,
	    .is_stream = l->is_stream};

	body_request(&ask, &l->request, &l->request_size);
	l->digits_at = (size_t)(strstr(l->request, BODY_DIGITS) - l->request);
}

static int
report(struct load *l, double seconds)
{
	const struct figures *t = &l->times;
	long n = l->finished, failed = n - l->counts[FINE];

	figures_sort(&l->times);
	printf(
	    "requests %ld failed %ld seconds %.3f per_second %.0f p50_us %u p99_us %u p999_us %u "
	    "max_us %u answer_bytes %zu connects %ld\n",
	    n, failed, seconds, (double)n / seconds, figures_at(t, 0.5), figures_at(t, 0.99),
	    figures_at(t, 0.999), figures_at(t, 1), l->answer_size, l->connects);
	for (int v = FINE + 1; v < VERDICT_COUNT; v++)
		if (l->counts[v] > 0)
			warnx("%s: %ld", verdict_words[v], l->counts[v]);
	return failed != 0 || n != l->requests;
}

int
main(int argc, char **argv)
{
	static struct load l = {
	    .requests = 1, .connections = 1, .body_size = 1024, .first = -1, .group = 1};

	if (!parse(&l, argc, argv))
		errx(2,
		    "usage: load [-n REQUESTS] [-c CONNECTIONS] [-b BYTES] [-s] [-u FIRST] "
		    "[-g GROUP] [-v VERDICT] [-r RATE] URL");
	build_request(&l);
	answer_callbacks(&l.callbacks);
	figures_init(&l.times, l.requests);
	l.conns = calloc((size_t)l.connections, sizeof(*l.conns));
	net_init(&l.net);
	net_watch(&l.net, &l.finished);
	if (l.rate > 0)
		start_clock(&l);
	uint64_t start = l.rate > 0 ? l.begun_at : uv_hrtime();
	for (long i = 0; i < l.connections; i++) {
		l.conns[i].load = &l;
		l.conns[i].request = strdup(l.request);
		open_conn(&l.conns[i]);
	}
	uv_run(&l.net.loop, UV_RUN_DEFAULT);
	return report(&l, (double)(uv_hrtime() - start) / 1e9);
}
