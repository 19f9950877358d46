/*
 * Blocking conversation with a control socket, for the two that have one: ask.c and takeover.c.
 */
#ifndef ADMIN_ASK_INT_H
#define ADMIN_ASK_INT_H

#include <stdbool.h>
#include <stddef.h>

#define FRAME_HEAD 5

int ask_connect(const char *path); /* -1: nobody listens there */
bool ask_send(int fd, const char *const *words);
bool ask_read(int fd, void *out, size_t n);
/* Of a frame, on either side (control.h). */
void ask_frame_head(unsigned char head[FRAME_HEAD], char kind, size_t n);
size_t ask_frame_size(const unsigned char head[FRAME_HEAD]);

#endif
