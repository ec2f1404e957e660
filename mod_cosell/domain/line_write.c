/* domain/line_write.c: a line's value on its way to the other side.
 *
 * Comparing two sides means bringing one over: a value is taken as the other side would show it,
 * rounded, shortened and translated.
 */
#include <apr_lib.h>
#include <apr_strings.h>
#include <string.h>
#include <strings.h>

#include "../base/decimal.h"
#include "../base/time.h"
#include "country.h"
#include "reconcile_internal.h"

/* ---- tables of values ---- */

static void done(cs_conv_t *conv, json_t *value)
{
    conv->what = CS_CONV_OK;
    conv->value = value;
}

static void refuse(cs_conv_t *conv, cs_conv_e what, const char *why)
{
    conv->what = what;
    conv->value = NULL;
    conv->why = why;
}

void cs_values_else(cs_conv_t *conv, const cs_values_t *values, const cs_else_t *other,
                    const json_t *value, apr_pool_t *p)
{
    const char *why = apr_psprintf(p, "%s has no counterpart in the values \"%s\"",
                                   cs_json_print(value, p), values->name);

    switch (other->what) {
    case CS_ELSE_VALUE:
        done(conv, cs_json_own(json_deep_copy(other->value), p));
        break;
    case CS_ELSE_SKIP:
    case CS_ELSE_OMIT:
        refuse(conv, CS_CONV_SKIP, why);
        break;
    case CS_ELSE_HOLD:
        refuse(conv, CS_CONV_HOLD, why);
        break;
    default:
        refuse(conv, CS_CONV_REFUSE, why);
        break;
    }
}

static int is_listed(const json_t *list, const char *text)
{
    size_t i;

    for (i = 0; text && i < json_array_size(list); i++) {
        const char *item = json_string_value(json_array_get(list, i));

        if (item && !strcmp(item, text)) {
            return 1;
        }
    }
    return 0;
}

void cs_values_to_crm(cs_conv_t *conv, const cs_values_t *values, const json_t *pc, apr_pool_t *p)
{
    const char *text = cs_scalar_text(pc, p);
    const json_t *found = text ? cs_json_get(values->pairs, text) : NULL;

    memset(conv, 0, sizeof(*conv));
    if (!text || is_listed(values->empty, text)) {
        done(conv, json_null());
    }
    else if (found && strcmp(text, "$comment")) {
        done(conv, cs_json_own(json_deep_copy(found), p));
    }
    else {
        cs_values_else(conv, values, &values->to_crm, pc, p);
    }
}

/* A label becomes the choice that has it. */
static void resolve(cs_conv_t *conv, const cs_values_t *values, const json_t *facts, apr_pool_t *p)
{
    const char *label = json_string_value(conv->value);
    const json_t *choice;

    if (conv->what != CS_CONV_OK || !values->by_label || !label) {
        return;
    }
    choice = cs_facts_choice(facts, label);
    if (choice) {
        done(conv, cs_json_own(json_deep_copy(choice), p));
    }
    else if (!cs_json_get(facts, "options")) {
        refuse(conv, CS_CONV_HOLD, "the choices of the CRM's column are not known yet");
    }
    else {
        refuse(conv, CS_CONV_REFUSE,
               apr_psprintf(p, "the CRM has no choice \"%s\" here; it has: %s", label,
                            cs_facts_labels(facts, p)));
    }
}

static int pair_is(const cs_values_t *values, const json_t *facts, const json_t *pair,
                   const json_t *crm, apr_pool_t *p)
{
    const json_t *choice = values->by_label && json_is_string(pair)
                               ? cs_facts_choice(facts, json_string_value(pair))
                               : pair;

    return choice && cs_value_equal(cs_facts_value(facts, choice, p), crm);
}

void cs_values_to_pc(cs_conv_t *conv, const cs_values_t *values, const cs_table_t *table,
                     const cs_column_t *column, const json_t *crm, apr_pool_t *p)
{
    const json_t *facts = cs_column_facts(table, column);
    const char *key;
    json_t *pair;

    memset(conv, 0, sizeof(*conv));
    if (cs_value_empty(crm)) {
        done(conv, json_null());
        return;
    }
    if (values->by_label && !cs_json_get(facts, "options")) {
        refuse(conv, CS_CONV_HOLD, "the choices of the CRM's column are not known yet");
        return;
    }
    json_object_foreach((json_t *)values->pairs, key, pair) {
        if (strcmp(key, "$comment") && pair_is(values, facts, pair, crm, p)) {
            done(conv, cs_json_own(json_string(key), p));
            return;
        }
    }
    cs_values_else(conv, values, &values->to_pc, crm, p);
}

