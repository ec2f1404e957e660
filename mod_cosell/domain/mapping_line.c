/* domain/mapping_line.c: one line of a mapping. */
#include <apr_lib.h>
#include <apr_strings.h>
#include <string.h>

#include "mapping_internal.h"

#define MAX_UNITS 1048576
#define NOON (12 * 3600)

static const cs_member_t line_members[] = {{"pc", CS_J_TEXT | CS_J_OBJECT, NULL},
                                           {"crm", CS_J_TEXT | CS_J_OBJECT | CS_J_ARRAY, NULL},
                                           {"type", CS_J_TEXT, NULL},
                                           {"direction", CS_J_TEXT, NULL},
                                           {"events", CS_J_ARRAY, NULL},
                                           {"when", CS_J_OBJECT | CS_J_BOOL, NULL},
                                           {"const", CS_J_SCALAR, NULL},
                                           {"default", CS_J_SCALAR, NULL},
                                           {"only_if_empty", CS_J_BOOL, NULL},
                                           {"required", CS_J_BOOL, NULL},
                                           {"max", CS_J_INT, NULL},
                                           {"conflict", CS_J_TEXT, NULL},
                                           {"enforce", CS_J_BOOL, NULL},
                                           {"enabled", CS_J_BOOL, NULL},
                                           {"values", CS_J_TEXT | CS_J_OBJECT, NULL},
                                           {"find", CS_J_TEXT, NULL},
                                           {"zero", CS_J_TEXT, NULL},
                                           {"zone", CS_J_TEXT, NULL},
                                           {"time", CS_J_TEXT, NULL},
                                           {"to_pc", CS_J_OBJECT, NULL},
                                           {"to_crm", CS_J_OBJECT, NULL},
                                           {"introduce", CS_J_TEXT, NULL},
                                           {"cut", CS_J_TEXT, NULL},
                                           {"latch", CS_J_BOOL, NULL},
                                           {"group", CS_J_TEXT, NULL},
                                           {NULL, 0, NULL}};

static const cs_member_t way_members[] = {{"events", CS_J_ARRAY, NULL},
                                          {"when", CS_J_OBJECT | CS_J_BOOL, NULL},
                                          {"const", CS_J_SCALAR, NULL},
                                          {"default", CS_J_SCALAR, NULL},
                                          {"only_if_empty", CS_J_BOOL, NULL},
                                          {"required", CS_J_BOOL, NULL},
                                          {"max", CS_J_INT, NULL},
                                          {"cut", CS_J_TEXT, NULL},
                                          {NULL, 0, NULL}};

static void switch_off(cs_line_t *line, const char *why)
{
    line->off = 1;
    line->off_why = line->off_why ? line->off_why : why;
}

int cs_load_events(cs_load_t *l, const json_t *json, const char *ptr, int dflt)
{
    const json_t *events = cs_json_get(json, "events");
    const char *at = cs_load_ptr(l, ptr, "events");
    int out = 0;
    size_t i;

    if (!json_is_array(events)) {
        return dflt;
    }
    for (i = 0; i < json_array_size(events); i++) {
        const char *text = json_string_value(json_array_get(events, i));

        if (text && !strcmp(text, "create")) {
            out |= CS_ON_CREATE;
        }
        else if (text && !strcmp(text, "update")) {
            out |= CS_ON_UPDATE;
        }
        else {
            cs_load_error(l, cs_load_ptr_at(l, at, i), "%s is no event; allowed: create, update",
                          cs_json_print(json_array_get(events, i), l->p));
        }
    }
    if (json_array_size(events) == 0) {
        cs_load_error(l, at, "no event; allowed: create, update");
    }
    return out;
}

/* A constant or a default. */
static const json_t *own_value(cs_load_t *l, const json_t *json, const char *ptr, const char *name,
                               const json_t *dflt)
{
    const json_t *value = cs_json_get(json, name);
    int off;

    return value ? cs_load_value(l, value, cs_load_ptr(l, ptr, name), &off) : dflt;
}

