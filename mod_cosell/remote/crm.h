/* remote/crm.h: what the engine asks of any CRM. The engine does not know which one it talks to.
 *
 * A CRM client is a cs_crm_impl_t and a folder; cs_crm_impl_of() is the only place that knows their
 * names. All calls take arrays, so that a client may batch. Results are per item; the returned
 * status is APR_SUCCESS unless nothing could be attempted at all (then every item's result says
 * why). `calls` are requests on the wire: one that carried several items is counted at the first of
 * them, so that sums are true. One lane, one thread. Rows are neutral (domain/record.h). Everything
 * returned lives in the pool p of the call.
 */
#ifndef CS_REMOTE_CRM_H
#define CS_REMOTE_CRM_H

#include "finding.h"
#include "http.h"
#include "token.h"
#include "../domain/record.h"

/* A column that is a look-up and its target table; the engine copies them from the mapping. */
typedef struct cs_crm_lookup_t {
    const char *column;
    const char *table; /* NULL = let the client find out */
} cs_crm_lookup_t;

typedef struct cs_crm_config_t {
    const char *name; /* stable name, key of data */
    const char *type; /* "dynamics365", "salesforce" */
    const char *url;  /* https://org.crm.dynamics.com */
    const char *tenant, *client_id;
    cs_secret_t *client_secret; /* NULL with a certificate or key */
    const char *certificate;    /* PEM file of the certificate whose assertion signs in; NULL */
    cs_secret_t *key;           /* the private key that signs assertions, PEM; NULL with a secret */
    const char *user;           /* whom an assertion speaks for; NULL */
    int assertion_rs256;        /* 1 = RS256 with x5t instead of PS256 with x5t#S256 */
    const char *organization;   /* pinned organisation id; NULL = learnt */
    cs_secret_t *webhook_secret; /* what a notification must show; NULL = none are accepted */
    const char *token_url;
    const cs_upstream_t *upstream;
    const cs_upstream_t *login;
} cs_crm_config_t;

typedef struct cs_crm_t cs_crm_t;

/* Read rows by id. `columns`: const char *, at most one '/' ("parentaccountid/name"). */
typedef struct cs_crm_read_t {
    const char *table, *id;            /* in */
    const apr_array_header_t *columns; /* in */
    const apr_array_header_t *lookups; /* in: cs_crm_lookup_t */
    const apr_array_header_t *related; /* in: cs_related_t, rows that belong to it; NULL = none */
    const json_t *key; /* in: {"<external id column>": value} that finds the row while `id` only
                          stands for it (record.h, cs_step_t.key); NULL = `id` is its id. The
                          record has its own id. Several such rows: DUPLICATE */
    cs_record_t *record;               /* out; NULL and GONE when there is no such row. A list whose
                                          rows could not be read is absent from record->related and
                                          leaves the result OK */
    cs_result_t result;                /* out */
    int calls;
    apr_interval_time_t took;
    const char *correlation; /* out */
} cs_crm_read_t;

/* Find one row by ordered key sets: the first set that finds anything decides. Text keys are
 * compared trimmed and without regard to case. */
typedef struct cs_crm_find_t {
    const char *table;   /* in */
    const json_t *keys;  /* in: array of objects column -> value */
    const json_t *where; /* in: object column -> value ({"$ref"} = points to that row), or NULL */
    int found;           /* out: 0, 1, or 2 = several */
    const char *id;      /* out: when found == 1 */
    json_t *candidates;  /* out: when several: array of {"id","name"}, at most 10 */
    cs_result_t result;
    int calls;
    apr_interval_time_t took;
    const char *correlation; /* out */
} cs_crm_find_t;

typedef enum {
    CS_CRM_CREATE, /* make the row with exactly this id unless it exists; DUPLICATE when it exists.
                      Where the CRM gives ids: make it unless `key` finds one; `made` is its id */
    CS_CRM_UPDATE, /* change these columns if the version is still `guard`; CONFLICT otherwise;
                      never re-creates: GONE */
    CS_CRM_CALL,   /* an action: `call` with row as its parameters, about (table, id) */
    CS_CRM_DELETE, /* remove the row if its version is still `guard` (NULL = whatever it is); OK
                      when there is none */
    CS_CRM_JOIN /* row = {"user": {"$ref"}}: becomes a member of the record team whose template is
                   named `call`; OK when it is one */
} cs_crm_write_e;

