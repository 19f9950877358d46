#include "provider/redact.h"
#include "provider/redact_int.h"

#define MASK "***"
#define BODY_KEY_MIN 8    /* in a body shorter ones are words: sk-learn */
#define BODY_VALUE_MIN 12 /* behind "Bearer " or "?key=" in a body */
#define BODY_VALUE_LONG 24
#define JWT_HEAD_MAX 4096 /* to its first dot */

/* What the characters of a key may be, behind its tell-tale beginning. */
enum alphabet {
	ALPHABET_BASE64,  /* letters, digits, - _ . ~ + / = : whatever any scheme uses */
	ALPHABET_URLSAFE, /* letters, digits, - _ */
	ALPHABET_UPPER,   /* A-Z 0-9 */
	ALPHABET_JWT,     /* as base64; in a body without a dot it is something else */
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
    {"eyJ", ALPHABET_JWT, 12},                                        /* a JWT: '{"' in base64 */
};
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
	return a != ALPHABET_URLSAFE && c != '\0' && strchr(".~+/=", c) != NULL;
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

/* The backslash of "\/", as some write a slash in JSON; what follows is one. */
static bool
is_escaped_slash(struct span s, size_t i)
{
	return s.p[i] == '\\' && i + 1 < s.n && s.p[i + 1] == '/';
}

/*
 * A look through a text. A body is mostly prose, code and base64 that somebody wants to read again, so there a credential
 * has to look like one: what follows "basic" in a sentence does not, nor does eyJ in a picture.
 */
struct look {
	struct span text;
	bool is_body;
	size_t shown;   /* what begins behind it is not written */
	size_t plain;   /* behind the last credential */
	size_t dotless; /* no JWT begins before it: it would be one long word without a dot */
};

/* A JWT has dots, base64 has none. Each byte is looked at once. */
static bool
is_jwt(struct look *l, size_t i)
{
	struct span head = span_head(l->text, i + JWT_HEAD_MAX);

	if (i < l->dotless)
		return false;
	while (i < head.n && head.p[i] != '.' && is_in_alphabet(head.p[i], ALPHABET_BASE64))
		i++;
	l->dotless = i;
	return i < head.n && head.p[i] == '.';
}

/* Behind a word that may announce a secret: long, or not so long but no word of a language. */
static bool
is_secret_shaped(struct span v)
{
	bool has_lower = false;

	if (v.n < BODY_VALUE_MIN || v.n >= BODY_VALUE_LONG)
		return v.n >= BODY_VALUE_LONG;
	for (size_t i = 0; i < v.n; i++) {
		char c = v.p[i];
		if ((c >= '0' && c <= '9') || (has_lower && c >= 'A' && c <= 'Z'))
			return true;
		has_lower = has_lower || (c >= 'a' && c <= 'z');
	}
	return false;
}

/* Length of the key at i, 0 when there is none. */
static size_t
key_length(struct look *l, size_t i)
{
	struct span s = span_skip(l->text, i);

	for (size_t k = 0; k < COUNT_OF(key_forms); k++) {
		/* The first letter tells nearly always: this runs for every word of a record. */
		if (s.p[0] != key_forms[k].prefix[0])
			continue;
		struct span prefix = span_str(key_forms[k].prefix);
		if (!span_starts(s, prefix) ||
		    (key_forms[k].alphabet == ALPHABET_JWT && l->is_body && !is_jwt(l, i)))
			continue;
		size_t n = prefix.n;
		while (n < s.n &&
		    (is_in_alphabet(s.p[n], key_forms[k].alphabet) || is_escaped_slash(s, n)))
			n++;
		size_t min = key_forms[k].min;
		if (n - prefix.n >= (l->is_body && min < BODY_KEY_MIN ? BODY_KEY_MIN : min))
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
credential_at(struct look *l, size_t i, size_t *kept)
{
	struct span text = l->text, s = span_skip(text, i);

	*kept = 0;
	size_t n = key_length(l, i);
	if (n > 0) {
		/* "\r8_...": the letter may belong to the backslash, and JSON shall stay JSON. */
		*kept = is_escape_letter(text, i);
		return with_announced(s, n) - *kept;
	}
	if (i > 0 && (text.p[i - 1] == '?' || text.p[i - 1] == '&'))
		*kept = param_length(s);
	/* Once more while there is one: "?key=Bearer x", "Bearer Bearer x"; in a body each by itself. */
	while ((n = scheme_length(span_skip(s, *kept))) > 0) {
		*kept += n;
		if (l->is_body)
			break;
	}
	if (*kept == 0)
		return 0;
	s = span_skip(s, *kept);
	n = value_length(s);
	if (l->is_body && !is_secret_shaped(span_head(s, n)))
		return 0;
	return with_announced(s, n);
}

/* The next credential from *i on, n bytes at *i; 0: there is none. */
static size_t
find_credential(struct look *l, size_t *i)
{
	for (;;) {
		*i = redact_candidate(l->text, *i);
		if (*i >= l->text.n)
			return 0;
		/* Behind a credential anything may begin. */
		bool may_begin = *i == l->plain || is_word_start(l->text, *i);
		size_t kept = 0, n = may_begin ? credential_at(l, *i, &kept) : 0;
		if (n > 0) {
			*i += kept;
			return n;
		}
		++*i;
	}
}

static bool
redact(struct look *l, struct buf *out)
{
	struct span text = l->text;
	size_t i = 0, n; /* everything before l->plain is written */

	while ((n = find_credential(l, &i)) > 0 && i < l->shown) {
		if (!buf_put(out, text.p + l->plain, i - l->plain) ||
		    !buf_put(out, MASK, sizeof(MASK) - 1))
			return false;
		l->plain = i += n;
	}
	return l->plain >= l->shown || buf_put(out, text.p + l->plain, l->shown - l->plain);
}

bool
text_redact(struct span text, struct buf *out)
{
	return redact(&(struct look){.text = text, .shown = text.n}, out);
}

bool
body_redact(struct span body, size_t shown, struct buf *out)
{
	return redact(&(struct look){.text = body, .is_body = true, .shown = shown}, out);
}

bool
body_has_credential(struct span body)
{
	size_t i = 0;

	return find_credential(&(struct look){.text = body, .is_body = true}, &i) > 0;
}
