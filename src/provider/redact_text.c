#include "provider/redact.h"

#define MASK "***"

/* What the characters of a key may be, behind its tell-tale beginning. */
enum alphabet {
	ALPHABET_BASE64,  /* letters, digits, - _ . ~ + / = : whatever any scheme uses */
	ALPHABET_URLSAFE, /* letters, digits, - _ */
	ALPHABET_UPPER,   /* A-Z 0-9 */
};
struct key_form {
	const char *prefix;
	enum alphabet alphabet;
	size_t min; /* so many characters behind the prefix make it a key and not a word */
};

/* Vendors' keys by their beginning. The prefix must begin a word: "ask-me" holds no "sk-". */
static const struct key_form key_forms[] = {
    {"sk-", ALPHABET_URLSAFE, 4},   /* OpenAI, Anthropic (sk-ant-), OpenRouter (sk-or-), ... */
    {"sk_", ALPHABET_URLSAFE, 8},   /* ElevenLabs */
    {"AIza", ALPHABET_URLSAFE, 12}, /* Google */
    {"AQ.", ALPHABET_BASE64, 16},   /* Google, newer */
    {"ya29.", ALPHABET_BASE64, 8},  /* Google OAuth */
    {"AKIA", ALPHABET_UPPER, 12},   /* AWS */
    {"ASIA", ALPHABET_UPPER, 12}, {"ABSK", ALPHABET_BASE64, 16},             /* Bedrock */
    {"bedrock-api-key-", ALPHABET_BASE64, 8}, {"ghp_", ALPHABET_URLSAFE, 8}, /* GitHub */
    {"gho_", ALPHABET_URLSAFE, 8}, {"ghu_", ALPHABET_URLSAFE, 8}, {"ghs_", ALPHABET_URLSAFE, 8},
    {"ghr_", ALPHABET_URLSAFE, 8}, {"github_pat_", ALPHABET_URLSAFE, 8},
    {"xoxa-", ALPHABET_URLSAFE, 4}, /* Slack */
    {"xoxb-", ALPHABET_URLSAFE, 4}, {"xoxp-", ALPHABET_URLSAFE, 4}, {"xoxr-", ALPHABET_URLSAFE, 4},
    {"xoxs-", ALPHABET_URLSAFE, 4}, {"xoxe-", ALPHABET_URLSAFE, 4}, {"xoxe.", ALPHABET_BASE64, 4},
    {"xapp-", ALPHABET_URLSAFE, 4}, {"gsk_", ALPHABET_URLSAFE, 8}, /* Groq */
    {"xai-", ALPHABET_URLSAFE, 16},                                /* xAI */
    {"hf_", ALPHABET_URLSAFE, 8},                                  /* Hugging Face */
    {"r8_", ALPHABET_URLSAFE, 8},                                  /* Replicate */
    {"pplx-", ALPHABET_URLSAFE, 16}, {"nvapi-", ALPHABET_URLSAFE, 8},
    {"csk-", ALPHABET_URLSAFE, 8},                                    /* Cerebras */
    {"fw_", ALPHABET_URLSAFE, 12},                                    /* Fireworks */
    {"tgp_v1_", ALPHABET_URLSAFE, 8}, {"dapi", ALPHABET_URLSAFE, 20}, /* Databricks */
    {"eyJ", ALPHABET_BASE64, 12},                                     /* a JWT: '{"' in base64 */
};
/*
 * Where a credential may begin, quickly: bodies of megabytes are looked through on the loop. Every
 * form, scheme and parameter has a bit; three bytes in a row that share one are looked at closely.
 * Test: every form of the table is found.
 */
enum {
	W_SK = 1,
	W_A = 2,
	W_YA = 4,
	W_B = 8, /* bearer, basic, bedrock */
	W_G = 16,
	W_X = 32,
	W_HF = 64,
	W_R8 = 128,
	W_PPLX = 256,
	W_NVAPI = 512,
	W_CSK = 1024,
	W_FW = 2048,
	W_TGP = 4096,
	W_DAPI = 8192,
	W_EYJ = 16384,
	W_PARAM = 32768, /* a mark of parameters, anything behind it */
};
static const uint16_t first_byte[256] = {['s'] = W_SK,
    ['A'] = W_A,
    ['y'] = W_YA,
    ['b'] = W_B,
    ['B'] = W_B,
    ['g'] = W_G,
    ['x'] = W_X,
    ['h'] = W_HF,
    ['r'] = W_R8,
    ['p'] = W_PPLX,
    ['n'] = W_NVAPI,
    ['c'] = W_CSK,
    ['f'] = W_FW,
    ['t'] = W_TGP,
    ['d'] = W_DAPI,
    ['e'] = W_EYJ,
    ['?'] = W_PARAM,
    ['&'] = W_PARAM};
