/* domain/record.h: the types everybody speaks: card, record, value, step, deal.
 *
 * Memory: every struct and string lives in the pool of whoever made it (said at the function);
 * json_t members are borrowed from that pool (cs_json_own). One thread at a time.
 *
 * Values. A canonical value is a json_t: JSON null = empty; string (text as the side shows it, LF
 * line ends, no trailing blanks); integer; true/false; a date "2026-03-31"; an instant
 * "2026-03-31T12:00:00Z"; money {"amount":"50000.00","currency":"USD"}; a look-up's key
 * {"isocurrencycode":"USD"}. A NULL pointer is *unreadable* (not selected, no permission, truncated
 * answer) and never counts as a change. (deals 2)
 *
 * Neutral rows. A CRM client turns its wire format into a *neutral row*: an object from column name
 * to value, where a look-up is {"id":"<guid>", "<column of the target>": value ...}, a choice an
 * integer, a date text, money a JSON number. A column that was asked for and is absent from the
 * answer is absent here too (unreadable). In rows to be written three wrappers stand for what JSON
 * cannot say; each is an object with exactly one member:
 *
 *   {"$number": "50000.00"}   a decimal, printed digit by digit
 *   {"$choice": "Out-Sold"}   a choice by its label; the planner resolves it by the metadata, so
 * that a CRM client never sees one
 *   {"$lookup": {...}}        symbolic, to be resolved in apply (deals 2); needs no mapping:
 *       "find"     its name, for messages and caches
 *       "table"    where to look
 *       "keys"     array of {column: text}, best first; a key with an empty part is left out;
 *                  never empty
 *       "where"    {column: constant}; may be absent
 *       "within"   {column: {"$lookup": ...}}: only rows whose look-up points to the row which that
 *                  finds (or makes); a row that is made starts with it; may be absent
 *       "several"  "hold"
 *       "none"     "hold" = the step waits, "skip" = the column is left out, "create" = make the
 *                  neutral row in "create"
 *       "key"      the external id column that a row made gets its derived id in, where the CRM
 *                  gives ids; may be absent
 *       "line", "columns"  when held, only this line waits: these columns are left out of the
 *                  step (cs_applied_t.dropped); every look-up of a line has them; absent for
 *                  constants of the mapping and for the rows of a list, whose step is one line
 *   {"$ref": {"table":"account","id":"<guid>"}}   a resolved look-up
 */
#ifndef CS_DOMAIN_RECORD_H
#define CS_DOMAIN_RECORD_H

#include <apr_pools.h>
#include <apr_tables.h>
#include <apr_time.h>
#include <jansson.h>

/* What is known of a type of CRM without asking it, as data: the domain and the engine go by these
 * and never by which CRM it is. One per CRM client (remote/crm.h), constant. */
typedef struct cs_crm_relation_t {
    const char *path;   /* "__r": how the name that a path goes through ends, */
    const char *column; /* "__c": and how the look-up column's does */
} cs_crm_relation_t;

/* What an id of a row looks like. (domain/row_id.c) */
typedef enum {
    CS_ID_GUID = 0, /* lower case, without braces */
    CS_ID_18        /* 15 letters and digits whose case counts, then 3 that tell their case */
} cs_id_form_e;

