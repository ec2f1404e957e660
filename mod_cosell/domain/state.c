/* domain/state.c: the referral's machine and the two tables that join it to the CRM's. */
#include <apr_strings.h>
#include <string.h>
#include <strings.h>

#include "mapping_internal.h"
#include "state.h"

static const struct {
    const char *status;
    const char *next;  /* statuses it may become, itself included */
    const char *parts; /* substatuses it may have */
} machine[] = {
    {"New", "New Active Closed", "Pending Received"},
    {"Active", "Active Closed", "Accepted"},
    {"Closed", "Closed", "Won Lost Declined Expired Error"},
};

static int word_in(const char *words, const char *word, size_t len)
{
    const char *at = words;

    while (len && (at = strstr(at, word)) != NULL) {
        if ((at == words || at[-1] == ' ') && (at[len] == ' ' || at[len] == '\0')) {
            return 1;
        }
        at += len;
    }
    return 0;
}

static size_t status_len(const char *state)
{
    const char *slash = strchr(state, '/');

    return slash ? (size_t)(slash - state) : strlen(state);
}

static int machine_row(const char *state)
{
    size_t i, len = status_len(state);

    for (i = 0; i < sizeof(machine) / sizeof(machine[0]); i++) {
        if (strlen(machine[i].status) == len && !strncmp(machine[i].status, state, len)) {
            return (int)i;
        }
    }
    return -1;
}

const char *cs_state_of_card(const cs_card_t *card, apr_pool_t *p)
{
    const char *status = cs_json_str(card->doc, "status"),
               *sub = cs_json_str(card->doc, "substatus");

    status = status && *status && strcmp(status, "None") ? status : "";
    sub = sub && *sub && strcmp(sub, "None") ? sub : NULL;
    return sub ? apr_pstrcat(p, status, "/", sub, NULL) : apr_pstrdup(p, status);
}

int cs_state_is_terminal(const char *state)
{
    return state && !strncmp(state, "Closed", 6) && (state[6] == '\0' || state[6] == '/');
}

int cs_state_may_move(const char *from, const char *to)
{
    int f, t = to ? machine_row(to) : -1;
    const char *sub;

    if (t < 0) {
        return 0;
    }
    sub = strchr(to, '/');
    if (sub && !word_in(machine[t].parts, sub + 1, strlen(sub + 1))) {
        return 0;
    }
    if (!from || !*from) {
        return 1;
    }
    f = machine_row(from);
    if (f < 0 || !word_in(machine[f].next, machine[t].status, strlen(machine[t].status))) {
        return 0;
    }
    /* Closed is final, its form included. */
    return f != 2 || !strcmp(from, to);
}

/* "Closed" covers "Closed/Won". */
static int covers(const char *pattern, const char *state)
{
    size_t len = strlen(pattern);

    return !strncmp(pattern, state, len) && (state[len] == '\0' || state[len] == '/');
}

/* ---- hear ---- */

static int scalar_matches(const json_t *want, const json_t *value)
{
    if (json_is_number(want) && json_is_number(value)) {
        return json_number_value(want) == json_number_value(value);
    }
    return json_equal(want, value);
}

static int column_matches(const cs_set_t *want, const json_t *row)
{
    const json_t *value = cs_json_get(row, want->column);
    size_t i;

    if (!value) {
        return 0;
    }
    if (!json_is_array(want->constant)) {
        return scalar_matches(want->constant, value);
    }
    for (i = 0; i < json_array_size(want->constant); i++) {
        if (scalar_matches(json_array_get(want->constant, i), value)) {
            return 1;
        }
    }
    return 0;
}

static int row_matches(const cs_hear_t *hear, const char *pc, const json_t *row)
{
    int i;

    if (!covers(hear->pc, pc)) {
        return 0;
    }
    for (i = 0; i < hear->crm->nelts; i++) {
        if (!column_matches(&APR_ARRAY_IDX(hear->crm, i, cs_set_t), row)) {
            return 0;
        }
    }
    return 1;
}

/* Partner Center's code for what the record says; nothing chosen is one more thing that has no
 * counterpart. NULL = there is none, and why says it. */
