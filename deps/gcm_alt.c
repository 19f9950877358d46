/*
 * AES-GCM of mbedTLS by the code of Intel's ipsec-mb, on x86_64. one.mk puts this file among the library's; nothing of
 * the cipher is here.
 *
 * mbedTLS' own code multiplies one block after the other and waits for each product: 1 GB/s. ipsec-mb takes eight at a time:
 * 5.6 GB/s of 1 KB, 7 of 16 KB (bench/README.md). Of its forms it is the one for SSE, AES-NI and PCLMULQDQ, which the whole build
 * asks for anyway: that for AVX2 is no faster, and that for AVX-512 and VAES, three times as fast again, has 100 KB for each
 * length of a key and each direction. So nothing is asked of the processor, and no wide register is touched.
 *
 * Limits and errors are those of the library's gcm.c. A part of a message comes out whole at once, as there.
 */
#include "common.h"

#if defined(MBEDTLS_GCM_ALT)

#include <stddef.h>
#include <string.h>

#include "mbedtls/constant_time.h"
#include "mbedtls/gcm.h"
#include "mbedtls/platform_util.h"

#include <intel-ipsec-mb.h>
#include <gcm.h>

#define TEXT_MAX 0xFFFFFFFE0u /* bytes under one IV: 2^39 - 256 bits */

typedef const struct gcm_key_data key_fn_arg;
typedef struct gcm_context_data message_fn_arg;
typedef void text_fn(key_fn_arg *, message_fn_arg *, uint8_t *, const uint8_t *, uint64_t);
typedef void tag_fn(key_fn_arg *, message_fn_arg *, uint8_t *, uint64_t);

struct gcm_alt_code {
	void (*expand)(const void *key, void *round_keys);
	void (*precompute)(struct gcm_key_data *);
	void (*start)(key_fn_arg *, message_fn_arg *, const uint8_t *iv, uint64_t iv_len,
	    const uint8_t *add, uint64_t add_len);
	void (*add)(key_fn_arg *, message_fn_arg *, const uint8_t *, uint64_t);
	text_fn *text[2]; /* by mode: MBEDTLS_GCM_DECRYPT, MBEDTLS_GCM_ENCRYPT */
	tag_fn *tag[2];
};

