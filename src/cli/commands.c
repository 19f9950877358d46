#include "cli/commands.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "admin/control.h"
#include "base/buf.h"
#include "cli/options.h"
#include "cli/settings.h"
#include "config/config.h"
#include "crypto/crypto.h"
#include "gateway/setup.h"
#include "store/backup.h"
#include "store/datadir.h"
#include "store/records.h"

#define DETAIL_SIZE 512
#define PATH_SIZE 4096

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

int
commands_check(const struct options *o)
{
	struct buf out;
	buf_init(&out, 4 * 1024 * 1024);
	struct config *c = o->wants_schema ? NULL : settings_load_or_complain(o);
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

int
commands_run(const struct options *o)
{
	const char *args[2 * LIST_MAX + 2] = {o->command}; /* one word may become two */
	char path[PATH_SIZE], target[2 * PATH_SIZE];
	if (!take_rest(o, args + 1) || !crypto_init())
		return EXIT_USE;
	struct config *c = settings_load_or_complain(o);
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
