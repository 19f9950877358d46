/*
 * The whole gateway over a scripted network. The first byte says how many events there are, two bytes each say which; the rest is text
 * that clients and provider send where the script says so, besides whole messages of this file.
 *
 * Always: nothing crashes or leaks; the gateway drains and its loop closes; each head that was understood has one record, and nothing
 * else has; what a client got is well-formed HTTP, whole or cut where a client sees the cut.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway_world.h"
#include "second_parser.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define EVENTS_MOST 96
#define CHAT                                                                                       \
	"POST /openai/v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
#define BODY_PLAIN "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]}"
#define BODY_STREAM "{\"model\":\"m\",\"stream\":true,\"messages\":[]}"
#define LENGTH(text, length) "Content-Length: " length "\r\n\r\n" text

static const char *const requests[] = {
    CHAT LENGTH(BODY_PLAIN, "56"),
    CHAT LENGTH(BODY_STREAM, "41"),
    CHAT "cf-aig-cache-ttl: 60\r\nauthorization: Bearer x\r\n" LENGTH(BODY_PLAIN, "56"),
    CHAT "Transfer-Encoding: chunked\r\n\r\n38\r\n" BODY_PLAIN "\r\n0\r\n\r\n",
    CHAT "Expect: 100-continue\r\n" LENGTH(BODY_PLAIN, "56"),
    "GET /openai/v1/models HTTP/1.1\r\nHost: a\r\n\r\n",
    "HEAD /openai/v1/models HTTP/1.1\r\nHost: a\r\n\r\n",
    "POST /openai/v1/files HTTP/1.1\r\nHost: a\r\nContent-Type: x/y\r\nContent-Length: 9000\r\n\r\nabc",
    "GET /openai/v1/realtime HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    "POST /openai/v1/embeddings HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
    "Content-Length: 31\r\n\r\n{\"model\":\"m\",\"input\":[\"a\",\"b\"]}",
    "GET /-/healthz HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /nothing HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    "POST /v1/account/fin/openai/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n" LENGTH(
	BODY_STREAM, "40"),
    "GET /openai/v1/models HTTP/1.0\r\nHost: a\r\n\r\n",
    "\r\n",
    "nonsense\r\n\r\n",
};

#define EVENT "data: {\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\n"
static const char *const answers[] = {
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 14\r\n\r\n{\"choices\":[]}",
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
    "2f\r\n" EVENT "\r\n",
    "e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n",
    "0\r\n\r\n",
    "HTTP/1.1 100 Continue\r\n\r\n",
    "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n",
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
    "HTTP/1.1 429 Too Many\r\nContent-Type: application/json\r\nRetry-After: 1\r\nContent-Length: 2\r\n\r\n{}",
    "HTTP/1.1 204 No Content\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nup to the end",
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 90000\r\n\r\n{",
    "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 304 Not Modified\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 82\r\n\r\n"
    "{\"object\":\"list\",\"data\":[{\"index\":0,\"embedding\":[1]},{\"index\":1,\"embedding\":[",
    "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
};

/* ---- what is counted ---- */

static struct {
	uint64_t sure, perhaps; /* heads; those whose record depends on what the head says */
} heads;

struct exchange;
void __real_exchange_begin(struct exchange *x, const struct request_head *head);
void __wrap_exchange_begin(struct exchange *x, const struct request_head *head);

static bool
has(struct span s, const char *word)
{
	return memmem(s.p, s.n, word, strlen(word)) != NULL;
}

void
__wrap_exchange_begin(struct exchange *x, const struct request_head *head)
{
	bool is_doubtful =
	    has(head->target, "/-") || has(head->target, "/client") || has(head->target, "%");

	for (size_t i = 0; i < head->headers.n; i++)
		is_doubtful |= head->headers.items[i].name.n > 11 &&
		    strncasecmp(head->headers.items[i].name.p, "cf-aig-coll", 11) == 0;
	if (is_doubtful)
		heads.perhaps++;
	else
		heads.sure++;
	__real_exchange_begin(x, head);
}

/* ---- what clients may get ---- */

static bool
runs_out_in_chunks(struct span in)
{
	struct span line;
	size_t n;

	for (;;) {
		struct span before = in;

		if (!second_line(&in, &line))
			return before.n < 20; /* a size line in the making */
		if (!second_number(line, 16, &n))
			return false;
		if (in.n <= n + 1)
			return true;
		if (n > 0)
			in = span_skip(in, n);
		if (in.p[0] != '\r' || in.p[1] != '\n')
			return false;
		in = span_skip(in, 2);
		if (n == 0)
			return false; /* it was whole: something else is wrong with it */
	}
}

