/*
 * parser_int: the state of a parser, for parser.c (the events), parser_scan.c (what llhttp calls)
 * and the tests. Private to http/.
 */
#ifndef HTTP_PARSER_INT_H
#define HTTP_PARSER_INT_H

#include <llhttp.h>

#include "http/parser.h"

#define CHUNK_LINE_MAX 1024              /* size, extensions, CRLF */
#define CHUNK_EXTENSIONS_MAX (16 * 1024) /* of a message, the sizes of their lines counted in */
#define PROTOCOL "HTTP/"
#define PROTOCOL_N (sizeof(PROTOCOL) - 1)

enum stage {
	STAGE_UNSET,
	STAGE_HEAD,
	STAGE_LENGTH,
	STAGE_CHUNKED,
	STAGE_CLOSE,
	STAGE_END,  /* complete, PARSE_END is due */
	STAGE_DONE, /* PARSE_END was given */
	STAGE_FAILED
};
/* Why llhttp was paused. */
enum pause { PAUSE_NONE, PAUSE_HEAD, PAUSE_CHUNK_LINE, PAUSE_BODY, PAUSE_END };

/* Invariants:
 * 1 every span of the head and of the current field points into text.p[0 .. text.used), or is
 *   {NULL, 0}
 * 2 seen counts the bytes of the message that llhttp was given, without the piece at `piece`
 * 3 the text of a head is smaller than the head, so text.used <= limits.header_size */
struct parser {
	llhttp_t ll;
	struct parser_limits limits;
	struct arena *arena;
	enum stage stage;
	enum pause pause;
	enum err error;
	enum method asked;
	bool is_response, has_begun, has_line, in_field, in_trailer, has_extension;
	const char *piece;
	uint64_t seen;
	uint64_t line_start, line_end; /* offsets of the start line */
	char tail[PROTOCOL_N];         /* the last bytes before `piece` */
	struct {
		char *p;
		size_t used, cap;
	} text;
	struct span name, value; /* of the field that is being read */
	uint64_t left;           /* STAGE_LENGTH */
	uint64_t mark; /* STAGE_CHUNKED: where the chunk line or the trailer began, or will begin */
	uint64_t extensions; /* bytes of them so far */
	struct span body;
	struct request_head request;
	struct response_head response;
};

/* Notes what llhttp finds: text into the arena, fields into the head, and stops where an event is
 * due. */
extern const llhttp_settings_t parser_settings;

#endif
