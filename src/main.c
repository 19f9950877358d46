/*
 * postern: the command line, and the one place where the parts meet: built bottom up, taken down in
 * reverse, nothing in between knows of the whole.
 */
#include <malloc.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "admin/control.h"
#include "admin/local.h"
#include "admin/takeover.h"
#include "base/buf.h"
#include "base/num.h"
#include "base/version.h"
#include "cache/preimage.h"
#include "config/config.h"
#include "crypto/crypto.h"
#include "gateway/gateway.h"
#include "gateway/setup.h"
#include "journal/journal.h"
#include "net/loop.h"
#include "net/resolve.h"
#include "net/service.h"
#include "obs/log.h"
#include "sandbox.h"
#include "store/backup.h"
#include "store/datadir.h"
#include "store/entries.h"
#include "store/records.h"

#define EXIT_USE 1
#define EXIT_ENVIRONMENT 2
#define DETAIL_SIZE 512
#define LIST_MAX 64
#define PATH_SIZE 4096

extern char **environ;

struct options {
	const char *command;
	const char *config_file;
	const char *data;
	const char *set[LIST_MAX + 1];
	const char *listen[LIST_MAX + 1];
	const char *rest[LIST_MAX + 1]; /* of the command */
	size_t n_set, n_listen, n_rest;
	bool wants_schema, wants_help, wants_takeover;
};

/* ---- words ---- */

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
	"  --unseal-env VAR  opens sealed payloads (log.seal) with the caller's key that VAR holds\n"
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