typedef struct cs_crm_facts_t {
    const char *type; /* the word of the mapping file and of CosellCrm, for messages */
    int (*is)(const char *word); /* 1 when that is the word */
    /* Of a row: 0 open, 1 won (of a lead: qualified), 2 lost. A column of its table, or one that
     * the client makes up for every row that it is asked of and that cannot be written: the state
     * then follows from a column whose choices imply it (metadata: "state" of an option). */
    const char *state_column;
    int state_follows; /* it is made up */
    int closed_writes; /* a closed row takes writes, and is opened by writing its state */
    int trims;         /* blanks at the ends of a text are not kept */
    int names_rows;    /* 1 = the CRM gives its rows their ids: cs_step_t.key */
    cs_id_form_e id_form;
    const char *key_suffix; /* a table's key column is its name plus this; NULL: */
    const char *key_column; /* it has this name in all of them */
    /* A path through a look-up names its relation: the first entry whose `path` is the end of the
     * name says how the look-up column ends; closed by path NULL. A name that ends as one of the
     * columns does is the column. NULL = paths name the column. */
    const cs_crm_relation_t *relations;
    /* What stands between a package's prefix and a name: "{ns}" in a mapping becomes "acme__".
     * NULL = names have no prefix. */
    const char *namespaces;
    const char *currencies; /* the table whose rows are its currencies; NULL = a currency is its
                               code, in a column or nowhere */
    const char *win, *lose;   /* actions that close; NULL = none: state is written */
    int lower;                /* names of columns have no capital letters */
    const char *qualify;      /* action that turns a lead into an opportunity; NULL = none */
    int qualified;            /* its status */
    const char *owner_column; /* who owns a row */
    int record_teams;         /* users can be members of a team of a row (CS_STEP_JOIN) */
    /* The column that says why a row has its state, and the parameter of `win` and `lose` that
     * becomes it; NULL = none. */
    const char *reason_column, *reason_parameter;
    /* Closing a row of `closes` leaves an activity: its table, its column that points to the row,
     * the column that says when it was made. NULL = it leaves none. */
    const char *closes, *close_table, *close_parent, *close_made;
    /* {"record_type": "Services"} in a "set" is the row of this table whose column `record_type_by`
     * is that and whose column `record_type_of` is the record's table; NULL = there are none. */
    const char *record_types, *record_type_by, *record_type_of;
} cs_crm_facts_t;

/* The id that text is, as it is stored: a GUID in lower case and without its braces; of the other
 * form 18 characters, those that tell the case made when there are only 15, and not digits alone.
 * NULL = free text. In p. */
const char *cs_row_id(cs_id_form_e form, const char *text, apr_pool_t *p);
/* 1 when both are ids and name one row. */
int cs_row_id_same(cs_id_form_e form, const char *a, const char *b);

/* What a wrapper of a neutral row ({"$lookup"}, {"$ref"}, {"$number"}, {"$choice"}) says to people:
 * "the user whose e-mail is ann@example.com". NULL = it is none. (domain/record_words.c) */
const char *cs_wrapper_words(const json_t *value, apr_pool_t *p);

/* Systems of an alias and of a version hint. A CRM's system is its configured name. */
#define CS_SYSTEM_PC "pc"
/* Of a hint only: the version of a counterpart's card, named by a related-referral-* event. Such an
 * event does not say that the referral is ours. */
#define CS_SYSTEM_RELATED "pc-related"

/* A referral as Partner Center showed it. (partner-center-api.md 4.2) */
typedef struct cs_card_t {
    const char *id;              /* GUID, lower case */
    const char *engagement_id;   /* GUID, lower case; NULL when absent */
    const char *organization_id; /* GUID lower case or "msft"; NULL when absent */
    const char *etag;   /* exactly as decoded from eTag, quotes included; NULL when absent */
    apr_time_t updated; /* updatedDateTime; 0 when absent */
    json_t *doc;        /* the whole document; unknown fields kept */
} cs_card_t;

/* A CRM row as the CRM showed it. */
typedef struct cs_record_t {
    const char *table;   /* logical name, "opportunity" */
    const char *id;      /* as the CRM writes it, folded (GUID lower case) */
    const char *version; /* opaque; equality only; the guard of a write. What follows a '~' keeps
                            one that is young from equalling any other */
    apr_time_t modified; /* 0 when unknown */
    apr_int64_t order;   /* grows with every version of the row; 0 = the CRM says nothing of it */
    /* 1 = it changed so shortly before it was read that its version may yet stand for something
     * else (a version with a grain of a second): a write by it is put off for 2 s. (deals 2) */
    int young;
    json_t *row;         /* neutral row */
    /* Rows that belong to it: {"<list>": [{"id", "version", "row": neutral row}, ...]}, in the
     * order of their ids. A list that was asked for and could not be read is absent (unreadable,
     * deals 2). NULL = none was asked for. A row of a record team has no version, its id is the
     * user's. */
    json_t *related;
} cs_record_t;

