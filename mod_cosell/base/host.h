/* base/host.h: what the host of a URL says about where it is. Pure; any thread.
 *
 * One rule for all who let plain http pass to this machine: settings, certificate URLs and every
 * request that goes out. A name that only begins like a loopback address is none.
 */
#ifndef CS_BASE_HOST_H
#define CS_BASE_HOST_H

#include <apr.h>

/* 1 for "localhost" (any case), "::1" with or without its brackets, and 127.0.0.0/8 as four
 * numbers. host: `len` bytes, without a port, need not be terminated. */
int cs_host_is_loopback(const char *host, apr_size_t len);

#endif
