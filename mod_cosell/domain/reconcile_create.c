/* domain/reconcile_create.c: a record that has no referral yet, and a deal that Microsoft is to be
 * asked into. (deals 3)
 *
 * A referral is made when the record is ready and nobody writes in it any more. POST is not
 * idempotent: what was sent and not answered is looked for, three times, before it is sent again;
 * what was refused is sent again only when it has become something else.
 */
#include <apr_strings.h>
#include <string.h>

#include "../base/time.h"
#include "create_internal.h"

#define SHARE_PATH "/consent/consentToShareReferralWithMicrosoftSellers"

#define ELSEWHERE "this deal is shared with another partner; Microsoft is asked in Partner Center"

#define ECHO apr_time_from_sec(5 * 60)

static const apr_interval_time_t searches[] = {
    apr_time_from_sec(5 * 60), apr_time_from_sec(15 * 60), apr_time_from_sec(60 * 60)};
#define SEARCHES ((int)(sizeof(searches) / sizeof(searches[0])))

/* ---- what was posted ---- */

static const json_t *posted(const cs_planning_t *pl, const cs_making_t *m)
{
    return cs_json_get(pl->look->deal->posted, m->connected ? CS_CALL_CONNECTED : CS_CALL_OWN);
}

static int posted_is(const json_t *state, const char *word)
{
    const char *now = cs_json_str(state, "state");

    return now && !strcmp(now, word);
}

/* Sent, and no answer came: looked for at 5, 15 and 60 minutes. 1 = that goes on. */
static int search_on(cs_planning_t *pl, cs_making_t *m)
{
    const json_t *state = posted(pl, m);
    apr_int64_t tries = cs_json_int(state, "tries", 0);

    if (!posted_is(state, CS_POSTED_SENT) || tries < 0 || tries >= SEARCHES) {
        return 0;
    }
    m->due = (apr_time_t)cs_json_int(state, "at", 0) + searches[tries];
    m->what = pl->look->now < m->due ? CS_MAKING_AWAITS : CS_MAKING_FIND;
    return 1;
}

/* A notice that may be no more than the echo of what the seller was told about it. */
static int is_echo(const cs_planning_t *pl, const json_t *state)
{
    apr_time_t at = (apr_time_t)cs_json_int(state, "at", 0);

    return !pl->look->edited && pl->look->now - at < ECHO;
}

/* Refused, and it would be the same again. A notice wakes it for good, though it may have to wait
 * until nobody writes any more. */
static int still_refused(cs_planning_t *pl, cs_making_t *m)
{
    const json_t *state = posted(pl, m);
    const char *digest = cs_json_str(state, "digest"), *mapping = cs_json_str(state, "mapping");

    if (!posted_is(state, CS_POSTED_REFUSED) || !digest || !mapping || strcmp(digest, m->digest) ||
        strcmp(mapping, cs_mapping_digest(pl->look->mapping))) {
        return 0;
    }
    if (pl->look->notified && !is_echo(pl, state)) {
        if (pl->plan->posted) {
            json_object_set_new(pl->plan->posted, "woken", json_true());
        }
        return 0;
    }
    m->what = CS_MAKING_REFUSED;
    m->why = cs_json_str(state, "why") ? cs_json_str(state, "why") : "no reason was given";
    return 1;
}

/* ---- a record without a referral ---- */

static void see_record(cs_planning_t *pl)
{
    const cs_record_t *record = pl->look->record;

    pl->record_id = record->id;
    pl->row = cs_row_unmarked(pl->kind, record->row, &pl->marked, pl->p);
    pl->table.name = pl->kind->table;
    pl->table.metadata = pl->look->metadata;
    pl->table.row = pl->row;
    pl->row_state = cs_state_of_row(pl->kind, pl->row);
    pl->doc = cs_json_own(json_object(), pl->p);
    pl->world.doc = pl->doc;
    pl->world.row = pl->row;
    pl->lists = apr_array_make(pl->p, 1, sizeof(cs_listing_t *));
}

