/* domain/reconcile.c: meet and plan.
 *
 * The order inside a plan: what may be compared at all (a side is gone, a person must decide, the
 * seller switched it off), then the state, for a closed row takes no lines, then the lines, then
 * what the seller reads about it all, then the steps.
 */
#include <apr_lib.h>
#include <apr_strings.h>
#include <string.h>
#include <strings.h>

#include "../base/crypto.h"
#include "reconcile_internal.h"

#define CANDIDATES_NAMED 5
#define INTENT_STEPS 24 /* newest first; beyond it only the create is kept */

/* ---- what is stored about a deal ---- */

json_t *cs_image_side(const cs_deal_t *deal, const char *line, const char *side)
{
    return cs_json_get(cs_json_get(deal->images, line), side);
}

const char *cs_image_rest(const cs_deal_t *deal, const char *line)
{
    return cs_json_str(cs_json_get(deal->images, line), "rest");
}

const char *cs_image_waits(const cs_deal_t *deal, const char *line, const json_t *pc)
{
    const json_t *waits = cs_json_get(cs_json_get(deal->images, line), "waits");

    return pc && waits && json_equal(cs_json_get(waits, "pc"), pc) ? cs_json_str(waits, "why")
                                                                   : NULL;
}

json_t *cs_intent_value(const cs_deal_t *deal, const char *line, size_t nth)
{
    const json_t *steps = cs_json_get(deal->intent, "steps");
    size_t i;

    for (i = 0; i < json_array_size(steps); i++) {
        json_t *value = cs_json_get(cs_json_get(json_array_get(steps, i), "lines"), line);

        if (value && nth-- == 0) {
            return value;
        }
    }
    return NULL;
}

static int is_create(const json_t *step)
{
    const char *kind = cs_json_str(step, "kind");

    return kind && !strcmp(kind, cs_step_kind_name(CS_STEP_CREATE));
}

static const json_t *intended_create(const cs_deal_t *deal)
{
    const json_t *steps = cs_json_get(deal->intent, "steps");
    size_t i;

    for (i = 0; i < json_array_size(steps); i++) {
        if (is_create(json_array_get(steps, i))) {
            return json_array_get(steps, i);
        }
    }
    return NULL;
}

int cs_intent_creates(const cs_deal_t *deal)
{
    return intended_create(deal) != NULL;
}

static const char *derived_id(const cs_look_t *look, const char *referral, const char *table,
                              apr_pool_t *p)
{
    return cs_uuid5_url(apr_psprintf(p, "cosell:%s:%s:%s:", look->site, referral, table), p);
}

/* ---- names ---- */

const char *cs_verdict_name(cs_verdict_e verdict)
{
    static const char *const names[] = {
        "equal",    "to crm", "to partner center", "held",    "one way", "create only",
        "not kept", "closed", "unreadable",        "skipped", "refused",
        "latched",  "stays"};

    return (unsigned)verdict < sizeof(names) / sizeof(names[0]) ? names[verdict] : "unknown";
}

static const char *plan_name(cs_plan_e what)
{
    static const char *const names[] = {"nothing", "steps", "hold", "park", "gone"};

    return names[what];
}

/* ---- meet ---- */

/* "{GUID}" or "GUID" -> lower case; NULL for free text. */
static const char *row_id_of(const char *text, apr_pool_t *p)
{
    size_t len = text ? strlen(text) : 0;
    char *id, *c;

    if (len == 38 && text[0] == '{' && text[37] == '}') {
        text++;
        len = 36;
    }
    if (len != 36 || !cs_uuid_valid(text, len)) {
        return NULL;
    }
    id = apr_pstrmemdup(p, text, len);
    for (c = id; *c; c++) {
        *c = (char)apr_tolower(*c);
    }
    return id;
}

static int is_lead(const char *word)
{
    return !strcmp(word, "marketplace-lead") || !strcmp(word, "qualified-lead");
}

static const cs_find_t *find_of(const cs_mapping_t *mapping, const char *name)
{
    int i;

    for (i = 0; mapping->finds && i < mapping->finds->nelts; i++) {
        const cs_find_t *find = APR_ARRAY_IDX(mapping->finds, i, const cs_find_t *);

        if (!strcmp(find->name, name)) {
            return find;
        }
    }
    return NULL;
}

/* Rows that another row must be found for first: {"column": look-up that never makes a row}. */
static json_t *match_within(const cs_match_t *match, const cs_mapping_kind_t *kind,
                            const json_t *doc, apr_pool_t *p)
{
    json_t *within = cs_json_own(json_object(), p);
    int i, j;

    for (i = 0; i < match->by->nelts; i++) {
        const apr_array_header_t *set = APR_ARRAY_IDX(match->by, i, const apr_array_header_t *);

        for (j = 0; j < set->nelts; j++) {
            const cs_find_part_t *part = &APR_ARRAY_IDX(set, j, cs_find_part_t);
            const cs_find_t *find = part->found ? find_of(kind->mapping, part->found) : NULL;
            json_t *lookup = find ? cs_find_lookup(find, doc, NULL, NULL, NULL, 0, p) : NULL;

            if (part->found && !lookup) {
                return NULL; /* what it should point to has no key */
            }
            if (lookup) {
                json_object_set(within, part->column, lookup);
            }
        }
    }
    return within;
}

