/*
 * datadir_int: what the other files of store/ ask of the data directory.
 */
#ifndef STORE_DATADIR_INT_H
#define STORE_DATADIR_INT_H

#include "store/datadir.h"

/* Whether a server holds the lock now. Takes nothing itself. */
bool datadir_is_locked(const struct datadir *d);

#endif
