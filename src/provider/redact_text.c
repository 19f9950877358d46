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

/* Whether a word may begin at i: no letter or digit before it, but those of an escape (%20). */
static bool
is_word_start(struct span text, size_t i)
{
	if (i == 0 || !is_alnum(text.p[i - 1]))
		return true;
	return i >= 3 && text.p[i - 3] == '%' && is_hex(text.p[i - 2]) && is_hex(text.p[i - 1]);
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
		while (n < s.n && is_in_alphabet(s.p[n], key_forms[k].alphabet))
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

	while (n < s.n && (unsigned char)s.p[n] > ' ' && strchr("\"'<>,;&)]}\\", s.p[n]) == NULL)
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
	if (n > 0)
		return with_announced(s, n);
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

bool
text_redact(struct span text, struct buf *out)
{
	size_t plain = 0; /* everything before it is written */

	for (size_t i = 0; i < text.n;) {
		/* Behind a credential anything may begin. */
		bool may_begin = i == plain || is_word_start(text, i);
		size_t kept = 0, n = may_begin ? credential_at(text, i, &kept) : 0;
		if (n == 0) {
			i++;
			continue;
		}
		i += kept;
		if (!buf_put(out, text.p + plain, i - plain) ||
		    !buf_put(out, MASK, sizeof(MASK) - 1))
			return false;
		i += n;
		plain = i;
	}
	return plain == text.n || buf_put(out, text.p + plain, text.n - plain);
}