/* Which related rows are read with a record. Made by the mapping, used by a CRM client. */
typedef struct cs_related_t {
    const char *list;                  /* the list's name, the member of cs_record_t.related */
    const char *table;                 /* child table; NULL = the users of a record team */
    const char *parent;                /* its look-up column that points to the record */
    const json_t *where;               /* object column -> constant, or NULL */
    const apr_array_header_t *columns; /* const char *: at most one '/'; of a team: of its users */
    const char *team;                  /* record team: the name of its template */
    const char *closed; /* read only of a record in which this column is not 0, absent from the
                           others; NULL = of every record */
} cs_related_t;

/* A table whose rows are worth looking at when they change: that of a record kind, or of rows that
 * a record shows (its account, contact, child rows, users). Made by the mapping. (deals 7) */
typedef struct cs_watched_t {
    const char *table;
    int record; /* 1 = the table of a record kind */
    /* const char *: columns worth knowing of a changed row: of a record those that its opt-in and
     * its identity need (where paths name relations with at most one '/'), else the look-ups in
     * parents */
    const apr_array_header_t *columns;
    /* const char *: look-up columns that point to a record (a child row's); empty = who shows such
     * a row is known from the deals (store.h, watch) */
    const apr_array_header_t *parents;
} cs_watched_t;

/* What a mapping does in a table: every one of them is read. Made by the mapping, asked about by a
 * CRM client (remote/crm.h, examine). */
typedef struct cs_used_t {
    const char *table;
    int create, write, remove; /* rows of it are made, changed, removed */
    int append;                /* a row of it is made to point to others, */
    int append_to;             /* and others' rows to one of it */
    int assign;                /* a row of it is given an owner */
    int share;                 /* users become members of a row's team */
    int watched;               /* its changes are polled for */
    const char *key;   /* the column that names a row's referral: one row for each value; NULL */
    const char *found; /* external id column by which rows are made and found again; NULL */
} cs_used_t;

/* Metadata of a CRM: what it says about its tables, as one document. (crm-apis.md A17, B8)
 *
 *   {"language": 1033, "user": "<id>",   the caller's own user
 *    "tables": {"opportunity": {"label": "Opportunity", "key": "opportunityid", "name": "name",
 *      "keys": [{"columns": ["new_referralid"], "active": true}],
 *                                 alternate keys; not active: the index is not built (yet)
 *      "record_types": ["Services"]   names that {"record_type": ...} may have; absent = unknown
 *      "columns": {"<column>": {
 *       "label": "Topic"          in the organisation's language; absent = none
 *       "type": "text", "memo", "integer", "decimal", "money", "choice", "choices", "flag", "date",
 *               "instant", "look-up", "id" or "other"
 *       "max": 300                longest text in UTF-16 units
 *       "precision": 2            digits after the point of a number; absent = unknown
 *       "create", "update", "read": true | false    what the caller may do
 *       "calculated": true        the CRM computes it; absent = false
 *       "targets": ["account"]    of a look-up
 *       "options": [{"value": 1, "label": "In Progress", "labels": ["In Progress", "In Arbeit"],
 *                    "state": 0}]  of a choice and a flag, whose values are true and false;
 *                                   "state" only of a status
 *     }}}}}
 *
 * Immutable once made; shared by the looks of a batch. A table that could not be read is absent. */

