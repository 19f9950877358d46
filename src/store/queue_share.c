#include <errno.h>
#include <fcntl.h>

#include "store/queue_int.h"

/* Locks of the open file: of a byte each, whatever stands there. */
enum { BYTE_APPEND, BYTE_LEAVING };

/* Waits for it if `command` says so. */
static bool
set_lock(const struct queue *q, int command, short type, off_t byte)
{
	struct flock l = {.l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};
	int rc;

	do
		rc = fcntl(q->fd, command, &l);
	while (rc != 0 && errno == EINTR);
	return rc == 0;
}

bool
queue_lock(struct queue *q)
{
	return set_lock(q, F_OFD_SETLKW, F_WRLCK, BYTE_APPEND);
}

void
queue_unlock(struct queue *q)
{
	CHK(set_lock(q, F_OFD_SETLK, F_UNLCK, BYTE_APPEND));
}

static bool
has_others_leaving(const struct queue *q)
{
	struct flock l = {
	    .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = BYTE_LEAVING, .l_len = 1};

	/* Where it cannot be asked nobody could have taken it either. */
	return fcntl(q->fd, F_OFD_GETLK, &l) == 0 && l.l_type != F_UNLCK;
}

enum err
queue_leave(struct queue *q)
{
	CHK(!q->is_readonly && !q->is_leaving);
	if (!set_lock(q, F_OFD_SETLK, F_RDLCK, BYTE_LEAVING))
		return E_IO;
	q->is_leaving = true;
	atomic_store(&q->is_shared, true);
	return E_OK;
}

bool
queue_is_shared(struct queue *q)
{
	if (!atomic_load_explicit(&q->is_shared, memory_order_relaxed))
		return false;
	if (!q->is_leaving && !has_others_leaving(q))
		atomic_store(&q->is_shared, false);
	return atomic_load_explicit(&q->is_shared, memory_order_relaxed);
}

void
queue_find_sharers(struct queue *q)
{
	atomic_store(&q->is_shared, has_others_leaving(q));
}