static json_t *match_key(const apr_array_header_t *set, const json_t *doc, apr_pool_t *p)
{
    json_t *key = cs_json_own(json_object(), p);
    int i;

    for (i = 0; i < set->nelts; i++) {
        const cs_find_part_t *part = &APR_ARRAY_IDX(set, i, cs_find_part_t);
        const char *text = part->path ? json_string_value(cs_path_get(part->path, doc)) : NULL;

        if (part->found) {
            continue;
        }
        text = text ? cs_text_canonical(text, p) : NULL;
        if (!text) {
            return NULL;
        }
        json_object_set_new(key, part->column, json_string(text));
    }
    return json_object_size(key) ? key : NULL;
}

/* Existing rows that could be this deal's. The first key is the referral's own id in the column
 * that carries it; a row with that is no candidate but the one. */
static json_t *match_of(const cs_look_t *look, const cs_mapping_kind_t *kind, apr_pool_t *p)
{
    json_t *keys = cs_json_own(json_array(), p), *within, *doc;
    int i;

    if (kind->tell.id) {
        json_array_append_new(keys, json_pack("{s:s}", kind->tell.id, look->own->id));
    }
    doc = cs_doc_of_look(look, p);
    within = kind->match ? match_within(kind->match, kind, doc, p) : NULL;
    for (i = 0; within && i < kind->match->by->nelts; i++) {
        json_t *key =
            match_key(APR_ARRAY_IDX(kind->match->by, i, const apr_array_header_t *), doc, p);

        if (key) {
            json_array_append(keys, key);
        }
    }
    if (!kind->match || !json_array_size(keys)) {
        return NULL;
    }
    return cs_json_own(json_pack("{s:s,s:s,s:O,s:O*,s:s,s:s}", "find", "match", "table",
                                 kind->table, "keys", keys, "within",
                                 within && json_object_size(within) ? within : NULL, "several",
                                 "hold", "none", "hold"),
                       p);
}

static void refuse_meeting(cs_meeting_t *meeting, cs_meet_e what, const char *why)
{
    meeting->what = what;
    meeting->why = why;
}

apr_status_t cs_reconcile_meet(cs_meeting_t *meeting, const cs_look_t *look, apr_pool_t *p,
                               cs_result_t *res)
{
    const cs_mapping_kind_t *kind;
    const char *word, *state, *linked;

    memset(meeting, 0, sizeof(*meeting));
    if (!look->own) {
        return cs_result_set(res, p, APR_EINVAL, CS_CLASS_REFUSED, "deal:no referral",
                             "a deal is met by its referral, and none was read");
    }
    word = cs_referral_kind(look->own, look->microsoft, look->others, look->organization);
    state = cs_state_of_card(look->own, p);
    kind = cs_mapping_route_kind(look->mapping, word, look->own);
    if (is_lead(word) && (!kind || !kind->leads)) {
        refuse_meeting(meeting, CS_MEET_LEAD,
                       apr_psprintf(p,
                                    "a lead (%s, %s), and no record kind of the mapping takes it",
                                    word, state));
        return APR_SUCCESS;
    }
    if (!kind) {
        refuse_meeting(meeting, CS_MEET_IGNORE,
                       apr_psprintf(p, "no record kind of the mapping takes this referral (%s, %s)",
                                    word, state));
        return APR_SUCCESS;
    }
    meeting->kind = kind->name;
    meeting->table = kind->table;
    /* A row that a crashed look may have made is not forgotten. */
    if (cs_state_is_terminal(state) && !cs_intent_creates(look->deal)) {
        refuse_meeting(meeting, CS_MEET_CLOSED,
                       apr_psprintf(p, "first met %s: no record is made", state));
        return APR_SUCCESS;
    }
    linked = row_id_of(cs_json_str(look->own->doc, "externalReferenceId"), p);
    meeting->what = linked ? CS_MEET_LINK : CS_MEET_CREATE;
    meeting->record_id = linked ? linked : derived_id(look, look->own->id, kind->table, p);
    meeting->match = linked ? NULL : match_of(look, kind, p);
    meeting->why =
        linked ? "externalReferenceId names a record" : "no record carries this referral";
    return APR_SUCCESS;
}

/* ---- plan: steps ---- */