/* What a deal is, over all looks. */
typedef enum {
    CS_DEAL_NEW = 0,  /* met, identity reserved, no record yet */
    CS_DEAL_LINKED,   /* both sides exist */
    CS_DEAL_CLOSED,   /* terminal at Partner Center and settled */
    CS_DEAL_LEAD,     /* a lead: left alone */
    CS_DEAL_IGNORED,  /* `when` of no record kind matches, or first met closed */
    CS_DEAL_PARKED,   /* a person must decide; problem says why */
    CS_DEAL_UNLINKED, /* closed as Error at Partner Center: the record lives on alone */
    CS_DEAL_GONE      /* the CRM record was deleted: tombstone, never re-created */
} cs_deal_state_e;
const char *cs_deal_state_name(cs_deal_state_e state);
cs_deal_state_e cs_deal_state_of_name(const char *name);

typedef struct cs_deal_t {
    apr_int64_t id; /* 0 until stored */
    const char *site;
    cs_deal_state_e state;
    const char *crm;         /* owner: the CRM's configured name; NULL until decided */
    const char *kind;        /* record kind of the mapping: "opportunity" */
    const char *referral_id; /* own referral; NULL when unknown */
    const char *engagement_id;
    const char *table; /* CRM table and row id; the id is reserved before the row exists */
    const char *record_id;
    const char *title; /* for people: the referral's name; before there is one that of the record */
    const char *status;     /* what we last told the seller: "In sync"; NULL = nothing */
    const char *problem;    /* for people, NULL = none */
    const char *pc_version; /* eTag of the own card when last settled */
    const char *pc_status;  /* "Active/Accepted" when last settled */
    const char *crm_version;
    const char *mapping; /* digest of the mapping that was in force */
    /* {"<line>": {"pc": value, "crm": value, "rest": why they may differ, "waits": {"pc": value,
     * "why": text}}}: a side is absent while it has no image, "rest" while they agree, "waits"
     * unless apply left the line out ("idle": true in it = nobody has to act). "$state" = the state
     * of both sides. An item of a list is the line "<list>/<key>", its value the canonical item or
     * null = not in the list; an item that neither side has (any more) has no image. "refused":
     * {"pc": value, "why": text, "mapping": digest} while the CRM refuses what the line brings: not
     * sent again until the value, the mapping or a new notice moves (deals 2). "as": how the line
     * read its sides; an image of a line that reads other places, or in another zone, is none. An
     * image without "pc" is of a line that the row was made without and that is still to come.
     * What Partner Center refuses is remembered the same way with the CRM's value: "refused":
     * {"crm": value, ...}. The state's has "read", which says how new what was settled is, and
     * "made": when, by the CRM's clock, the row was made to show it (microseconds). */
    json_t *images;
    /* NULL, or {"steps":[{"kind", "lines": {line: value}, "from": {line: what it writes over}}],
     * "at": when the look began, where the CRM gives ids}: written before the first write of a
     * look, cleared at settle. */
    json_t *intent;
    /* What tell wrote: {"audit":[lines, newest first],"kept":{column:{"wrote","read"}}}; kept = the
     * texts that the CRM did not keep as written. */
    json_t *told;
    /* What was made at Partner Center, and what is being made; NULL = nothing (deals 3):
     * {"edited": microseconds of the last edit that was not ours, "digest": of the document that
     *  would be posted, "own": POSTED, "connected": POSTED}; POSTED = {"state": "sent" (the answer
     * is not known) | "done" | "refused", "request": id, "digest", "at": microseconds of the last
     * attempt, "tries": searches since, "id": the referral once known, "why": of a refusal,
     * "mapping": digest, "said": true once it is in the journal}. "sent" is stored before the
     * POST leaves. */
    json_t *posted;
    json_t *explain;      /* the last plan in words: lines, steps, what happens next */
    /* What stands in its way, to be counted with other deals': {"<cause>": "<text for people>"};
     * {} = nothing; NULL = as it was. Written, never read back. (store/store.h, cs_cause_t) */
    json_t *causes;
    apr_time_t next_look; /* 0 = none planned */
    int planned;          /* planned looks since the last notice: each doubles the pause */
    int crossed; /* writes of ours within an hour of crossed_since, each after a foreign change */
    apr_time_t crossed_since;
    apr_time_t created, updated;
} cs_deal_t;

