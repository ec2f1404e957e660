/* remote/http.h: an array of requests goes out, an array of responses comes back.
 *
 * One cs_http_t belongs to one lane (one thread at a time) and holds one curl multi with its
 * connections. Only remote/curl*.c know libcurl. Redirects are never followed; https only, http to
 * loopback only; a URL outside the upstream's configured origins is not sent (CS_CLASS_SUSPEND
 * "config:origin"). Header values of authorization and bodies of token requests never reach a log.
 */
#ifndef CS_REMOTE_HTTP_H
#define CS_REMOTE_HTTP_H

#include <apr_tables.h>
#include "../base/result.h"

/* CosellUpstream, merged with its defaults. Immutable configuration. */
typedef struct cs_upstream_t {
    const char *name;            /* "partner-center", the CRM's name, "login", "certificate" */
    apr_array_header_t *origins; /* const char *: "https://host[:port]" that may be called */
    const char *ca;              /* PEM bundle; NULL = the system's */
    const char *proxy; /* "http://host:port"; NULL = none (environment variables are ignored) */
    double rate;       /* requests per second; 0 = not limited */
    int concurrency; /* requests at once; default 2 for Partner Center, 8 for a CRM, 1 for login */
    apr_interval_time_t
        timeout; /* total for one request; default 30 s; connect is at most 5 s of it */
    int reserve; /* percent of a daily quota never used; below 0 = the client's own default */
    /* PEM files of a client certificate, with its chain, and of its key (without a passphrase);
     * NULL = none is shown, key NULL = the key is in the file of the certificate */
    const char *cert, *key;
    const char *hint; /* said when no connection can be made; NULL = that a proxy may be needed */
} cs_upstream_t;

/* The moving part of one upstream of one lane: token bucket, pause, what the server told. Lives as
 * long as the lane; zero-initialised is valid. Survives batches. */
typedef struct cs_limiter_t {
    double tokens; /* may start now; bucket of at most max(1, rate) requests */
    apr_time_t filled_at;
    double slow; /* 1.0 = full rate; halved by each throttling, recovers by a tenth per successful
                    second */
    apr_time_t pause_until; /* Retry-After: nothing starts before */
    apr_time_t eased_at;    /* when `slow` last changed */
    apr_uint64_t sent, failed, throttled;
    /* How far its clock was ahead of ours by the Date of its last answer, and when that was by
     * ours (0 = no answer said). Good to a second and the time of the way. */
    apr_interval_time_t ahead;
    apr_time_t dated;
} cs_limiter_t;

typedef struct cs_http_request_t {
    const char *method; /* GET, POST, PATCH */
    const char *url;
    apr_table_t *headers; /* may be NULL; no Authorization here */
    const char *bearer;   /* access token, or NULL */
    const char *basic;    /* base64 of "user:password", or NULL */
    const char *body;     /* NULL = none */
    apr_size_t body_len;
    int secret_body;             /* never logged, not even redacted */
    apr_size_t max_response;     /* bytes; 0 = 4 MiB; more is CS_ELIMIT */
    apr_interval_time_t timeout; /* 0 = the upstream's */
    const char *label;           /* for logs and the journal: "GET referral c5fb..." */
    int write;                   /* changes something: not started once `may_write` says no */
    const char *trace; /* what it belongs to (base/trace.h); NULL = what cs_http_trace() said */
} cs_http_request_t;

typedef enum {
    CS_HTTP_ANSWERED = 0, /* a complete response is here */
    CS_HTTP_NOT_SENT, /* failed before anything was sent, or not started within the deadline: safe
                         to repeat */
    CS_HTTP_UNKNOWN   /* sent, no complete answer */
} cs_http_outcome_e;

typedef struct cs_http_response_t {
    cs_http_outcome_e outcome;
    int started;          /* 0 = never left this process (deadline, limiter, abort) */
    int status;           /* 0 unless ANSWERED */
    apr_table_t *headers; /* names without regard to case; never NULL */
    const char *body;     /* NUL-terminated; never NULL */
    apr_size_t body_len;
    const char *error; /* transport error for people, host named, proxy / SELinux hint where it
                          fits; NULL = none */
    apr_interval_time_t retry_after; /* from Retry-After, clamped to 1 h; 0 = none */
    apr_time_t sent_at;              /* cs_time_now() when the request went out; 0 = never */
    apr_interval_time_t took;
    const char *correlation; /* what we sent and what the server named: "client-request-id=...
                                request-id=..." */
    const char *reason;      /* reason phrase of the status line; never NULL */
    int calls; /* requests that really went out for this one: 0 or 1, 2 after a repetition by
                  cs_token_perform */
    const cs_result_t *failure; /* what is known without looking at the answer (origin, lease,
                                   deadline, no token ...): wins in classification; NULL = none */
} cs_http_response_t;

