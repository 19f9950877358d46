/*
 * The input is a network between two engines: which side's bytes go on, how many at a time, and where a
 * bit tips over. What arrives is a prefix of what was sent; with no bit tipped nothing fails.
 */
#include <stddef.h>
#include <stdint.h>

#include "../unit/tls_pair.h"
#include "crypto/crypto.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char text[] =
    "POST /v1/chat/completions HTTP/1.1\r\nauthorization: Bearer key\r\n\r\n";

struct side {
	struct tls *t;
	bool is_open;
	size_t got;
};

static enum tls_result
turn(struct side *s)
{
	enum tls_result r = TLS_OK;
	char plain[40];
	size_t n;

	if (!s->is_open) {
		r = tls_handshake(s->t);
		if (r != TLS_OK)
			return r;
		s->is_open = true;
		CHK(tls_write(s->t, span_str(text)) == TLS_OK);
	}
	while ((r = tls_read(s->t, plain, sizeof(plain), &n)) == TLS_OK) {
		CHK(s->got + n <= sizeof(text) - 1 && memcmp(plain, text + s->got, n) == 0);
		s->got += n;
	}
	return r;
}

static void
carry(struct tls *from, struct tls *to, size_t most, bool tip)
{
	char wire[1024];
	struct span out = span_head(tls_output(from), most);

	memcpy(wire, out.p, out.n);
	if (tip)
		wire[out.n - 1] ^= 1;
	CHK(tls_feed(to, span_of(wire, out.n)) == out.n);
	tls_output_drop(from, out.n);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct tls_ctx *contexts[2];
	struct side sides[2] = {{0}};
	bool tipped = false;

	if (contexts[0] == NULL) {
		CHK(crypto_init());
		contexts[0] = pki_server(PEM_LEAF PEM_INTERMEDIATE, PEM_LEAF_KEY);
		contexts[1] = pki_client(PEM_ROOT);
	}
	for (int i = 0; i < 2; i++)
		sides[i].t = tls_new(contexts[i], i == 0 ? NULL : "api.test");
	for (size_t i = 0; i < size && i < 200; i++) {
		struct side *from = &sides[data[i] & 1], *to = &sides[!(data[i] & 1)];
		bool tip = (data[i] & 2) != 0 && i > 0 && tls_output(from->t).n > 0;

		tipped |= tip;
		CHK(turn(from) != TLS_FAILED || tipped);
		tip &= tls_output(from->t).n > 0;
		carry(from->t, to->t, 1 + (size_t)(data[i] >> 2) * 16, tip);
		CHK(turn(to) != TLS_FAILED || tipped);
	}
	for (int i = 0; i < 2; i++)
		tls_free(sides[i].t);
	return 0;
}