/* The name that a constant is written as, when it is null: there is nothing to send. */
static const char *null_constant(const cs_load_t *l, const json_t *json)
{
    const char *text = cs_json_str(json, "const");

    return text && *text == '@' && json_is_null(cs_json_get(l->names, text + 1)) ? text : NULL;
}

/* What may stand at the line or, for one direction, in to_pc and to_crm. */
static void load_way(cs_load_t *l, cs_way_t *way, const json_t *json, const char *ptr)
{
    static const char *const cuts[] = {"plain", "protect", NULL};

    way->events = cs_load_events(l, json, ptr, way->events);
    way->constant = own_value(l, json, ptr, "const", way->constant);
    way->dflt = own_value(l, json, ptr, "default", way->dflt);
    way->only_if_empty = cs_json_bool(json, "only_if_empty", way->only_if_empty);
    way->required = cs_json_bool(json, "required", way->required);
    way->max = cs_load_int(l, json, ptr, "max", 1, MAX_UNITS, way->max);
    if (cs_json_get(json, "cut")) {
        way->cut = cs_load_word(l, json, ptr, "cut", cuts, 0) ? CS_CUT_PROTECT : CS_CUT_PLAIN;
    }
}

static void load_ways(cs_load_t *l, cs_line_t *line, const json_t *json, const char *ptr)
{
    static const char *const directions[] = {"both", "to_pc", "to_crm", NULL};
    static const int bits[] = {CS_WAY_BOTH, CS_WAY_TO_PC, CS_WAY_TO_CRM};
    int ways = bits[cs_load_word(l, json, ptr, "direction", directions, 0)];
    const char *names[] = {"to_pc", "to_crm"}, *null;
    cs_way_t *way[] = {&line->to_pc, &line->to_crm};
    int i;

    for (i = 0; i < 2; i++) {
        const json_t *over = cs_json_get(json, names[i]);
        const char *at = cs_load_ptr(l, ptr, names[i]);

        way[i]->on = (ways & bits[i + 1]) != 0;
        way[i]->events = CS_ON_CREATE | CS_ON_UPDATE;
        load_way(l, way[i], json, ptr);
        null = null_constant(l, json) ? null_constant(l, json) : null_constant(l, over);
        if (way[i]->on && null) {
            switch_off(line, apr_psprintf(l->p, "%s is null in \"names\"", null));
        }
        if (!json_is_object(over) || !cs_load_members(l, over, at, way_members)) {
            continue;
        }
        if (!way[i]->on) {
            cs_load_error(
                l, at,
                "the line does not go that way; allowed: no \"%s\" beside \"direction\": \"%s\"",
                names[i], cs_json_str(json, "direction"));
        }
        load_way(l, way[i], over, at);
        if (cs_json_get(over, "when")) {
            way[i]->when = cs_load_cond(l, cs_json_get(over, "when"), cs_load_ptr(l, at, "when"));
        }
    }
    if (ways == CS_WAY_BOTH && (cs_json_get(json, "const") || cs_json_get(json, "default"))) {
        cs_load_error(l, ptr,
                      "a constant or default needs one direction; write it into \"to_pc\" or "
                      "\"to_crm\", or give the line a \"direction\"");
    }
    else if (ways == CS_WAY_BOTH &&
             (line->to_crm.constant ||
              (line->to_pc.constant && (line->to_pc.events & CS_ON_UPDATE)))) {
        cs_load_error(l, ptr,
                      "a constant is no side that changes; allowed: with a \"direction\", or in "
                      "\"to_pc\" with \"events\": [\"create\"]");
    }
}

