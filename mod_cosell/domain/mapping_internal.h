/* domain/mapping_internal.h: a mapping as the domain sees it. Inside domain/ only.
 *
 * Everything here is built by mapping_load.c and its parts, checked by mapping_check.c and never
 * changed afterwards. json_t members belong to the mapping's pool; whoever passes one on copies it
 * (json_deep_copy), so that no reference count of the mapping changes.
 */
#ifndef CS_DOMAIN_MAPPING_INTERNAL_H
#define CS_DOMAIN_MAPPING_INTERNAL_H

#include "../base/json.h"
#include "mapping.h"

/* How a line's two values are converted and compared. */
typedef enum {
    CS_TYPE_TEXT = 0,
    CS_TYPE_MONEY,
    CS_TYPE_DATE,
    CS_TYPE_FLAG,
    CS_TYPE_CHOICE,
    CS_TYPE_LOOKUP,
    CS_TYPE_COUNTRY /* canonical: the ISO 3166 code of two letters; names and codes are read */
} cs_type_e;

#define CS_WAY_TO_PC 1
#define CS_WAY_TO_CRM 2
#define CS_WAY_BOTH (CS_WAY_TO_PC | CS_WAY_TO_CRM)

#define CS_ON_CREATE 1
#define CS_ON_UPDATE 2

/* A place in a referral. bare = text without selectors: what path facts are asked about. */
typedef struct cs_pc_step_t {
    const char *name;     /* member */
    const char *sel_name; /* "[type=X]": the item whose `type` is X; NULL = no selector */
    const char *sel_value;
    int first; /* "[first]": the first item */
} cs_pc_step_t;

/* Whose card a path starts at. The document given to cs_path_get() is the own card's, with
 * Microsoft's card under CS_DOC_MICROSOFT when there is one (cs_doc_of_look). */
typedef enum {
    CS_ROOT_OWN = 0,
    CS_ROOT_MICROSOFT, /* "microsoft:" */
    CS_ROOT_INVITE     /* "invite:": Microsoft's card, else the own card (deals 1) */
} cs_root_e;
#define CS_DOC_MICROSOFT "$microsoft"
#define CS_CLOSE "@close" /* the newest closing activity: of a related list, and in a row */

typedef struct cs_pc_path_t {
    const char *text;
    const char *bare;
    apr_array_header_t *steps; /* cs_pc_step_t */
    int selects;               /* has a selector: readable, not writable */
    cs_root_e root;
} cs_pc_path_t;

/* A column of the CRM: "name", "@id" resolved, or "parentaccountid/name". Where paths name a
 * relation (facts: relations) it stands here with its look-up column: "Account/Name" is
 * "AccountId/Name". */
typedef struct cs_column_t {
    const char *text;    /* "parentaccountid/name"; NULL = its name is switched off */
    const char *written; /* as the mapping writes it, names put in: for people */
    const char *name; /* "parentaccountid" */
    const char *of;   /* "name", or NULL */
} cs_column_t;

/* Conditions. */
typedef enum {
    CS_COND_TRUE = 0,
    CS_COND_FALSE,
    CS_COND_ALL,
    CS_COND_ANY,
    CS_COND_NOT,
    CS_COND_IS,
    CS_COND_IN,
    CS_COND_SET
} cs_cond_e;

typedef struct cs_cond_t cs_cond_t;
struct cs_cond_t {
    cs_cond_e op;
    apr_array_header_t *items; /* ALL, ANY, NOT: const cs_cond_t * */
    int kind;                  /* asks "$kind" */
    const cs_pc_path_t *pc;    /* or a place in the referral */
    const cs_column_t *crm;    /* or a column */
    const char *name;          /* the column was written as "@<name>" */
    const json_t *arg;
    const char *text; /* for people */
};

/* What a condition is asked about. row NULL: there is no row; every column reads as empty. */
typedef struct cs_cond_world_t {
    const json_t *doc;
    const json_t *row;
    const char *kind;
} cs_cond_world_t;

/* 1 holds, 0 does not, -1 = a column it needs could not be read. cond NULL holds. */
int cs_cond_holds(const cs_cond_t *cond, const cs_cond_world_t *world);

