/*
 * rss: how much memory the process has of its own (anonymous: heap, stacks; not mapped files).
 *
 * The file is opened once: a sandbox may come between the start and a look.
 */
#ifndef BASE_RSS_H
#define BASE_RSS_H

#include <stdint.h>

int rss_open(void); /* -1: this system does not tell; rss_bytes then gives 0 */
void rss_close(int fd);
uint64_t rss_bytes(int fd);

#endif