static cs_step_t *add_step(cs_planning_t *pl, cs_step_kind_e kind, json_t *columns, const char *why)
{
    cs_step_t *step = apr_pcalloc(pl->p, sizeof(*step));

    step->kind = kind;
    step->send = kind != CS_STEP_PATCH_PC;
    step->table = pl->kind->table;
    step->id = pl->record_id;
    step->columns = columns;
    step->lines = apr_array_make(pl->p, 4, sizeof(const char *));
    step->after = -1;
    step->why = why;
    APR_ARRAY_PUSH(pl->plan->steps, cs_step_t *) = step;
    return step;
}

static void name_line(cs_step_t *step, const char *line)
{
    APR_ARRAY_PUSH(step->lines, const char *) = line;
}

static const cs_line_t *line_at(const cs_planning_t *pl, int i)
{
    return APR_ARRAY_IDX(pl->kind->lines, i, cs_line_t *);
}

static cs_line_view_t *view_at(const cs_planning_t *pl, int i)
{
    return APR_ARRAY_IDX(pl->plan->lines, i, cs_line_view_t *);
}

static void merge(json_t *to, const json_t *from)
{
    const char *name;
    json_t *value;

    json_object_foreach((json_t *)from, name, value) {
        json_object_set_new(to, name, json_deep_copy(value));
    }
}

/* ---- plan: what each line brings ---- */

static void add_part(json_t *parts, const char *name, const json_t *columns)
{
    json_t *list = cs_json_get(parts, name);
    const char *column;
    json_t *value;

    if (!list) {
        list = json_array();
        json_object_set_new(parts, name, list);
    }
    json_object_foreach((json_t *)columns, column, value) {
        json_array_append_new(list, json_string(column));
    }
}

/* Lines of a group are one part, named after the first of them, and a look-up of one of them holds
 * all of them. */
static const char *part_name(const cs_planning_t *pl, const cs_line_t *line)
{
    int i;

    for (i = 0; line->group && i < pl->kind->lines->nelts; i++) {
        const cs_line_t *first = line_at(pl, i);

        if (first->group && !strcmp(first->group, line->group) && view_at(pl, i)->to_crm) {
            return first->name;
        }
    }
    return line->name;
}

static void hold_together(json_t *columns, const json_t *part)
{
    size_t i;

    for (i = 0; i < json_array_size(part); i++) {
        json_t *lookup = cs_json_get(
            cs_json_get(columns, json_string_value(json_array_get(part, i))), "$lookup");

        if (cs_json_get(lookup, "columns")) {
            json_object_set_new(lookup, "columns", json_deep_copy(part));
        }
    }
}

/* The columns of every line that goes to the CRM; their names into names. */
static void add_lines(cs_planning_t *pl, json_t *columns, apr_array_header_t *names, json_t *parts)
{
    int i;

    for (i = 0; i < pl->kind->lines->nelts; i++) {
        const cs_line_view_t *view = view_at(pl, i);
        const cs_line_t *line = line_at(pl, i);
        json_t *own;

        if (!view->to_crm) {
            continue;
        }
        own = cs_json_own(json_object(), pl->p);
        cs_line_columns(own, line, &pl->table, view->pc, pl->doc, pl->creating ? NULL : view->crm,
                        pl->p);
        merge(columns, own);
        add_part(parts, part_name(pl, line), own);
        if (line->group) {
            hold_together(columns, cs_json_get(parts, part_name(pl, line)));
        }
        APR_ARRAY_PUSH(names, const char *) = view->line;
    }
}

/* A step of several lines says whose its columns are. */
static void put_parts(const cs_planning_t *pl, cs_step_t *step, json_t *parts, const json_t *start,
                      const json_t *told)
{
    const json_t *brought[] = {start, pl->state_set, told};
    const char *const names[] = {CS_LINE_START, CS_LINE_STATE, CS_LINE_TELL};
    size_t i;

    for (i = 0; i < 3; i++) {
        if (json_object_size(brought[i])) {
            add_part(parts, names[i], brought[i]);
        }
    }
    step->parts = parts;
}

/* Constants a record starts with, for one that was there before: what nobody has set. */
static void add_start(cs_planning_t *pl, json_t *columns)
{
    json_t *start = cs_json_own(json_object(), pl->p);
    const char *name;
    json_t *value;

    cs_set_apply(start, pl->kind->from_pc_set, pl->doc, pl->p);
    json_object_foreach(start, name, value) {
        const json_t *now = cs_json_get(pl->row, name);

        if (pl->creating ||
            (now && (json_is_null(now) || json_is_false(now)) && !json_equal(now, value))) {
            json_object_set_new(columns, name, json_deep_copy(value));
        }
    }
}