int cs_line_labels_known(const cs_line_t *line, const cs_table_t *table)
{
    return line->type != CS_TYPE_CHOICE || !line->values || !line->values->by_label ||
           cs_json_get(cs_column_facts(table, line->crm), "options") != NULL;
}

/* ---- bringing over ---- */

/* The default stands in for an empty source, in the target's own form. */
static int take_default(cs_conv_t *conv, const cs_way_t *way, const json_t *value, apr_pool_t *p)
{
    if (!way->dflt || !(cs_value_empty(value) || json_is_false(value))) {
        return 0;
    }
    done(conv, cs_json_own(json_deep_copy(way->dflt), p));
    return 1;
}

/* max 0 = no bound */
static void fit(cs_conv_t *conv, const cs_way_t *way, int max, apr_pool_t *p)
{
    const char *text = conv->what == CS_CONV_OK ? json_string_value(conv->value) : NULL;

    if (!text || !max || cs_text_units(text) <= max) {
        return;
    }
    if (way->cut == CS_CUT_REFUSE) {
        refuse(conv, CS_CONV_REFUSE,
               apr_psprintf(p, "%d characters, and only %d fit", cs_text_units(text), max));
        return;
    }
    text = cs_text_canonical(cs_text_head(text, max, p), p);
    conv->value = text ? cs_json_own(json_string(text), p) : json_null();
    conv->cut = max;
}

/* The smaller of what the mapping and what the CRM allows. */
static int bound_of(const cs_line_t *line, const json_t *facts)
{
    int theirs = line->type == CS_TYPE_TEXT ? (int)cs_json_int(facts, "max", 0) : 0;
    int ours = line->to_crm.max;

    return !theirs || (ours && ours < theirs) ? ours : theirs;
}

/* An amount as a column of fewer digits than its currency has will show it. */
static void round_money(cs_conv_t *conv, const json_t *facts, apr_pool_t *p)
{
    const char *amount = cs_json_str(conv->value, "amount"), *out;
    const char *currency = cs_json_str(conv->value, "currency");
    int scale = currency ? cs_currency_scale(currency) : CS_SCALE_UNKNOWN;
    int precision = (int)cs_json_int(facts, "precision", scale);

    if (amount && precision >= 0 && precision < scale &&
        cs_decimal_from_text(&out, amount, precision, p) == APR_SUCCESS &&
        cs_decimal_from_text(&out, out, scale, p) == APR_SUCCESS) {
        json_object_set_new(conv->value, "amount", json_string(out));
    }
}

/* What a CRM counts in is not what the referral counts in: a number would change its meaning. */
static void one_currency(cs_conv_t *conv, const cs_line_t *line, apr_pool_t *p)
{
    const char *currency = cs_json_str(conv->value, "currency");

    if (line->currency && currency && strcmp(currency, line->currency)) {
        refuse(conv, CS_CONV_HOLD, cs_currency_words(line, currency, p));
    }
}

const char *cs_currency_words(const cs_line_t *line, const char *currency, apr_pool_t *p)
{
    return apr_psprintf(p, "the referral is in %s, and the CRM counts in %s alone", currency,
                        line->currency);
}

/* A canonical text has no blanks at its end, and there is something in it. */
static void trim(cs_conv_t *conv, apr_pool_t *p)
{
    const char *text = conv->what == CS_CONV_OK ? json_string_value(conv->value) : NULL, *at = text;

    while (at && apr_isspace(*at)) {
        at++;
    }
    if (at && at > text) {
        conv->value = cs_json_own(json_string(at), p);
    }
}