static const uint16_t second_byte[256] = {['k'] = W_SK,
    ['I'] = W_A,
    ['Q'] = W_A,
    ['K'] = W_A,
    ['S'] = W_A,
    ['B'] = W_A,
    ['a'] = W_YA | W_B | W_X | W_DAPI,
    ['A'] = W_B,
    ['e'] = W_B,
    ['E'] = W_B,
    ['h'] = W_G,
    ['i'] = W_G,
    ['s'] = W_G | W_CSK,
    ['o'] = W_X,
    ['f'] = W_HF,
    ['8'] = W_R8,
    ['p'] = W_PPLX,
    ['v'] = W_NVAPI,
    ['w'] = W_FW,
    ['g'] = W_TGP,
    ['y'] = W_EYJ};
static const uint16_t third_byte[256] = {['-'] = W_SK,
    ['_'] = W_SK | W_HF | W_R8 | W_FW,
    ['z'] = W_A,
    ['.'] = W_A,
    ['I'] = W_A,
    ['S'] = W_A | W_B,
    ['2'] = W_YA,
    ['a'] = W_B | W_NVAPI,
    ['A'] = W_B,
    ['d'] = W_B,
    ['s'] = W_B | W_G,
    ['p'] = W_G | W_X | W_TGP | W_DAPI,
    ['o'] = W_G,
    ['u'] = W_G,
    ['r'] = W_G,
    ['t'] = W_G,
    ['k'] = W_G | W_CSK,
    ['x'] = W_X,
    ['i'] = W_X,
    ['l'] = W_PPLX,
    ['J'] = W_EYJ};

/* "Bearer x": the word in any case, blanks (or %20), then whatever stands there. */
static const char *const schemes[] = {"bearer", "basic", NULL};

