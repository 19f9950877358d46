/*
 * settings: the settings that a command line stands for: file, environment, --set, --listen, --data.
 *
 * The file is --config, else $POSTERN_CONFIG, else /etc/postern/postern.yaml if it is there.
 */
#ifndef CLI_SETTINGS_H
#define CLI_SETTINGS_H

struct buf;
struct config;
struct options;

/* Reads all of it again, each time. NULL: what is wrong is in err, or has been said on standard error. */
struct config *settings_load(const struct options *o, struct buf *err);
struct config *settings_load_or_complain(const struct options *o);

#endif
