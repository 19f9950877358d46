/*
 * postern: the one place where the parts meet: built bottom up, taken down in reverse, nothing in between knows of
 * the whole. What a server does while it is there is in server.c, the command line in cli/.
 */
#include <malloc.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "admin/control.h"
#include "base/num.h"
#include "base/version.h"
#include "cache/preimage.h"
#include "cli/commands.h"
#include "cli/options.h"
#include "cli/settings.h"
#include "config/config.h"
#include "crypto/crypto.h"
#include "gateway/gateway.h"
#include "gateway/setup.h"
#include "journal/journal.h"
#include "net/loop.h"
#include "net/resolve.h"
#include "sandbox.h"
#include "server.h"
#include "store/entries.h"
#include "store/records.h"

/* Locks it, unless the server that runs hands its lock over later. */
static bool
open_datadir(struct server *s)
{
	char path[SERVER_PATH];
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
	return server_open_control(s);
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
	s.config = settings_load_or_complain(o);
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
			server_run(&s);
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
	if (options_parse(&o, argc, argv) != 0)
		return EXIT_USE;
	if (o.wants_help || strcmp(o.command, "help") == 0)
		return options_help(&o);
	if (strcmp(o.command, "version") == 0)
		return printf("postern %s\n", POSTERN_VERSION) < 0;
	if (strcmp(o.command, "check") == 0)
		return commands_check(&o);
	if (strcmp(o.command, "serve") == 0)
		return run_serve(&o);
	int code = commands_run(&o);
	return fflush(stdout) != 0 && code == 0 ? EXIT_ENVIRONMENT : code;
}
