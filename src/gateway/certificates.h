/*
 * certificates: what the TLS listeners show. They are read at the start, with each reload, and when their
 * files have changed and then stood still for a second; whatever is wrong with new ones, the old ones stay.
 * Connections keep the certificate they began with.
 *
 * A certificate that is renewed badly, is for another key, or is out of its dates, is one line in the log and
 * is not looked at again before its files change. The days that are left are in the metrics and, from 30 on,
 * in the log. One that expires is served all the same: that is for the clients to judge.
 *
 * Ownership  the listeners are borrowed: certificates_free before they are closed or released.
 */
#ifndef GATEWAY_CERTIFICATES_H
#define GATEWAY_CERTIFICATES_H

#include <stdbool.h>
#include <stddef.h>

#include "base/chk.h"

struct certificates;
struct config;
struct listener;
struct loop;
struct tls_ctx;

struct certificates *certificates_new(struct loop *l);
/* For the item of config->listen that is opened next. NULL, and one line in detail. Borrowed. */
struct tls_ctx *certificates_load(
    struct certificates *cs, struct config *config, size_t item, char *detail, size_t detail_size);
/* What was loaded last is shown by this listener. */
void certificates_shown_by(struct certificates *cs, struct listener *l);
/* From now on the files are watched. */
void certificates_watch(struct certificates *cs);
/* Reads them anew, where the settings now say that they are; for each listener by itself. */
void certificates_reload(struct certificates *cs, struct config *config);
void certificates_free(struct certificates *cs); /* NULL is fine */

#endif