/* Two-way value tables. */
typedef enum {
    CS_ELSE_REFUSE = 0,
    CS_ELSE_SKIP,
    CS_ELSE_HOLD,
    CS_ELSE_OMIT,
    CS_ELSE_VALUE
} cs_else_e;

typedef struct cs_else_t {
    cs_else_e what;
    const json_t *value;
} cs_else_t;

typedef struct cs_values_t {
    const char *name;    /* for messages */
    const json_t *pairs; /* object: Partner Center's text -> CRM's value or label; NULL = none */
    int by_label;        /* the CRM's side of pairs are labels: needs metadata */
    const json_t *empty; /* array of Partner Center's texts that mean "nothing"; NULL = none */
    cs_else_t to_crm, to_pc;
} cs_values_t;

/* Look-ups. */
typedef struct cs_find_part_t {
    const char *column;
    const cs_pc_path_t *path; /* a place in the referral, */
    const char *member;       /* or a member of the list's item, */
    const char *found;        /* or "$account": the row that this look-up finds (in create and
                                 match only); */
                              /* all NULL = ".": the line's own value */
} cs_find_part_t;

/* "within": only rows whose look-up column points to what another look-up finds. */
typedef struct cs_within_t {
    const char *column;
    const struct cs_find_t *find;
} cs_within_t;

typedef enum { CS_NONE_HOLD = 0, CS_NONE_SKIP, CS_NONE_CREATE } cs_none_e;

typedef struct cs_find_t {
    const char *name;
    const char *table;
    const char *off_why; /* a name it needs is null: what uses it is switched off; NULL */
    apr_array_header_t *by; /* apr_array_header_t * of cs_find_part_t: ordered key sets */
    const json_t *where;    /* object column -> constant, or NULL */
    apr_array_header_t *within; /* cs_within_t; NULL = none */
    const char *several;    /* "hold" */
    cs_none_e none;
    apr_array_header_t *create; /* cs_find_part_t; NULL unless none is CREATE */
    const char *key; /* where the CRM gives ids: the external id column that a row made gets its
                        derived id in; NULL = none */
} cs_find_t;

/* Lines. */
typedef enum { CS_POLICY_HOLD = 0, CS_POLICY_PC, CS_POLICY_CRM } cs_policy_e;

/* What a text that is too long does. */
typedef enum { CS_CUT_REFUSE = 0, CS_CUT_PLAIN, CS_CUT_PROTECT } cs_cut_e;

/* How the sides of a line without a history come together. */
typedef enum {
    CS_INTRODUCE_FILL_EMPTY = 0,
    CS_INTRODUCE_KEEP,
    CS_INTRODUCE_CRM, /* the CRM's value counts */
    CS_INTRODUCE_PC
} cs_introduce_e;

/* One direction of a line, overrides applied. */
typedef struct cs_way_t {
    int on;                 /* the line has this direction */
    int events;             /* CS_ON_* */
    const cs_cond_t *when;  /* of the override; the line's own is asked too */
    const json_t *constant; /* sent instead of the source */
    const json_t *dflt;     /* sent when the source is empty */
    int only_if_empty;
    int max; /* UTF-16 units; 0 = no bound */
    cs_cut_e cut;
    int required;
} cs_way_t;

typedef struct cs_line_t {
    const char *name;
    const char *pointer; /* where it stands in the file */
    int broken;          /* its places could not be understood, which has been said */
    int trims;           /* a text loses the blanks at its ends on the way to the CRM */
    int off;             /* "enabled": false, or one of its names is null */
    const char *off_why;
    cs_type_e type;
    const cs_pc_path_t *pc; /* money: the amount; NULL = none */
    const cs_pc_path_t *pc_currency;
    const cs_column_t *crm; /* money: the amount; NULL = none */
    const cs_column_t *crm_currency;
    const char *currency; /* money of a CRM that counts in one currency: its code, which is never
                             written (then crm_currency is NULL); NULL */
    apr_array_header_t *crm_more; /* const cs_column_t *: read while those before are empty; NULL */
    cs_way_t to_pc, to_crm;
    const cs_cond_t *when;
    cs_policy_e conflict;
    cs_introduce_e introduce;
    int latch;         /* only rises: empty < set for a choice, false < true for a flag */
    const char *group; /* lines of one group change, conflict and are written together; NULL */
    int enforce;
    int zero_send; /* "zero": "send" */
    const cs_values_t *values;
    const cs_find_t *find; /* money: NULL = the currency's column is a text */
    int zone; /* seconds east of UTC in which a date is meant */
    int time; /* seconds after midnight in that zone that an instant made from a date gets */
} cs_line_t;