typedef struct cs_crm_write_t {
    cs_crm_write_e kind;                   /* in */
    const char *table, *id, *guard, *call; /* in */
    const json_t *row;                     /* in: neutral row; look-ups resolved ("$ref") or null */
    const json_t *key; /* in, CREATE: as in cs_step_t; NULL = none */
    const apr_array_header_t *columns;     /* in: columns wanted back, as in read; NULL = none */
    const apr_array_header_t *lookups;     /* in */
    cs_record_t *record; /* out: representation returned; NULL when the CRM gives none */
    const char *made; /* out, CREATE that is OK: the row's id where the CRM gave it; NULL = `id` */
    json_t *created; /* out, CALL: array of {"table","id"} of rows that the action made, or NULL */
    cs_result_t result;
    int calls;
    apr_interval_time_t took;
    const char *correlation; /* out */
} cs_crm_write_t;

typedef struct cs_crm_whoami_t {
    const char *organization, *user;
} cs_crm_whoami_t;

/* A change notification of the CRM's own making. */
typedef struct cs_crm_request_t {
    /* A header of the request, NULL = absent. */
    const char *(*header)(void *baton, const char *name);
    void *baton;
    const char *body;
    apr_size_t len;
} cs_crm_request_t;

typedef struct cs_crm_noticed_t {
    const char *table, *id; /* id folded as in records */
    int deleted;
    apr_time_t at; /* when it happened; 0 = not about the row itself, or unknown */
} cs_crm_noticed_t;

typedef struct cs_crm_notice_t {
    const char *event;        /* "Update"; at most 64 bytes */
    const char *organization; /* id, folded; NULL = not said */
    apr_array_header_t *rows; /* cs_crm_noticed_t: the row, then the records that it says it belongs
                                 to; empty = nothing worth a look (a test, another table) */
    const char *problem;      /* accepted, but ...; NULL = none */
} cs_crm_notice_t;

/* A row that changed since a cursor. */
typedef struct cs_crm_changed_t {
    const char *id, *version; /* version NULL when deleted */
    apr_time_t modified;      /* 0 = unknown */
    int deleted;
    json_t *row; /* neutral, the columns asked for; NULL when deleted */
} cs_crm_changed_t;

/* One page of what changed in a table. */
typedef struct cs_crm_changes_t {
    const char *table;                 /* in */
    const apr_array_header_t *columns; /* in: own columns, no '/' */
    const apr_array_header_t *lookups; /* in: cs_crm_lookup_t */
    const char *cursor; /* in: as `next` was, opaque; NULL = begin: all rows, page by page */
    apr_time_t since;   /* in: while beginning, rows modified before it need not be shown */
    apr_array_header_t *rows; /* out: cs_crm_changed_t */
    const char *next;         /* out: the cursor after this page */
    int more;                 /* out: there are more pages now */
    int beginning;            /* out: this page is of a beginning, not of changes: because cursor
                                 was NULL, or because the CRM does not know it any more */
    cs_result_t result;
    int calls;
    apr_interval_time_t took;
    const char *correlation;
} cs_crm_changes_t;

/* A quota of requests, as the CRM last told. */
typedef struct cs_crm_usage_t {
    apr_int64_t used, most; /* requests of the day; most 0 = it says nothing */
    apr_int64_t kept;       /* of them, those that are never used (CosellUpstream reserve=) */
    apr_time_t at;
} cs_crm_usage_t;

/* What is checked of a CRM's prerequisites. */
typedef struct cs_crm_examination_t {
    const apr_array_header_t *used; /* in: cs_used_t, what the mapping does; NULL = there is none */
    const char *organization;       /* in: ours; NULL = not known yet */
    apr_array_header_t *findings;   /* in, out: cs_finding_t, appended */
    int signed_in;                  /* out: 0 = it answers nothing, and all else was skipped */
    int calls;                      /* out */
} cs_crm_examination_t;

/* What a notification is answered with once it is durable. */
typedef struct cs_crm_answer_t {
    const char *type; /* Content-Type; NULL = no body */
    const char *body;
} cs_crm_answer_t;