void cs_line_to_crm(cs_conv_t *conv, const cs_line_t *line, const cs_table_t *table,
                    const json_t *pc, apr_pool_t *p)
{
    const json_t *facts = cs_column_facts(table, line->crm);

    memset(conv, 0, sizeof(*conv));
    if (!line->to_crm.constant && take_default(conv, &line->to_crm, pc, p)) {
        return;
    }
    if (line->type == CS_TYPE_CHOICE && line->values && !line->to_crm.constant) {
        cs_values_to_crm(conv, line->values, pc, p);
        resolve(conv, line->values, facts, p);
    }
    else {
        done(conv, cs_json_own(json_deep_copy(pc), p));
    }
    if (conv->what == CS_CONV_OK) {
        conv->value = (json_t *)cs_facts_value(facts, conv->value, p);
    }
    if (line->type == CS_TYPE_MONEY) {
        round_money(conv, facts, p);
        one_currency(conv, line, p);
    }
    if (line->trims) {
        trim(conv, p);
    }
    fit(conv, &line->to_crm, bound_of(line, facts), p);
}

void cs_line_to_pc(cs_conv_t *conv, const cs_line_t *line, const cs_table_t *table,
                   const json_t *crm, apr_pool_t *p)
{
    memset(conv, 0, sizeof(*conv));
    if (!line->to_pc.constant && take_default(conv, &line->to_pc, crm, p)) {
        return;
    }
    if (line->type == CS_TYPE_CHOICE && line->values && !line->to_pc.constant) {
        cs_values_to_pc(conv, line->values, table, line->crm, crm, p);
    }
    else {
        done(conv, cs_json_own(json_deep_copy(crm), p));
    }
    fit(conv, &line->to_pc, line->to_pc.max, p);
}

/* ---- comparing ---- */

static int fold_equal(const json_t *a, const json_t *b)
{
    const char *s = json_string_value(a), *t = json_string_value(b);

    if (!s || !t) {
        return cs_value_equal(a, b);
    }
    for (; apr_isspace(*s); s++) {
    }
    for (; apr_isspace(*t); t++) {
    }
    for (; *s && *t && apr_tolower(*s) == apr_tolower(*t); s++, t++) {
    }
    for (; apr_isspace(*s); s++) {
    }
    for (; apr_isspace(*t); t++) {
    }
    return !*s && !*t;
}

/* Every column of the key says the same in the row. */
static int key_matches(const json_t *key, const json_t *row)
{
    const char *name;
    json_t *value;

    if (!json_is_object(key) || !json_is_object(row)) {
        return 0;
    }
    json_object_foreach((json_t *)key, name, value) {
        if (strcmp(name, "id") && !fold_equal(value, cs_json_get(row, name))) {
            return 0;
        }
    }
    return 1;
}

/* A constant of the mapping stands as it was written there: 8 is what a text line reads as "8". */
static int says_same(const cs_line_t *line, const json_t *a, const json_t *b, apr_pool_t *ptemp)
{
    const char *s, *t;

    if (line->type != CS_TYPE_TEXT || json_is_string(a) == json_is_string(b)) {
        return cs_value_equal(a, b);
    }
    s = cs_scalar_text(a, ptemp);
    t = cs_scalar_text(b, ptemp);
    return s && t && !strcmp(s, t);
}

int cs_line_same(const cs_line_t *line, const cs_table_t *table, const json_t *pc,
                 const json_t *crm, apr_pool_t *ptemp)
{
    cs_conv_t conv;

    if (line->type == CS_TYPE_LOOKUP && !line->to_crm.constant) {
        return json_is_null(pc) ? json_is_null(crm) : key_matches(pc, crm);
    }
    if (line->type == CS_TYPE_TEXT && json_is_string(pc) && !line->to_crm.constant &&
        json_equal(pc, crm)) {
        return 1; /* also where it would not fit today */
    }
    if (line->to_crm.on) {
        cs_line_to_crm(&conv, line, table, pc, ptemp);
        if (conv.what == CS_CONV_OK && says_same(line, conv.value, crm, ptemp)) {
            return 1;
        }
    }
    if (!line->to_pc.on) {
        return 0;
    }
    cs_line_to_pc(&conv, line, table, crm, ptemp);
    return conv.what == CS_CONV_OK && says_same(line, conv.value, pc, ptemp);
}

int cs_line_unchanged(const cs_line_t *line, const json_t *before, const json_t *now)
{
    const char *a, *b;

    if (line->type == CS_TYPE_LOOKUP && json_is_object(before) && json_is_object(now)) {
        a = cs_json_str(before, "id");
        b = cs_json_str(now, "id");
        /* The same row renamed is the same look-up; an image from before the row's id was known has
         * only its key. */
        return a && b ? !strcasecmp(a, b)
               : a    ? 0
               : b    ? key_matches(before, now)
                      : json_equal(before, now);
    }
    return cs_value_equal(before, now);
}

