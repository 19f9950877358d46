/*
 * pressure: how near the process' memory is to limits.memory.
 *
 *   SAVE  from 90 %: nothing new is kept for its own sake: no caching, no bodies for the log, no
 *         flights, no large request held, little ahead of slow readers and slow providers.
 *   SHED  from 95 %: new requests are refused (503); an idle connection gives its place to a new one.
 *
 * Looked at when there is work, at most every 5 ms, so that an idle process does nothing. Under
 * pressure the allocator is asked once a second to give back what it keeps.
 */
#ifndef GATEWAY_PRESSURE_H
#define GATEWAY_PRESSURE_H

#include <stdint.h>

enum pressure_level { PRESSURE_NONE, PRESSURE_SAVE, PRESSURE_SHED };

struct pressure {
	int statm;
	uint64_t next_ms, next_trim_ms, next_line_ms;
	uint64_t bytes;
	enum pressure_level level;
};

void pressure_init(struct pressure *p);
void pressure_fini(struct pressure *p);
/* What that much of a ceiling means; 0: no ceiling. */
enum pressure_level pressure_judge(uint64_t bytes, uint64_t ceiling);
enum pressure_level pressure_look(struct pressure *p, uint64_t ceiling, uint64_t now_ms);

#endif
