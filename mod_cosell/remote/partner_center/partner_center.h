/* remote/partner_center/partner_center.h: what we say to and hear from Partner Center.
 * (partner-center-api.md 1.5, 3, 4) */
#ifndef CS_REMOTE_PARTNER_CENTER_H
#define CS_REMOTE_PARTNER_CENTER_H

#include "../finding.h"
#include "../http.h"
#include "../login.h"
#include "../token.h"
#include "../../domain/record.h"

/* ---- callbacks; request threads, pure ---- */

typedef struct cs_pc_event_t {
    const char *name;        /* EventName as sent, at most 128 bytes; "" when absent */
    int is_referral;         /* one of the four referral events */
    int is_test;             /* test-created */
    const char *referral_id; /* GUID, lower case: the last path segment of ResourceUri, of a test
                                event its correlation id; NULL when it ends in no GUID */
    apr_time_t changed;      /* ResourceChangeUtcDate; 0 when absent or unreadable */
} cs_pc_event_t;

/* Names that a test event's delivery is stored under: its correlation id, and the header that its
 * signature came in. */
#define CS_NAME_TEST "test:"
#define CS_NAME_HEADER "signature:"

/* The authentic body: names without regard to case, unknown members ignored. CS_EPARSE when it is
 * not a JSON object (a BOM included) within bounds. Strings in p. */
apr_status_t cs_pc_event_decode(cs_pc_event_t *event, const char *body, apr_size_t len,
                                apr_pool_t *p, cs_result_t *res);

/* ---- referrals; runner ---- */

typedef struct cs_pc_config_t {
    const char *tenant, *client_id;
    cs_secret_t *client_secret;
    cs_secret_t *refresh_token; /* NULL = somebody signs in (engine/job_login.c) */
    const char *organization; /* NULL = learnt */
    const char
        *token_url; /* default https://login.microsoftonline.com/<tenant>/oauth2/v2.0/token */
    const char *webhooks_url;      /* default https://api.partnercenter.microsoft.com */
    const char *referrals_url;     /* default https://api.partner.microsoft.com; the audience is its
                                      origin unless token_audience says otherwise */
    const char *token_audience;    /* NULL = https://api.partner.microsoft.com when referrals_url is
                                      the default or loopback, else its origin */
    const cs_upstream_t *upstream; /* "partner-center" */
    const cs_upstream_t *login;
} cs_pc_config_t;

typedef struct cs_pc_t cs_pc_t;
/* limiter, login_limiter: the lane's. */
apr_status_t cs_pc_create(cs_pc_t **ppc, const cs_pc_config_t *cfg, const cs_vault_t *vault,
                          cs_http_t *http, cs_limiter_t *limiter, cs_limiter_t *login_limiter,
                          apr_pool_t *p);

typedef struct cs_pc_read_t {
    const char *id;  /* in: referral id, or engagement id */
    const char *trace; /* in: what it belongs to, NULL = what the transport was told; not of find */
    cs_card_t *card; /* out of get: NULL unless result is ok */
    apr_array_header_t
        *cards;         /* out of list: cs_card_t *; NULL unless result is ok; may be empty */
    cs_result_t result; /* out */
    int calls;          /* out: requests sent */
    apr_interval_time_t took;
    const char *correlation;
} cs_pc_read_t;

/* GET /v1.0/engagements/referrals/{id} for n ids at once. Gone (404/410), SUSPEND (403, MFA 401
 * code 900421 / "MFA required", second 401), THROTTLED, RETRY, REFUSED per
 * partner-center-api.md 4.11 and design 6. One 401 is answered by one token refresh and one repeat
 * inside this call. A 200 whose body is no referral is RETRY. Cards in p. */
apr_status_t cs_pc_get(cs_pc_t *pc, cs_pc_read_t *reads, int n, apr_interval_time_t deadline,
                       apr_pool_t *p);
/* GET ...?$filter=engagementId eq '<guid>' for n engagements at once; follows @odata.nextLink by
 * its $skiptoken only, at most 5 pages. */
apr_status_t cs_pc_list_engagement(cs_pc_t *pc, cs_pc_read_t *reads, int n,
                                   apr_interval_time_t deadline, apr_pool_t *p);