static const cs_column_t *line_column(cs_load_t *l, cs_line_t *line, const char *text,
                                      const char *ptr)
{
    const cs_column_t *column = cs_load_column(l, text, ptr);

    if (column && !column->text) {
        /* A line with a constant or a default still says that. (deals 8) */
        if (!line->to_pc.constant && !line->to_pc.dflt) {
            switch_off(line, apr_psprintf(l->p, "%s is null in \"names\"", text));
        }
        line->to_crm.on = 0;
        return NULL;
    }
    cs_load_case(l, column, cs_load_place(l, text, ptr));
    return column;
}

static const cs_member_t pc_money[] = {
    {"amount", CS_J_TEXT, NULL}, {"currency", CS_J_TEXT, NULL}, {NULL, 0, NULL}};
static const cs_member_t crm_money[] = {
    {"amount", CS_J_TEXT, NULL}, {"currency", CS_J_TEXT | CS_J_OBJECT, NULL}, {NULL, 0, NULL}};

/* {"amount": ..., "currency": ...} on either side. */
static int load_pair(cs_load_t *l, const json_t *json, const char *ptr, const cs_member_t *members,
                     const char **pamount, const json_t **pcurrency)
{
    if (!json_is_object(json)) {
        cs_load_error(l, ptr, "%s is no money; allowed: {\"amount\": ..., \"currency\": ...}",
                      cs_json_print(json, l->p));
        return 0;
    }
    if (!cs_load_members(l, json, ptr, members)) {
        return 0;
    }
    *pamount = cs_json_str(json, "amount");
    *pcurrency = cs_json_get(json, "currency");
    if (!*pamount || !*pcurrency) {
        cs_load_error(l, ptr, "money is never half; allowed: both \"amount\" and \"currency\"");
        return 0;
    }
    return 1;
}

/* {"const": "USD"}: what a CRM that counts in one currency counts in. */
static void load_currency(cs_load_t *l, cs_line_t *line, const json_t *json, const char *ptr)
{
    static const cs_member_t members[] = {{"const", CS_J_TEXT, NULL}, {NULL, 0, NULL}};
    const char *at = cs_load_ptr(l, ptr, "const"), *code;
    int off;

    if (!cs_load_members(l, json, ptr, members)) {
        return;
    }
    code = cs_load_name(l, cs_json_str(json, "const"), at, &off);
    if (!code || strlen(code) != 3 || !apr_isupper(code[0]) || !apr_isupper(code[1]) ||
        !apr_isupper(code[2])) {
        cs_load_error(l, cs_json_get(json, "const") ? at : ptr,
                      "%s is no currency; allowed: {\"const\": \"USD\"}, a code of three capital "
                      "letters, or a column",
                      cs_json_print(json, l->p));
        return;
    }
    line->currency = code;
    if (line->find) {
        cs_load_error(l, ptr,
                      "a currency that is always %s is not looked for; allowed: no \"find\"", code);
    }
}

static void load_money(cs_load_t *l, cs_line_t *line, const json_t *json, const char *ptr)
{
    const char *pc = cs_load_ptr(l, ptr, "pc"), *crm = cs_load_ptr(l, ptr, "crm");
    const json_t *currency;
    const char *amount;

    if (load_pair(l, cs_json_get(json, "pc"), pc, pc_money, &amount, &currency)) {
        line->pc = cs_load_path(l, amount, cs_load_ptr(l, pc, "amount"));
        line->pc_currency =
            cs_load_path(l, json_string_value(currency), cs_load_ptr(l, pc, "currency"));
    }
    if (load_pair(l, cs_json_get(json, "crm"), crm, crm_money, &amount, &currency)) {
        line->crm = line_column(l, line, amount, cs_load_ptr(l, crm, "amount"));
        if (json_is_object(currency)) {
            load_currency(l, line, currency, cs_load_ptr(l, crm, "currency"));
        }
        else {
            line->crm_currency =
                line_column(l, line, json_string_value(currency), cs_load_ptr(l, crm, "currency"));
        }
    }
    if (!line->find) {
        if (line->crm_currency && l->facts->currencies) {
            cs_load_error(l, ptr,
                          "\"find\" is missing; allowed: the look-up of the currency's row");
        }
    }
    else if (!line->find->off_why && !cs_find_own_key(line->find)) {
        cs_load_error(
            l, cs_load_ptr(l, ptr, "find"),
            "a currency is found by its code alone; allowed: a look-up by one column with \".\"");
        line->find = NULL;
    }
}

