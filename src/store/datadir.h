/*
 * datadir: the data directory: made with mode 0700, locked by one server at a time, with the
 * installation's secret in it.
 *
 *   DIR/lock  DIR/secret (32 random bytes, 0600)  DIR/boot (boot id and clean mark)
 *   DIR/cache/  DIR/log/  DIR/control.sock  DIR/admin.token
 */
#ifndef STORE_DATADIR_H
#define STORE_DATADIR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/chk.h"
#include "base/err.h"

struct datadir {
	char *path;
	int lock_fd;
	uint8_t secret[32];
	/* The last server stopped in order, or the machine has not rebooted since. */
	bool was_clean;
};

/* Makes what is missing, takes the lock. E_IN_USE: another server has it; E_IO: *detail names path
 * and cause. Refuses a directory that group or others can enter, or that is another user's. On
 * failure there is nothing to close. */
MUST_CHECK enum err datadir_open(
    const char *path, struct datadir *out, char *detail, size_t detail_size);
/* The same at a takeover: lock_fd is the lock of the server that leaves, handed over by it, so that
 * there is no moment without one. It is closed on failure too. */
MUST_CHECK enum err datadir_take_over(
    const char *path, int lock_fd, struct datadir *out, char *detail, size_t detail_size);
/* The forms in which this program keeps a data directory, as one word: only a server of the same
 * forms can take over while the other still writes. */
const char *datadir_forms(void);
/* It was handed over: what is left here is for reading. */
void datadir_leave(struct datadir *d);
/* Without the lock, for commands that read while no server runs. Writes nothing. E_IO when it is
 * not there, E_IN_USE when a server runs: ask that. */
MUST_CHECK enum err datadir_open_readonly(
    const char *path, struct datadir *out, char *detail, size_t detail_size);
void datadir_mark_clean(struct datadir *d); /* last thing of an orderly stop */
void datadir_close(struct datadir *d);
/* The 32-byte key for a purpose ("cache-scope", "log-key-id", "cache-seed"), derived from the
 * secret (HKDF). */
void datadir_key(const struct datadir *d, const char *purpose, uint8_t out[32]);

#endif
