/* base/secret.h: secrets are references in the configuration and values only in the process that
 * needs them.
 *
 * A reference is `file:/absolute/path` (may be 0600 root) or `exec:command args` (run as the
 * caller, i.e. root in the runner before it drops privileges; argv split on blanks without a shell;
 * ended after 10 s; at most 64 KiB of output). A literal is a configuration error.
 */
#ifndef CS_BASE_SECRET_H
#define CS_BASE_SECRET_H

#include <apr_pools.h>
#include "result.h"

typedef struct cs_secret_t {
    const char *ref;   /* as configured */
    const char *value; /* NULL until loaded; without one trailing newline; NUL-terminated */
    apr_size_t len;
    char digest[65]; /* SHA-256 hex of the value, to notice that a seed changed; "" until loaded */
} cs_secret_t;

/* Form only, no access: *psecret in p, or a sentence that names the value and what is allowed. NULL
 * = good. A literal is not repeated in the sentence, for it is a secret in the error log; its
 * length is. */
const char *cs_secret_ref_parse(cs_secret_t **psecret, const char *text, apr_pool_t *p);
/* Reads it; the value lives in p and is wiped at its end. The reference, never the value, is in
 * res->detail. Fails when the file is missing, unreadable, empty, larger than 64 KiB, or the
 * command fails or exceeds its time. */
apr_status_t cs_secret_load(cs_secret_t *secret, apr_pool_t *p, cs_result_t *res);
/* Wipes and forgets the value. */
void cs_secret_forget(cs_secret_t *secret);

#endif