/* When the record was last edited by somebody else than us: what we tell moves its clock, too. A
 * document that changed without the row did so now. */
static apr_time_t edited_at(const cs_planning_t *pl, const cs_making_t *m)
{
    const cs_look_t *look = pl->look;
    apr_time_t was = (apr_time_t)cs_json_int(look->deal->posted, "edited", 0);
    apr_time_t modified = look->record->modified;
    const char *digest = cs_json_str(look->deal->posted, "digest");

    if (modified <= 0 || modified > look->now) {
        modified = look->now;
    }
    if (!was || look->edited) {
        return modified > was ? modified : was;
    }
    return digest && strcmp(digest, m->digest) ? look->now : was;
}

static void not_now(cs_making_t *m, cs_making_e what, const char *why)
{
    m->what = what;
    m->why = why;
}

/* 1 = there is nothing to be made of it, or not now. */
static int is_shut(cs_planning_t *pl, cs_making_t *m)
{
    int holds = cs_cond_holds(pl->kind->from_crm_when, &pl->world);

    if (holds < 0 || pl->row_state < 0) {
        not_now(m, CS_MAKING_NOT, "the CRM did not show whether the record asks for a referral");
    }
    else if (!holds || !pl->kind->from_crm_when) {
        not_now(m, CS_MAKING_PAUSED,
                pl->kind->from_crm_when
                    ? apr_psprintf(pl->p, "a referral is made of it only when %s",
                                   pl->kind->from_crm_when->text)
                    : "records of this kind become no referral");
    }
    else if (pl->row_state > 0) {
        not_now(m, CS_MAKING_NOT, "the record is closed in the CRM: no referral is made of it");
    }
    else {
        m->word = cs_create_word(pl);
        if (m->word) {
            return 0;
        }
        not_now(m, CS_MAKING_NOT, "the CRM did not show which kind of referral is asked for");
    }
    return 1;
}

static void remember(cs_planning_t *pl, const cs_making_t *m, apr_time_t edited)
{
    json_object_set_new(pl->plan->posted, "edited", json_integer((json_int_t)edited));
    json_object_set_new(pl->plan->posted, "digest", json_string(m->digest));
}

/* The document as the record is now; 0 = there is none. */
static int draw_up(cs_planning_t *pl, cs_making_t *m, apr_time_t *pedited)
{
    if (is_shut(pl, m)) {
        return 0;
    }
    pl->world.kind = m->word;
    cs_create_document(pl, m);
    *pedited = edited_at(pl, m);
    remember(pl, m, *pedited);
    return 1;
}

static void decide(cs_planning_t *pl, cs_making_t *m)
{
    apr_time_t edited = 0;
    cs_making_t search = *m;

    if (search_on(pl, &search)) {
        /* What was edited since it was sent is known when it is found. */
        draw_up(pl, m, &edited);
        m->what = search.what;
        m->due = search.due;
        return;
    }
    if (!draw_up(pl, m, &edited)) {
        return;
    }
    if (m->lacks->nelts) {
        m->what = CS_MAKING_WAITS;
    }
    else if (!still_refused(pl, m)) {
        m->due = edited + pl->kind->quiet;
        m->what = pl->look->now < m->due ? CS_MAKING_QUIET : CS_MAKING_POST;
    }
}

static cs_step_t *add_step(cs_planning_t *pl, cs_step_kind_e kind, const char *call,
                           json_t *columns, const char *why)
{
    cs_step_t *step = cs_planning_step(pl, kind, columns, why);

    step->call = call;
    return step;
}