static void step_create(cs_planning_t *pl)
{
    json_t *columns = cs_json_own(json_object(), pl->p), *told = cs_json_own(json_object(), pl->p);
    json_t *start = cs_json_own(json_object(), pl->p), *parts = cs_json_own(json_object(), pl->p);
    cs_step_t *step = add_step(pl, CS_STEP_CREATE, columns, "the referral has no record yet");

    add_start(pl, start);
    merge(columns, start);
    if (pl->state_set) {
        merge(columns, pl->state_set);
    }
    add_lines(pl, columns, step->lines, parts);
    cs_list_columns(pl, columns, step->lines, parts);
    cs_tell_columns(pl, told, columns);
    merge(columns, told);
    put_parts(pl, step, parts, start, told);
    step->travels = cs_tell_travels(pl, columns);
    name_line(step, CS_LINE_STATE);
    name_line(step, CS_LINE_TELL);
}

static int step_reopen(cs_planning_t *pl)
{
    cs_step_t *step;

    if (!pl->reopen) {
        return -1;
    }
    step = add_step(pl, CS_STEP_REOPEN, cs_json_own(json_deep_copy(pl->reopen_set), pl->p),
                    pl->state->why);
    step->guard = pl->look->record->version;
    name_line(step, CS_LINE_STATE);
    return pl->plan->steps->nelts - 1;
}

static int step_update(cs_planning_t *pl, int after)
{
    json_t *columns = cs_json_own(json_object(), pl->p), *told = cs_json_own(json_object(), pl->p);
    json_t *start = cs_json_own(json_object(), pl->p), *parts = cs_json_own(json_object(), pl->p);
    apr_array_header_t *names = apr_array_make(pl->p, 4, sizeof(const char *));
    const char *why = "only what the seller reads";
    cs_step_t *step;
    int i;

    if (!cs_planning_writable(pl)) {
        return after;
    }
    add_lines(pl, columns, names, parts);
    cs_list_columns(pl, columns, names, parts);
    if (names->nelts) {
        why = apr_psprintf(pl->p, "%d field%s changed at Partner Center", names->nelts,
                           names->nelts == 1 ? "" : "s");
    }
    if (pl->first) {
        add_start(pl, start);
        merge(columns, start);
    }
    if (pl->state_set) {
        merge(columns, pl->state_set);
        why = pl->state->why;
    }
    cs_tell_columns(pl, told, columns);
    if (!json_object_size(columns) && !json_object_size(told)) {
        return after;
    }
    merge(columns, told);
    step = add_step(pl, CS_STEP_UPDATE, columns, why);
    put_parts(pl, step, parts, start, told);
    step->travels = cs_tell_travels(pl, columns);
    step->guard = pl->look->record->version;
    step->after = after;
    for (i = 0; i < names->nelts; i++) {
        name_line(step, APR_ARRAY_IDX(names, i, const char *));
    }
    if (pl->state_set) {
        name_line(step, CS_LINE_STATE);
    }
    if (json_object_size(told)) {
        name_line(step, CS_LINE_TELL);
    }
    return pl->plan->steps->nelts - 1;
}

static void step_call(cs_planning_t *pl, int after)
{
    cs_step_t *step;

    if (!pl->call) {
        return;
    }
    step = add_step(pl, CS_STEP_CALL, cs_json_own(json_deep_copy(pl->call_set), pl->p),
                    pl->state->why);
    step->call = pl->call;
    step->after = after;
    name_line(step, CS_LINE_STATE);
}

/* ---- plan: steps towards Partner Center, shown only ---- */

static cs_step_t *patch_step(cs_planning_t *pl, const char *why)
{
    cs_step_t *step = add_step(pl, CS_STEP_PATCH_PC, cs_json_own(json_array(), pl->p), why);

    step->table = NULL;
    step->id = pl->look->own->id;
    step->guard = pl->look->own->etag;
    return step;
}

static void replace(json_t *ops, const char *path, const char *value)
{
    json_array_append_new(
        ops, json_pack("{s:s,s:s,s:s}", "op", "replace", "path", path, "value", value));
}

static void add_move(cs_planning_t *pl, cs_step_t *step, const char *state)
{
    const char *slash = strchr(state, '/');

    replace(step->columns, "/status", apr_pstrmemdup(pl->p, state, (apr_size_t)(slash - state)));
    replace(step->columns, "/substatus", slash + 1);
    if (pl->heard->reason && cs_state_is_terminal(state) && strcmp(state, "Closed/Won")) {
        replace(step->columns, "/statusReason", pl->heard->reason);
    }
    name_line(step, CS_LINE_STATE);
}

static const char values_why[] = "the record's values, not sent by this version";