static bool
is_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool
is_hex(char c)
{
	return (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F') || (c >= '0' && c <= '9');
}

static bool
is_in_alphabet(char c, enum alphabet a)
{
	if (a == ALPHABET_UPPER)
		return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
	if (is_alnum(c) || c == '-' || c == '_')
		return true;
	return a == ALPHABET_BASE64 && c != '\0' && strchr(".~+/=", c) != NULL;
}

static bool
is_all_hex(const char *p, size_t n)
{
	while (n > 0 && is_hex(p[n - 1]))
		n--;
	return n == 0;
}

/* The letter of an escape in JSON: the n of \n. */
static bool
is_escape_letter(struct span text, size_t i)
{
	return i > 0 && text.p[i - 1] == '\\' && text.p[i] != '\0' &&
	    strchr("bfnrt", text.p[i]) != NULL;
}

/* Whether a word may begin at i: no letter or digit before it, but those of an escape (%20, \n, \u0022). */
static bool
is_word_start(struct span text, size_t i)
{
	const char *at = text.p + i;

	if (i == 0 || !is_alnum(at[-1]) || is_escape_letter(text, i - 1))
		return true;
	if (i >= 3 && at[-3] == '%' && is_all_hex(at - 2, 2))
		return true;
	return i >= 6 && at[-6] == '\\' && at[-5] == 'u' && is_all_hex(at - 4, 4);
}

/* The first place from i on where a credential may begin, as far as three bytes tell; text.n: none. */
static size_t
next_candidate(struct span text, size_t i)
{
	const unsigned char *p = (const unsigned char *)text.p;

	if (i > 0 && i < text.n && first_byte[p[i - 1]] == W_PARAM)
		return i;
	for (; i + 2 < text.n; i++) {
		unsigned found = first_byte[p[i]] &
		    ((second_byte[p[i + 1]] & third_byte[p[i + 2]]) | W_PARAM);
		if (found != 0)
			return found == W_PARAM ? i + 1 : i;
	}
	return text.n;
}

/* The backslash of "\/", as some write a slash in JSON; what follows is one. */
static bool
is_escaped_slash(struct span s, size_t i)
{
	return s.p[i] == '\\' && i + 1 < s.n && s.p[i + 1] == '/';
}

/* Length of the key at the beginning of s, 0 when there is none. */
static size_t
key_length(struct span s)
{
	for (size_t k = 0; k < COUNT_OF(key_forms); k++) {
		/* The first letter tells nearly always: this runs for every word of a record. */
		if (s.p[0] != key_forms[k].prefix[0])
			continue;
		struct span prefix = span_str(key_forms[k].prefix);
		if (!span_starts(s, prefix))
			continue;
		size_t n = prefix.n;
		while (n < s.n &&
		    (is_in_alphabet(s.p[n], key_forms[k].alphabet) || is_escaped_slash(s, n)))
			n++;
		if (n - prefix.n >= key_forms[k].min)
			return n;
	}
	return 0;
}

/* Length of a scheme and the blanks behind it; 0 when s begins with none. */
static size_t
scheme_length(struct span s)
{
	if (s.n == 0 || (s.p[0] | 0x20) != 'b')
		return 0;
	for (const char *const *scheme = schemes; *scheme != NULL; scheme++) {
		struct span word = span_str(*scheme);
		if (!span_starts_nocase(s, word))
			continue;
		size_t n = word.n;
		for (;;) {
			struct span rest = span_skip(s, n);
			if (rest.n > 0 &&
			    (rest.p[0] == ' ' || rest.p[0] == '\t' || rest.p[0] == '+'))
				n++;
			else if (span_starts(rest, SPAN_LIT("%20")))
				n += 3;
			else
				break;
		}
		if (n > word.n)
			return n;
	}
	return 0;
}

static size_t
value_length(struct span s)
{
	size_t n = 0;

	while (n < s.n &&
	    (is_escaped_slash(s, n) ||
		((unsigned char)s.p[n] > ' ' && strchr("\"'<>,;&)]}\\", s.p[n]) == NULL)))
		n++;
	return n;
}

/* Length of "name=" behind a '?' or '&' when that is a credential's; 0 otherwise. */
static size_t
param_length(struct span s)
{
	size_t n = 0;

	while (n < s.n && (is_alnum(s.p[n]) || (s.p[n] != '\0' && strchr("-_%", s.p[n]) != NULL)))
		n++;
	if (n == 0 || n >= s.n || s.p[n] != '=')
		return 0;
	return is_credential_param(span_head(s, n)) ? n + 1 : 0;
}

/* Length of the scheme's word that the first n bytes of s end with, blanks behind it; 0: none. */
static size_t
announced_at_end(struct span s, size_t n, size_t *blanks)
{
	for (const char *const *scheme = schemes; *scheme != NULL; scheme++) {
		struct span word = span_str(*scheme);
		if (n < word.n || !span_eq_nocase(span_of(s.p + n - word.n, word.n), word))
			continue;
		*blanks = scheme_length(span_skip(s, n - word.n));
		return *blanks == 0 ? 0 : word.n;
	}
	return 0;
}

/* A credential of n bytes may have swallowed the word that announces the next: "?key=x:Bearer y". */
static size_t
with_announced(struct span s, size_t n)
{
	size_t word, blanks;

	while ((word = announced_at_end(s, n, &blanks)) > 0) {
		n += blanks - word;
		n += value_length(span_skip(s, n));
	}
	return n;
}

/* At i, where a word may begin: how many bytes stay (*kept) and how many behind them are a
 * credential (returned). */
static size_t
credential_at(struct span text, size_t i, size_t *kept)
{
	struct span s = span_skip(text, i);

	*kept = 0;
	size_t n = key_length(s);
	if (n > 0) {
		/* "\r8_...": the letter may belong to the backslash, and JSON shall stay JSON. */
		*kept = is_escape_letter(text, i);
		return with_announced(s, n) - *kept;
	}
	if (i > 0 && (text.p[i - 1] == '?' || text.p[i - 1] == '&'))
		*kept = param_length(s);
	/* Once more while there is one: "?key=Bearer x", "Bearer Bearer x". */
	while ((n = scheme_length(span_skip(s, *kept))) > 0)
		*kept += n;
	if (*kept == 0)
		return 0;
	s = span_skip(s, *kept);
	return with_announced(s, value_length(s));
}

/* The next credential from *i on, n bytes at *i; 0: there is none. */
static size_t
find_credential(struct span text, size_t plain, size_t *i)
{
	for (;;) {
		*i = next_candidate(text, *i);
		if (*i >= text.n)
			return 0;
		/* Behind a credential anything may begin. */
		bool may_begin = *i == plain || is_word_start(text, *i);
		size_t kept = 0, n = may_begin ? credential_at(text, *i, &kept) : 0;
		if (n > 0) {
			*i += kept;
			return n;
		}
		++*i;
	}
}

bool
text_has_credential(struct span text)
{
	size_t i = 0;

	return find_credential(text, 0, &i) > 0;
}

bool
text_redact(struct span text, struct buf *out)
{
	size_t plain = 0, i = 0, n; /* everything before plain is written */

	while ((n = find_credential(text, plain, &i)) > 0) {
		if (!buf_put(out, text.p + plain, i - plain) ||
		    !buf_put(out, MASK, sizeof(MASK) - 1))
			return false;
		plain = i += n;
	}
	return plain == text.n || buf_put(out, text.p + plain, text.n - plain);
}