typedef struct cs_http_t cs_http_t;

/* p: the lane's pool; the handle closes with it. */
apr_status_t cs_http_create(cs_http_t **phttp, const char *site, apr_pool_t *p);
/* Any thread: makes a running cs_http_perform return soon, everything unfinished NOT_SENT or
 * UNKNOWN. Sticky. */
void cs_http_abort(cs_http_t *http);

/* 1 while a write may start that takes at most `timeout`: the lease outlives it. */
typedef int cs_may_write_fn(void *baton, apr_interval_time_t timeout);
void cs_http_guard(cs_http_t *http, cs_may_write_fn *may_write, void *baton);

/* What requests belong to from now on that say nothing else themselves: each is sent with a
 * traceparent of this trace and a span of its own. NULL, as at first: they are sent without one.
 * trace: borrowed until the next call. */
void cs_http_trace(cs_http_t *http, const char *trace);

/* Performs n requests with the upstream's concurrency and rate; order of starting is array order.
 * Returns when all have an outcome or the deadline (cs_time_mono() scale, 0 = none) has passed;
 * each response is filled in p. The status is APR_SUCCESS unless nothing could be done at all. 429
 * and 503 with Retry-After pause the limiter; requests not yet started then stay NOT_SENT with
 * retry_after set. */
apr_status_t cs_http_perform(cs_http_t *http, const cs_upstream_t *up, cs_limiter_t *limiter,
                             const cs_http_request_t *requests, cs_http_response_t *responses,
                             int n, apr_interval_time_t deadline, apr_pool_t *p);

/* One value percent-encoded for a URL (everything but unreserved), in p. */
const char *cs_http_escape(const char *text, apr_pool_t *p);
/* "k=v&k=v" form encoding of a table, in p; wipe it yourself when it holds a secret. */
const char *cs_http_form(const apr_table_t *fields, apr_pool_t *p);
/* scheme://host[:port] of a URL, lower case, default port dropped; NULL when it is none. */
const char *cs_http_origin(const char *url, apr_pool_t *p);
/* 1 = an origin of this very machine, where http is allowed. */
int cs_http_is_loopback(const char *origin);

/* How long an answer asks to stay away: Retry-After as seconds or as a date (against the server's
 * own Date when it is sent), else "again in 57 seconds" in the body of a 429 or 509; at most 1 h, 0
 * = it does not say. */
apr_interval_time_t cs_http_retry_after(const cs_http_response_t *response, apr_time_t now);
/* "client-request-id=... request-id=...": the ids among the headers sent and the headers received
 * (either may be NULL), in p; NULL when there are none. */
const char *cs_http_correlation(const apr_table_t *sent, const apr_table_t *received,
                                apr_pool_t *p);
/* Plain words of who refused what and what to do first, then what was asked and answered, in
 * brackets: "the account lacks ... (GET x: h answered 403 Forbidden)". plain NULL or "" = the
 * latter alone. In p. */
const char *cs_http_plainly(const char *plain, const char *described, apr_pool_t *p);
/* One line for people, in p: "<label>: <host> answered 400 Bad Request: <message>". message may be
 * NULL; it is redacted, put on one line and cut at 300 bytes. */
const char *cs_http_describe(const cs_http_response_t *response, const cs_http_request_t *request,
                             const char *message, apr_pool_t *p);

/* The part of classification that is the same everywhere (design 6, crm-apis.md C1): outcome, 408,
 * 429, 5xx, 401 ... 2xx = CS_CLASS_OK. Status codes with a meaning of their own in an API are
 * classified by its client first. problem "http:503", "transport", "throttled"; detail names label,
 * host and cause. */
void cs_http_classify(cs_result_t *res, const cs_http_response_t *response,
                      const cs_http_request_t *request, apr_pool_t *p);

#endif