/* A referral is accepted before it is edited; final values and the closing travel together. */
static void steps_to_pc(cs_planning_t *pl)
{
    json_t *arrays = cs_json_own(json_array(), pl->p);
    apr_array_header_t *items = apr_array_make(pl->p, 4, sizeof(const char *));
    cs_step_t *step = NULL;
    int actions = pl->heard ? pl->heard->actions->nelts : 0, i, after = -1;

    for (i = 0; i + 1 < actions; i++) {
        step = patch_step(pl, pl->state->why);
        step->after = after;
        add_move(pl, step,
                 cs_state_after_action(APR_ARRAY_IDX(pl->heard->actions, i, const char *)));
        after = pl->plan->steps->nelts - 1;
    }
    step = NULL;
    for (i = 0; i < pl->kind->lines->nelts; i++) {
        const cs_line_view_t *view = view_at(pl, i);

        if (view->to_pc) {
            step = step ? step : patch_step(pl, values_why);
            cs_line_operations(step->columns, line_at(pl, i), &pl->table, view->value, pl->doc,
                               pl->p);
            name_line(step, view->line);
        }
    }
    cs_list_operations(pl, arrays, items);
    if (items->nelts) {
        step = step ? step : patch_step(pl, values_why);
        json_array_extend(step->columns, arrays);
        apr_array_cat(step->lines, items);
    }
    if (actions) {
        step = step ? step : patch_step(pl, pl->state->why);
        add_move(
            pl, step,
            cs_state_after_action(APR_ARRAY_IDX(pl->heard->actions, actions - 1, const char *)));
        step->why = pl->state->why;
    }
    if (step) {
        step->after = after;
    }
}

static void plan_steps(cs_planning_t *pl)
{
    int first = -1, last = -1;

    if (pl->creating) {
        step_create(pl);
        first = last = pl->plan->steps->nelts - 1;
    }
    else {
        first = step_reopen(pl);
        last = step_update(pl, first);
    }
    /* Rows that belong to the record need it to be there and open, and nothing else of it. */
    cs_list_steps(pl, first);
    step_call(pl, last);
    steps_to_pc(pl);
}

/* ---- plan: summing up ---- */

static int count_sent(const cs_plan_t *plan)
{
    int n = 0, i;

    for (i = 0; i < plan->steps->nelts; i++) {
        n += APR_ARRAY_IDX(plan->steps, i, cs_step_t *)->send;
    }
    return n;
}

static int is_held(const cs_plan_t *plan)
{
    int i;

    for (i = 0; i < plan->lines->nelts; i++) {
        if (APR_ARRAY_IDX(plan->lines, i, cs_line_view_t *)->verdict == CS_VERDICT_HELD) {
            return 1;
        }
    }
    return 0;
}

static const cs_line_view_t *view_of(const cs_plan_t *plan, const char *line)
{
    int i;

    for (i = 0; i < plan->lines->nelts; i++) {
        const cs_line_view_t *view = APR_ARRAY_IDX(plan->lines, i, cs_line_view_t *);

        if (!strcmp(view->line, line)) {
            return view;
        }
    }
    return NULL;
}

static json_t *intent_of(const cs_planning_t *pl, const cs_step_t *step)
{
    json_t *lines = json_object();
    int i;

    for (i = 0; i < step->lines->nelts; i++) {
        const cs_line_view_t *view = view_of(pl->plan, APR_ARRAY_IDX(step->lines, i, const char *));

        if (view && view->value) {
            json_object_set_new(lines, view->line, json_deep_copy(view->value));
        }
    }
    return json_pack("{s:s,s:s?,s:s?,s:o}", "kind", cs_step_kind_name(step->kind), "table",
                     step->table, "id", step->id, "lines", lines);
}

static int holds(const json_t *steps, const json_t *step)
{
    size_t i;

    for (i = 0; i < json_array_size(steps); i++) {
        if (json_equal(json_array_get(steps, i), step)) {
            return 1;
        }
    }
    return 0;
}

/* What earlier looks meant and never heard of may stand in the row, too: it is known as ours until
 * something is settled. */
static void add_earlier(json_t *steps, const cs_deal_t *deal)
{
    const json_t *earlier = cs_json_get(deal->intent, "steps");
    size_t i;

    for (i = 0; i < json_array_size(earlier); i++) {
        json_t *step = json_array_get(earlier, i);

        if (!holds(steps, step) && (json_array_size(steps) < INTENT_STEPS || is_create(step))) {
            json_array_append_new(steps, json_deep_copy(step));
        }
    }
}

static void plan_intent(cs_planning_t *pl)
{
    json_t *steps;
    int i;

    if (!count_sent(pl->plan)) {
        return;
    }
    steps = json_array();
    for (i = 0; i < pl->plan->steps->nelts; i++) {
        const cs_step_t *step = APR_ARRAY_IDX(pl->plan->steps, i, cs_step_t *);

        if (step->send) {
            json_array_append_new(steps, intent_of(pl, step));
        }
    }
    add_earlier(steps, pl->look->deal);
    pl->plan->intent = cs_json_own(json_pack("{s:o}", "steps", steps), pl->p);
}

/* Values are written, and each of them only because the mapping changed. */
static int is_bulk(const cs_planning_t *pl)
{
    int written = 0, i;

    for (i = 0; i < pl->kind->lines->nelts; i++) {
        const cs_line_view_t *view = view_at(pl, i);

        if (view->to_crm && !view->bulk) {
            return 0;
        }
        written |= view->to_crm;
    }
    return written && !pl->state_set && !pl->call;
}