static const char *code_of(const cs_hear_t *hear, const cs_table_t *table, cs_heard_t *heard,
                           apr_pool_t *p)
{
    const json_t *value = cs_column_get(hear->reason, table->row);
    cs_conv_t conv;

    if (!value) {
        heard->lacking = "it could not be read";
        return NULL;
    }
    cs_values_to_pc(&conv, hear->reason_values, table, hear->reason, value, p);
    if (conv.what == CS_CONV_OK && !json_is_string(conv.value)) {
        cs_values_else(&conv, hear->reason_values, &hear->reason_values->to_pc, value, p);
    }
    if (conv.what == CS_CONV_OK && json_is_string(conv.value)) {
        return json_string_value(conv.value);
    }
    heard->waits = conv.what == CS_CONV_HOLD;
    heard->lacking = json_is_null(value) ? "nothing is chosen" : conv.why;
    return NULL;
}

static void read_reason(cs_heard_t *heard, const cs_hear_t *hear, const cs_table_t *table,
                        apr_pool_t *p)
{
    const char *note, *code;

    if (!hear->reason || !hear->reason->text || !hear->reason_values) {
        heard->lacking = "the mapping names no column for it";
        return;
    }
    heard->column = hear->reason;
    code = code_of(hear, table, heard, p);
    if (!code) {
        return;
    }
    note = hear->note && hear->note->text
               ? json_string_value(cs_column_get(hear->note, table->row))
               : NULL;
    note = note ? cs_text_canonical(note, p) : NULL;
    heard->reason = note ? apr_pstrcat(p, code, ":", note, NULL) : apr_pstrdup(p, code);
}

const cs_heard_t *cs_state_hear(const cs_mapping_kind_t *kind, const char *pc, const json_t *row,
                                const json_t *metadata, apr_pool_t *p)
{
    const cs_table_t table = {kind->table, metadata, row};
    int i;

    for (i = 0; i < kind->hear->nelts; i++) {
        const cs_hear_t *hear = &APR_ARRAY_IDX(kind->hear, i, cs_hear_t);
        cs_heard_t *heard;

        if (!row_matches(hear, pc, row)) {
            continue;
        }
        heard = apr_pcalloc(p, sizeof(*heard));
        heard->actions = apr_array_copy(p, hear->actions);
        read_reason(heard, hear, &table, p);
        heard->say = hear->say;
        heard->not_before = hear->not_before;
        heard->sales_stage = hear->sales_stage;
        return heard;
    }
    return NULL;
}

/* ---- show ---- */

static const cs_show_t *find_show(const cs_mapping_kind_t *kind, const char *pc)
{
    const cs_show_t *found = NULL;
    int i;

    for (i = 0; i < kind->show->nelts; i++) {
        const cs_show_t *show = &APR_ARRAY_IDX(kind->show, i, cs_show_t);

        if (covers(show->pc, pc) && (!found || strlen(show->pc) > strlen(found->pc))) {
            found = show;
        }
    }
    return found;
}

const cs_shown_t *cs_state_show(const cs_mapping_kind_t *kind, const char *pc, const cs_card_t *own,
                                const json_t *row, apr_pool_t *p)
{
    const cs_show_t *show = find_show(kind, pc);
    cs_shown_t *shown;
    int general = show && !strcmp(show->pc, "Closed");

    (void)row;
    /* An entry for any closing says nothing about a duplicate that was tidied up, nor about a deal
     * that was won. */
    if (!show || (general && (!strcmp(pc, "Closed/Error") || !strcmp(pc, "Closed/Won")))) {
        return NULL;
    }
    shown = apr_pcalloc(p, sizeof(*shown));
    shown->set = cs_json_own(json_object(), p);
    cs_set_apply(shown->set, show->set, own ? own->doc : NULL, p);
    shown->call = show->call;
    shown->unlink = show->unlink;
    shown->if_was = general && !strcmp(pc, "Closed/Expired") ? "New" : show->if_was;
    return shown;
}

int cs_state_of_row(const cs_mapping_kind_t *kind, const json_t *row)
{
    const json_t *state = cs_json_get(row, kind->mapping->facts->state_column);

    if (!json_is_integer(state) || json_integer_value(state) < 0 || json_integer_value(state) > 2) {
        return -1;
    }
    return (int)json_integer_value(state);
}