/* A column (or parameter) and where its value comes from. */
typedef struct cs_set_t {
    const char *column;
    const json_t *constant; /* or */
    const cs_pc_path_t *path;
    const cs_values_t *values; /* with path: the text up to the first ':' is looked up */
} cs_set_t;

typedef struct cs_hear_t {
    const char *pc;              /* "New", "Closed/Won" */
    apr_array_header_t *crm;     /* cs_set_t; constant may be an array: any of */
    apr_array_header_t *actions; /* const char * */
    const char *say;
    apr_interval_time_t not_before;
    const cs_column_t *reason; /* NULL = no reason */
    const cs_values_t *reason_values;
    const cs_column_t *note; /* free text after the reason's code; "@close/..." is a column of the
                                closing activity, CS_CLOSE in a row; NULL = none */
    int sales_stage;         /* 0 = none */
} cs_hear_t;

typedef struct cs_show_t {
    const char *pc;
    const char *call;
    int unlink;
    const char *if_was;
    apr_array_header_t *set; /* cs_set_t */
} cs_show_t;

#define CS_TOLD_MAX 100 /* what a column for a text is assumed to take */

typedef struct cs_tell_t {
    const char *id, *link, *status, *problem, *audit; /* columns; NULL = not told */
    const char *synced, *explain, *mark;
    const char *link_text;    /* "{id}" stands for the referral */
    const char *explain_text; /* "{id}", "{deal}"; NULL = the site's own explanation page */
    const char *mark_ok, *mark_failed; /* put before the text of the column `mark` */
    int status_max, problem_max, audit_max, audit_keep;
} cs_tell_t;

/* ---- lists: an array of the referral and rows of the CRM, item by item, by key ---- */

/* A member of an item and the column that holds it. */
typedef struct cs_member_column_t {
    const char *member;
    const cs_column_t *column;
} cs_member_column_t;

/* Where a list's users are kept: the first that can take one more. */
typedef struct cs_list_users_t {
    const char *column; /* a look-up of the record (its owner): one user; or */
    const char *team;   /* a record team by its template's name; or */
    const char *child;  /* rows of a child table */
    const char *parent, *user; /* its columns that point to the record and to the user */
    const json_t *set;         /* constants of such a row; NULL */
} cs_list_users_t;

typedef enum {
    CS_LIST_CHILD,  /* rows of a child table, each pointing to the record (and, with find, to a row
                       found) */
    CS_LIST_COLUMN, /* one look-up column of the record shows one item; the others are rows found or
                       made, and nothing more */
    CS_LIST_USERS
} cs_list_shape_e;

typedef struct cs_list_t {
    const char *name, *pointer;
    int off;
    const char *off_why;
    const cs_pc_path_t *pc; /* the array */
    const char *key;        /* the member that names an item: compared trimmed, case-folded */
    const char *key_column; /* its column: in the row found, or, when `fields` has it, in the child
                               row */
    const char *row_key; /* where the CRM gives ids: the external id column that a row of the list
                            gets its derived id in; NULL = none */
    cs_list_shape_e shape;
    const char *table, *parent; /* CHILD */
    const cs_column_t *column;  /* CHILD: its look-up to the row found; COLUMN: the record's */
    const cs_find_t *find;      /* NULL = the items are in `fields` alone */
    const json_t *where;        /* CHILD: constants of every row; NULL */
    apr_array_header_t *fields; /* cs_member_column_t: columns of the child row itself */
    apr_array_header_t *item;   /* cs_member_column_t: columns of the row found; their first is read
                                   with it */
    apr_array_header_t *users;  /* cs_list_users_t */
    const json_t *set;          /* members of every item sent to Partner Center; NULL */
    int min;
    const json_t *min_by_kind; /* {"co-sell": 1}; NULL */
    int max;                   /* 0 = no bound */
    apr_array_header_t *required; /* const char *: an item without them is not sent; NULL */
    int to_crm, to_pc;            /* directions */
    int to_crm_add_only, to_pc_add_only;
    int events;
    const cs_cond_t *when;
    cs_policy_e conflict;
} cs_list_t;

