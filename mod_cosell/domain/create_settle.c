/* domain/create_settle.c: what became of the making of a referral. (deals 3)
 *
 * The images of a new referral are taken from the answer that made it: what Partner Center kept of
 * the record's values, and the record. What it shows beyond that has no image and is met like that
 * of any referral.
 */
#include <apr_strings.h>
#include <string.h>

#include "../base/crypto.h"
#include "create_internal.h"
#include "settle_internal.h"

/* ---- what was posted ---- */

static json_t *posted_of(cs_settling_t *s)
{
    json_t *copy =
        json_is_object(s->deal->posted) ? json_deep_copy(s->deal->posted) : json_object();

    s->deal->posted = cs_json_own(copy, s->p);
    return copy;
}

static const char *digest_of(const cs_settling_t *s, const cs_step_t *step)
{
    const char *text = cs_json_print(step->columns, s->ptemp);

    return cs_sha256_hex(text, strlen(text), s->p);
}

static int is_search(const cs_step_t *step)
{
    return !strcmp(step->call, CS_CALL_FIND) || !strcmp(step->call, CS_CALL_FIND_CONNECTED);
}

static int is_refusal(const cs_result_t *result)
{
    return result->cls == CS_CLASS_DATA || result->cls == CS_CLASS_REFUSED ||
           result->cls == CS_CLASS_DUPLICATE;
}

int cs_settle_post_is_over(const cs_step_t *step, const cs_applied_t *applied)
{
    return step->kind == CS_STEP_POST_PC && applied->tried && is_refusal(&applied->result);
}

static const char *why_of(const cs_result_t *result)
{
    return result->said ? result->said : result->detail ? result->detail : "no reason was given";
}

static void set_state(json_t *to, const char *state)
{
    json_object_set_new(to, "state", json_string(state));
}

static void note_refusal(cs_settling_t *s, json_t *to, int at)
{
    set_state(to, CS_POSTED_REFUSED);
    json_object_set_new(to, "digest", json_string(digest_of(s, cs_settle_step(s, at))));
    json_object_set_new(to, "mapping", json_string(cs_mapping_digest(s->look->mapping)));
    json_object_set_new(to, "why", json_string(why_of(&s->applied[at].result)));
}

/* What is known of a POST after this look. Whoever applied it wrote down that it leaves, and counts
 * the searches. */
static void settle_posted(cs_settling_t *s, json_t *posted, int at)
{
    const cs_step_t *step = cs_settle_step(s, at);
    const cs_applied_t *applied = &s->applied[at];
    const char *name = !strcmp(step->call, CS_CALL_FIND)             ? CS_CALL_OWN
                       : !strcmp(step->call, CS_CALL_FIND_CONNECTED) ? CS_CALL_CONNECTED
                                                                     : step->call;
    json_t *to = cs_json_get(posted, name);

    if (!applied->tried) {
        return;
    }
    if (!to) {
        to = json_object();
        json_object_set_new(posted, name, to);
    }
    if (applied->done && applied->card) {
        set_state(to, CS_POSTED_DONE);
        json_object_set_new(to, "said", json_true());
        json_object_set_new(to, "id", json_string(applied->card->id));
        json_object_del(to, "why");
    }
    else if (applied->done && !is_search(step)) {
        set_state(to, CS_POSTED_DONE);
        json_object_set_new(to, "said", json_true());
    }
    else if (!is_search(step) && is_refusal(&applied->result)) {
        note_refusal(s, to, at);
    }
    else if (!is_search(step) && applied->result.cls == CS_CLASS_UNKNOWN &&
             !cs_json_get(to, "at")) {
        set_state(to, CS_POSTED_SENT);
        json_object_set_new(to, "at", json_integer((json_int_t)s->look->now));
        json_object_set_new(to, "digest", json_string(digest_of(s, step)));
    }
}

/* ---- journal ---- */