/* What the seller reads, alone. */
static void add_tell_step(cs_planning_t *pl)
{
    json_t *columns = cs_json_own(json_object(), pl->p), *value;
    const char *column;
    cs_step_t *step;

    if (!cs_planning_writable(pl)) {
        return;
    }
    cs_tell_columns(pl, columns, columns);
    if (!json_object_size(columns)) {
        return;
    }
    step = add_step(pl, CS_STEP_UPDATE, NULL, columns, "only what the seller reads");
    step->table = pl->kind->table;
    step->id = pl->record_id;
    step->guard = pl->look->record->version;
    step->parts = cs_json_own(json_object(), pl->p);
    json_object_foreach(columns, column, value) {
        json_object_set_new(step->parts, apr_pstrcat(pl->ptemp, CS_LINE_TELL "/", column, NULL),
                            json_pack("[s]", column));
    }
    APR_ARRAY_PUSH(step->lines, const char *) = CS_LINE_TELL;
}

static void add_post_step(cs_planning_t *pl, const cs_making_t *m)
{
    const char *call = m->what != CS_MAKING_FIND ? CS_CALL_OWN : CS_CALL_FIND;
    json_t *reference =
        cs_json_own(json_pack("{s:s}", "externalReferenceId", pl->record_id), pl->p);
    cs_step_t *step =
        add_step(pl, CS_STEP_POST_PC, call, m->what == CS_MAKING_FIND ? reference : m->doc,
                 m->what == CS_MAKING_FIND
                     ? "sent and not answered: looked for at Partner Center"
                     : apr_psprintf(pl->p, "the record becomes a referral (%s)", m->word));

    step->id = pl->record_id;
    if (m->lines) {
        step->lines = m->lines;
    }
}

/* Nothing is told: the next look, right after this one, knows more. */
static void keep_told(cs_planning_t *pl)
{
    pl->plan->status = pl->look->deal->status;
    pl->plan->problem = pl->look->deal->problem;
    pl->plan->told = pl->look->deal->told;
}

static void make(cs_planning_t *pl, cs_making_t *m)
{
    cs_plan_t *plan = pl->plan;

    plan->state_after = CS_DEAL_NEW;
    if (m->what == CS_MAKING_POST || m->what == CS_MAKING_FIND) {
        add_post_step(pl, m);
        keep_told(pl);
        plan->state_after = m->what == CS_MAKING_POST ? CS_DEAL_LINKED : CS_DEAL_NEW;
        plan->why = APR_ARRAY_IDX(plan->steps, 0, cs_step_t *)->why;
    }
    else if (m->what == CS_MAKING_NOT || (m->what == CS_MAKING_PAUSED && !pl->look->deal->status)) {
        keep_told(pl);
        plan->problem = m->why;
        plan->why = m->why;
        cs_plan_no_causes(plan, pl->p);
    }
    else {
        cs_plan_tell(pl);
        add_tell_step(pl);
        plan->why = plan->problem;
    }
    if (m->what == CS_MAKING_QUIET || m->what == CS_MAKING_AWAITS) {
        plan->look_at = m->due;
    }
    plan->what = plan->steps->nelts ? CS_PLAN_STEPS : CS_PLAN_HOLD;
    cs_plan_intent(pl);
}

static void gone(cs_planning_t *pl)
{
    const cs_look_t *look = pl->look;
    cs_plan_t *plan = pl->plan;
    int known = look->record_read || look->deal->state == CS_DEAL_GONE;

    keep_told(pl);
    plan->posted = NULL;
    plan->state_after = known ? CS_DEAL_GONE : look->deal->state;
    plan->what = !known                              ? CS_PLAN_HOLD
                 : look->deal->state == CS_DEAL_GONE ? CS_PLAN_NOTHING
                                                     : CS_PLAN_GONE;
    plan->why = known ? "the record was deleted in the CRM before it became a referral"
                      : "the record was not read";
    if (known) {
        plan->status = "Gone";
        plan->problem = plan->why;
    }
}

void cs_plan_create(cs_planning_t *pl)
{
    const json_t *was = pl->look->deal->posted;
    cs_making_t *m = pl->making = apr_pcalloc(pl->p, sizeof(*m));

    if (!pl->look->record) {
        gone(pl);
        return;
    }
    pl->plan->posted =
        cs_json_own(json_is_object(was) ? json_deep_copy(was) : json_object(), pl->p);
    see_record(pl);
    m->doc = (json_t *)pl->doc;
    decide(pl, m);
    make(pl, m);
}