/* One thing done or refused; never written for "nothing to do". (design 5) */
typedef struct cs_journal_t {
    apr_int64_t id;   /* 0 until stored */
    apr_int64_t deal; /* 0 = the site itself */
    apr_time_t at;
    const char *direction; /* "to_crm", "to_pc", "" */
    const char *action;    /* "create", "update", "close", "reopen", "park", "lead", "dead", "hold",
                              "planned", "suspend", ... */
    const char *line;      /* line of the mapping, or NULL */
    json_t *from, *to;     /* values; NULL when none */
    const char *outcome;   /* "done", "refused", "held", "planned", "failed" */
    const char *why;       /* for people */
    int calls;             /* requests this took */
    apr_interval_time_t took;
    const char *correlation; /* ids on both systems */
    const char *mapping;     /* revision in force */
} cs_journal_t;

/* The steps of a plan, in the order in which they must be applied. (deals 2) */
typedef enum {
    CS_STEP_CREATE,   /* make the row `table`(`id`) unless it exists */
    CS_STEP_UPDATE,   /* change columns of the row, only if its version is still `guard` */
    CS_STEP_REOPEN,   /* as UPDATE, of a closed row */
    CS_STEP_CALL,     /* an action of the CRM: "WinOpportunity" with parameters */
    CS_STEP_PATCH_PC, /* JSON Patch of referral `id`, only if its eTag is still `guard` */
    CS_STEP_DELETE,   /* remove the row of a list, only if its version is still `guard`; done when
                         there is none */
    CS_STEP_JOIN,  /* make a user a member of the record team `call` of row `table`(`id`): columns =
                      {"user": look-up}; done when the user is one already */
    CS_STEP_POST_PC, /* make a referral: columns = the document. call: "own", or "connected" =
                        Microsoft's of engagement `id`; before each the engine looks whether it is
                        there already (by externalReferenceId; by the engagement's list), and then
                        nothing is posted. "find", "find-connected" = look only. (deals 3) */
    CS_STEP_ENSURE /* the row which the look-up columns = {"row": look-up} finds exists afterwards;
                      nothing is written when it does already */
} cs_step_kind_e;
const char *cs_step_kind_name(cs_step_kind_e kind);

typedef struct cs_step_t {
    cs_step_kind_e kind;
    int send;          /* 0 = shown only */
    const char *table; /* CRM table */
    const char *id;    /* row id, or referral id */
    /* CREATE where the CRM gives the id (facts: names_rows): {"<external id column>": value}, by
     * which a repeated create finds itself; `id` stands for the row in this plan and in the deal
     * until its own is known. NULL = the row gets `id`, or has no such column. */
    json_t *key;
    const char *guard; /* version that must still hold; NULL for CREATE and CALL. After a step that
                          wrote the same row: the version which that step left behind, this one
                          being what was read */
    const char *call;  /* CALL: action name */
    json_t *columns;   /* neutral row to write; CALL: parameters; PATCH_PC: array of operations;
                          POST_PC: the document */
    apr_array_header_t *lines; /* const char *: the mapping lines this step writes */
    /* {"<line>": ["<column>", ...]}: the columns each line brought, so that a refused line can be
     * left out and the rest sent (deals 2). Lines of a group are one part, under the first of them,
     * and leaving out one leaves out all. Columns of no line (state, what the seller reads,
     * constants) are named under CS_LINE_STATE, CS_LINE_TELL "/<column>", "$start". NULL for steps
     * of one line. Of a PATCH_PC the members are paths of its operations ("/details/notes").
     */
    json_t *parts;
    const char *travels; /* one of columns that is no reason for a write: of no part, and left out
                            with the rest when every other one is; NULL = none */
    const char *list;    /* the step is about a row of this list; NULL = about the record itself */
    int after;           /* index of the step that must have succeeded first, -1 = none */
    const char *why;     /* for people: "Partner Center moved to Closed/Won" */
} cs_step_t;

#endif