/* A guarded change, or a new referral. */
typedef struct cs_pc_write_t {
    const char *id;      /* in: the referral to patch; NULL = POST */
    const char *guard;   /* in, patch: eTag with its quotes, sent as If-Match; never NULL */
    const json_t *body;  /* in: array of operations, or the document */
    const char *trace;   /* in: as in a read */
    const char *request; /* in: client-request-id, so that a stored intent can be found in their
                            logs; NULL = a fresh one */
    cs_card_t *card;     /* out: the referral afterwards; NULL when the answer shows none */
    cs_result_t result;  /* out */
    int calls;
    apr_interval_time_t took;
    const char *correlation;
} cs_pc_write_t;

/* PATCH .../{id} with Prefer: return=representation, n at once. CONFLICT 409, 412, 423; DATA 400
 * and 422 with `said` = their message and `blames` = the path that error.target names, as a JSON
 * pointer ("/details/dealValue"), NULL when it names none; GONE 404, 410; REFUSED 403 about one
 * referral, 405, 411, 413, 415; UNKNOWN when no answer came after sending, and when a 2xx shows
 * something else than this referral or nothing. One 401 as in get; the repetition has a
 * client-request-id of its own, MS-CorrelationId stays `request`. A write that the lease does not
 * outlive is RETRY "lease", nothing was sent. (partner-center-api.md 4.6, 4.11) */
apr_status_t cs_pc_patch(cs_pc_t *pc, cs_pc_write_t *writes, int n, apr_interval_time_t deadline,
                         apr_pool_t *p);
/* POST; 200 and 201. Not idempotent: UNKNOWN for no answer, 408, 5xx and a 2xx whose body is no
 * referral; RETRY (and THROTTLED) only when surely nothing was done; REFUSED also 404.
 * (partner-center-api.md 4.5) */
apr_status_t cs_pc_post(cs_pc_t *pc, cs_pc_write_t *writes, int n, apr_interval_time_t deadline,
                        apr_pool_t *p);

/* Which of the referrals made since `since` carries this externalReferenceId: the newest outgoing
 * ones are read and compared here (text, without regard to case), at most 100 pages of 100.
 * read->id = the reference; of several one that is not closed, then the newest; card NULL and OK =
 * none does. When the pages end before `since` is reached the others are REFUSED "pc:pages", for
 * they may exist; since 0 = whatever these pages show. calls and took are the first read's.
 * (partner-center-api.md 4.5) */
apr_status_t cs_pc_find(cs_pc_t *pc, cs_pc_read_t *reads, int n, apr_time_t since,
                        apr_interval_time_t deadline, apr_pool_t *p);

/* One page of all referrals, newest change first. (partner-center-api.md 4.3) */
typedef struct cs_pc_page_t {
    const char *skip;          /* in: as `next` was; NULL = from the newest */
    apr_array_header_t *cards; /* out: cs_card_t *; entries that are no referral are left out; empty
                                  unless result is ok */
    const char *next;          /* out: $skiptoken of the following page; NULL = that was the last */
    cs_result_t result;
    int calls;
    apr_interval_time_t took;
    const char *correlation;
} cs_pc_page_t;
apr_status_t cs_pc_list_changed(cs_pc_t *pc, cs_pc_page_t *page, apr_interval_time_t deadline,
                                apr_pool_t *p);

/* ---- sign_in.c: whose work all this is ---- */

/* How somebody signs in for this client; transport and limiter are the caller's to set. */
void cs_pc_login(const cs_pc_t *pc, cs_login_config_t *cfg);
/* Redeems the refresh token whether or not an access token is needed, so that it does not die of
 * idleness. */
apr_status_t cs_pc_keep_alive(cs_pc_t *pc, apr_interval_time_t deadline, apr_pool_t *ptemp,
                              cs_result_t *res);
/* Another refresh token is in force: the next call fetches with it. */
void cs_pc_signed_in(cs_pc_t *pc);

/* A card from a referral document; takes a new reference. NULL when it has no GUID id. */
cs_card_t *cs_pc_card_of(json_t *doc, apr_pool_t *p);

/* Cheapest authenticated call, to see whether a suspended upstream works again: GET ...?$top=1. */
apr_status_t cs_pc_probe(cs_pc_t *pc, apr_interval_time_t deadline, apr_pool_t *ptemp,
                         cs_result_t *res);

/* Signs in anew and asks for the cheapest thing there is. Appends "token" (can one be had?), "mfa"
 * (with a second factor?) and "role" (may the account read referrals?). 1 = it may.
 * (partner-center-api.md 3) */
int cs_pc_examine(cs_pc_t *pc, apr_array_header_t *findings, apr_interval_time_t deadline,
                  apr_pool_t *p);

#endif
