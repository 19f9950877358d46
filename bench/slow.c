/*
 * slow: keeps many connections open that give a server next to nothing to do, and tells what became
 * of them.
 *
 *   slow [-c CONNECTIONS] [-m header|body|read|silent|mix] [-p PACE_MS] [-k SECONDS] [-t SECONDS] URL
 *
 * header  a request line, then a field line each pace, without end     silent  nothing at all
 * body    a head, then a byte of its body each pace                    mix     a quarter each
 * read    a whole request, of whose answer 100 bytes are read each pace
 *
 * For -k seconds (10) a connection that the server ends is opened again; then all are waited for, -t
 * seconds (120) at most. "open N" on standard output when all stand for the first time; at the end one
 * line of figures: how many were opened, could not be, were ended by the server (and with which
 * status), are left; how long they lasted, and the most at once. Exit 1 if some are left.
 */
#include "net.h"
#include <sys/resource.h>
#include <unistd.h>

#define TICK_MS 50
#define SIP 100
#define SOCKET_BUFFER 4096

enum mode { HEADER, BODY, READ, SILENT, MODES, MIX = MODES };
static const char *const mode_words[] = {"header", "body", "read", "silent", "mix"};

struct slow;
struct conn {
	uv_tcp_t tcp;
	uv_connect_t connect;
	struct slow *slow;
	enum mode mode;
	uint64_t opened_at, next_at; /* ms */
	bool is_open, has_answer, is_closed;
	int status;
};

struct slow {
	struct net net;
	long n, pace_ms, keep_s, most_s;
	enum mode mode;
	struct target to;
	uv_timer_t tick;
	struct conn *conns;
	uint64_t began_at;
	bool is_told, is_over;
	long open, peak, opened, failed, ended, with[6]; /* by class of status; 0: none */
	uint64_t longest_ms, total_ms;
};

static void open_conn(struct conn *c);

static uint64_t
now(const struct slow *s)
{
	return uv_now(&s->net.loop);
}

static bool
is_keeping(const struct slow *s)
{
	return now(s) < s->began_at + (uint64_t)s->keep_s * 1000;
}

static void
on_closed(uv_handle_t *handle)
{
	struct conn *c = handle->data;

	c->is_closed = true;
	if (is_keeping(c->slow) && !c->slow->is_over)
		open_conn(c);
}

static void
end(struct conn *c)
{
	struct slow *s = c->slow;
	uint64_t ms = now(s) - c->opened_at;

	if (uv_is_closing((uv_handle_t *)&c->tcp))
		return;
	if (c->is_open) {
		s->open--;
		s->ended++;
		s->with[c->status / 100 % 6]++;
		s->total_ms += ms;
		s->longest_ms = ms > s->longest_ms ? ms : s->longest_ms;
	}
	c->is_open = false;
	uv_close((uv_handle_t *)&c->tcp, on_closed);
}

/* A slow client's words are short: what the socket does not take at once it never will. */
static void
say(struct conn *c, const char *words)
{
	uv_buf_t b = uv_buf_init((char *)(uintptr_t)words, (unsigned)strlen(words));
	int n = uv_try_write((uv_stream_t *)&c->tcp, &b, 1);

	if (n < 0 && n != UV_EAGAIN)
		end(c);
}

static void
on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *in)
{
	struct conn *c = stream->data;

	if (n < 0) {
		end(c);
		return;
	}
	if (!c->has_answer && n > 12)
		c->status = atoi(in->base + 9);
	c->has_answer = c->has_answer || n > 0;
	if (c->mode == READ)
		uv_read_stop(stream); /* until the next sip */
}

static void
begin(struct conn *c)
{
	const char *path = c->slow->to.path;
	char head[512];

	if (c->mode == SILENT)
		return;
	if (c->mode == HEADER)
		snprintf(head, sizeof(head), "GET %s HTTP/1.1\r\nHost: x\r\n", path);
	else if (c->mode == BODY)
		snprintf(head, sizeof(head),
		    "POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
		    "Content-Length: 1000000\r\n\r\n{",
		    path);
	else
		snprintf(head, sizeof(head),
		    "POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
		    "cf-aig-skip-cache: true\r\nContent-Length: 23\r\n\r\n{\"model\":\"m\",\"n\":12345}",
		    path);
	say(c, head);
}

static void
on_connect(uv_connect_t *connect, int status)
{
	struct conn *c = connect->handle->data;
	struct slow *s = c->slow;

	if (status != 0) {
		s->failed++;
		uv_close((uv_handle_t *)&c->tcp, on_closed);
		return;
	}
	c->is_open = true;
	c->opened_at = now(s);
	/* Not all at once. */
	c->next_at = c->opened_at + (uint64_t)(rand() % s->pace_ms);
	s->opened++;
	s->open++;
	s->peak = s->open > s->peak ? s->open : s->peak;
	begin(c);
	if (c->is_open && net_read(&c->tcp, on_read) != 0)
		end(c);
}