/* It stands where it stood: every notice tries it again. */
static int is_no_news(const cs_settling_t *s, const char *problem)
{
    const cs_deal_t *deal = s->look->deal;

    return problem && deal->problem && !strcmp(problem, deal->problem) && deal->status &&
           s->plan->status && !strcmp(s->plan->status, deal->status);
}

static void journal_post(cs_settling_t *s, int at)
{
    const cs_step_t *step = cs_settle_step(s, at);
    const cs_applied_t *applied = &s->applied[at];
    int connected = strstr(step->call, CS_CALL_CONNECTED) != NULL;
    const char *action = connected ? "invite" : "create";
    cs_journal_t *j;

    if (!applied->tried || (is_search(step) && !applied->card)) {
        return; /* not found: no news */
    }
    if (applied->done) {
        j = cs_settle_write_down(s, "to_pc", action, "done",
                                 is_search(step) || applied->found
                                     ? "made by an earlier attempt that was not answered"
                                     : step->why);
    }
    else if (is_refusal(&applied->result) &&
             !is_no_news(s, cs_create_refused_words(why_of(&applied->result), s->ptemp))) {
        j = cs_settle_write_down(s, "to_pc", action, "refused", why_of(&applied->result));
    }
    else {
        return; /* whoever applied it says why */
    }
    j->to = cs_settle_copy(s, step->columns);
    j->calls = applied->calls;
    j->took = applied->took;
    j->correlation = apr_pstrdup(s->p, applied->correlation);
}

static void journal_told(cs_settling_t *s, int at)
{
    cs_journal_t *j =
        cs_settle_write_down(s, "to_crm", "update", "done", cs_settle_step(s, at)->why);

    j->to = cs_settle_copy(s, cs_settle_step(s, at)->columns);
    j->calls = s->applied[at].calls;
    j->took = s->applied[at].took;
    j->correlation = apr_pstrdup(s->p, s->applied[at].correlation);
}

/* Said once, for it may last. */
static void journal_wait(cs_settling_t *s)
{
    const char *status = s->plan->status, *why = cs_json_str(s->before, "why");

    if (!status || !strcmp(status, "Sending") || s->plan->look_at ||
        (why && !strcmp(why, s->plan->why)) || is_no_news(s, s->plan->problem)) {
        return;
    }
    cs_settle_write_down(s, "to_pc", "hold", "held", s->plan->why);
}

/* ---- the images of a new referral ---- */

typedef struct taking_t {
    cs_settling_t *s;
    cs_planning_t pl;
    cs_look_t look;
    int stale; /* the record is not what was sent any more */
} taking_t;

static int carries(const cs_settling_t *s, const char *line)
{
    int i;

    for (i = 0; i < s->plan->steps->nelts; i++) {
        if (cs_settle_step(s, i)->kind == CS_STEP_POST_PC &&
            cs_settle_writes(cs_settle_step(s, i), line)) {
            return 1;
        }
    }
    return 0;
}

/* What the record would show if it had what the referral has; NULL = nobody can say. */
static const json_t *crm_of(taking_t *t, const cs_line_t *line, const json_t *pc)
{
    cs_conv_t conv;

    if (line->to_crm.on) {
        cs_line_to_crm(&conv, line, &t->pl.table, pc, t->s->ptemp);
        return conv.what == CS_CONV_OK ? conv.value : NULL;
    }
    return line->values || line->type == CS_TYPE_LOOKUP ? NULL : pc;
}

/* A latch that the referral has set and the record has not: it has no image, for up it goes. */
static int rises(taking_t *t, const cs_line_t *line, const json_t *pc, const json_t *crm)
{
    return line->latch && cs_line_level(line, pc, 1, t->s->ptemp) &&
           !cs_line_level(line, crm, 0, t->s->ptemp);
}

