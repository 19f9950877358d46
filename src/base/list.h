/*
 * list: intrusive doubly linked list. A node belongs to at most one list; a zeroed or
 * removed node is in none. The head is a node that points at itself when empty.
 */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
	struct list *next, *prev;
};

static inline void
list_init(struct list *head)
{
	head->next = head->prev = head;
}
static inline bool
list_is_empty(const struct list *head)
{
	return head->next == head;
}
static inline bool
list_has(const struct list *node)
{
	return node->next != NULL && node->next != node;
}
static inline void
list_insert(struct list *after, struct list *node)
{
	node->prev = after;
	node->next = after->next;
	after->next->prev = node;
	after->next = node;
}
static inline void
list_push(struct list *head, struct list *node) /* at the front */
{
	list_insert(head, node);
}
static inline void
list_append(struct list *head, struct list *node)
{
	list_insert(head->prev, node);
}
/* Fine on a node that is in no list. */
static inline void
list_remove(struct list *node)
{
	if (node->next == NULL)
		return;
	node->next->prev = node->prev;
	node->prev->next = node->next;
	node->next = node->prev = NULL;
}

/* Safe against removal of the current node. */
#define LIST_EACH(node, head)                                                                      \
	for (struct list *node = (head)->next, *node##_next_ = node->next; node != (head);         \
	    node = node##_next_, node##_next_ = node->next)

#endif
