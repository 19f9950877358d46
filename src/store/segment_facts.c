#include <pthread.h>
#include <string.h>

#include "store/segment_int.h"

/* Of the rows that are whole: a damaged id could say any day, and what is newest is the floor for
 * new ids. */
static bool
edge(struct segment_reader *rd, enum tree_edge at, struct id *out)
{
	struct span key, value;
	bool has_any = reader_start(rd, DBI_ROWS, at, &key, &value);

	while (has_any && !segment_is_row(key, value))
		has_any = at == TREE_FIRST ? reader_next(rd, &key, &value)
					   : reader_prev(rd, &key, &value);
	if (has_any)
		memcpy(out, key.p, sizeof(*out));
	return has_any;
}

static struct segment_facts
read_facts(struct segment_reader *rd)
{
	struct segment_facts facts = {.records = 0};

	if (edge(rd, TREE_FIRST, &facts.first) && edge(rd, TREE_LAST, &facts.last)) {
		facts.records = reader_count(rd, DBI_ROWS);
		facts.records += facts.records == 0; /* the count may be damaged, too */
	}
	return facts;
}

static bool
known_facts(struct segments *s, struct segment *g, struct segment_facts *out)
{
	bool is_known;

	(void)pthread_mutex_lock(&s->lock);
	is_known = g->is_known;
	*out = g->facts;
	(void)pthread_mutex_unlock(&s->lock);
	return is_known;
}

void
segment_note(struct segments *s, struct segment *g, const struct segment_facts *facts)
{
	(void)pthread_mutex_lock(&s->lock);
	g->facts = *facts;
	g->is_known = true;
	(void)pthread_mutex_unlock(&s->lock);
}

bool
segment_know(struct segments *s, struct segment *g, struct segment_facts *out)
{
	struct segment_reader rd;

	/* A frozen one does not change, and the writer notes what it commits. */
	if (known_facts(s, g, out))
		return true;
	if (segment_begin(s, g, PART_ROWS, &rd) != E_OK)
		return false;
	*out = read_facts(&rd);
	segment_end(s, g, PART_ROWS, &rd);
	segment_note(s, g, out);
	return true;
}