#define CODE(bits)                                                                                 \
	{                                                                                          \
	    aes_keyexp_##bits##_enc_sse,                                                           \
	    aes_gcm_precomp_##bits##_sse,                                                          \
	    aes_gcm_init_var_iv_##bits##_sse,                                                      \
	    imb_aes_gmac_update_##bits##_sse,                                                      \
	    {aes_gcm_dec_##bits##_update_sse, aes_gcm_enc_##bits##_update_sse},                    \
	    {aes_gcm_dec_##bits##_finalize_sse, aes_gcm_enc_##bits##_finalize_sse},                \
	}

static const struct gcm_alt_code codes[] = {CODE(128), CODE(192), CODE(256)};

_Static_assert(offsetof(struct gcm_key_data, ghash_keys) == 16 * 15 &&
	sizeof(((struct gcm_key_data *)0)->ghash_keys.sse_avx) == 16 * 16,
    "the code for SSE uses more of a key than we keep");
_Static_assert(sizeof(struct gcm_context_data) == sizeof(((mbedtls_gcm_context *)0)->message),
    "a message's context has another size");

/* The library's struct says 64, but only its key schedule needs any alignment, and that 16, which malloc gives. */
static struct gcm_key_data *
key_of(mbedtls_gcm_context *ctx)
{
	return (struct gcm_key_data *)(void *)ctx->key;
}

static struct gcm_context_data *
message_of(mbedtls_gcm_context *ctx)
{
	return (struct gcm_context_data *)(void *)ctx->message;
}

void
mbedtls_gcm_init(mbedtls_gcm_context *ctx)
{
	memset(ctx, 0, sizeof(*ctx));
}

void
mbedtls_gcm_free(mbedtls_gcm_context *ctx)
{
	if (ctx != NULL)
		mbedtls_platform_zeroize(ctx, sizeof(*ctx));
}

int
mbedtls_gcm_setkey(mbedtls_gcm_context *ctx, mbedtls_cipher_id_t cipher, const unsigned char *key,
    unsigned int keybits)
{
	if (cipher != MBEDTLS_CIPHER_ID_AES || (keybits != 128 && keybits != 192 && keybits != 256))
		return MBEDTLS_ERR_GCM_BAD_INPUT;
	ctx->code = &codes[(keybits - 128) / 64];
	ctx->code->expand(key, ctx->key);
	ctx->code->precompute(key_of(ctx));
	return 0;
}

/* Additional data that is known from the start, and all there is, needs no second call. */
static int
start(mbedtls_gcm_context *ctx, int mode, const unsigned char *iv, size_t iv_len,
    const unsigned char *add, size_t add_len)
{
	if (ctx->code == NULL || iv_len == 0 || (uint64_t)iv_len >> 61 != 0 ||
	    (uint64_t)add_len >> 61 != 0)
		return MBEDTLS_ERR_GCM_BAD_INPUT;
	ctx->mode = mode == MBEDTLS_GCM_ENCRYPT;
	ctx->code->start(key_of(ctx), message_of(ctx), iv, iv_len, add, add_len);
	return 0;
}

int
mbedtls_gcm_starts(mbedtls_gcm_context *ctx, int mode, const unsigned char *iv, size_t iv_len)
{
	return start(ctx, mode, iv, iv_len, NULL, 0);
}

int
mbedtls_gcm_update_ad(mbedtls_gcm_context *ctx, const unsigned char *add, size_t add_len)
{
	uint64_t all = message_of(ctx)->aad_length + add_len;

	if (ctx->code == NULL || message_of(ctx)->in_length != 0 || all < add_len || all >> 61 != 0)
		return MBEDTLS_ERR_GCM_BAD_INPUT;
	ctx->code->add(key_of(ctx), message_of(ctx), add, add_len);
	return 0;
}

/* The last block of additional data that came in pieces is filled up with zeros, which do not count. */
static void
end_additional_data(mbedtls_gcm_context *ctx)
{
	static const unsigned char zeros[16];
	struct gcm_context_data *m = message_of(ctx);
	uint64_t n = m->aad_length;

	if (m->in_length != 0 || m->partial_block_length == 0)
		return;
	ctx->code->add(key_of(ctx), m, zeros, 16 - m->partial_block_length);
	m->aad_length = n;
}

int
mbedtls_gcm_update(mbedtls_gcm_context *ctx, const unsigned char *input, size_t input_length,
    unsigned char *output, size_t output_size, size_t *output_length)
{
	struct gcm_context_data *m = message_of(ctx);

	if (output_size < input_length)
		return MBEDTLS_ERR_GCM_BUFFER_TOO_SMALL;
	*output_length = input_length;
	if (input_length == 0)
		return 0;
	if (ctx->code == NULL || (output > input && (size_t)(output - input) < input_length))
		return MBEDTLS_ERR_GCM_BAD_INPUT;
	if (input_length > TEXT_MAX || m->in_length > TEXT_MAX - input_length)
		return MBEDTLS_ERR_GCM_BAD_INPUT;
	end_additional_data(ctx);
	ctx->code->text[ctx->mode](key_of(ctx), m, output, input, input_length);
	return 0;
}

int
mbedtls_gcm_finish(mbedtls_gcm_context *ctx, unsigned char *output, size_t output_size,
    size_t *output_length, unsigned char *tag, size_t tag_len)
{
	unsigned char whole[16];

	(void)output;
	(void)output_size;
	*output_length = 0;
	if (ctx->code == NULL || tag_len > sizeof(whole) || tag_len < 4)
		return MBEDTLS_ERR_GCM_BAD_INPUT;
	end_additional_data(ctx);
	ctx->code->tag[ctx->mode](key_of(ctx), message_of(ctx), whole, sizeof(whole));
	memcpy(tag, whole, tag_len);
	mbedtls_platform_zeroize(whole, sizeof(whole));
	return 0;
}

int
mbedtls_gcm_crypt_and_tag(mbedtls_gcm_context *ctx, int mode, size_t length,
    const unsigned char *iv, size_t iv_len, const unsigned char *add, size_t add_len,
    const unsigned char *input, unsigned char *output, size_t tag_len, unsigned char *tag)
{
	size_t n;
	int r = start(ctx, mode, iv, iv_len, add, add_len);

	if (r == 0)
		r = mbedtls_gcm_update(ctx, input, length, output, length, &n);
	if (r == 0)
		r = mbedtls_gcm_finish(ctx, NULL, 0, &n, tag, tag_len);
	return r;
}

int
mbedtls_gcm_auth_decrypt(mbedtls_gcm_context *ctx, size_t length, const unsigned char *iv,
    size_t iv_len, const unsigned char *add, size_t add_len, const unsigned char *tag,
    size_t tag_len, const unsigned char *input, unsigned char *output)
{
	unsigned char want[16];
	int r = mbedtls_gcm_crypt_and_tag(ctx, MBEDTLS_GCM_DECRYPT, length, iv, iv_len, add,
	    add_len, input, output, tag_len, want);

	if (r != 0)
		return r;
	if (mbedtls_ct_memcmp(tag, want, tag_len) != 0) {
		mbedtls_platform_zeroize(output, length);
		r = MBEDTLS_ERR_GCM_AUTH_FAILED;
	}
	mbedtls_platform_zeroize(want, sizeof(want));
	return r;
}

#endif