/* Several columns: the first that is not empty is read. Names that are null are passed over. */
static void load_columns(cs_load_t *l, cs_line_t *line, const json_t *json, const char *ptr)
{
    size_t i;

    line->crm_more = apr_array_make(l->p, 2, sizeof(const cs_column_t *));
    for (i = 0; i < json_array_size(json); i++) {
        const char *text = json_string_value(json_array_get(json, i)),
                   *at = cs_load_ptr_at(l, ptr, i);
        const cs_column_t *column = cs_load_column(l, text, at);

        if (!text) {
            cs_load_error(l, at, "%s is no column; allowed: a text",
                          cs_json_print(json_array_get(json, i), l->p));
        }
        else if (column && column->text && !line->crm) {
            line->crm = column;
        }
        else if (column && column->text) {
            APR_ARRAY_PUSH(line->crm_more, const cs_column_t *) = column;
        }
    }
    if (json_array_size(json) == 0) {
        cs_load_error(l, ptr, "no column; allowed: at least one");
    }
    else if (!line->crm && !line->to_pc.constant && !line->to_pc.dflt) {
        switch_off(line, "all its columns are null in \"names\"");
    }
    if (line->to_crm.on) {
        cs_load_error(l, ptr,
                      "several columns are read and never written; write \"direction\": \"to_pc\"");
    }
}

static void load_places(cs_load_t *l, cs_line_t *line, const json_t *json, const char *ptr)
{
    const json_t *pc = cs_json_get(json, "pc"), *crm = cs_json_get(json, "crm");

    if (line->type == CS_TYPE_MONEY) {
        load_money(l, line, json, ptr);
        return;
    }
    if (json_is_object(pc) || json_is_object(crm)) {
        cs_load_error(l, ptr, "amount and currency are for money; allowed: a path, a column");
        return;
    }
    if (pc) {
        line->pc = cs_load_path(l, json_string_value(pc), cs_load_ptr(l, ptr, "pc"));
    }
    if (json_is_array(crm)) {
        load_columns(l, line, crm, cs_load_ptr(l, ptr, "crm"));
    }
    else if (crm) {
        line->crm = line_column(l, line, json_string_value(crm), cs_load_ptr(l, ptr, "crm"));
    }
}

/* "+02:00" -> seconds east of UTC. */
static int parse_offset(const char *text, int *pseconds)
{
    int sign = *text == '-' ? -1 : 1, h, m;

    if (!strcmp(text, "UTC") || !strcmp(text, "Z")) {
        *pseconds = 0;
        return 1;
    }
    if (strlen(text) != 6 || !strchr("+-", *text) || text[3] != ':' || !apr_isdigit(text[1]) ||
        !apr_isdigit(text[2]) || !apr_isdigit(text[4]) || !apr_isdigit(text[5])) {
        return 0;
    }
    h = (text[1] - '0') * 10 + text[2] - '0';
    m = (text[4] - '0') * 10 + text[5] - '0';
    *pseconds = sign * (h * 3600 + m * 60);
    return h <= 14 && m < 60;
}

static int parse_clock(const char *text, int *pseconds)
{
    int h, m;

    if (strlen(text) != 5 || text[2] != ':' || !apr_isdigit(text[0]) || !apr_isdigit(text[1]) ||
        !apr_isdigit(text[3]) || !apr_isdigit(text[4])) {
        return 0;
    }
    h = (text[0] - '0') * 10 + text[1] - '0';
    m = (text[3] - '0') * 10 + text[4] - '0';
    *pseconds = h * 3600 + m * 60;
    return h < 24 && m < 60;
}

