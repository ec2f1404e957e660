/* Removed once lines and lists are in. */
#include "reconcile_internal.h"
#define WEAK __attribute__((weak))
WEAK void cs_plan_lists(cs_planning_t *pl) { (void)pl; }
WEAK void cs_list_columns(cs_planning_t *pl, json_t *columns, apr_array_header_t *names, json_t *parts) { (void)pl; (void)columns; (void)names; (void)parts; }
WEAK void cs_list_steps(cs_planning_t *pl, int after) { (void)pl; (void)after; }
WEAK void cs_list_operations(cs_planning_t *pl, json_t *ops, apr_array_header_t *names) { (void)pl; (void)ops; (void)names; }
WEAK int cs_list_settled(const cs_list_t *list, const cs_line_view_t *view, int written, int all_done, const cs_applied_t *applied, json_t **ppc, json_t **pcrm, const char **prest, apr_pool_t *p) { (void)list; (void)view; (void)written; (void)all_done; (void)applied; (void)ppc; (void)pcrm; (void)prest; (void)p; return 0; }
WEAK const cs_list_t *cs_list_of_line(const cs_mapping_kind_t *kind, const char *line) { (void)kind; (void)line; return NULL; }
WEAK json_t *cs_doc_of_look(const cs_look_t *look, apr_pool_t *p) { (void)p; return look->own->doc; }
WEAK json_t *cs_find_lookup(const cs_find_t *find, const json_t *doc, const json_t *item, const char *value, const char *line, int create, apr_pool_t *p) { (void)find; (void)doc; (void)item; (void)value; (void)line; (void)create; (void)p; return NULL; }
WEAK const json_t *cs_choice_of_label(const json_t *metadata, const char *table, const char *column, const char *label) { (void)metadata; (void)table; (void)column; (void)label; return NULL; }
WEAK const char *cs_label_of_choice(const json_t *metadata, const char *table, const char *column, const json_t *value) { (void)metadata; (void)table; (void)column; (void)value; return NULL; }
WEAK const char *cs_column_label(const json_t *metadata, const char *table, const char *column) { (void)metadata; (void)table; return column; }
WEAK const char *cs_image_refused(const cs_planning_t *pl, const char *line, const json_t *pc) { (void)pl; (void)line; (void)pc; return NULL; }
WEAK const apr_array_header_t *cs_mapping_related(const cs_mapping_kind_t *kind) { return kind->related; }
WEAK int cs_mapping_wants_metadata(const cs_mapping_t *mapping) { (void)mapping; return 0; }
WEAK const apr_array_header_t *cs_mapping_tables(const cs_mapping_t *mapping) { (void)mapping; return NULL; }
WEAK const cs_mapping_kind_t *cs_mapping_becomes(const cs_mapping_kind_t *kind, const char **pvia) { (void)kind; (void)pvia; return NULL; }
WEAK int cs_mapping_takes_leads(const cs_mapping_kind_t *kind) { return kind->leads; }
WEAK apr_array_header_t *cs_mapping_compare(const cs_mapping_t *mapping, const json_t *metadata, apr_pool_t *p) { (void)mapping; (void)metadata; return apr_array_make(p, 1, sizeof(const char *)); }
WEAK const char *cs_list_words(const cs_list_t *list, const cs_line_view_t *view, apr_pool_t *p) { (void)list; (void)p; return view->line; }
