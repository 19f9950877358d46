#include "provider/dialect.h"

#include "provider/dialect_int.h"

/* How each vendor names a status. Where one has no word for it, the nearest. */
struct status_words {
	int status;
	const char *openai;
	const char *anthropic;
	const char *gemini;
};

static const struct status_words words[] = {
    {400, "invalid_request_error", "invalid_request_error", "INVALID_ARGUMENT"},
    {401, "authentication_error", "authentication_error", "UNAUTHENTICATED"},
    {403, "permission_error", "permission_error", "PERMISSION_DENIED"},
    {404, "invalid_request_error", "not_found_error", "NOT_FOUND"},
    {408, "invalid_request_error", "timeout_error", "DEADLINE_EXCEEDED"},
    {413, "invalid_request_error", "request_too_large", "INVALID_ARGUMENT"},
    {429, "rate_limit_error", "rate_limit_error", "RESOURCE_EXHAUSTED"},
    {499, "invalid_request_error", "invalid_request_error", "CANCELLED"},
    {500, "server_error", "api_error", "INTERNAL"},
    {501, "invalid_request_error", "invalid_request_error", "UNIMPLEMENTED"},
    {502, "server_error", "api_error", "UNAVAILABLE"},
    {503, "server_error", "overloaded_error", "UNAVAILABLE"},
    {504, "server_error", "timeout_error", "DEADLINE_EXCEEDED"},
};

static const struct status_words *
words_for(int status)
{
	for (size_t i = 0; i < COUNT_OF(words); i++) {
		if (words[i].status == status)
			return &words[i];
	}
	return status < 500 ? &words[0] : words_for(500);
}

static bool
put(struct buf *out, const char *text)
{
	return buf_put_span(out, span_str(text));
}

static bool
put_openai(const struct err_row *row, struct span message, struct buf *out)
{
	return put(out, "{\"error\":{\"message\":") && json_put_str(out, message) &&
	    buf_printf(out, ",\"type\":\"%s\",\"param\":null,\"code\":\"%s\"}}",
		words_for(row->status)->openai, row->word);
}

static bool
put_anthropic(const struct err_row *row, struct span message, struct buf *out)
{
	return buf_printf(out, "{\"type\":\"error\",\"error\":{\"type\":\"%s\",\"message\":",
		   words_for(row->status)->anthropic) &&
	    json_put_str(out, message) && put(out, "}}");
}

static bool
put_gemini(const struct err_row *row, struct span message, struct buf *out)
{
	return buf_printf(out, "{\"error\":{\"code\":%d,\"message\":", row->status) &&
	    json_put_str(out, message) &&
	    buf_printf(out, ",\"status\":\"%s\"}}", words_for(row->status)->gemini);
}

/* cloudflare.md 2.3, member for member: "error" is singular and an array. */
static bool
put_cloudflare(const struct err_row *row, struct span message, struct buf *out)
{
	return buf_printf(out,
		   "{\"success\":false,\"result\":[],\"messages\":[],\"error\":[{\"code\":%d,"
		   "\"message\":",
		   row->code) &&
	    json_put_str(out, message) &&
	    buf_printf(out,
		"}],\"name\":\"AiGatewayError\",\"httpCode\":%d,\"internalCode\":%d,\"message\":",
		row->status, row->code) &&
	    json_put_str(out, message) && put(out, ",\"description\":") &&
	    json_put_str(out, message) && put(out, "}");
}

static bool
put_member(const char *name, struct span message, struct buf *out)
{
	return buf_printf(out, "{\"%s\":", name) && json_put_str(out, message) && put(out, "}");
}

bool
refusal_body(enum refusal_shape shape, enum err why, struct span message, struct buf *out)
{
	const struct err_row *row = err_row(why);

	if (message.n == 0)
		message = span_str(row->text);
	switch (shape) {
	case REFUSAL_OPENAI:
		return put_openai(row, message, out);
	case REFUSAL_ANTHROPIC:
		return put_anthropic(row, message, out);
	case REFUSAL_GEMINI:
		return put_gemini(row, message, out);
	case REFUSAL_CLOUDFLARE:
		return put_cloudflare(row, message, out);
	case REFUSAL_MESSAGE:
		return put_member("message", message, out);
	case REFUSAL_ERROR:
		return put_member("error", message, out);
	}
	UNREACHED("a shape without a function");
}