static void load_date(cs_load_t *l, cs_line_t *line, const json_t *json, const char *ptr)
{
    const char *zone = cs_json_str(json, "zone"), *text = cs_json_str(json, "time");

    line->time = NOON;
    if ((zone || text) && line->type != CS_TYPE_DATE) {
        cs_load_error(l, ptr,
                      "\"zone\" and \"time\" are for dates; allowed: with \"type\": \"date\"");
    }
    if (zone && !parse_offset(zone, &line->zone)) {
        cs_load_error(l, cs_load_ptr(l, ptr, "zone"),
                      "\"%s\" is no fixed zone; allowed: UTC, +hh:mm, -hh:mm (named zones are not "
                      "supported by this version)",
                      zone);
    }
    if (text && !parse_clock(text, &line->time)) {
        cs_load_error(l, cs_load_ptr(l, ptr, "time"), "\"%s\" is no time of day; allowed: hh:mm",
                      text);
    }
}

static void load_type(cs_load_t *l, cs_line_t *line, const json_t *json, const char *ptr)
{
    static const char *const types[] = {"text",   "money",   "date",    "flag",
                                        "choice", "look-up", "country", NULL};

    line->type = json_is_object(cs_json_get(json, "pc")) ? CS_TYPE_MONEY
                 : cs_json_get(json, "find")             ? CS_TYPE_LOOKUP
                 : cs_json_get(json, "values")           ? CS_TYPE_CHOICE
                                                         : CS_TYPE_TEXT;
    line->type = (cs_type_e)cs_load_word(l, json, ptr, "type", types, (int)line->type);
}

static void load_find(cs_load_t *l, cs_line_t *line, const char *name, const char *ptr)
{
    const char *member;

    line->find = cs_load_find_named(l, name, ptr);
    if (line->type != CS_TYPE_LOOKUP && line->type != CS_TYPE_MONEY) {
        cs_load_error(l, ptr,
                      "\"find\" is for look-ups and money; allowed: with \"type\": \"look-up\"");
    }
    if (!line->find) {
        return;
    }
    member = cs_find_asks_member(line->find);
    if (member) {
        cs_load_error(l, ptr,
                      "\"%s\" asks for \"%s\" of a list's item, and a line has none; allowed: a "
                      "look-up by paths or \".\"",
                      name, member);
    }
    if (line->find->off_why) {
        switch_off(line, line->find->off_why);
    }
}

static void load_tables(cs_load_t *l, cs_line_t *line, const json_t *json, const char *ptr)
{
    const json_t *values = cs_json_get(json, "values");
    const char *find = cs_json_str(json, "find");

    if (values) {
        line->values = cs_load_values(l, values, cs_load_ptr(l, ptr, "values"), "values");
        if (line->type != CS_TYPE_CHOICE) {
            cs_load_error(l, cs_load_ptr(l, ptr, "values"),
                          "\"values\" is for choices; allowed: with \"type\": \"choice\"");
        }
    }
    else if (line->type == CS_TYPE_CHOICE) {
        cs_load_error(l, ptr, "\"values\" is missing; allowed: a name of \"values\" or a table");
    }
    if (find) {
        load_find(l, line, find, cs_load_ptr(l, ptr, "find"));
    }
    else if (line->type == CS_TYPE_LOOKUP) {
        cs_load_error(l, ptr, "\"find\" is missing; allowed: a name of \"find\"");
    }
}