static void take_line(taking_t *t, const cs_line_t *line)
{
    cs_side_t pc, crm;
    const json_t *was;

    if (line->off || !line->pc || line->pc->root != CS_ROOT_OWN || !line->to_pc.on) {
        return;
    }
    cs_line_read_pc(&pc, line, t->pl.doc, t->s->ptemp);
    cs_line_read_crm(&crm, line, &t->pl.table, t->pl.row, t->s->ptemp);
    if (!pc.value || !crm.value) {
        return;
    }
    if (cs_line_same(line, &t->pl.table, pc.value, crm.value, t->s->ptemp)) {
        cs_settle_image(t->s, line->name, pc.value, crm.value, NULL);
    }
    else if (rises(t, line, pc.value, crm.value)) {
        return;
    }
    else if (t->stale && (was = crm_of(t, line, pc.value)) != NULL) {
        cs_settle_image(t->s, line->name, pc.value, was, NULL);
    }
    else if (carries(t->s, line->name)) {
        cs_settle_image(t->s, line->name, pc.value, crm.value, CS_REST_PC_NOT_KEPT);
    }
}

/* What was sent and is not there stays here; what was not complete is still to be sent. */
static void take_item(taking_t *t, const cs_line_view_t *view)
{
    int there = json_is_object(view->pc), here = json_is_object(view->crm);

    if (there && here) {
        cs_settle_image(t->s, view->line, view->pc, view->crm, NULL);
    }
    else if (here && !t->stale && carries(t->s, view->line)) {
        cs_settle_image(t->s, view->line, json_null(), view->crm, CS_REST_STAYS);
    }
}

static void take_lists(taking_t *t)
{
    int i, j;

    for (i = 0; i < t->pl.kind->lists->nelts; i++) {
        const cs_list_t *list = APR_ARRAY_IDX(t->pl.kind->lists, i, cs_list_t *);
        cs_listing_t *l;

        if (list->off || !list->to_pc) {
            continue;
        }
        l = cs_listing_read(&t->pl, list);
        for (j = 0; j < l->items->nelts; j++) {
            take_item(t, APR_ARRAY_IDX(l->items, j, cs_list_item_t *)->view);
        }
    }
}

/* What was sent was open. Who closed it since, the record or the referral, is still to be heard. */
static void take_state(taking_t *t, const cs_card_t *card)
{
    const json_t *row = t->s->look->record->row;
    const char *state = cs_state_of_card(card, t->s->p);
    int closed = cs_state_is_terminal(state);

    t->s->deal->pc_status = closed ? NULL : state;
    if (!closed && cs_state_of_row(t->s->kind, row) == 0) {
        cs_settle_image(t->s, CS_LINE_STATE, cs_json_own(json_string(state), t->s->ptemp),
                        cs_state_columns(t->s->kind, row, t->s->ptemp), NULL);
    }
}

static void take_images(cs_settling_t *s, const cs_card_t *card, int stale)
{
    static const cs_deal_t nothing = {.images = NULL};
    taking_t t = {.s = s, .look = *s->look, .stale = stale};
    const cs_record_t *record = s->look->record;
    int i;

    t.look.own = card;
    t.look.deal = &nothing;
    t.pl.look = &t.look;
    t.pl.kind = s->kind;
    t.pl.p = s->ptemp;
    t.pl.ptemp = s->ptemp;
    t.pl.doc = cs_doc_of_look(&t.look, s->ptemp);
    t.pl.row = cs_row_unmarked(s->kind, record->row, &t.pl.marked, s->p);
    t.pl.record_id = record->id;
    t.pl.table = s->table;
    t.pl.table.row = t.pl.row;
    s->deal->images = cs_json_own(json_object(), s->p);
    for (i = 0; i < s->kind->lines->nelts; i++) {
        take_line(&t, APR_ARRAY_IDX(s->kind->lines, i, cs_line_t *));
    }
    take_lists(&t);
    take_state(&t, card);
}