/* "from_pc.owner": who owns a new record. */
typedef struct cs_owner_t {
    const char *column; /* of the record: "ownerid" */
    const cs_find_t *find;
    const cs_pc_path_t *each; /* array of people, best first */
    const char *otherwise;    /* key of a user when none of them is one; NULL = the caller */
} cs_owner_t;

/* "match": existing records that could be this deal's, by ordered key sets. */
typedef struct cs_match_t {
    apr_array_header_t *by; /* apr_array_header_t * of cs_find_part_t; .found names a look-up whose
                               row the column must point to */
} cs_match_t;

typedef struct cs_becomes_t {
    const char *record; /* kind */
    const cs_column_t *via;
    int qualify; /* accepted at Partner Center: "qualify"; 0 = "tell-seller" */
} cs_becomes_t;

/* "from_crm.kind": what a record asks for, the first whose condition holds. */
typedef struct cs_asked_kind_t {
    const char *word; /* "co-sell", "partner-led", "private" */
    const cs_cond_t *when;
} cs_asked_kind_t;

/* "from_crm.set": what a referral made of a record starts with. */
typedef struct cs_start_t {
    const cs_pc_path_t *path;
    const json_t *value;
} cs_start_t;

struct cs_mapping_kind_t {
    const cs_mapping_t *mapping;
    const char *name;
    const char *table;
    const char *key_column;          /* "opportunityid" */
    const char *external_id; /* where the CRM gives ids: the column by which a row of ours is found,
                                the referral's id in it ("key"); NULL = none */
    const cs_cond_t *from_pc_when;   /* NULL = takes nothing from Partner Center */
    apr_array_header_t *from_pc_set; /* cs_set_t */
    const cs_cond_t *from_crm_when;  /* NULL = none */
    const cs_cond_t *opt_in;         /* the part of from_crm_when that asks @sync; NULL = none */
    int pauses;                      /* "opt_out": "pause" */
    apr_interval_time_t quiet;       /* since the last edit, before a referral is made */
    apr_array_header_t *asked_kinds; /* cs_asked_kind_t */
    apr_array_header_t *starts;      /* cs_start_t */
    int leads;                       /* takes leads: its "when" asks for their kinds */
    const cs_owner_t *owner;         /* NULL = the caller owns what it makes */
    const cs_match_t *match;         /* NULL = existing records are not looked for */
    const cs_becomes_t *becomes;     /* NULL = it stays what it is */
    apr_array_header_t *lists;       /* cs_list_t *, file order, switched-off ones included */
    apr_array_header_t *related;     /* cs_related_t */
    apr_array_header_t *lines;       /* cs_line_t *, file order */
    apr_array_header_t *hear;        /* cs_hear_t */
    apr_array_header_t *show;        /* cs_show_t */
    cs_tell_t tell;
    apr_array_header_t *state_columns; /* const char *: statecode and what hear asks about */
    apr_array_header_t *columns;       /* const char * */
    apr_array_header_t *lookups;       /* cs_mapping_lookup_t */
};

struct cs_mapping_t {
    const char *file;
    const cs_crm_facts_t *facts; /* of the CRM that it is for */
    const char *revision;
    const char *digest;
    apr_array_header_t *kinds; /* cs_mapping_kind_t * */
    apr_array_header_t *finds; /* const cs_find_t *: all of "find" */
    apr_array_header_t *tables; /* const char *: what it uses, sorted */
    apr_array_header_t *watched; /* cs_watched_t */
    const struct cs_sources_t *sources; /* where its members stand (mapping_overlay.c) */
};

/* ---- loading (mapping_load.c and the files it names) ---- */

/* Where the members of a mapping stand: the files it was merged from and what "like" brought from
 * elsewhere. (mapping_overlay.c) */
typedef struct cs_sources_t cs_sources_t;