static void load_rules(cs_load_t *l, cs_line_t *line, const json_t *json, const char *ptr)
{
    static const char *const policies[] = {"hold", "partner-center", "crm", NULL};
    static const char *const zeros[] = {"hold", "send", NULL};

    line->conflict = (cs_policy_e)cs_load_word(l, json, ptr, "conflict", policies, CS_POLICY_HOLD);
    line->enforce = cs_json_bool(json, "enforce", 0);
    line->zero_send = cs_load_word(l, json, ptr, "zero", zeros, 0);
    if (cs_json_get(json, "zero") && line->type != CS_TYPE_MONEY) {
        cs_load_error(l, cs_load_ptr(l, ptr, "zero"),
                      "\"zero\" is for money; allowed: with an amount and a currency");
    }
    if (cs_json_get(json, "when")) {
        line->when = cs_load_cond(l, cs_json_get(json, "when"), cs_load_ptr(l, ptr, "when"));
    }
    if (line->enforce && line->to_pc.on && line->to_crm.on) {
        cs_load_error(l, cs_load_ptr(l, ptr, "enforce"),
                      "a two-way line has no target to enforce; allowed: with a \"direction\"");
    }
}

/* A latch has a bottom to rise from. */
static void load_latch(cs_load_t *l, cs_line_t *line, const json_t *json, const char *ptr)
{
    const char *at = cs_load_ptr(l, ptr, "latch");

    line->latch = cs_json_bool(json, "latch", 0);
    if (line->latch && line->type != CS_TYPE_FLAG && line->type != CS_TYPE_CHOICE) {
        cs_load_error(l, at,
                      "only a flag or a choice rises; allowed: with \"type\": \"flag\" or "
                      "\"choice\"");
    }
    else if (line->latch && line->type == CS_TYPE_CHOICE && line->values &&
             json_array_size(line->values->empty) == 0) {
        cs_load_error(l, at,
                      "the values \"%s\" do not say what is not set; allowed: with \"empty\" "
                      "in them",
                      line->values->name);
    }
}

static void load_start(cs_load_t *l, cs_line_t *line, const json_t *json, const char *ptr)
{
    static const char *const introduces[] = {"fill-empty", "keep", "crm", "partner-center", NULL};
    const char *group = cs_json_str(json, "group");

    line->introduce = (cs_introduce_e)cs_load_word(l, json, ptr, "introduce", introduces,
                                                   CS_INTRODUCE_FILL_EMPTY);
    if ((line->introduce == CS_INTRODUCE_CRM && !line->to_pc.on) ||
        (line->introduce == CS_INTRODUCE_PC && !line->to_crm.on)) {
        cs_load_error(l, cs_load_ptr(l, ptr, "introduce"),
                      "the line does not go that way; allowed: fill-empty, keep%s",
                      line->to_pc.on    ? ", crm"
                      : line->to_crm.on ? ", partner-center"
                                        : "");
    }
    if (group && !*group) {
        cs_load_error(l, cs_load_ptr(l, ptr, "group"),
                      "an empty text is no name of a group; allowed: a text that its lines share");
    }
    line->group = group && *group ? apr_pstrdup(l->p, group) : NULL;
    if ((line->to_pc.cut || line->to_crm.cut) && line->type != CS_TYPE_TEXT) {
        cs_load_error(l, ptr, "\"cut\" is for texts; allowed: with \"type\": \"text\"");
    }
}

cs_line_t *cs_load_line(cs_load_t *l, const char *name, const json_t *json, const char *ptr)
{
    cs_line_t *line = apr_pcalloc(l->p, sizeof(*line));
    int errors;

    line->name = name;
    line->pointer = ptr;
    if (!cs_load_members(l, json, ptr, line_members) && !json_is_object(json)) {
        return NULL;
    }
    if (!cs_json_bool(json, "enabled", 1)) {
        switch_off(line, "it is disabled");
    }
    load_type(l, line, json, ptr);
    line->trims = l->facts->trims && line->type == CS_TYPE_TEXT;
    load_ways(l, line, json, ptr);
    load_tables(l, line, json, ptr);
    errors = l->said;
    load_places(l, line, json, ptr);
    line->broken = l->said > errors;
    load_date(l, line, json, ptr);
    load_rules(l, line, json, ptr);
    load_latch(l, line, json, ptr);
    load_start(l, line, json, ptr);
    return line;
}
