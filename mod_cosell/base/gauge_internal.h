/* base/gauge_internal.h: the shared table under gauge*.c, and texts in it that are read whole or
 * not at all. Inside of these files only.
 *
 * A text has a number beside it that is odd while it is written. A reader takes the number, copies
 * the words and takes the number again; where it changed, the copy is worth nothing. There is one
 * writer of each text, and no reader ever waits for it.
 */
#ifndef CS_BASE_GAUGE_INTERNAL_H
#define CS_BASE_GAUGE_INTERNAL_H

#include "gauge.h"

#define CS_WORDS_TRIES 16 /* of a reader, before it says that there is nothing */

/* The process's table, made ready. Any thread. */
cs_gauges_t *cs_gauges_table(void);

/* A writer: begin, put, end. A text that a dead writer left odd is begun anew. */
apr_uint32_t cs_words_begin(_Atomic apr_uint32_t *seq);
void cs_words_end(_Atomic apr_uint32_t *seq, apr_uint32_t begun);
/* n words of 8 bytes. */
void cs_words_put(_Atomic apr_uint64_t *to, const void *from, apr_size_t n);
void cs_words_get(void *to, const _Atomic apr_uint64_t *from, apr_size_t n);

#endif