/* The beginning of a message that goes on. */
static bool
is_cut(struct span in)
{
	struct second_fields f;
	struct span line;

	if (!has(in, "\r\n\r\n"))
		return in.n < 9 ? memcmp(in.p, "HTTP/1.1 ", in.n) == 0
				: memcmp(in.p, "HTTP/1.1 ", 9) == 0;
	if (!second_line(&in, &line) || !second_head(&in, &f) || f.lengths + f.codings != 1)
		return false;
	return f.is_chunked ? runs_out_in_chunks(in) : in.n < f.length;
}

static void
check_client(const struct end *e)
{
	struct span left = buf_view(&e->in), sent = span_head(buf_view(&e->out), e->at);
	struct buf said;

	/* What the second parser cannot know: no body after HEAD, one up to the end for HTTP/1.0, anything behind a 101. */
	if (has(sent, "HEAD ") || has(sent, "HTTP/1.0") || has(left, "HTTP/1.1 101") ||
	    has(left, "HTTP/1.0"))
		return;
	buf_init(&said, SIZE_MAX / 2);
	(void)second_read(&left, true, false, &said);
	buf_fini(&said);
	CHK(left.n == 0 || is_cut(left));
	CHK(left.n == 0 || e->has_ended || e->gave_up);
}

/* ---- the script ---- */

struct script {
	const uint8_t *p;
	size_t n;
};

static struct span
take(struct script *s, size_t n)
{
	struct span taken = span_of((const char *)s->p, n < s->n ? n : s->n);

	s->p += taken.n;
	s->n -= taken.n;
	return taken;
}

static const uint64_t times[] = {1, 60, 300, 1100, 6000, 21000, 31000, 700000};

enum event {
	CONNECT,
	TEXT,
	MESSAGE,
	PART,
	READ,
	FIN,
	RESET,
	ADVANCE,
	RELOAD,
	DRAIN,
	TURNS,
	EVENTS
};

/* Of a client, or of an end of the provider's: sent whole, or the rest of it later. */
static void
send_something(
    struct end *e, enum event event, uint8_t arg, struct script *text, const char *const *messages)
{
	if (event == TEXT)
		end_put(e, take(text, arg));
	else if (event == MESSAGE)
		end_put(e, span_str(messages[arg & 15]));
	if (event == MESSAGE && arg >= 128)
		return; /* PART sends it */
	end_send(e, event == PART ? (size_t)arg + 1 : SIZE_MAX);
}

static void
do_event(struct world *w, uint8_t what, uint8_t arg, struct script *text)
{
	enum event event = what % EVENTS;
	uint8_t who = what / EVENTS % (CLIENTS + 4);
	struct end *e = who < CLIENTS ? &w->clients[who]
	    : w->n_ends == 0
	    ? NULL
	    : &w->ends[who - CLIENTS < (int)w->n_ends ? who - CLIENTS : (int)w->n_ends - 1];

	if (event == ADVANCE)
		world_advance(w, times[arg & 7]);
	else if (event == RELOAD && w->gateway != NULL && !w->is_draining)
		gateway_swap_setup(w->gateway, world_setup(w));
	else if (event == DRAIN && (arg & 3) == 0)
		world_drain(w);
	else if (event == TURNS)
		world_turn(w, arg & 7);
	if (who < CLIENTS && (event == CONNECT || event == MESSAGE || event == TEXT))
		end_connect(w, e);
	if (e == NULL || e->fd < 0)
		return;
	if (event == TEXT || event == MESSAGE || event == PART)
		send_something(e, event, arg, text, who < CLIENTS ? requests : answers);
	else if (event == READ)
		end_read(e, 1 + (size_t)arg * 64);
	else if (event == FIN)
		end_finish(e);
	else if (event == RESET)
		end_close(e);
}

static struct stores stores;

static void
at_exit(void)
{
	stores_close(&stores);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct world w;

	if (size < 3)
		return 0;
	if (stores.entries == NULL) {
		log_level_set(LOG_ERROR);
		stores_open(&stores);
		CHK(atexit(at_exit) == 0);
	}
	size_t n = data[0] % EVENTS_MOST;
	n = n < (size - 1) / 2 ? n : (size - 1) / 2;
	struct script text = {data + 1 + 2 * n, size - 1 - 2 * n};
	memset(&heads, 0, sizeof(heads));
	world_open(&w, &stores);
	for (size_t i = 0; i < n; i++) {
		do_event(&w, data[1 + 2 * i], data[2 + 2 * i], &text);
		world_turn(&w, 2);
		world_accept(&w);
	}
	for (int i = 0; i < 4; i++) {
		for (size_t c = 0; c < CLIENTS; c++)
			end_read(&w.clients[c], SIZE_MAX);
		world_turn(&w, 3);
	}
	for (size_t c = 0; c < CLIENTS; c++) {
		struct end *e = &w.clients[c];

		e->gave_up |= !e->has_ended;
		if (e->in.max != 0)
			check_client(e);
	}
	uint64_t *records = &w.records;
	world_close(&w);
	CHK(*records >= heads.sure && *records <= heads.sure + heads.perhaps);
	return 0;
}