/* ---- Microsoft is asked in ---- */

static int rank(const char *word)
{
    static const char *const ranks[] = {"private", "partner-led", "co-sell", NULL};
    int i;

    for (i = 0; ranks[i]; i++) {
        if (!strcmp(ranks[i], word)) {
            return i;
        }
    }
    return -1;
}

static int is_ours(const cs_planning_t *pl)
{
    return cs_json_get(pl->look->deal->posted, CS_CALL_OWN) != NULL;
}

static int is_invite(const cs_line_t *line)
{
    return line->pc && line->pc->root == CS_ROOT_INVITE;
}

void cs_plan_invited(cs_planning_t *pl, const cs_line_t *line, cs_line_view_t *view)
{
    int open =
        !pl->look->microsoft && rank(pl->world.kind) >= 0 && strcmp(pl->world.kind, "co-sell");

    if (!is_invite(line) || !view->to_pc) {
        return;
    }
    if (view->verdict == CS_VERDICT_LATCHED) {
        cs_view_take(view, CS_VERDICT_LATCHED, CS_REST_LATCHED,
                     "was said when Microsoft was invited, and is not said again");
    }
    else if (!strcmp(pl->world.kind, "p2p")) {
        cs_view_judge(view, CS_VERDICT_STAYS, ELSEWHERE);
    }
    else if (!open) {
        cs_view_take(view, CS_VERDICT_ONE_WAY, CS_REST_ONE_WAY,
                     "was said when Microsoft was invited, and cannot change");
    }
    else if (!is_ours(pl) && !view->seen_crm) {
        /* Nobody asks Microsoft by meeting a record. */
        cs_view_take(view, CS_VERDICT_SKIPPED, CS_REST_INTRODUCED,
                     "differed when first compared; the next edit on either side decides");
    }
    else {
        view->to_pc = 0;
        view->why = "said to Microsoft when it is invited";
    }
}

/* Somebody has just asked for help, or the referral was made of a record that did. */
static int is_asked(const cs_planning_t *pl)
{
    int i;

    for (i = 0; i < pl->kind->lines->nelts; i++) {
        const cs_line_t *line = APR_ARRAY_IDX(pl->kind->lines, i, cs_line_t *);
        const cs_line_view_t *view = APR_ARRAY_IDX(pl->plan->lines, i, cs_line_view_t *);

        if (is_invite(line) && view->verdict == CS_VERDICT_TO_PC) {
            return 1;
        }
    }
    return is_ours(pl) || cs_json_get(pl->look->deal->posted, CS_CALL_CONNECTED) != NULL;
}

/* Both sides are open, and the record asks for what there is not. */
static int may_connect(const cs_planning_t *pl)
{
    return !pl->creating && !pl->unlink && !pl->terminal && pl->row_state == 0 &&
           !strncmp(pl->pc_now, "Active", 6) && pl->look->own->engagement_id &&
           pl->state->verdict != CS_VERDICT_TO_PC && pl->state->verdict != CS_VERDICT_TO_CRM &&
           cs_cond_holds(pl->kind->from_crm_when, &pl->world) == 1 && pl->kind->from_crm_when &&
           pl->kind->asked_kinds->nelts && is_asked(pl);
}

/* A line brings it already. */
static int line_shares(const cs_planning_t *pl)
{
    int i;

    for (i = 0; i < pl->kind->lines->nelts; i++) {
        const cs_line_t *line = APR_ARRAY_IDX(pl->kind->lines, i, cs_line_t *);

        if (APR_ARRAY_IDX(pl->plan->lines, i, cs_line_view_t *)->to_pc && line->pc &&
            line->pc->root == CS_ROOT_OWN && !strcmp(line->pc->bare, SHARE_PATH)) {
            return 1;
        }
    }
    return 0;
}

