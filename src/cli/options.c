#include "cli/options.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char usage[] =
    "usage: postern [serve]  [--config FILE] [--listen ADDR]... [--data DIR] [--set KEY=VALUE]...\n"
    "                [--takeover]\n"
    "       postern check    [--config FILE] [--set KEY=VALUE]... [--schema]\n"
    "       postern logs     [-f] [--gateway G] [--since 1h] [--until T] [--provider P] [--model M]\n"
    "                        [--status 5xx] [--cached | --uncached] [--min-duration D] [--max-duration D]\n"
    "                        [--min-tokens N] [--max-tokens N] [--metadata KEY=VALUE]... [--limit N] [--json] [ID]\n"
    "       postern logs export [--format ndjson | csv] [the same filters]\n"
    "       postern cache    stats [--json] | purge [--gateway G] [--provider P] [--model M] | compact\n"
    "       postern backup DIR\n"
    "       postern version | help [COMMAND]\n";

struct help {
	const char *command, *text;
};
static const struct help helps[] = {
    {"serve",
	"postern serve: run the gateway (the default command).\n"
	"  --config FILE     settings; else $POSTERN_CONFIG, else /etc/postern/postern.yaml if it is there\n"
	"  --listen ADDR     host:port, :port, [v6]:port or unix:/path; may be repeated; port 0 takes a free one\n"
	"  --data DIR        where cache and log are kept\n"
	"  --set KEY=VALUE   any setting by its dotted path, VALUE read as YAML; may be repeated\n"
	"  --takeover        take the place of the server that runs on this data directory: no connection is refused,\n"
	"                    it finishes what it has; a plain start where none runs\n"
	"Signals: SIGTERM and SIGINT drain and stop, a second one stops at once; SIGHUP reads the settings again.\n"},
    {"check",
	"postern check: read the settings as 'serve' would, print what is in effect with secrets masked.\n"
	"  --schema          print the JSON Schema of the settings file instead\n"
	"Exits with 0 if they are valid, 1 if not.\n"},
    {"logs",
	"postern logs: the newest records, newest first; works beside a running server and without one.\n"
	"  ID                one record with its payloads\n"
	"  --since T         30m, 1h, 7d ago, or 2026-11-22, or 2026-11-22T20:00:00Z; --until T likewise\n"
	"  --gateway G  --provider P  --model M  --status 429|5xx|400-499  --cached  --uncached\n"
	"  --min-duration D  --max-duration D       500ms, 2s, 1m\n"
	"  --min-tokens N  --max-tokens N           in and out together\n"
	"  --metadata KEY=VALUE                     as sent in cf-aig-metadata; up to four, all must match\n"
	"  --limit N         at most N records (50)\n"
	"  --json            one JSON object a line\n"
	"  --unseal-env VAR  opens sealed bodies (log.seal) with the caller's key, which VAR holds\n"
	"  -f, --follow      the last 10 (--limit N), oldest first, then new ones as they come; asks the running server\n"
	"postern logs export: all of them on standard output, newest first; the same filters.\n"
	"  --format F        ndjson (one JSON object a line) or csv (RFC 4180, with a line of names)\n"},
    {"cache",
	"postern cache stats: entries and size.   --json\n"
	"postern cache purge: remove entries.     --gateway G  --provider P  --model M\n"
	"postern cache compact: give the space of what was removed back to the file system.\n"
	"All ask the running server.\n"},
    {"backup",
	"postern backup DIR: copy the log and the secret, not the cache, into DIR, which must be new or empty;\n"
	"works beside a running server (which writes the copy) and without one.\n"
	"The copy is a data directory: postern logs --data DIR, postern serve --data DIR.\n"},
    {"version", "postern version: print the version.\n"},
    {"help", "postern help [COMMAND]: print this.\n"},
};

int
complain(int code, const char *fmt, ...)
{
	va_list args;
	fputs("postern: ", stderr);
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fputc('\n', stderr);
	return code;
}