static void adopt(cs_settling_t *s, const cs_card_t *card, const json_t *own)
{
    cs_deal_t *deal = s->deal;
    const char *sent = cs_json_str(own, "digest"), *now = cs_json_str(s->plan->posted, "digest");

    deal->referral_id = apr_pstrdup(s->p, card->id);
    deal->engagement_id =
        card->engagement_id ? apr_pstrdup(s->p, card->engagement_id) : deal->engagement_id;
    deal->title = apr_pstrdup(s->p, cs_json_str(card->doc, "name"));
    deal->pc_version = apr_pstrdup(s->p, card->etag);
    deal->state = CS_DEAL_LINKED;
    take_images(s, card, sent && now && strcmp(sent, now));
}

/* ---- the deal ---- */

static void settle_told(cs_settling_t *s)
{
    int done, at = cs_settle_writer(s, CS_LINE_TELL, &done);

    if (at >= 0 && !done) {
        return; /* the seller still reads the old text */
    }
    cs_settle_keep_told(s, at);
    if (at >= 0) {
        const cs_record_t *after = s->applied[at].after;

        s->deal->crm_version = after ? apr_pstrdup(s->p, after->version) : NULL;
        journal_told(s, at);
    }
}

/* What the referral will be called: for people, until there is one. */
static void take_title(cs_settling_t *s)
{
    int i;

    for (i = 0; i < s->kind->lines->nelts; i++) {
        const cs_line_t *line = APR_ARRAY_IDX(s->kind->lines, i, cs_line_t *);

        if (line->pc && line->crm && !line->off && !strcmp(line->pc->text, "/name")) {
            json_t *name = cs_column_get(line->crm, s->look->record->row);

            if (json_is_string(name)) {
                s->deal->title = apr_pstrdup(s->p, json_string_value(name));
            }
            return;
        }
    }
}

void cs_settle_create(cs_settling_t *s)
{
    json_t *posted = posted_of(s);
    int at = -1, i;

    take_title(s);
    json_object_set(posted, "edited", cs_json_get(s->plan->posted, "edited"));
    json_object_set(posted, "digest", cs_json_get(s->plan->posted, "digest"));
    if (cs_json_get(s->plan->posted, "woken")) {
        json_object_del(cs_json_get(posted, CS_CALL_OWN), "digest");
    }
    s->deal->crm_version = apr_pstrdup(s->p, s->look->record->version);
    if (!s->deal->referral_id) {
        s->deal->state = CS_DEAL_NEW;
    }
    settle_told(s);
    for (i = 0; i < s->plan->steps->nelts; i++) {
        if (cs_settle_step(s, i)->kind == CS_STEP_POST_PC) {
            settle_posted(s, posted, i);
            journal_post(s, i);
            at = i;
        }
    }
    if (at < 0) {
        journal_wait(s);
    }
    else if (s->applied[at].done && s->applied[at].card) {
        adopt(s, s->applied[at].card, cs_json_get(posted, CS_CALL_OWN));
    }
}

/* The engagement shows Microsoft's card before anybody searched for it: what was sent is known to
 * have arrived, so that a list which lags later does not make it be sent again. */
static void note_seen_card(cs_settling_t *s)
{
    const char *state = cs_json_str(cs_json_get(s->deal->posted, CS_CALL_CONNECTED), "state");
    json_t *to;

    if (!s->look->microsoft || !state || strcmp(state, CS_POSTED_SENT)) {
        return;
    }
    to = cs_json_get(posted_of(s), CS_CALL_CONNECTED);
    set_state(to, CS_POSTED_DONE);
    json_object_set_new(to, "id", json_string(s->look->microsoft->id));
}

void cs_settle_connect(cs_settling_t *s)
{
    json_t *posted = NULL;
    int i;

    note_seen_card(s);
    for (i = 0; i < s->plan->steps->nelts; i++) {
        if (cs_settle_step(s, i)->kind == CS_STEP_POST_PC && s->applied[i].tried) {
            posted = posted ? posted : posted_of(s);
            settle_posted(s, posted, i);
            journal_post(s, i);
        }
    }
}
