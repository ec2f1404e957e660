/* base/result.h: how a call went, in words a person and the engine can act on.
 *
 * Every function that can fail returns apr_status_t and fills a cs_result_t that the caller owns.
 * The result is stored with the work it belongs to, so that yesterday's failure can still be
 * explained today. Strings in a result live in the pool given to cs_result_set(). Any thread may
 * use its own results.
 */
#ifndef CS_BASE_RESULT_H
#define CS_BASE_RESULT_H

#include <apr_errno.h>
#include <apr_pools.h>
#include <apr_time.h>

/* What the engine does next depends on the class alone. (design 6) */
typedef enum {
    CS_CLASS_OK = 0,    /* it worked */
    CS_CLASS_RETRY,     /* transport, 408, 5xx, lock conflict: again after a full-jitter exponential
                           backoff */
    CS_CLASS_THROTTLED, /* 429, concurrency: at retry_at; costs no attempt */
    CS_CLASS_TOKEN,     /* 401: one refresh, then suspend */
    CS_CLASS_CONFLICT,  /* 412, version: look again at once, at most 5 times, then as retry */
    CS_CLASS_DUPLICATE, /* the row exists already: read it and decide */
    CS_CLASS_DATA,      /* a value was refused: the line, not the deal */
    CS_CLASS_REFUSED,   /* no repetition helps: dead with its reason until something changes */
    CS_CLASS_GONE,      /* 404, 410: per case */
    CS_CLASS_SUSPEND, /* the whole (site, upstream) waits for a person; probes; resumes by itself */
    CS_CLASS_UNKNOWN, /* sent, no answer: settle by the idempotent form or the stored intent */
    CS_CLASS_COUNT
} cs_class_e;

typedef struct cs_result_t {
    apr_status_t rv;
    cs_class_e cls;
    const char *problem;     /* stable word for machines and grouping: "dataverse:0x80060882",
                                "http:503"; NULL if ok */
    const char *detail;      /* one line for people, cause included, no secrets; NULL if ok */
    const char *correlation; /* ids that find this call in the other system's logs; NULL if there
                                was no call */
    apr_time_t retry_at; /* not before this time (cs_time_now() scale); 0 = the engine decides */
    const char
        *said; /* what the other end answered in its own words, for a seller; NULL = nothing */
    const char *blames; /* DATA: the column or member that the answer names; NULL = it names none */
    int of_row; /* RETRY: one row is locked or busy, which says nothing of the upstream */
} cs_result_t;

/* Fills res (which may be NULL) and returns rv, so that `return cs_result_set(...)` reads
 * naturally. The members not named here become 0: set correlation, retry_at, said and blames
 * afterwards. problem
 * is not copied and must be static or live in p; the formatted detail is allocated in p. */
apr_status_t cs_result_set(cs_result_t *res, apr_pool_t *p, apr_status_t rv, cs_class_e cls,
                           const char *problem, const char *fmt, ...)
    __attribute__((format(printf, 6, 7)));

/* Back to "ok": all members 0. */
void cs_result_clear(cs_result_t *res);

/* Deep copy into p, for a result that outlives the call's scratch pool. */
void cs_result_copy(cs_result_t *to, const cs_result_t *from, apr_pool_t *p);

/* "retry", "throttled", ... as in design 6; never NULL. */
const char *cs_class_name(cs_class_e cls);
/* The inverse; CS_CLASS_OK for "ok" and for NULL, CS_CLASS_RETRY for a word that is not a class. */
cs_class_e cs_class_of_name(const char *name);

/* Statuses of our own, next to APR's. */
#define CS_START_STATUS (APR_OS_START_USERERR + 4200)
#define CS_ELEASE                                                                                  \
    (CS_START_STATUS + 1) /* the lane's lease is no longer ours: nothing was written */
#define CS_ENOTDURABLE (CS_START_STATUS + 2) /* the store could not make it durable */
#define CS_EBUSY (CS_START_STATUS + 3)       /* the store is locked by somebody else for too long */
#define CS_EFULL (CS_START_STATUS + 4)       /* no space on the device */
#define CS_ECORRUPT (CS_START_STATUS + 5)    /* the store's file is damaged */
#define CS_EMISSING                                                                                \
    (CS_START_STATUS + 6) /* the store's file vanished while <state>/node says there was one */
#define CS_ESCHEMA (CS_START_STATUS + 7)   /* the store was written by a newer major version */
#define CS_EREADONLY (CS_START_STATUS + 8) /* read-only file system or permission */
#define CS_EIO (CS_START_STATUS + 9)       /* the device reports an error */
#define CS_ETIMEOUT (CS_START_STATUS + 10) /* our own deadline passed */
#define CS_EPARSE (CS_START_STATUS + 11)   /* the text is not what it should be */
#define CS_ELIMIT (CS_START_STATUS + 12)   /* a bound of ours was exceeded */
#define CS_ESTALE (CS_START_STATUS + 13)   /* compare-and-swap lost */
#define CS_EREMOTE (CS_START_STATUS + 14)  /* the other end said no; see cls and problem */

/* Text for the statuses above and for APR's own; in buf. */
const char *cs_strerror(apr_status_t rv, char *buf, apr_size_t len);

#endif