static void decide(cs_planning_t *pl)
{
    cs_plan_t *plan = pl->plan;
    int sent = count_sent(plan);

    plan->crm_writes = sent && is_bulk(pl);
    plan->state_after = pl->unlink     ? CS_DEAL_UNLINKED
                        : pl->terminal ? CS_DEAL_CLOSED
                                       : CS_DEAL_LINKED;
    if (sent) {
        plan->what = CS_PLAN_STEPS;
        plan->why = APR_ARRAY_IDX(plan->steps, sent - 1, cs_step_t *)->why;
    }
    else if (is_held(plan)) {
        plan->what = CS_PLAN_HOLD;
        plan->why = plan->problem ? plan->problem : "a value waits";
    }
    else {
        plan->what = CS_PLAN_NOTHING;
        plan->why = plan->problem ? plan->problem : "both sides are as the rules want them";
    }
}

static void put(json_t *to, const char *name, const json_t *value)
{
    if (value) {
        json_object_set_new(to, name, json_deep_copy(value));
    }
}

static json_t *explain_view(const cs_line_view_t *view)
{
    json_t *out = json_pack("{s:s,s:s,s:s*}", "line", view->line, "verdict",
                            cs_verdict_name(view->verdict), "why", view->why);

    put(out, "pc", view->pc);
    put(out, "crm", view->crm);
    put(out, "seen_pc", view->seen_pc);
    put(out, "seen_crm", view->seen_crm);
    put(out, "value", view->value);
    return out;
}

static json_t *explain_step(const cs_step_t *step)
{
    json_t *lines = json_array();
    int i;

    for (i = 0; i < step->lines->nelts; i++) {
        json_array_append_new(lines, json_string(APR_ARRAY_IDX(step->lines, i, const char *)));
    }
    return json_pack("{s:s,s:b,s:s*,s:s*,s:s*,s:s*,s:o,s:o,s:i,s:s*}", "kind",
                     cs_step_kind_name(step->kind), "send", step->send, "table", step->table, "id",
                     step->id, "guard", step->guard, "call", step->call, "columns",
                     json_deep_copy(step->columns), "lines", lines, "after", step->after, "why",
                     step->why);
}

static void explain(cs_plan_t *plan, const cs_look_t *look, apr_pool_t *p)
{
    json_t *lines = json_array(), *steps = json_array();
    int i;

    for (i = 0; i < plan->lines->nelts; i++) {
        json_array_append_new(lines, explain_view(APR_ARRAY_IDX(plan->lines, i, cs_line_view_t *)));
    }
    for (i = 0; i < plan->steps->nelts; i++) {
        json_array_append_new(steps, explain_step(APR_ARRAY_IDX(plan->steps, i, cs_step_t *)));
    }
    plan->explain = cs_json_own(
        json_pack("{s:s,s:s,s:s,s:s*,s:s*,s:s*,s:s*,s:o,s:o}", "what", plan_name(plan->what), "why",
                  plan->why, "state", cs_deal_state_name(plan->state_after), "status", plan->status,
                  "problem", plan->problem, "partner_center",
                  look->own ? cs_state_of_card(look->own, p) : NULL, "mapping",
                  cs_mapping_revision(look->mapping), "lines", lines, "steps", steps),
        p);
}

/* ---- plan: what may be compared at all ---- */

/* Nothing is compared: images, state and what was told stay as they are. */
static void stop(cs_plan_t *plan, const cs_look_t *look, cs_plan_e what, cs_deal_state_e state,
                 const char *why)
{
    plan->what = what;
    plan->state_after = state;
    plan->why = why;
    plan->status = look->deal->status;
    plan->problem = look->deal->problem;
    plan->told = look->deal->told;
}

static void park(cs_plan_t *plan, const cs_look_t *look, const char *why)
{
    stop(plan, look, CS_PLAN_PARK, CS_DEAL_PARKED, why);
    plan->status = "Needs you";
    plan->problem = why;
}

/* The row was seen. A new deal may have images without one: of a line that waits, when its create
 * was refused. */
static int was_settled(const cs_deal_t *deal)
{
    return deal->state == CS_DEAL_LINKED || deal->state == CS_DEAL_CLOSED ||
           (deal->state != CS_DEAL_NEW && json_object_size(deal->images) > 0);
}

