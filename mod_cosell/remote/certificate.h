/* remote/certificate.h: fetches signing certificates; transports bytes, judges nothing.
 * (design 7.3) */
#ifndef CS_REMOTE_CERTIFICATE_H
#define CS_REMOTE_CERTIFICATE_H

#include "http.h"

/* GET url (already checked against the trust's URLs by the caller; checked again against
 * up->origins), no redirects, at most 64 KiB, 5 s to connect, 10 s in all; writes
 * <state>/certs/<sha256 of url> by temporary file and rename, mode 0600. The file's bytes are the
 * answer's body. Redirect, status other than 200, too large or empty: error, the old file stays. */
apr_status_t cs_certificate_fetch(cs_http_t *http, const cs_upstream_t *up, cs_limiter_t *limiter,
                                  const char *state_dir, const char *url, apr_pool_t *ptemp,
                                  cs_result_t *res);

#endif
