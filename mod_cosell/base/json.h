/* base/json.h: the only place where text becomes json_t and json_t becomes text, both bounded.
 *
 * A json_t stays in one thread. Ownership is jansson's: a returned json_t * is a new reference that
 * the caller gives up with json_decref() or hands to a pool with cs_json_own(). Borrowed references
 * are said so.
 */
#ifndef CS_BASE_JSON_H
#define CS_BASE_JSON_H

#include <apr_pools.h>
#include <apr_time.h>
#include <jansson.h>
#include "result.h"

/* 1 MiB of "{}" costs 79 MB in jansson, therefore nodes are limited, not only bytes. 0 = the
 * default named. */
typedef struct cs_json_limits_t {
    apr_size_t bytes; /* default 1 MiB */
    apr_size_t nodes; /* default 20,000: values, counted before jansson sees the text */
    int depth;        /* default 32 */
} cs_json_limits_t;

/* Parses exactly len bytes: one JSON value of any kind, UTF-8, no BOM, no duplicate names, nothing
 * but white space after it, no NUL in strings. limits NULL = all defaults. CS_ELIMIT or CS_EPARSE
 * with line, column and reason in res->detail; *pjson is NULL then. */
apr_status_t cs_json_parse(json_t **pjson, const char *text, apr_size_t len,
                           const cs_json_limits_t *limits, apr_pool_t *p, cs_result_t *res);
/* Reads a whole file of at most limits->bytes. APR's status when it cannot be read. */
apr_status_t cs_json_file_read(json_t **pjson, const char *path, const cs_json_limits_t *limits,
                               apr_pool_t *p, cs_result_t *res);

/* Like cs_json_file_read, and remembers where each value stood, so that errors found later can name
 * a line. The location of a JSON pointer ("" = the root); 0/0 when unknown. */
typedef struct cs_json_source_t cs_json_source_t;
apr_status_t cs_json_source_read(json_t **pjson, cs_json_source_t **psource, const char *path,
                                 const cs_json_limits_t *limits, apr_pool_t *p, cs_result_t *res);
apr_status_t cs_json_source_parse(json_t **pjson, cs_json_source_t **psource, const char *text,
                                  apr_size_t len, const cs_json_limits_t *limits, apr_pool_t *p,
                                  cs_result_t *res);
void cs_json_source_locate(const cs_json_source_t *source, const char *pointer, int *pline,
                           int *pcolumn);

/* Compact text, names sorted, reals with 15 significant digits (never 17). In p. NULL json =
 * "null". */
const char *cs_json_print(const json_t *json, apr_pool_t *p);
/* For people: two spaces of indent, insertion order. */
const char *cs_json_pretty(const json_t *json, apr_pool_t *p);

/* json_decref at the end of p. Returns json, now borrowed from p. */
json_t *cs_json_own(json_t *json, apr_pool_t *p);

/* A message as a value: a string whatever it quotes; where a letter was cut, or is none, '?'. New
 * reference; NULL text = NULL. */
json_t *cs_json_words(const char *text, apr_pool_t *p);

/* Borrowed members, by exact name or, for wire formats with unstable casing, by name without regard
 * to ASCII case. NULL when absent or obj is no object. */
json_t *cs_json_get(const json_t *obj, const char *name);
json_t *cs_json_get_nocase(const json_t *obj, const char *name);
/* The same of an object that has this member alone: what {"$number": "1.50"} wraps. Else NULL. */
json_t *cs_json_only(const json_t *obj, const char *name);
/* The text of a string member; NULL when absent, null or no string. Borrowed. */
const char *cs_json_str(const json_t *obj, const char *name);
/* Integer member, also from a string of digits (Entra v1 sends "3599"); dflt otherwise. */
apr_int64_t cs_json_int(const json_t *obj, const char *name, apr_int64_t dflt);
int cs_json_bool(const json_t *obj, const char *name, int dflt);

/* RFC 6901. Borrowed value, or NULL. */
json_t *cs_json_pointer(const json_t *root, const char *pointer);
/* Sets a copy of nothing: takes over `value`, making objects on the way. APR_EINVAL when a step
 * exists and is no object. */
apr_status_t cs_json_pointer_set(json_t *root, const char *pointer, json_t *value);

#endif