static const char *candidates_words(const cs_planning_t *pl)
{
    const json_t *candidates = pl->look->candidates;
    const char *column = pl->kind->tell.id, *names = "";
    size_t i, n = json_array_size(candidates);

    for (i = 0; i < n && i < CANDIDATES_NAMED; i++) {
        const json_t *row = json_array_get(candidates, i);
        const char *name = cs_json_str(row, "name");

        names = apr_psprintf(pl->p, "%s%s%s (%s)", names, i ? ", " : "", name ? name : "no name",
                             cs_json_str(row, "id"));
    }
    return apr_psprintf(
        pl->p,
        "%" APR_SIZE_T_FMT
        " existing record%s could be this deal's: %s%s; write %s into %s of the right one",
        n, n == 1 ? "" : "s", names, n > CANDIDATES_NAMED ? " ..." : "", pl->look->own->id,
        column ? cs_column_label(pl->look->metadata, pl->kind->table, column) : "it");
}

int cs_deal_arrived(const cs_deal_t *deal)
{
    const char *rest = cs_image_rest(deal, CS_LINE_STATE);

    return json_object_size(deal->images) == 1 && rest && !strcmp(rest, CS_REST_QUALIFIED);
}

/* 1 when the plan is made already. */
static int stop_without_row(cs_planning_t *pl)
{
    const cs_look_t *look = pl->look;
    const cs_deal_t *deal = look->deal;
    int derived =
        !deal->record_id ||
        !strcmp(deal->record_id, derived_id(look, look->own->id, pl->kind->table, pl->ptemp));

    if (deal->state == CS_DEAL_GONE) {
        stop(pl->plan, look, CS_PLAN_NOTHING, CS_DEAL_GONE,
             "the record was deleted in the CRM; it is never made again");
    }
    else if (was_settled(deal) && look->record_read) {
        stop(pl->plan, look, CS_PLAN_GONE, CS_DEAL_GONE, "the record was deleted in the CRM");
    }
    else if ((was_settled(deal) || !derived) && !look->record_read) {
        stop(pl->plan, look, CS_PLAN_HOLD, deal->state, "the record was not read");
    }
    else if (!derived) {
        park(pl->plan, look,
             apr_psprintf(pl->p, "externalReferenceId names the record %s, which does not exist",
                          deal->record_id));
    }
    else if (json_array_size(look->candidates) && !cs_intent_creates(deal)) {
        park(pl->plan, look, candidates_words(pl));
    }
    else if (pl->terminal) {
        stop(pl->plan, look, CS_PLAN_NOTHING, CS_DEAL_IGNORED,
             apr_psprintf(pl->p, "%s before a record was made", pl->pc_now));
    }
    else {
        return 0;
    }
    return 1;
}

/* A lead that was qualified: the deal goes on with what it became. (deals 4) */
static int became_another(cs_planning_t *pl)
{
    const cs_becomes_t *becomes = pl->kind->becomes;
    const cs_mapping_kind_t *kind =
        becomes ? cs_mapping_kind(pl->look->mapping, becomes->record) : NULL;
    const json_t *via =
        kind && becomes->via && becomes->via->text ? cs_column_get(becomes->via, pl->row) : NULL;
    const char *id = cs_json_str(via, "id");

    if (!id || cs_state_of_row(pl->kind, pl->row) != 1) {
        return 0;
    }
    stop(pl->plan, pl->look, CS_PLAN_NOTHING, CS_DEAL_LINKED,
         apr_psprintf(pl->p, "the %s was qualified: the deal goes on with the %s %s",
                      pl->kind->name, kind->name, id));
    pl->plan->status = pl->plan->problem = NULL; /* of the lead */
    pl->plan->moved_kind = kind->name;
    pl->plan->moved_table = kind->table;
    pl->plan->moved_id = apr_pstrdup(pl->p, id);
    return 1;
}

static int stop_with_row(cs_planning_t *pl)
{
    const cs_look_t *look = pl->look;
    const char *column = pl->kind->tell.id;
    const char *theirs = column ? cs_json_str(look->record->row, column) : NULL;
    const cs_cond_world_t world = {pl->doc, look->record->row, NULL};

    if (pl->first && theirs && *theirs && strcasecmp(theirs, look->own->id)) {
        park(pl->plan, look,
             apr_psprintf(pl->p, "the record %s is already linked to the referral %s",
                          look->record->id, theirs));
        return 1;
    }
    if (became_another(pl)) {
        return 1;
    }
    if (!pl->first && pl->kind->pauses && pl->kind->opt_in &&
        cs_cond_holds(pl->kind->opt_in, &world) == 0) {
        stop(pl->plan, look, CS_PLAN_HOLD, look->deal->state,
             "switched off in the CRM: nothing is copied, and Partner Center still has the deal");
        pl->plan->status = "Paused";
        pl->plan->problem = pl->plan->why;
        return 1;
    }
    return 0;
}

