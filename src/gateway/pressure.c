#include "gateway/pressure.h"

#include <malloc.h>

#include "base/num.h"
#include "base/rss.h"
#include "obs/log.h"
#include "obs/metric.h"

#define LOOK_MS 5
#define TRIM_MS 1000
#define LINE_MS 10000

void
pressure_init(struct pressure *p)
{
	*p = (struct pressure){.statm = rss_open()};
}

void
pressure_fini(struct pressure *p)
{
	rss_close(p->statm);
}

enum pressure_level
pressure_judge(uint64_t bytes, uint64_t ceiling)
{
	if (ceiling == 0 || bytes < ceiling / 100 * 90)
		return PRESSURE_NONE;
	return bytes < ceiling / 100 * 95 ? PRESSURE_SAVE : PRESSURE_SHED;
}

static void
sample(struct pressure *p, uint64_t ceiling)
{
	p->bytes = rss_bytes(p->statm);
	p->level = pressure_judge(p->bytes, ceiling);
	metric_set(M_MEMORY, p->bytes);
}

/* One line a while, not one for each time the level is crossed. */
static void
report(struct pressure *p, uint64_t ceiling, uint64_t now_ms)
{
	char bytes[NUM_TEXT_SIZE], most[NUM_TEXT_SIZE];

	if (p->level != PRESSURE_SHED || now_ms < p->next_line_ms)
		return;
	p->next_line_ms = now_ms + LINE_MS;
	log_line(LOG_WARN, "memory: %s of limits.memory %s in use; new requests are refused",
	    num_size_text(p->bytes / 1024 * 1024, bytes), num_size_text(ceiling, most));
}

enum pressure_level
pressure_look(struct pressure *p, uint64_t ceiling, uint64_t now_ms)
{
	if (now_ms < p->next_ms)
		return p->level;
	p->next_ms = now_ms + LOOK_MS;
	sample(p, ceiling);
	if (p->level != PRESSURE_NONE && now_ms >= p->next_trim_ms) {
		p->next_trim_ms = now_ms + TRIM_MS;
		malloc_trim(0);
		sample(p, ceiling);
	}
	report(p, ceiling, now_ms);
	return p->level;
}