typedef struct cs_load_t {
    apr_pool_t *p;
    const char *file; /* the file that was asked for */
    cs_sources_t *sources;
    apr_array_header_t *errors; /* const char * */
    int said;                   /* mistakes, repeated ones and those above the limit too */
    cs_mapping_t *mapping;
    const cs_crm_facts_t *facts;
    const json_t *names; /* "names", or NULL */
    const char *prefix;  /* what "{ns}" in a name stands for: "acme__", "" */
    const json_t *values_json;
    apr_array_header_t *values; /* cs_values_t *, by name */
    apr_array_header_t *finds;  /* cs_find_t * */
} cs_load_t;

/* JSON kinds, for tables of members. */
#define CS_J_OBJECT 1u
#define CS_J_ARRAY 2u
#define CS_J_TEXT 4u
#define CS_J_INT 8u
#define CS_J_REAL 16u
#define CS_J_BOOL 32u
#define CS_J_NULL 64u
#define CS_J_SCALAR (CS_J_TEXT | CS_J_INT | CS_J_REAL | CS_J_BOOL)

typedef struct cs_member_t {
    const char *name;
    unsigned kinds;
    const char *later; /* what a later version brings, by its name; NULL = built */
} cs_member_t;

/* One more mistake, at a JSON pointer; a place that is not there stands for the nearest around it.
 */