static int stop_by_state(cs_plan_t *plan, const cs_look_t *look)
{
    const cs_deal_t *deal = look->deal;

    switch (deal->state) {
    case CS_DEAL_LEAD:
        stop(plan, look, CS_PLAN_NOTHING, CS_DEAL_LEAD, "lead, not synchronised yet");
        return 1;
    case CS_DEAL_IGNORED:
        stop(plan, look, CS_PLAN_NOTHING, CS_DEAL_IGNORED, "this referral does not belong here");
        return 1;
    case CS_DEAL_UNLINKED:
        stop(plan, look, CS_PLAN_NOTHING, CS_DEAL_UNLINKED,
             "closed as Error at Partner Center; the record lives on alone");
        return 1;
    default:
        break;
    }
    if (!look->own) {
        stop(plan, look, CS_PLAN_GONE, CS_DEAL_GONE, "the referral is no longer at Partner Center");
        return 1;
    }
    return 0;
}

/* ---- plan ---- */

/* A row that is about to be made: every column empty, but for the constants it starts with. */
static json_t *start_row(cs_planning_t *pl)
{
    json_t *row = cs_json_own(json_object(), pl->p);
    int i;

    for (i = 0; i < pl->kind->columns->nelts; i++) {
        const char *column = APR_ARRAY_IDX(pl->kind->columns, i, const char *);

        json_object_set_new(row, apr_pstrmemdup(pl->p, column, strcspn(column, "/")), json_null());
    }
    cs_set_apply(row, pl->kind->from_pc_set, pl->doc, pl->p);
    return row;
}

static void see_row(cs_planning_t *pl)
{
    const cs_look_t *look = pl->look;

    pl->creating = !look->record;
    pl->first = look->record && !cs_intent_creates(look->deal) &&
                (!was_settled(look->deal) || cs_deal_arrived(look->deal));
    pl->record_id = look->record ? look->record->id
                    : look->deal->record_id
                        ? look->deal->record_id
                        : derived_id(look, look->own->id, pl->kind->table, pl->p);
    pl->row = pl->creating ? start_row(pl)
                           : cs_row_unmarked(pl->kind, look->record->row, &pl->marked, pl->p);
    pl->table.name = pl->kind->table;
    pl->table.metadata = look->metadata;
    pl->table.row = pl->creating ? NULL : pl->row;
    pl->row_state = pl->creating ? 0 : cs_state_of_row(pl->kind, pl->row);
    pl->world.doc = pl->doc;
    pl->world.row = pl->row;
    pl->world.kind = cs_referral_kind(look->own, look->microsoft, look->others, look->organization);
    pl->pc_was = look->deal->pc_status;
    if (!pl->pc_was && look->record && !pl->first) {
        /* What the row was made to show; a later state may have been meant and never written. */
        pl->pc_was = json_string_value(
            cs_json_get(cs_json_get(intended_create(look->deal), "lines"), CS_LINE_STATE));
    }
}

static void compare(cs_planning_t *pl)
{
    int i;

    cs_plan_state(pl);
    for (i = 0; i < pl->kind->lines->nelts; i++) {
        cs_line_view_t *view = apr_pcalloc(pl->p, sizeof(*view));

        cs_plan_line(pl, line_at(pl, i), view);
        APR_ARRAY_PUSH(pl->plan->lines, cs_line_view_t *) = view;
    }
    cs_plan_groups(pl);
    cs_plan_lists(pl);
    APR_ARRAY_PUSH(pl->plan->lines, cs_line_view_t *) = pl->state;
    cs_plan_tell(pl);
    plan_steps(pl);
    decide(pl);
    plan_intent(pl);
}

apr_status_t cs_reconcile_plan(cs_plan_t **pplan, const cs_look_t *look, apr_pool_t *p,
                               apr_pool_t *ptemp, cs_result_t *res)
{
    cs_planning_t pl = {.look = look, .p = p, .ptemp = ptemp};
    cs_plan_t *plan = pl.plan = apr_pcalloc(p, sizeof(*plan));
    int lead = 0;

    plan->steps = apr_array_make(p, 4, sizeof(cs_step_t *));
    plan->lines = apr_array_make(p, 16, sizeof(cs_line_view_t *));
    *pplan = plan;
    if (!stop_by_state(plan, look)) {
        pl.kind = look->deal->kind ? cs_mapping_kind(look->mapping, look->deal->kind)
                                   : cs_mapping_route(look->mapping, look->own, look->microsoft,
                                                      look->organization, &lead, ptemp);
        if (!pl.kind) {
            *pplan = NULL;
            return cs_result_set(res, p, APR_EINVAL, CS_CLASS_REFUSED, "mapping:kind",
                                 "the mapping has no record kind \"%s\"",
                                 look->deal->kind ? look->deal->kind : "for this referral");
        }
        pl.doc = cs_doc_of_look(look, p);
        pl.pc_now = cs_state_of_card(look->own, p);
        pl.terminal = cs_state_is_terminal(pl.pc_now);
        see_row(&pl);
        if (!(look->record ? stop_with_row(&pl) : stop_without_row(&pl))) {
            compare(&pl);
        }
    }
    explain(plan, look, p);
    return APR_SUCCESS;
}
