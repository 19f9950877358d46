#include "cli/settings.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/buf.h"
#include "cli/options.h"
#include "config/config.h"

extern char **environ;

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

struct config *
settings_load(const struct options *o, struct buf *err)
{
	struct config *c = NULL;
	const struct config_source src = {.file = config_file(o),
	    .set = o->set,
	    .environ = environ,
	    .listen = o->n_listen > 0 ? o->listen : NULL,
	    .data = o->data};
	return config_load(&src, &c, err) == 0 ? c : NULL;
}

struct config *
settings_load_or_complain(const struct options *o)
{
	struct buf err;
	buf_init(&err, 16 * 1024);
	struct config *c = settings_load(o, &err);
	if (c == NULL)
		complain(EXIT_USE, "%.*s", SPAN_FMT(buf_view(&err)));
	buf_fini(&err);
	return c;
}