int cs_line_cut(const cs_line_t *line, const cs_table_t *table, const json_t *pc, apr_pool_t *ptemp)
{
    cs_conv_t conv;

    if (!line->to_crm.on || line->to_crm.cut == CS_CUT_REFUSE || !json_is_string(pc)) {
        return 0;
    }
    cs_line_to_crm(&conv, line, table, pc, ptemp);
    return conv.what == CS_CONV_OK ? conv.cut : 0;
}

int cs_line_level(const cs_line_t *line, const json_t *value, int at_pc, apr_pool_t *ptemp)
{
    cs_conv_t conv;

    if (!at_pc || line->type != CS_TYPE_CHOICE || !line->values) {
        return !cs_value_empty(value) && !json_is_false(value);
    }
    cs_values_to_crm(&conv, line->values, value, ptemp);
    return !cs_value_empty(value) && (conv.what != CS_CONV_OK || !json_is_null(conv.value));
}

/* ---- writing ---- */

/* The columns that wait with a look-up. */
static void put_lookup(json_t *row, const char *column, json_t *lookup, json_t *columns)
{
    json_object_set_new(cs_json_get(lookup, "$lookup"), "columns", columns);
    json_object_set(row, column, lookup);
}

static void money_columns(json_t *row, const cs_line_t *line, const json_t *money,
                          const json_t *doc, const json_t *now, apr_pool_t *p)
{
    const char *amount = cs_json_str(money, "amount"), *currency = cs_json_str(money, "currency");
    const char *theirs = cs_json_str(now, "currency");

    if (!amount || !currency) {
        json_object_set_new(row, line->crm->name, json_null());
        return;
    }
    json_object_set_new(row, line->crm->name, json_pack("{s:s}", "$number", amount));
    if (line->currency || (theirs && !strcmp(theirs, currency))) {
        return;
    }
    if (!line->find) {
        json_object_set_new(row, line->crm_currency->name, json_string(currency));
    }
    else {
        /* An unknown currency holds the pair and nothing else. */
        json_t *lookup = cs_find_lookup(line->find, doc, NULL, currency, line->name, !now, p);

        if (lookup) {
            put_lookup(row, line->crm_currency->name, lookup,
                       json_pack("[s,s]", line->crm->name, line->crm_currency->name));
        }
    }
}

static void lookup_columns(json_t *row, const cs_line_t *line, const json_t *pc, const json_t *doc,
                           const json_t *now, apr_pool_t *p)
{
    const char *text = line->pc ? cs_scalar_text(cs_path_get(line->pc, doc), p) : NULL;
    json_t *lookup =
        json_is_null(pc) ? NULL : cs_find_lookup(line->find, doc, NULL, text, line->name, !now, p);

    if (lookup) {
        put_lookup(row, line->crm->name, lookup, json_pack("[s]", line->crm->name));
    }
    else if (json_is_null(pc)) {
        json_object_set_new(row, line->crm->name, json_null());
    }
}

static const char *instant_of(const cs_line_t *line, const char *day, apr_pool_t *p)
{
    apr_time_exp_t x;
    apr_time_t t;

    if (cs_time_parse(&t, day) != APR_SUCCESS) {
        return NULL;
    }
    apr_time_exp_gmt(&x, t + apr_time_from_sec(line->time - line->zone));
    return apr_psprintf(p, "%04d-%02d-%02dT%02d:%02d:%02dZ", x.tm_year + 1900, x.tm_mon + 1,
                        x.tm_mday, x.tm_hour, x.tm_min, x.tm_sec);
}

static int is_day(const cs_line_t *line, const json_t *value)
{
    return line->type == CS_TYPE_DATE && json_is_string(value) &&
           strlen(json_string_value(value)) == 10;
}

static int is_choice(const json_t *facts, const char *text)
{
    const json_t *options = cs_json_get(facts, "options");
    size_t i;

    for (i = 0; text && i < json_array_size(options); i++) {
        const char *value = cs_json_str(json_array_get(options, i), "value");

        if (value && !strcmp(value, text)) {
            return 1;
        }
    }
    return 0;
}

/* As the column shows it now; a code where it shows or has codes or a name does not fit; else the
 * name. */
