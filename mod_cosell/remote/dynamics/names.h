/* remote/dynamics/names.h: what things are called on the wire. Pure.
 *
 * A table has a logical name ("opportunity"), an entity set ("opportunities"), a key and a name
 * column; a look-up column has a navigation property per target, whose case matters
 * ("parentcustomerid_account"). The tables of an uncustomised Sales organisation are built in;
 * others are learnt from EntityDefinitions and live in the pool of their owner.
 */
#ifndef CS_REMOTE_DYNAMICS_NAMES_H
#define CS_REMOTE_DYNAMICS_NAMES_H

#include "../crm.h"

typedef struct cs_dyn_nav_t {
    const char *column, *target, *nav;
} cs_dyn_nav_t;

typedef struct cs_dyn_table_t {
    const char *name, *set, *key, *title; /* title: name column, NULL = none */
    const cs_dyn_nav_t *navs;             /* ends with column NULL; NULL = none */
    int whole;                            /* learnt: every look-up is in navs */
} cs_dyn_table_t;

/* A built-in table, or NULL. */
const cs_dyn_table_t *cs_dyn_table_std(const char *name);
/* From an EntityDefinitions answer with its ManyToOneRelationships; NULL when it lacks the names.
 * Built-in look-ups stay where the answer has none. */
const cs_dyn_table_t *cs_dyn_table_of(const json_t *definition, const char *name, apr_pool_t *p);

/* 1 if column is a look-up, by the table or by what the caller says (may be NULL). */
int cs_dyn_is_lookup(const cs_dyn_table_t *table, const char *column,
                     const apr_array_header_t *lookups);
/* The target the caller named; NULL = not said. */
const char *cs_dyn_target(const apr_array_header_t *lookups, const char *column);
/* The property to bind or clear a look-up with. target NULL = any one. NULL = not known. */
const char *cs_dyn_nav(const cs_dyn_table_t *table, const char *column, const char *target);
/* The property to read the target's columns through, for $expand. NULL when the target is needed
 * and not known. */
const char *cs_dyn_expand(const cs_dyn_table_t *table, const char *column, const char *target);
/* The column that a name in an answer means: itself, a look-up's "_column_value", or a navigation
 * property. In p. */
const char *cs_dyn_column_of(const cs_dyn_table_t *table, const char *name, apr_pool_t *p);
/* Letters, digits, underscores: all that may stand in a URL unescaped as a column or table. */
int cs_dyn_name_valid(const char *name, apr_size_t len);

#endif
