/*
 * rules: what a complete head means, or why it means nothing (security.md 1.3). Private to http/.
 *
 * llhttp has read the head by now; here is what it accepts and we must not. The functions fill in
 * framing, length, keep_alive and the rest of a head whose start line and headers are there.
 */
#ifndef HTTP_RULES_INT_H
#define HTTP_RULES_INT_H

#include "base/err.h"
#include "http/message.h"

/* E_BAD_FRAMING, E_BAD_HOST, E_BAD_PATH, E_BAD_REQUEST, E_NOT_IMPLEMENTED, E_EXPECTATION_FAILED. */
MUST_CHECK enum err rules_apply_request(struct request_head *h);
/* asked: the method that is being answered. E_UPSTREAM_PROTOCOL. */
MUST_CHECK enum err rules_apply_response(struct response_head *h, enum method asked);

#endif