static const char *country_form(const cs_line_t *line, const cs_table_t *table, const char *code)
{
    const json_t *facts = cs_column_facts(table, line->crm);
    const json_t *shown = table && table->row ? cs_column_get(line->crm, table->row) : NULL;
    const char *text = json_string_value(shown), *name = cs_country_name(code);
    const char *theirs = text ? cs_country_code(text) : NULL;
    int max = (int)cs_json_int(facts, "max", 0);

    if (is_choice(facts, code) && !is_choice(facts, name)) {
        return code;
    }
    if (theirs && !strcmp(theirs, code)) {
        return text;
    }
    return !name || (theirs && strlen(text) == 2) || (max && cs_text_units(name) > max) ? code
                                                                                        : name;
}

/* In the form the column takes. */
static json_t *column_value(const cs_line_t *line, const cs_table_t *table, json_t *value,
                            apr_pool_t *p)
{
    const char *type = cs_json_str(cs_column_facts(table, line->crm), "type");

    if (line->type == CS_TYPE_COUNTRY && json_is_string(value)) {
        return json_string(country_form(line, table, json_string_value(value)));
    }
    if (is_day(line, value) && type && !strcmp(type, "instant")) {
        return json_string(instant_of(line, json_string_value(value), p));
    }
    return json_incref(value);
}

void cs_line_columns(json_t *row, const cs_line_t *line, const cs_table_t *table, const json_t *pc,
                     const json_t *doc, const json_t *now, apr_pool_t *p)
{
    cs_conv_t conv;

    if (line->type == CS_TYPE_LOOKUP && !line->to_crm.constant) {
        lookup_columns(row, line, pc, doc, now, p);
        return;
    }
    cs_line_to_crm(&conv, line, table, pc, p);
    if (conv.what != CS_CONV_OK) {
        return;
    }
    if (line->type == CS_TYPE_MONEY && !line->to_crm.constant) {
        money_columns(row, line, conv.value, doc, now, p);
        return;
    }
    json_object_set_new(row, line->crm->name, column_value(line, table, conv.value, p));
}

static void add_operation(json_t *ops, const cs_pc_path_t *path, const json_t *doc, json_t *value)
{
    json_array_append_new(ops, json_pack("{s:s,s:s,s:o}", "op",
                                         cs_path_get(path, doc) ? "replace" : "add", "path",
                                         path->text, "value", value));
}

/* Half of a pair that is the same already stays out. */
static void money_operations(json_t *ops, const cs_line_t *line, const json_t *money,
                             const json_t *doc, apr_pool_t *p)
{
    const char *amount = cs_json_str(money, "amount"), *currency = cs_json_str(money, "currency");
    cs_side_t now;
    const char *theirs, *shown;

    int same;

    cs_line_read_pc(&now, line, doc, p);
    theirs = cs_json_str(now.value, "currency");
    shown = cs_json_str(now.value, "amount");
    same = !now.bad && theirs && !strcmp(theirs, currency);
    if (!same || !shown || strcmp(shown, amount)) {
        add_operation(ops, line->pc, doc, cs_decimal_to_json(amount));
    }
    if (!same) {
        add_operation(ops, line->pc_currency, doc, json_string(currency));
    }
}

void cs_line_operations(json_t *ops, const cs_line_t *line, const cs_table_t *table,
                        const json_t *crm, const json_t *doc, apr_pool_t *p)
{
    cs_conv_t conv;

    if (line->type == CS_TYPE_MONEY && !line->to_pc.constant) {
        cs_line_to_pc(&conv, line, table, crm, p);
        if (conv.what == CS_CONV_OK && cs_json_str(conv.value, "amount") &&
            cs_json_str(conv.value, "currency")) {
            money_operations(ops, line, conv.value, doc, p);
        }
        return;
    }
    if (line->type == CS_TYPE_LOOKUP && json_is_object(crm)) {
        const char *key = cs_find_own_key(line->find);

        add_operation(ops, line->pc, doc, json_deep_copy(cs_json_get(crm, key)));
        return;
    }
    cs_line_to_pc(&conv, line, table, crm, p);
    if (conv.what == CS_CONV_OK) {
        add_operation(ops, line->pc, doc,
                      is_day(line, conv.value)
                          ? json_string(instant_of(line, json_string_value(conv.value), p))
                          : json_deep_copy(conv.value));
    }
}
