/*
 * What a stream tells the listener that accepted it, until its handshake is over.
 */
#ifndef NET_LISTENER_INT_H
#define NET_LISTENER_INT_H

#include "net/listener.h"

struct tls_ctx *listener_tls(const struct listener *l);
bool listener_may_read(struct listener *l, struct stream *s); /* false: not before its turn */
void listener_look_again(struct listener *l);                 /* there may be room for one more */
void listener_hand_over(struct listener *l, struct stream *s);
void listener_lost(struct listener *l, struct stream *s); /* closes s */

#endif