void cs_load_error(cs_load_t *l, const char *pointer, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* ptr + "/" + escaped name */
const char *cs_load_ptr(cs_load_t *l, const char *ptr, const char *name);
const char *cs_load_ptr_at(cs_load_t *l, const char *ptr, size_t index);
/* 1 when obj is an object that has only members of the table (closed by name NULL), each of an
 * allowed kind. Mistakes are reported. */
int cs_load_members(cs_load_t *l, const json_t *obj, const char *ptr, const cs_member_t *table);
/* A member that is one of the words, or dflt; the index into words (closed by NULL). */
int cs_load_word(cs_load_t *l, const json_t *obj, const char *ptr, const char *name,
                 const char *const *words, int dflt);
/* A whole number within lo..hi, or dflt. */
int cs_load_int(cs_load_t *l, const json_t *obj, const char *ptr, const char *name, int lo, int hi,
                int dflt);
/* CS_ON_* of "events", or dflt. (mapping_line.c) */
int cs_load_events(cs_load_t *l, const json_t *obj, const char *ptr, int dflt);
/* "a, b, c": the names of the object's members. */
const char *cs_load_names_of(cs_load_t *l, const json_t *obj, const char *prefix);
/* 1 when each value is a number, a text, true, false or, with null_too, null. Mistakes are
 * reported. */
int cs_load_constants(cs_load_t *l, const json_t *obj, const char *ptr, int null_too);
/* Columns of the CRM and constants, as cs_load_constants(), with their names put in. A constant
 * whose name is null is left out; *poff = the name of a column that is null, else NULL. NULL after
 * a reported mistake. */
const json_t *cs_load_columns_are(cs_load_t *l, const json_t *obj, const char *ptr, int null_too,
                                  const char **poff);

/* Where the shipped profiles are; the Makefile's word. */
#ifndef CS_MAPPING_DIR
#define CS_MAPPING_DIR "/usr/share/cosell/mapping"
#endif

/* mapping_overlay.c: the text merged over what it extends, mutable, owned by l->p. NULL after a
 * reported mistake. */
json_t *cs_load_merged(cs_load_t *l, const char *text, apr_size_t len);
/* Completes the kinds that are "like" another, in place. */
void cs_load_likes(cs_load_t *l, json_t *records);
/* "file:line:column: /pointer" of a member. In p. */
const char *cs_source_place(const cs_sources_t *sources, const char *pointer, apr_pool_t *p);
/* A whole file of bounded size as text that ends in NUL. */
apr_status_t cs_source_read(const char **ptext, apr_size_t *plen, const char *path, apr_pool_t *p);

/* mapping_parts.c. NULL after a reported mistake; text NULL = it was no text, which has been
 * reported. */
const cs_pc_path_t *cs_load_path(cs_load_t *l, const char *text, const char *ptr);
const cs_column_t *cs_load_column(cs_load_t *l, const char *text, const char *ptr);
/* A mistake when the CRM's columns have no capital letters and this one has: two spellings of one
 * column would be two columns. */
void cs_load_case(cs_load_t *l, const cs_column_t *column, const char *ptr);
/* The same, of the row itself: without a look-up. */
const cs_column_t *cs_load_own_column(cs_load_t *l, const char *text, const char *ptr);
/* A name that is no column: itself or, of "@solutions", what "names" has; *off = 1 and NULL when
 * that is null. */
const char *cs_load_name(cs_load_t *l, const char *text, const char *ptr, int *off);
/* Where "@help" itself is written: another file than the one that uses it, perhaps. Else ptr. */
const char *cs_load_place(cs_load_t *l, const char *text, const char *ptr);
/* A value of the CRM: itself or, of "@hold", the text that "names" has, inside an array too. NULL
 * after a reported mistake, and with *off = 1 when the name is null. */
const json_t *cs_load_value(cs_load_t *l, const json_t *json, const char *ptr, int *off);
/* The column by which a row that is made finds itself ("key" of a look-up, of a list's rows); NULL
 * = none, or a mistake, which has been reported. */
const char *cs_load_row_key(cs_load_t *l, const json_t *obj, const char *ptr);
const cs_cond_t *cs_load_cond(cs_load_t *l, const json_t *json, const char *ptr);
/* A name of "values" or the table itself. */
const cs_values_t *cs_load_values(cs_load_t *l, const json_t *json, const char *ptr,
                                  const char *name);

/* mapping_find.c: all of "find", into l->finds. */
void cs_load_finds(cs_load_t *l, const json_t *finds);
/* NULL after a reported mistake. */
const cs_find_t *cs_load_find_named(cs_load_t *l, const char *name, const char *ptr);
/* Ordered key sets of "match", whose plain names are look-ups. cs_find_part_t arrays. */
apr_array_header_t *cs_load_match_sets(cs_load_t *l, const json_t *by, const char *ptr);
/* The member of an item that the look-up, or one it is within, asks for; NULL = none. */
const char *cs_find_asks_member(const cs_find_t *find);
/* 1 when a key asks for the line's own value. */
int cs_find_asks_own(const cs_find_t *find);
/* The column of the only key when that is the line's own value; NULL. */
const char *cs_find_own_key(const cs_find_t *find);
/* The column that a key fills from this member of an item; NULL. */
const char *cs_find_member_column(const cs_find_t *find, const char *member);

/* mapping_state.c. {"column": constant | "/path" | {"pc","values"} | {"record_type"}}, as far as
 * the place allows. table = the record's. cs_set_t. */
typedef enum {
    CS_SET_ASKED, /* constants, alternatives too */
    CS_SET_START, /* constants, a record type: of a row that is made */
    CS_SET_SHOWN  /* constants, paths, values */
} cs_set_e;
apr_array_header_t *cs_load_set(cs_load_t *l, const json_t *json, const char *ptr, cs_set_e what,
                                const char *table);
void cs_load_state(cs_load_t *l, cs_mapping_kind_t *kind, const json_t *json, const char *ptr);

/* mapping_list.c: an array of items; and a look-up whose key comes from items of such an array.
 * NULL after a reported mistake. */
const cs_pc_path_t *cs_load_array(cs_load_t *l, const char *text, const char *ptr);
const cs_find_t *cs_load_item_find(cs_load_t *l, const char *name, const cs_pc_path_t *array,
                                   const char *ptr);

/* {"member": "column"} of a list, cs_member_column_t; a column that is switched off is left out. */
apr_array_header_t *cs_load_item_members(cs_load_t *l, const cs_list_t *list, const json_t *json,
                                         const char *ptr);
/* mapping_list_crm.c: "crm" of a list. */
void cs_load_list_crm(cs_load_t *l, cs_list_t *list, const json_t *crm, const char *ptr);

/* mapping_line.c, mapping_list.c, mapping_roles.c, mapping_kind.c */
cs_line_t *cs_load_line(cs_load_t *l, const char *name, const json_t *json, const char *ptr);
void cs_load_lists(cs_load_t *l, cs_mapping_kind_t *kind, const json_t *json, const char *ptr);
/* NULL after a reported mistake, and when a name it needs is null. */
const cs_owner_t *cs_load_owner(cs_load_t *l, const json_t *json, const char *ptr);
const cs_match_t *cs_load_match(cs_load_t *l, const json_t *json, const char *ptr);
const cs_becomes_t *cs_load_becomes(cs_load_t *l, const char *kind, const json_t *json,
                                    const json_t *records, const char *ptr);
void cs_load_kind(cs_load_t *l, const char *name, const json_t *json, const json_t *records,
                  const char *ptr);

/* mapping_check.c: what only the whole kind shows: two writers of one target, directions that a
 * path does not allow, groups of two minds. */
void cs_load_check_kind(cs_load_t *l, const cs_mapping_kind_t *kind, const json_t *json,
                        const char *ptr);
/* mapping_columns.c: fills columns, lookups and related. */
void cs_load_columns(cs_load_t *l, cs_mapping_kind_t *kind, const json_t *records);

/* mapping_metadata.c: fills the mapping's tables. */
void cs_load_tables(cs_load_t *l);
/* mapping_watch.c: fills watched; of a mapping without mistakes. */
void cs_load_watched(cs_load_t *l);

/* ---- what is known of referrals (mapping.c) ---- */

/* "co-sell", "p2p", ...; closed by NULL. */
extern const char *const cs_referral_kinds[];
/* 1 when the condition asks for a kind of lead and can hold for it. */
int cs_cond_takes_leads(const cs_cond_t *cond);
/* bare = without root and selectors. */
int cs_referral_path_is_array(const char *bare);
/* "id, name, type": what an object, or an item of an array, has. In p. */
const char *cs_referral_members_of(const char *bare, apr_pool_t *p);

/* ---- applying ---- */

/* The CRM's table that the columns of a line belong to. Where a function takes one, NULL = nothing
 * is known of it. */
typedef struct cs_table_t {
    const char *name;
    const json_t *metadata; /* domain/record.h; NULL = not known (yet) */
    const json_t *row;      /* the row as it is now; NULL = there is none */
} cs_table_t;

/* mapping_apply.c: scalars, places, conditions. */

/* Scalars as text; NULL for nothing and for objects and arrays. */
const char *cs_scalar_text(const json_t *json, apr_pool_t *p);
int cs_value_empty(const json_t *json);
int cs_value_equal(const json_t *a, const json_t *b);
/* Borrowed value at the path; NULL when absent or null. */
json_t *cs_path_get(const cs_pc_path_t *path, const json_t *doc);
/* Borrowed value of a column: NULL = unreadable; JSON null = empty. row NULL = empty. */
json_t *cs_column_get(const cs_column_t *column, const json_t *row);
/* Fills columns from a table of sets; entries without a value are left out. A value that is a label
 * comes as {"$choice": label}: cs_choices_resolve(). */
void cs_set_apply(json_t *row, const apr_array_header_t *set, const json_t *doc, apr_pool_t *p);

/* line_read.c */

#define CS_SCALE_UNKNOWN                                                                           \
    4 /* an amount whose currency nobody knows keeps what a money column can hold */

/* A side of a line now. value NULL = unreadable. bad = why the value cannot travel; it is still
 * good for seeing a change. */
typedef struct cs_side_t {
    json_t *value;
    const char *bad;
} cs_side_t;
void cs_line_read_pc(cs_side_t *side, const cs_line_t *line, const json_t *doc, apr_pool_t *p);
/* An empty column that the metadata says may not be read is unreadable. */
void cs_line_read_crm(cs_side_t *side, const cs_line_t *line, const cs_table_t *table,
                      const json_t *row, apr_pool_t *p);

/* line_write.c */

/* A value on its way to the other side, as the other side would show it. */
typedef enum { CS_CONV_OK = 0, CS_CONV_SKIP, CS_CONV_HOLD, CS_CONV_REFUSE } cs_conv_e;
typedef struct cs_conv_t {
    cs_conv_e what;
    json_t *value;   /* OK */
    const char *why; /* otherwise */
    int cut;         /* OK: the bound that the text was shortened to; 0 = it was not */
} cs_conv_t;
/* Labels are resolved, texts bounded and amounts rounded by the table's metadata. */
void cs_line_to_crm(cs_conv_t *conv, const cs_line_t *line, const cs_table_t *table,
                    const json_t *pc, apr_pool_t *p);
void cs_line_to_pc(cs_conv_t *conv, const cs_line_t *line, const cs_table_t *table,
                   const json_t *crm, apr_pool_t *p);
/* A value through a table of values; towards the CRM a label stays a label. */
void cs_values_to_crm(cs_conv_t *conv, const cs_values_t *values, const json_t *pc, apr_pool_t *p);
void cs_values_to_pc(cs_conv_t *conv, const cs_values_t *values, const cs_table_t *table,
                     const cs_column_t *column, const json_t *crm, apr_pool_t *p);
/* What `else` says about a value without a counterpart. */
void cs_values_else(cs_conv_t *conv, const cs_values_t *values, const cs_else_t *other,
                    const json_t *value, apr_pool_t *p);
/* Why money of this currency stays where it is, of a line that has one currency of its own. In p.
 */
const char *cs_currency_words(const cs_line_t *line, const char *currency, apr_pool_t *p);
/* 0 = the line's values go by label, and the choices are not known. */
int cs_line_labels_known(const cs_line_t *line, const cs_table_t *table);

/* 1 when the two sides say the same. */
int cs_line_same(const cs_line_t *line, const cs_table_t *table, const json_t *pc,
                 const json_t *crm, apr_pool_t *ptemp);
/* 1 when one side still says what it said. */
int cs_line_unchanged(const cs_line_t *line, const json_t *before, const json_t *now);
/* The bound that Partner Center's text is shortened to on its way to the CRM; 0 = it fits. */
int cs_line_cut(const cs_line_t *line, const cs_table_t *table, const json_t *pc,
                apr_pool_t *ptemp);
/* Of a latch: 1 = set, 0 = not. */
int cs_line_level(const cs_line_t *line, const json_t *value, int at_pc, apr_pool_t *ptemp);
/* Money with an amount and no currency. */
int cs_money_is_half(const json_t *money);

/* Adds the columns that bring the CRM to Partner Center's value pc. now = what the CRM shows (NULL
 * at a create): half of a pair that is the same already stays out. */
void cs_line_columns(json_t *row, const cs_line_t *line, const cs_table_t *table, const json_t *pc,
                     const json_t *doc, const json_t *now, apr_pool_t *p);
/* Appends the JSON Patch operations that bring the referral to the CRM's value crm. */
void cs_line_operations(json_t *ops, const cs_line_t *line, const cs_table_t *table,
                        const json_t *crm, const json_t *doc, apr_pool_t *p);

/* lookup.c */

/* The complete keys of a "find", best first: array of {column: text}. item, value: as in
 * cs_find_lookup(). In p. */
json_t *cs_find_keys(const cs_find_t *find, const json_t *doc, const json_t *item,
                     const char *value, apr_pool_t *p);
/* What the metadata says of a column; NULL = nothing. Borrowed. */
const json_t *cs_column_facts(const cs_table_t *table, const cs_column_t *column);
/* Several choices are one text, "a;b", whose order says nothing: sorted, each once. Any other value
 * is itself. In p, or borrowed. */
const json_t *cs_facts_value(const json_t *facts, const json_t *value, apr_pool_t *p);
/* Of such facts: the choice that has this label, and the labels there are, for people. */
const json_t *cs_facts_choice(const json_t *facts, const char *label);
const char *cs_facts_labels(const json_t *facts, apr_pool_t *p);
/* Replaces each {"$choice": label} of a row by its value. One that there is not is left out; then
 * why (in p), else NULL. */
const char *cs_choices_resolve(json_t *columns, const json_t *metadata, const char *table,
                               apr_pool_t *p);

/* Text as it is compared: LF line ends, no trailing blanks; NULL when nothing is left. In p. */
const char *cs_text_canonical(const char *text, apr_pool_t *p);
/* Length in UTF-16 units, the way a CRM counts. */
int cs_text_units(const char *text);
/* The longest head of at most `units` UTF-16 units that ends between characters. In p. */
const char *cs_text_head(const char *text, int units, apr_pool_t *p);

/* The kind for a referral of that kind word; NULL = none. */
const cs_mapping_kind_t *cs_mapping_route_kind(const cs_mapping_t *mapping, const char *kind,
                                               const cs_card_t *own);

#endif
