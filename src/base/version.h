/* version: what `postern version` prints. */
#ifndef BASE_VERSION_H
#define BASE_VERSION_H

#define POSTERN_VERSION "0.1.0"

#endif