typedef struct cs_crm_impl_t {
    const cs_crm_facts_t *facts; /* its `type` names the client */
    /* The options of CosellCrm that it takes, and those that it needs; each closed by NULL. */
    const char *const *takes, *const *needs;
    apr_status_t (*create)(cs_crm_t **pcrm, const cs_crm_config_t *cfg, cs_http_t *http,
                           cs_limiter_t *limiter, cs_limiter_t *login_limiter, apr_pool_t *p);
    /* cheap, authenticated; also the probe of a suspended upstream */
    apr_status_t (*whoami)(cs_crm_t *crm, cs_crm_whoami_t *who, apr_interval_time_t deadline,
                           apr_pool_t *p, cs_result_t *res);
    /* Whether it answers at all, by a request that counts for no quota; NULL function = whoami is
     * cheap enough */
    apr_status_t (*pulse)(cs_crm_t *crm, apr_interval_time_t deadline, apr_pool_t *p,
                          cs_result_t *res);
    apr_status_t (*read)(cs_crm_t *crm, cs_crm_read_t *reads, int n, apr_interval_time_t deadline,
                         apr_pool_t *p);
    apr_status_t (*find)(cs_crm_t *crm, cs_crm_find_t *finds, int n, apr_interval_time_t deadline,
                         apr_pool_t *p);
    /* Writes are independent of each other; the engine orders dependent ones by calling again. */
    apr_status_t (*write)(cs_crm_t *crm, cs_crm_write_t *writes, int n,
                          apr_interval_time_t deadline, apr_pool_t *p);
    /* configuration check without I/O: NULL or a sentence (value and what is allowed) */
    const char *(*check)(const cs_crm_config_t *cfg, apr_pool_t *p);
    /* Where it signs in: token_url of the configuration, or what follows from the rest; in p. */
    const char *(*token_url)(const cs_crm_config_t *cfg, apr_pool_t *p);
    /* "https://host/main.aspx?...": where a person opens the row; NULL when unknown */
    const char *(*link)(const cs_crm_config_t *cfg, const char *table, const char *id,
                        apr_pool_t *p);
    /* Metadata of these tables (const char *), domain/record.h, in as few requests as the CRM
     * allows; in p. A table that does not exist is absent. *pcalls counts requests. */
    apr_status_t (*describe)(cs_crm_t *crm, const apr_array_header_t *tables, json_t **pmetadata,
                             int *pcalls, apr_interval_time_t deadline, apr_pool_t *p,
                             cs_result_t *res);
    /* Decodes an authentic notification; request threads, pure. watched: cs_watched_t of the
     * mapping. CS_EPARSE: it is none. In p. */
    apr_status_t (*notice)(cs_crm_notice_t *notice, const cs_crm_request_t *request,
                           const apr_array_header_t *watched, apr_pool_t *p, cs_result_t *res);
    /* Media types that its notifications have, closed by NULL; NULL = application/json alone. */
    const char *const *media_types;
    /* The answer to a durable notification; constant text. NULL function = an empty 200. */
    void (*acknowledge)(cs_crm_answer_t *answer, const cs_crm_notice_t *notice);
    /* What is known of its quota, without asking; NULL function = it has none. */
    void (*usage)(const cs_crm_t *crm, cs_crm_usage_t *usage);
    /* One page of changes of one table. An expired or unknown cursor is no error: it begins anew
     * and says so. A table that keeps no track of changes is polled by its time of modification:
     * deletes are then not seen. */
    apr_status_t (*changes)(cs_crm_t *crm, cs_crm_changes_t *changes,
                            apr_interval_time_t deadline, apr_pool_t *p);
    /* Asks for each prerequisite that lies in the CRM: signs in anew, then who we are and which
     * organisation it is, what we may do, keys, duplicates, tracking, whoever else keeps the same
     * rows the same. One finding per check: "sign-in", "organization", "api", "roles", "key",
     * "duplicates", "changes", "flows", "requests", those that mean something here. A check that
     * could not be made says why; writes nothing. */
    void (*examine)(cs_crm_t *crm, cs_crm_examination_t *exam, apr_interval_time_t deadline,
                    apr_pool_t *p);
} cs_crm_impl_t;

/* NULL for a type that is not built in. */
const cs_crm_impl_t *cs_crm_impl_of(const char *type);
/* The facts of a type; NULL for one that is not built in. */
const cs_crm_facts_t *cs_crm_facts_of(const char *type);
/* "dynamics365, salesforce" - for messages. */
const char *cs_crm_types(void);

#endif