static int complain(int code, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* One line on standard error. */
static int
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

static int
run_help(const struct options *o)
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

/* ---- arguments ---- */

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

static int
parse(struct options *o, int argc, char **argv)
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

/* ---- settings ---- */

static const char *
config_file(const struct options *o)
{
	static const char usual[] = "/etc/postern/postern.yaml";
	if (o->config_file != NULL)
		return o->config_file;
	const char *named = getenv("POSTERN_CONFIG");
	if (named != NULL && *named != '\0')
		return named;
	return access(usual, F_OK) == 0 ? usual : NULL;
}

static struct config *
load(const struct options *o, struct buf *err)
{
	struct config *c = NULL;
	const struct config_source src = {.file = config_file(o),
	    .set = o->set,
	    .environ = environ,
	    .listen = o->n_listen > 0 ? o->listen : NULL,
	    .data = o->data};
	return config_load(&src, &c, err) == 0 ? c : NULL;
}

static struct config *
load_or_complain(const struct options *o)
{
	struct buf err;
	buf_init(&err, 16 * 1024);
	struct config *c = load(o, &err);
	if (c == NULL)
		complain(EXIT_USE, "%.*s", SPAN_FMT(buf_view(&err)));
	buf_fini(&err);
	return c;
}

/* Providers and CA files too, as a start would. */
static bool
makes_setup(struct config *c)
{
	char detail[DETAIL_SIZE];
	struct setup *setup = NULL;
	snprintf(detail, sizeof(detail), "the cryptographic library does not start");
	if (crypto_init())
		setup = setup_new(config_ref(c), "check", detail, sizeof(detail));
	if (setup == NULL)
		complain(EXIT_USE, "%s", detail);
	setup_unref(setup);
	crypto_fini();
	return setup != NULL;
}

static int
run_check(const struct options *o)
{
	struct buf out;
	buf_init(&out, 4 * 1024 * 1024);
	struct config *c = o->wants_schema ? NULL : load_or_complain(o);
	int code = 0;
	if (o->wants_schema)
		code = config_schema(&out) ? 0 : EXIT_ENVIRONMENT;
	else if (c == NULL || !makes_setup(c))
		code = EXIT_USE;
	else
		code = config_print(c, &out) ? 0 : EXIT_ENVIRONMENT;
	fwrite(buf_view(&out).p, 1, buf_len(&out), stdout);
	buf_fini(&out);
	config_unref(c);
	return code;
}

/* ---- logs, cache ---- */

static int
run_steps(struct command *c)
{
	struct buf out;
	enum command_result r;
	buf_init(&out, 256 * 1024 * 1024);
	do {
		r = command_step(c, &out);
		if (r == COMMAND_FAILED)
			complain(EXIT_USE, "%.*s", SPAN_FMT(buf_view(&out)));
		else
			fwrite(buf_view(&out).p, 1, buf_len(&out), stdout);
		buf_reset(&out);
	} while (r == COMMAND_MORE && !ferror(stdout));
	buf_fini(&out);
	return r == COMMAND_FAILED ? EXIT_USE : 0;
}

/* No server runs: the command line reads the store itself. */
static int
run_on_store(const char *data, const char *const *args)
{
	char detail[DETAIL_SIZE];
	struct datadir d;
	struct records *records = NULL;
	uint8_t salt[32];
	if (datadir_open_readonly(data, &d, detail, sizeof(detail)) != E_OK)
		return complain(EXIT_ENVIRONMENT, "%s", detail);
	int code = EXIT_ENVIRONMENT;
	datadir_key(&d, "seal-salt", salt);
	if (records_open_readonly(&d, &records, detail, sizeof(detail)) != E_OK) {
		complain(code, "%s", detail);
	} else {
		struct buf err;
		buf_init(&err, 4096);
		struct command *c = command_new(
		    &(struct command_stores){.records = records, .seal_salt = salt}, args, &err);
		code =
		    c != NULL ? run_steps(c) : complain(EXIT_USE, "%.*s", SPAN_FMT(buf_view(&err)));
		command_free(c);
		buf_fini(&err);
		records_close(records);
	}
	datadir_close(&d);
	return code;
}

/* DATA/control.sock, absolute: a socket's address must not depend on where somebody stands. */
static void
control_path(const char *data, char *out, size_t size)
{
	char *whole = realpath(data, NULL);
	snprintf(out, size, "%s/control.sock", whole != NULL ? whole : data);
	free(whole);
}

/* The command's own words. "--unseal-env VAR" becomes the key in that variable: a key on the command line would stand
 * in every list of processes. */
static bool
take_rest(const struct options *o, const char **args)
{
	for (const char *const *word = o->rest; *word != NULL; word++) {
		const char *name = NULL;
		if (strcmp(*word, "--unseal") == 0 || strncmp(*word, "--unseal=", 9) == 0) {
			complain(EXIT_USE,
			    "a key does not belong on the command line; use --unseal-env VAR");
			return false;
		}
		if (strncmp(*word, "--unseal-env=", 13) == 0)
			name = *word + 13;
		else if (strcmp(*word, "--unseal-env") == 0)
			name = word[1] != NULL ? *++word : "";
		const char *key = name == NULL ? NULL : getenv(name);
		if (name != NULL && (key == NULL || *key == '\0')) {
			complain(EXIT_USE, "--unseal-env: the variable '%s' is not set", name);
			return false;
		}
		if (name != NULL)
			*args++ = "--unseal";
		*args++ = name != NULL ? key : *word;
	}
	*args = NULL;
	return true;
}

/* A directory as it is named from where the caller stands: the server stands elsewhere. */
static const char *
from_here(const char *dir, char *out, size_t size)
{
	char here[PATH_SIZE];
	if (dir == NULL || *dir == '/' || *dir == '-' || *dir == '\0' ||
	    getcwd(here, sizeof(here)) == NULL)
		return dir;
	snprintf(out, size, "%s/%s", here, dir);
	return out;
}

/* The server writes only in its data directory: the copy is made there and moved from here. -1: no server runs. */
static int
ask_for_backup(const char *control, const char *dir)
{
	char stage[2 * PATH_SIZE], data[PATH_SIZE], detail[DETAIL_SIZE];
	snprintf(data, sizeof(data), "%.*s", (int)(strrchr(control, '/') - control), control);
	snprintf(stage, sizeof(stage), "%s/" BACKUP_STAGE "%ld", data, (long)getpid());
	if (backup_check_target(dir, data, detail, sizeof(detail)) != E_OK)
		return complain(EXIT_USE, "%s", detail);
	int code =
	    control_ask(control, (const char *const[]){"backup", "--stage", stage, dir, NULL});
	if (code > 0)
		backup_drop(stage);
	if (code == 0 && backup_move(stage, dir, detail, sizeof(detail)) != E_OK)
		return complain(EXIT_ENVIRONMENT, "%s", detail);
	return code;
}

static int
run_command(const struct options *o)
{
	const char *args[LIST_MAX + 3] = {o->command};
	char path[PATH_SIZE], target[2 * PATH_SIZE];
	if (!take_rest(o, args + 1) || !crypto_init())
		return EXIT_USE;
	struct config *c = load_or_complain(o);
	if (c == NULL)
		return EXIT_USE;
	bool is_backup = strcmp(o->command, "backup") == 0;
	if (is_backup)
		args[1] = from_here(args[1], target, sizeof(target));
	control_path(c->data, path, sizeof(path));
	bool has_target = is_backup && o->n_rest == 1 && args[1][0] == '/';
	int code = has_target ? ask_for_backup(path, args[1]) : control_ask(path, args);
	if (code < 0)
		code = run_on_store(c->data, args);
	config_unref(c);
	return code;
}

/* ---- serve ---- */

struct server {
	int exit_code; /* of a start that fails */
	const struct options *options;
	struct config *config; /* of the start; a reload makes others */
	struct loop *loop;
	struct datadir datadir;
	struct entries *entries;
	struct records *records;
	struct journal *journal;
	struct cache_keys *cache_keys;
	uint8_t seal_salt[32];
	struct resolver *resolver;
	struct gateway *gateway;
	struct control *control;
	struct local local;
	struct inherited sockets; /* that systemd has opened */
	struct takeover takeover; /* of the one that runs, by this one */
	struct service_watchdog watchdog;
	bool takes_over;
	bool is_leaving, has_left; /* another one takes over; has the store */
	bool stops_soon;           /* SIGTERM came between the two */
	char via[32];
	char detail[DETAIL_SIZE];
};

/* Locks it, unless the server that runs hands its lock over later. */
static bool
open_datadir(struct server *s)
{
	char path[PATH_SIZE];
	const char *dir = s->config->data;
	control_path(dir, path, sizeof(path));
	enum takeover_result r = s->options->wants_takeover
	    ? takeover_ask(path, &s->takeover, s->detail, sizeof(s->detail))
	    : TAKEOVER_NOBODY;
	s->takes_over = r == TAKEOVER_OFFERED;
	if (r != TAKEOVER_NOBODY)
		return s->takes_over;
	return datadir_open(dir, &s->datadir, s->detail, sizeof(s->detail)) == E_OK;
}

/* From here on the other server is leaving. */
static bool
take_over(struct server *s)
{
	int lock_fd = takeover_finish(&s->takeover, s->detail, sizeof(s->detail));
	return lock_fd >= 0 &&
	    datadir_take_over(
		s->config->data, lock_fd, &s->datadir, s->detail, sizeof(s->detail)) == E_OK;
}

static bool
open_stores(struct server *s)
{
	const struct config *c = s->config;
	uint8_t scope[32], seed[32], log_key[32];
	datadir_key(&s->datadir, "seal-salt", s->seal_salt);
	if (entries_open(
		&s->datadir, c->cache_max_size, &s->entries, s->detail, sizeof(s->detail)) != E_OK)
		return false;
	const struct records_options o = {.max_size = c->log_max_size,
	    .payload_max_size = c->log_payload_max_size,
	    .retention_ms = c->log_retention_ms,
	    .payload_retention_ms = c->log_payload_retention_ms};
	if (records_open(&s->datadir, &o, &s->records, s->detail, sizeof(s->detail)) != E_OK)
		return false;
	datadir_key(&s->datadir, "cache-scope", scope);
	datadir_key(&s->datadir, "cache-seed", seed);
	datadir_key(&s->datadir, "log-key-id", log_key);
	s->cache_keys = cache_keys_new(scope, seed);
	s->journal = journal_new(s->records, log_key, s->seal_salt);
	return true;
}

/* What is mapped or given back while the loop runs makes it wait: for the kernel's lock of the address space, which every
 * other thread takes that maps, and for malloc's. So buffers of up to 512 KB stay with the heap, each thread has a heap of its
 * own, and the system gets the memory back when nobody asks for anything. (With mappings from 64 KB on and two heaps a tenth
 * of a per cent of the turns took 7 to 12 ms, of which 1 was processor; with these 2.) */
static void
tame_allocator(void)
{
	mallopt(M_MMAP_THRESHOLD, 512 * 1024);
	mallopt(M_TRIM_THRESHOLD, 1024 * 1024);
	mallopt(M_ARENA_MAX, 8);
}

static void
give_memory_back(void)
{
	malloc_trim(0);
}

/* Of systemd: one that is not served would leave who connects waiting for ever. Of the other server: they
 * are closed with it. */
static bool
uses_all_sockets(struct server *s)
{
	char text[ADDRESS_TEXT_SIZE];
	const struct inherited_socket *left = inherited_left(&s->sockets);
	if (s->takes_over || left == NULL)
		return true;
	address_text(&left->address, text);
	snprintf(s->detail, sizeof(s->detail),
	    "systemd has opened a socket on %s, which no item of listen names", text);
	s->exit_code = EXIT_USE;
	return false;
}

/* Settings and addresses; the stores come when they are this server's (lend_stores). */
static bool
open_gateway(struct server *s)
{
	uint8_t random[8];
	char hex[17];
	random_bytes(random, sizeof(random));
	num_hex(random, sizeof(random), hex);
	snprintf(s->via, sizeof(s->via), "postern-%s", hex);
	struct setup *setup =
	    setup_new(config_ref(s->config), s->via, s->detail, sizeof(s->detail));
	if (setup == NULL) {
		s->exit_code = EXIT_USE;
		return false;
	}
	struct inherited *sockets = s->takes_over ? &s->takeover.listeners : &s->sockets;
	s->gateway = gateway_new(&(struct gateway_parts){.loop = s->loop,
	    .setup = setup,
	    .resolver = s->resolver,
	    .inherited = sockets->n > 0 ? sockets : NULL});
	return gateway_listen(s->gateway, s->detail, sizeof(s->detail)) && uses_all_sockets(s);
}

static void
lend_stores(struct server *s)
{
	s->local =
	    (struct local){.records = s->records, .entries = s->entries, .gateway = s->gateway};
	struct gateway_parts parts = {.entries = s->entries,
	    .journal = s->journal,
	    .cache_keys = s->cache_keys,
	    .local = local_answer,
	    .local_ctx = &s->local,
	    .rested = give_memory_back,
	    .id_floor = records_newest(s->records)};
	random_bytes(parts.id_seed, sizeof(parts.id_seed));
	memcpy(parts.seal_salt, s->seal_salt, sizeof(parts.seal_salt));
	gateway_lend_stores(s->gateway, &parts);
}

static bool offer_takeover(void *ctx, struct control_offer *o);
static void on_newcomer_ready(void *ctx);

static bool
open_control(struct server *s)
{
	char path[PATH_SIZE];
	control_path(s->datadir.path, path, sizeof(path));
	struct control_options o = {.path = path,
	    .stores = {.records = s->records,
		.entries = s->entries,
		.journal = s->journal,
		.seal_salt = s->seal_salt},
	    .inherited_fd = s->takes_over ? s->takeover.control_fd : -1,
	    .offer = offer_takeover,
	    .ready = on_newcomer_ready,
	    .ctx = s};
	s->takeover.control_fd = -1;
	s->control = control_new(s->loop, &o, s->detail, sizeof(s->detail));
	return s->control != NULL;
}

/* While the directory is there and no thread yet. */
static void
enter_sandbox(const struct config *c)
{
	struct sandbox box = {.data = c->data};
	char *dirs[COUNT_OF(box.socket_dirs)];
	for (size_t i = 0; i < c->n_listen && box.n_socket_dirs < COUNT_OF(dirs); i++) {
		struct span path = span_str(c->listen[i].address), prefix = SPAN_LIT("unix:");
		if (!span_starts(path, prefix))
			continue;
		char *dir = span_dup(span_skip(path, prefix.n)), *slash = strrchr(dir, '/');
		slash[slash == dir ? 1 : 0] = '\0';
		dirs[box.n_socket_dirs] = dir;
		box.socket_dirs[box.n_socket_dirs++] = dir;
	}
	sandbox_enter(&box);
	while (box.n_socket_dirs > 0)
		free(dirs[--box.n_socket_dirs]);
}

static bool
open_server(struct server *s)
{
	s->takeover.fd = s->takeover.control_fd = -1;
	s->datadir.lock_fd = -1;
	/* Their descriptors are known by their numbers: before any is made here. */
	if (!service_sockets(&s->sockets, s->detail, sizeof(s->detail)))
		return false;
	s->loop = loop_new();
	s->resolver = resolver_new(s->loop);
	if (!open_datadir(s) || !open_gateway(s))
		return false;
	if (s->config->sandbox)
		enter_sandbox(s->config);
	if ((s->takes_over && !take_over(s)) || !open_stores(s))
		return false;
	lend_stores(s);
	return open_control(s);
}

/* What a newcomer needs next, on standard output. */
static void
print_start(const struct server *s)
{
	char url[256], first[256] = "", ttl[NUM_TEXT_SIZE];
	for (size_t i = 0; i < gateway_listener_count(s->gateway); i++) {
		gateway_listener_url(s->gateway, i, url, sizeof(url));
		if (first[0] == '\0' && strncmp(url, "unix:", 5) != 0)
			snprintf(first, sizeof(first), "%s", url);
		printf("listening %s\n", url);
	}
	static const char *const modes[] = {
	    "all answers", "deterministic answers", "only what a request asks for"};
	const struct config_gateway *g = &s->config->gateways[0];
	printf("caching: %s, %s, %s\n", modes[g->cache.mode],
	    num_duration_text(g->cache.ttl_ms, ttl),
	    g->cache.scope == SCOPE_SHARED ? "shared by all callers" : "per key");
	printf("data: %s\n", s->datadir.path);
	if (first[0] != '\0')
		printf(
		    "paste:\n  export OPENAI_BASE_URL=%s/openai ANTHROPIC_BASE_URL=%s/anthropic\n",
		    first, first);
	fflush(stdout);
}

static void
on_control_closed(void *ctx)
{
	struct server *s = ctx;
	s->control = NULL;
	service_watchdog_stop(&s->watchdog);
	signal_unwatch_all(s->loop);
}

static void
on_drained(void *ctx)
{
	struct server *s = ctx;
	gateway_free(s->gateway);
	s->gateway = NULL;
	resolver_close(s->resolver);
	control_close(s->control, on_control_closed, s);
}

/* ---- another server takes over ---- */

static bool
offer_takeover(void *ctx, struct control_offer *o)
{
	struct server *s = ctx;
	size_t n = gateway_listener_count(s->gateway);
	bool ok = !gateway_is_draining(s->gateway) && n <= INHERITED_MAX;
	for (size_t i = 0; ok && i < n; i++) {
		struct gateway_socket l = gateway_socket_at(s->gateway, i);
		o->fds[o->n++] = l.fd;
		ok = buf_printf(&o->text, "%s %s\n", l.keeps_file ? "lent" : "listen", l.written);
	}
	o->fds[o->n++] = control_fd(s->control);
	return ok && buf_printf(&o->text, "control\n");
}

static void
on_control_reopened(void *ctx)
{
	struct server *s = ctx;
	s->takes_over = false; /* the socket that came from there is gone */
	if (!open_control(s))
		log_line(LOG_ERROR, "control socket: %s", s->detail);
}

static void
stay(struct server *s, const char *why)
{
	log_line(LOG_ERROR, "takeover: %s; this server goes on", why);
	s->is_leaving = false;
	control_refuse(s->control, why);
	control_close(s->control, on_control_reopened, s);
}

/* The store first: what fails there leaves all as it is. Who connects from now on waits for the other one. */
static void
on_control_left(void *ctx, bool is_there)
{
	struct server *s = ctx;
	if (!is_there) {
		stay(s, "the other server went away");
		return;
	}
	if (records_leave(s->records) != E_OK) {
		stay(s, "the log's queue cannot be shared");
		return;
	}
	entries_leave(s->entries);
	gateway_leave(s->gateway, on_drained, s);
	s->has_left = true;
	bool is_passed = control_pass(s->control, s->datadir.lock_fd);
	datadir_leave(&s->datadir);
	log_line(is_passed ? LOG_INFO : LOG_ERROR, "takeover: %s",
	    is_passed ? "another server has the sockets and the data; finishing what is here"
		      : "the other server went away with the sockets; start one");
	if (s->stops_soon)
		gateway_drain(s->gateway, on_drained, s);
}

static void
on_newcomer_ready(void *ctx)
{
	struct server *s = ctx;
	if (gateway_is_draining(s->gateway))
		return; /* it stops: the other one sees the end of the conversation */
	s->is_leaving = true;
	control_leave(s->control, on_control_left, s);
}

/* ---- running ---- */

static void
say_reloaded(const struct server *s, const struct config *c, struct buf *names)
{
	buf_reset(names);
	if (config_name_fixed(s->config, c, names) && buf_len(names) > 0)
		log_line(LOG_WARN,
		    "reload: new settings are in effect, but not what is read at start only: %.*s (restart, or serve --takeover)",
		    SPAN_FMT(buf_view(names)));
	else
		log_line(LOG_INFO, "reload: new settings are in effect");
}

/* Prepare (may fail: the old settings stay), then commit. What only a start can change is named. */
static void
reload(struct server *s)
{
	struct buf err;
	buf_init(&err, 16 * 1024);
	struct config *c = load(s->options, &err);
	struct setup *setup = c == NULL ? NULL : setup_new(c, s->via, s->detail, sizeof(s->detail));
	if (c == NULL)
		log_line(
		    LOG_ERROR, "reload: %.*s; the old settings stay", SPAN_FMT(buf_view(&err)));
	else if (setup == NULL)
		log_line(LOG_ERROR, "reload: %s; the old settings stay", s->detail);
	else {
		say_reloaded(s, c, &err);
		gateway_swap_setup(s->gateway, setup);
	}
	buf_fini(&err);
}

static void
on_signal(void *ctx, int signum)
{
	struct server *s = ctx;
	if (signum == SIGHUP && s->gateway != NULL && !gateway_is_draining(s->gateway)) {
		service_notify_reloading();
		reload(s);
		service_notify("READY=1");
	} else if (signum != SIGHUP && s->is_leaving && !s->has_left)
		s->stops_soon = true;
	else if (signum != SIGHUP && s->gateway != NULL) {
		if (!s->has_left)
			service_notify("STOPPING=1");
		gateway_drain(s->gateway, on_drained, s);
	}
}

static void
run_loop(struct server *s)
{
	signal_watch(s->loop, SIGTERM, on_signal, s);
	signal_watch(s->loop, SIGINT, on_signal, s);
	signal_watch(s->loop, SIGHUP, on_signal, s);
	print_start(s);
	service_notify("READY=1");
	service_watchdog_start(s->loop, &s->watchdog);
	loop_run(s->loop);
}

/* Takes down whatever was built, however far it came. */
static void
close_server(struct server *s, bool was_running)
{
	if (!was_running && s->loop != NULL) {
		if (s->gateway != NULL)
			gateway_abandon(s->gateway);
		if (s->resolver != NULL)
			resolver_close(s->resolver);
		loop_run(s->loop);
	}
	if (s->loop != NULL)
		loop_free(s->loop);
	journal_free(s->journal);
	cache_keys_free(s->cache_keys);
	if (s->records != NULL)
		records_close(s->records);
	if (s->entries != NULL)
		entries_close(s->entries);
	if (was_running && !s->has_left)
		datadir_mark_clean(&s->datadir);
	datadir_close(&s->datadir);
}

static int
run_serve(const struct options *o)
{
	struct server s = {.options = o, .exit_code = EXIT_ENVIRONMENT};
	umask(077);
	tame_allocator();
	s.config = load_or_complain(o);
	if (s.config == NULL)
		return EXIT_USE;
	bool runs = false;
	if (s.config->sandbox)
		sandbox_begin();
	if (!crypto_init()) {
		complain(EXIT_ENVIRONMENT, "the cryptographic library does not start");
	} else {
		runs = open_server(&s);
		takeover_close(&s.takeover);
		inherited_close(&s.sockets);
		if (runs)
			run_loop(&s);
		else
			complain(s.exit_code, "%s", s.detail);
		close_server(&s, runs);
	}
	config_unref(s.config);
	crypto_fini();
	return runs ? 0 : s.exit_code;
}

int
main(int argc, char **argv)
{
	struct options o = {0};
	if (parse(&o, argc, argv) != 0)
		return EXIT_USE;
	if (o.wants_help || strcmp(o.command, "help") == 0)
		return run_help(&o);
	if (strcmp(o.command, "version") == 0)
		return printf("postern %s\n", POSTERN_VERSION) < 0;
	if (strcmp(o.command, "check") == 0)
		return run_check(&o);
	if (strcmp(o.command, "serve") == 0)
		return run_serve(&o);
	int code = run_command(&o);
	return fflush(stdout) != 0 && code == 0 ? EXIT_ENVIRONMENT : code;
}
