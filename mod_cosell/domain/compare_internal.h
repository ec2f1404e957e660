/* domain/compare_internal.h: what mapping_compare.c and compare_facts.c share. Inside domain/ only.
 *
 * Whoever finds that something does not fit says so with the place in the mapping, and goes on.
 */
#ifndef CS_DOMAIN_COMPARE_INTERNAL_H
#define CS_DOMAIN_COMPARE_INTERNAL_H

#include "mapping_internal.h"

typedef struct cs_compare_t {
    const cs_mapping_t *mapping;
    const json_t *tables; /* of the metadata */
    apr_array_header_t *problems;
    apr_pool_t *p;
} cs_compare_t;

/* One problem, said once; pointer = the place in the mapping. */
void cs_compare_complain(cs_compare_t *c, const char *pointer, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* The metadata of a table; NULL after a complaint. */
const json_t *cs_compare_table(cs_compare_t *c, const char *table, const char *pointer);
/* The metadata of a column; NULL after a complaint, or when nothing is known of the table. */
const json_t *cs_compare_column(cs_compare_t *c, const char *table, const char *column,
                                const char *pointer);
/* A column that is read, "a/b" too; NULL also when nothing is known of the target. */
const json_t *cs_compare_path(cs_compare_t *c, const char *table, const cs_column_t *column,
                              const char *pointer);
/* types closed by NULL. A choice whose values are texts is a text, too. */
void cs_compare_type(cs_compare_t *c, const json_t *column, const char *name,
                     const char *const *types, const char *pointer);
/* right: "create", "update", "read"; what: "changed" */
void cs_compare_right(cs_compare_t *c, const json_t *column, const char *name, const char *right,
                      const char *what, const char *pointer);
/* value: a choice of the column or, with label, the label of one. */
void cs_compare_choice(cs_compare_t *c, const json_t *column, const char *name, const json_t *value,
                       int label, const char *pointer);
void cs_compare_values(cs_compare_t *c, const json_t *column, const char *name,
                       const cs_values_t *values, const char *pointer);
/* A column by which rows are made and found again; NULL = there is none. */
void cs_compare_key(cs_compare_t *c, const char *table, const char *column, const char *pointer);
void cs_compare_record_type(cs_compare_t *c, const cs_mapping_kind_t *kind, const char *name,
                            const char *pointer);

#endif