static void
open_conn(struct conn *c)
{
	int size = SOCKET_BUFFER;

	c->has_answer = c->is_closed = false;
	c->status = 0;
	uv_tcp_init_ex(&c->slow->net.loop, &c->tcp, AF_INET);
	c->tcp.data = c;
	if (c->mode == READ)
		uv_recv_buffer_size((uv_handle_t *)&c->tcp, &size);
	if (uv_tcp_connect(&c->connect, &c->tcp, (struct sockaddr *)&c->slow->to.to, on_connect) !=
	    0)
		errx(2, "no socket to connect");
}

static void
pace(struct conn *c)
{
	struct slow *s = c->slow;

	if (!c->is_open || now(s) < c->next_at)
		return;
	c->next_at += (uint64_t)s->pace_ms;
	if (c->mode == HEADER)
		say(c, "X-Slow: y\r\n");
	else if (c->mode == BODY)
		say(c, " ");
	else if (c->mode == READ)
		net_read(&c->tcp, on_read);
}

static void
on_tick(uv_timer_t *timer)
{
	struct slow *s = timer->data;
	uint64_t ms = now(s) - s->began_at;

	if (!s->is_told && s->open + s->failed + s->ended >= s->n) {
		s->is_told = true;
		printf("open %ld\n", s->open);
		fflush(stdout);
	}
	for (long i = 0; i < s->n; i++)
		pace(&s->conns[i]);
	s->is_over = !is_keeping(s) && s->open == 0;
	if (s->is_over || ms > (uint64_t)(s->keep_s + s->most_s) * 1000)
		uv_stop(&s->net.loop);
}

static bool
parse(struct slow *s, int argc, char **argv)
{
	static const char names[] = "cpkt";
	long *const numbers[] = {&s->n, &s->pace_ms, &s->keep_s, &s->most_s};

	for (int option; (option = getopt(argc, argv, "c:m:p:k:t:")) != -1;) {
		const char *name = strchr(names, option);
		int mode = 0;
		if (name != NULL)
			*numbers[name - names] = strtol(optarg, NULL, 10);
		while (option == 'm' && mode <= MIX && strcmp(optarg, mode_words[mode]) != 0)
			mode++;
		if (option == '?' || mode > MIX)
			return false;
		if (option == 'm')
			s->mode = (enum mode)mode;
	}
	return optind + 1 == argc && target_parse(&s->to, argv[optind]) &&
	    strlen(s->to.path) < 256 && s->n > 0 && s->pace_ms > 0;
}

static int
report(const struct slow *s)
{
	printf(
	    "opened %ld failed %ld ended %ld left %ld peak %ld mean_ms %llu longest_ms %llu silent %ld "
	    "s2xx %ld s4xx %ld s5xx %ld\n",
	    s->opened, s->failed, s->ended, s->open, s->peak,
	    (unsigned long long)(s->ended == 0 ? 0 : s->total_ms / (uint64_t)s->ended),
	    (unsigned long long)s->longest_ms, s->with[0], s->with[2], s->with[4], s->with[5]);
	return s->open > 0;
}

int
main(int argc, char **argv)
{
	static struct slow s = {.n = 100, .pace_ms = 1000, .keep_s = 10, .most_s = 120};
	struct rlimit lim;

	if (!parse(&s, argc, argv))
		errx(2,
		    "usage: slow [-c CONNECTIONS] [-m header|body|read|silent|mix] [-p PACE_MS] "
		    "[-k SECONDS] [-t SECONDS] URL");
	if (getrlimit(RLIMIT_NOFILE, &lim) == 0) {
		lim.rlim_cur = lim.rlim_max;
		setrlimit(RLIMIT_NOFILE, &lim);
	}
	s.conns = calloc((size_t)s.n, sizeof(*s.conns));
	net_init(&s.net);
	s.net.in_size = SIP;
	uv_timer_init(&s.net.loop, &s.tick);
	s.tick.data = &s;
	uv_timer_start(&s.tick, on_tick, TICK_MS, TICK_MS);
	s.began_at = now(&s);
	for (long i = 0; i < s.n; i++) {
		s.conns[i].slow = &s;
		s.conns[i].mode = s.mode == MIX ? (enum mode)(i % MODES) : s.mode;
		open_conn(&s.conns[i]);
	}
	uv_run(&s.net.loop, UV_RUN_DEFAULT);
	return report(&s);
}
