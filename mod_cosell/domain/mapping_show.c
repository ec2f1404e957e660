/* domain/mapping_show.c: a mapping as a document, for people who want to see which rule is in
 * force. */
#include <apr_strings.h>
#include <string.h>

#include "mapping_internal.h"

static const char *const type_names[] = {"text", "money",   "date",   "flag",
                                         "choice", "look-up", "country"};
static const char *const policy_names[] = {"hold", "partner-center", "crm"};

static const char *direction_name(int to_crm, int to_pc)
{
    return to_crm && to_pc ? "both" : to_crm ? "to_crm" : to_pc ? "to_pc" : "none";
}

static const char *events_name(int events)
{
    return events == CS_ON_CREATE ? "create" : events == CS_ON_UPDATE ? "update" : "always";
}

static const char *path_text(const cs_pc_path_t *path)
{
    return path ? path->text : NULL;
}

static const char *column_text(const cs_column_t *column)
{
    return !column ? NULL : column->written ? column->written : column->text;
}

static const char *cond_text(const cs_cond_t *cond)
{
    return cond ? cond->text : NULL;
}

static json_t *line_json(const cs_line_t *line)
{
    const cs_way_t *way = line->to_crm.on ? &line->to_crm : &line->to_pc;

    return json_pack("{s:s, s:s?, s:s?, s:s?, s:s?, s:s, s:s, s:s, s:s, s:b, s:s?, s:s?}", "line",
                     line->name, "pc", path_text(line->pc), "pc_currency",
                     path_text(line->pc_currency), "crm", column_text(line->crm), "crm_currency",
                     column_text(line->crm_currency), "direction",
                     direction_name(line->to_crm.on, line->to_pc.on), "type",
                     type_names[line->type], "conflict", policy_names[line->conflict], "on",
                     events_name(way->events), "required",
                     line->to_pc.required || line->to_crm.required, "when", cond_text(line->when),
                     "off", line->off ? line->off_why ? line->off_why : "switched off" : NULL);
}

static json_t *list_json(const cs_list_t *list)
{
    return json_pack("{s:s, s:s?, s:s?, s:s?, s:s, s:s, s:s?, s:s?}", "list", list->name, "pc",
                     path_text(list->pc), "table", list->table, "column",
                     column_text(list->column), "key", list->key ? list->key : "", "direction",
                     direction_name(list->to_crm, list->to_pc), "when", cond_text(list->when),
                     "off", list->off ? list->off_why ? list->off_why : "switched off" : NULL);
}

static json_t *kind_json(const cs_mapping_kind_t *kind)
{
    json_t *lines = json_array(), *lists = json_array();
    int i;

    for (i = 0; i < kind->lines->nelts; i++) {
        json_array_append_new(lines, line_json(APR_ARRAY_IDX(kind->lines, i, cs_line_t *)));
    }
    for (i = 0; kind->lists && i < kind->lists->nelts; i++) {
        json_array_append_new(lists, list_json(APR_ARRAY_IDX(kind->lists, i, cs_list_t *)));
    }
    return json_pack("{s:s, s:s, s:s?, s:s?, s:o, s:o}", "kind", kind->name, "table", kind->table,
                     "from_pc", cond_text(kind->from_pc_when), "from_crm",
                     cond_text(kind->from_crm_when), "lines", lines, "lists", lists);
}

json_t *cs_mapping_document(const cs_mapping_t *mapping)
{
    json_t *kinds = json_array();
    int i;

    for (i = 0; i < mapping->kinds->nelts; i++) {
        json_array_append_new(kinds,
                              kind_json(APR_ARRAY_IDX(mapping->kinds, i, cs_mapping_kind_t *)));
    }
    return kinds;
}

const char *cs_mapping_referral_link(const cs_mapping_kind_t *kind, const char *referral,
                                     apr_pool_t *p)
{
    const char *text = kind ? kind->tell.link_text : NULL, *at = text ? strstr(text, "{id}") : NULL;

    return at && referral ? apr_pstrcat(p, apr_pstrmemdup(p, text, (apr_size_t)(at - text)),
                                        referral, at + 4, NULL)
                          : NULL;
}