static void decide_connected(cs_planning_t *pl, cs_making_t *m)
{
    m->connected = 1;
    if (search_on(pl, m)) {
        m->doc =
            cs_json_own(json_pack("{s:s}", "engagementId", pl->look->own->engagement_id), pl->p);
        return;
    }
    if (posted_is(posted(pl, m), CS_POSTED_DONE)) {
        return; /* it is there, and not shown yet */
    }
    cs_create_connected(pl, m);
    if (m->lacks->nelts) {
        m->what = CS_MAKING_WAITS;
    }
    else if (!still_refused(pl, m)) {
        m->what = CS_MAKING_POST;
    }
}

void cs_plan_connect(cs_planning_t *pl)
{
    const char *kind = pl->world.kind, *word;
    cs_making_t *m;

    if (!may_connect(pl)) {
        return;
    }
    word = cs_create_word(pl);
    if (!word || (rank(word) <= rank(kind))) {
        return;
    }
    m = apr_pcalloc(pl->p, sizeof(*m));
    m->word = word;
    if (rank(kind) < 0) {
        if (strcmp(kind, "p2p") || strcmp(word, "co-sell")) {
            return;
        }
        m->connected = 1;
        m->why = ELSEWHERE;
        pl->making = m;
        return;
    }
    pl->making = m;
    if (!strcmp(word, "co-sell")) {
        decide_connected(pl, m);
    }
    else {
        /* Nobody is invited, but Microsoft is to see it; that may have been refused, too. */
        m->digest = SHARE_PATH;
        m->connected = 1;
        m->connected = still_refused(pl, m);
    }
    m->consent = m->what != CS_MAKING_WAITS && m->what != CS_MAKING_REFUSED &&
                 !json_is_true(cs_json_pointer(pl->look->own->doc, SHARE_PATH)) && !line_shares(pl);
    if (m->what == CS_MAKING_AWAITS) {
        pl->plan->look_at =
            pl->plan->look_at && pl->plan->look_at < m->due ? pl->plan->look_at : m->due;
    }
}

static int last_patch(const cs_plan_t *plan)
{
    int last = -1, i;

    for (i = 0; i < plan->steps->nelts; i++) {
        if (APR_ARRAY_IDX(plan->steps, i, cs_step_t *)->kind == CS_STEP_PATCH_PC) {
            last = i;
        }
    }
    return last;
}

/* Microsoft cannot be invited to what it may not see. */
static void add_consent_step(cs_planning_t *pl)
{
    json_t *ops =
        cs_json_own(json_pack("[{s:s,s:s,s:b}]", "op",
                              cs_json_pointer(pl->look->own->doc, SHARE_PATH) ? "replace" : "add",
                              "path", SHARE_PATH, "value", 1),
                    pl->p);
    cs_step_t *step;
    int after = last_patch(pl->plan);

    step = add_step(pl, CS_STEP_PATCH_PC, NULL, ops, "Microsoft may see the deal");
    step->id = pl->look->own->id;
    step->guard = pl->look->own->etag;
    step->after = after;
}

void cs_plan_connect_step(cs_planning_t *pl)
{
    const cs_making_t *m = pl->making;
    cs_step_t *step;
    int i;

    if (!m) {
        return;
    }
    if (m->consent) {
        add_consent_step(pl);
    }
    if (!m->connected || (m->what != CS_MAKING_POST && m->what != CS_MAKING_FIND)) {
        return;
    }
    i = last_patch(pl->plan);
    step = add_step(pl, CS_STEP_POST_PC,
                    m->what == CS_MAKING_FIND ? CS_CALL_FIND_CONNECTED : CS_CALL_CONNECTED, m->doc,
                    m->what == CS_MAKING_FIND
                        ? "sent and not answered: looked for at Partner Center"
                        : "the record asks for Microsoft's help: Microsoft is invited");
    step->id = pl->look->own->engagement_id;
    step->after = i;
    for (i = 0; m->lines && i < m->lines->nelts; i++) {
        APR_ARRAY_PUSH(step->lines, const char *) = APR_ARRAY_IDX(m->lines, i, const char *);
    }
}