static const struct help *
help_of(const char *command)
{
	for (size_t i = 0; i < COUNT_OF(helps); i++)
		if (strcmp(helps[i].command, command) == 0)
			return &helps[i];
	return NULL;
}

int
options_help(const struct options *o)
{
	const char *topic = o->n_rest > 0 ? o->rest[0] : NULL;
	if (topic == NULL && o->wants_help && strcmp(o->command, "help") != 0)
		topic = o->command;
	const struct help *h = topic == NULL ? NULL : help_of(topic);
	if (topic != NULL && h == NULL)
		return complain(EXIT_USE, "no command '%s'; see 'postern help'", topic);
	fputs(h == NULL ? usage : h->text, stdout);
	return 0;
}

static bool
append(const char **list, size_t *n, const char *value)
{
	if (*n == LIST_MAX)
		return false;
	list[(*n)++] = value;
	return true;
}

/* The value of option `name` at argv[*i], as "--name value" or "--name=value"; NULL: it is another. */
static const char *
value_of(const char *name, char **argv, int *i)
{
	size_t n = strlen(name);
	if (strncmp(argv[*i], name, n) != 0)
		return NULL;
	if (argv[*i][n] == '=')
		return argv[*i] + n + 1;
	return argv[*i][n] == '\0' && argv[*i + 1] != NULL ? argv[++*i] : NULL;
}

static int
parse_one(struct options *o, char **argv, int *i)
{
	const char *v;
	bool ok = true;
	if ((v = value_of("--config", argv, i)) != NULL)
		o->config_file = v;
	else if ((v = value_of("--data", argv, i)) != NULL)
		o->data = v;
	else if ((v = value_of("--set", argv, i)) != NULL)
		ok = append(o->set, &o->n_set, v);
	else if ((v = value_of("--listen", argv, i)) != NULL)
		ok = append(o->listen, &o->n_listen, v);
	else if (strcmp(argv[*i], "--schema") == 0)
		o->wants_schema = true;
	else if (strcmp(argv[*i], "--takeover") == 0)
		o->wants_takeover = true;
	else if (strcmp(argv[*i], "--help") == 0 || strcmp(argv[*i], "-h") == 0)
		o->wants_help = true;
	else
		ok = append(o->rest, &o->n_rest, argv[*i]);
	return ok ? 0 : complain(EXIT_USE, "more than %d of one kind of argument", LIST_MAX);
}

int
options_parse(struct options *o, int argc, char **argv)
{
	int first = 1;
	o->command = "serve";
	if (argc > 1 && argv[1][0] != '-')
		o->command = argv[first++];
	else if (argc > 1 && strcmp(argv[1], "--version") == 0)
		o->command = argv[first++] + 2;
	for (int i = first; i < argc; i++)
		if (parse_one(o, argv, &i) != 0)
			return EXIT_USE;
	if (help_of(o->command) == NULL)
		return complain(EXIT_USE, "no command '%s'; see 'postern help'", o->command);
	bool passes_rest = strcmp(o->command, "logs") == 0 || strcmp(o->command, "cache") == 0 ||
	    strcmp(o->command, "backup") == 0 || strcmp(o->command, "help") == 0;
	if (!passes_rest && o->n_rest > 0)
		return complain(EXIT_USE,
		    "'%s' is not an option of '%s', or lacks its value; see 'postern help %s'",
		    o->rest[0], o->command, o->command);
	if (o->n_listen > 0 && strcmp(o->command, "serve") != 0 && strcmp(o->command, "check") != 0)
		return complain(EXIT_USE, "--listen is for 'serve'");
	if (o->wants_takeover && strcmp(o->command, "serve") != 0)
		return complain(EXIT_USE, "--takeover is for 'serve'");
	if (o->wants_schema && strcmp(o->command, "check") != 0)
		return complain(EXIT_USE, "--schema is for 'check'");
	return 0;
}
