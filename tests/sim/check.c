/* tests/sim/check.c: what must hold once the world has come to rest. It knows both sides' truth and who touched what. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <apr_strings.h>

#include "mod_cosell/base/pool.h"
#include "sim.h"

#define LIST_MAX 100000

typedef struct checking_t {
    cs_store_t *store;
    apr_pool_t *p;
    apr_array_header_t *journal, *work;
} checking_t;

static void open_store(checking_t *c)
{
    cs_result_t res = {0};

    cs_pool_create_own(&c->p, NULL, 0, "sim-check");
    if (cs_store_open(&c->store, &node_config.store, CS_STORE_WRITER, c->p, &res) != APR_SUCCESS ||
        cs_store_journal_list(c->store, SITE, 0, LIST_MAX, &c->journal, c->p, &res) != APR_SUCCESS ||
        cs_store_work_list(c->store, SITE, -1, LIST_MAX, &c->work, c->p, &res) != APR_SUCCESS) {
        violation("the store cannot be read: %s", res.detail ? res.detail : "?");
        c->journal = c->work = apr_array_make(c->p, 1, sizeof(void *));
    }
}

static void close_store(checking_t *c)
{
    cs_store_close(c->store);
    apr_pool_destroy(c->p);
}

/* ---- work ---- */

static const char *row_text(const char *referral)
{
    int i;

    for (i = 0; i < S->rows; i++) {
        if (!strcmp(S->row[i].table, "opportunity") && strstr(S->row[i].text, referral)) {
            return S->row[i].text;
        }
    }
    return "";
}

/* The model refused something about it: a text, or a customer that two accounts fit. */
static int may_be_dead(const referral_t *r)
{
    return r && !r->posted && (customer_is_ambiguous(r->customer) || strstr(r->version[(r->versions - 1) % VERSIONS].text, "REFUSE") || strstr(row_text(r->id), "REFUSE"));
}

static void check_work(checking_t *c)
{
    int i;

    for (i = 0; i < c->work->nelts; i++) {
        const cs_work_t *work = APR_ARRAY_IDX(c->work, i, cs_work_t *);
        cs_deal_t *deal = NULL;
        const char *id = !strncmp(work->name, "pc:", 3) ? work->name + 3 : NULL;
        if (strcmp(work->kind, CS_WORK_LOOK)) {
            continue;
        }
        if (!strncmp(work->name, "deal:", 5)) {
            cs_store_deal_load(c->store, SITE, apr_atoi64(work->name + 5), &deal, c->p, NULL);
            id = deal ? deal->referral_id : NULL;
        }
        if (work->state != CS_WORK_DEAD) {
            violation("work %s is left over: state %d, wanted %ld, done %ld, due in %ld s, problem %s: %s", work->name, (int)work->state, (long)work->wanted,
                      (long)work->done, (long)((work->due - S->wall) / 1000000), work->problem ? work->problem : "-", work->detail ? work->detail : "-");
        }
        else if (id && strncmp(id, "deadbeef", 8) && !may_be_dead(referral_by_id(id))) {
            violation("referral %s is dead without a reason of the model: %s: %s", id, work->problem ? work->problem : "-", work->detail ? work->detail : "-");
        }
    }
}

static int is_dead(const checking_t *c, const cs_deal_t *deal)
{
    const char *name = apr_psprintf(c->p, "deal:%ld", (long)deal->id);
    int i;

    for (i = 0; i < c->work->nelts; i++) {
        if (!strcmp(APR_ARRAY_IDX(c->work, i, cs_work_t *)->name, name)) {
            return 1;
        }
    }
    return 0;
}

/* What is dead says so again whenever it is woken and refused once more. */
long journal_lines(void)
{
    checking_t c;
    long n = 0;
    int i;

    open_store(&c);
    for (i = c.journal->nelts - 1; i >= 0; i--) {
        const cs_journal_t *j = APR_ARRAY_IDX(c.journal, i, cs_journal_t *);
        cs_deal_t deal = { .id = j->deal };
        if (!deal.id || is_dead(&c, &deal)) {
            continue;
        }
        if (j->id > S->told) {
            trace("journal: deal %ld: %s %s %s: %s, %s", (long)deal.id, j->action, j->line ? j->line : "-", j->outcome, j->why ? j->why : "-", cs_json_print(j->to, c.p));
        }
        n++;
    }
    S->told = c.journal->nelts ? APR_ARRAY_IDX(c.journal, 0, cs_journal_t *)->id : 0;
    close_store(&c);
    return n;
}

/* ---- rows ---- */

static const row_t *only_row(const referral_t *r)
{
    const row_t *found = NULL;
    int i;

    for (i = 0; i < S->rows; i++) {
        const row_t *row = &S->row[i];
        json_t *text = strcmp(row->table, "opportunity") ? NULL : parse(row->text);
        const char *said = cs_json_str(text, "cosell_referral"), *link = cs_json_str(text, "cosell_link");
        if ((said && !strcmp(said, r->id)) || (link && strstr(link, r->id))) {
            if (found) {
                violation("two opportunities for referral %s: %s and %s", r->id, found->id, row->id);
            }
            found = row;
        }
        json_decref(text);
    }
    return found;
}

static int creates_of(const checking_t *c, const cs_deal_t *deal)
{
    int i, n = 0;

    for (i = 0; i < c->journal->nelts; i++) {
        const cs_journal_t *j = APR_ARRAY_IDX(c->journal, i, cs_journal_t *);
        n += j->deal == deal->id && !strcmp(j->action, "create") && !strcmp(j->outcome, "done") && !j->line;
    }
    return n;
}

static int said_in_journal(const checking_t *c, const cs_deal_t *deal, const char *action)
{
    int i;

    for (i = 0; i < c->journal->nelts; i++) {
        const cs_journal_t *j = APR_ARRAY_IDX(c->journal, i, cs_journal_t *);
        if (j->deal == deal->id && !strcmp(j->action, action)) {
            return 1;
        }
    }
    return 0;
}

static void check_state(const referral_t *r, const row_t *row, const json_t *doc, const json_t *text)
{
    const char *status = cs_json_str(doc, "status"), *sub = cs_json_str(doc, "substatus");
    int state = (int)cs_json_int(text, "statecode", -1), want = 0;
    int touched = (row->touched & TOUCHED_STATE) != 0, paused = (row->touched & TOUCHED_SYNC) != 0;

    if (paused || row->seller || !strcmp(sub, "Error")) {
        return;
    }
    if (!strcmp(status, "Closed")) {
        want = !strcmp(sub, "Won") ? 1 : 2;
        touched = touched && row->state_touched_at >= r->moved_at;
    }
    if (state != want && !touched) {
        violation("row %s of referral %s has state %d, not %d, though Partner Center says %s/%s and no user touched it", row->id, r->id, state, want,
                  status, sub);
    }
}

static int is_paused(const json_t *text)
{
    return !json_is_true(cs_json_get(text, "cosell_sync"));
}

/* ---- lines ---- */

static unsigned touch_bit(const char *line)
{
    static const struct {
        const char *line;
        unsigned bit;
    } bits[] = { { "name", TOUCHED_NAME },   { "value", TOUCHED_VALUE },     { "close", TOUCHED_CLOSE },     { "notes", TOUCHED_NOTES },
                 { "stage", TOUCHED_STAGE }, { "visible", TOUCHED_VISIBLE }, { "program", TOUCHED_PROGRAM }, { "expires", TOUCHED_EXPIRES },
                 { "$state", TOUCHED_STATE }, { "help", TOUCHED_HELP } };
    size_t i;

    for (i = 0; i < sizeof(bits) / sizeof(bits[0]); i++) {
        if (!strcmp(bits[i].line, line)) {
            return bits[i].bit;
        }
    }
    return 0;
}

static const char *canonical(const char *text, apr_pool_t *p)
{
    char *out = apr_pstrdup(p, text ? text : ""), *to = out;
    const char *at;

    for (at = text ? text : ""; *at; at++) {
        if (*at == '\r' && at[1] == '\n') {
            continue;
        }
        *to++ = *at;
    }
    *to = '\0';
    while (to > out && (to[-1] == ' ' || to[-1] == '\n')) {
        *--to = '\0';
    }
    return out;
}

static int texts_agree(const char *a, const char *b, apr_pool_t *p)
{
    return !strcmp(canonical(a, p), canonical(b, p));
}

static int amounts_agree(const json_t *a, const json_t *b, const char *currency)
{
    double x = json_number_value(a), y = json_number_value(b), unit = currency && !strcmp(currency, "JPY") ? 1 : 0.01;

    return fabs(x - y) < unit * 0.51;
}

/* The checker's own idea of equal, for the lines where it is worth having a second one. */
static int really_equal(const char *line, const json_t *doc, const json_t *text, apr_pool_t *p)
{
    const json_t *details = cs_json_get(doc, "details");
    const char *a, *b;

    if (!strcmp(line, "name")) {
        return texts_agree(cs_json_str(doc, "name"), cs_json_str(text, "name"), p);
    }
    if (!strcmp(line, "notes")) {
        return texts_agree(cs_json_str(details, "notes"), cs_json_str(text, "description"), p);
    }
    if (!strcmp(line, "value")) {
        return amounts_agree(cs_json_get(details, "dealValue"), cs_json_get(text, "estimatedvalue"), cs_json_str(details, "currency"));
    }
    if (!strcmp(line, "close")) {
        a = cs_json_str(details, "closingDateTime");
        b = cs_json_str(text, "estimatedclosedate");
        return a && b ? !strncmp(a, b, 10) : a == b;
    }
    if (!strcmp(line, "$state")) {
        /* Whoever closes a record is heard, or told why not. */
        return !strcmp(cs_json_str(doc, "status"), "Closed") || cs_json_int(text, "statecode", -1) == 0;
    }
    return 1;
}

static int value_may_wait(const json_t *doc)
{
    const json_t *details = cs_json_get(doc, "details");
    const char *currency = cs_json_str(details, "currency");

    return json_number_value(cs_json_get(details, "dealValue")) == 0 || !currency || !strcmp(currency, "GBP");
}

static void check_line(const referral_t *r, const row_t *row, const cs_line_view_t *view, const json_t *doc, const json_t *text, apr_pool_t *p)
{
    unsigned touched = row->touched & touch_bit(view->line), early = r->early & touch_bit(view->line);
    int by_value = !strcmp(view->line, "value") && value_may_wait(doc);
    int ok = 1;

    switch (view->verdict) {
    case CS_VERDICT_EQUAL:
        ok = really_equal(view->line, doc, text, p);
        break;
    case CS_VERDICT_TO_CRM:
    case CS_VERDICT_UNREADABLE:
        ok = 0;
        break;
    case CS_VERDICT_TO_PC:
        ok = touched || !strcmp(view->line, "ext");
        break;
    case CS_VERDICT_HELD:
        ok = touched || by_value;
        break;
    case CS_VERDICT_ONE_WAY:
        ok = touched != 0;
        break;
    case CS_VERDICT_NOT_KEPT:
        ok = !strcmp(view->line, "notes") || touched || early;
        break;
    case CS_VERDICT_REFUSED:
        ok = touched || (view->pc && strstr(cs_json_print(view->pc, p), "REFUSE"));
        break;
    case CS_VERDICT_SKIPPED:
        /* A user who closes a row that was made by halves keeps its flag at the CRM's own beginning. */
        ok = touched || early || by_value || (!strcmp(view->line, "visible") && (row->touched & TOUCHED_STATE)) || !strcmp(view->line, "expires") || !strcmp(view->line, "stage") || !strcmp(view->line, "ext") ||
             (!strcmp(view->line, "$state") && !strcmp(cs_json_str(doc, "status"), "Closed"));
        break;
    default:
        break;
    }
    if (!ok) {
        violation("line %s of referral %s is \"%s\" (%s), which nothing explains: touched 0x%x, Partner Center %s, CRM %s, seen %s and %s", view->line, r->id,
                  cs_verdict_name(view->verdict), view->why ? view->why : "-", row->touched, cs_json_print(view->pc, p), cs_json_print(view->crm, p),
                  cs_json_print(view->seen_pc, p), cs_json_print(view->seen_crm, p));
    }
}

/* ---- what people wrote ---- */

static void note(char *out, const char *text, size_t n)
{
    n = n < 79 ? n : 79;
    n = strcspn(text, "\r\n") < n ? strcspn(text, "\r\n") : n;
    memcpy(out, text, n);
    out[n] = '\0';
    while (n && out[n - 1] == ' ') {
        out[--n] = '\0';
    }
}

static void note_text(char *out, const json_t *value, size_t most)
{
    const char *text = json_string_value(value);
    char number[60];

    if (json_is_number(value)) {
        snprintf(number, sizeof(number), "%ld", (long)json_number_value(value) / 10); /* whatever the currency rounds */
        text = number;
    }
    note(out, text ? text : "", text && strlen(text) > most ? most : strlen(text ? text : ""));
}

void wrote_pc(wrote_t *wrote, const json_t *doc, int line)
{
    static const char *const names[] = { "dealValue", "closingDateTime", "notes" };

    note_text(wrote->text[line], cs_json_get(cs_json_get(doc, "details"), names[line]), line == LINE_CLOSE ? 10 : 70);
}

void wrote_crm(wrote_t *wrote, const json_t *text, int line)
{
    static const char *const names[] = { "estimatedvalue", "estimatedclosedate", "description" };

    note_text(wrote->text[line], cs_json_get(text, names[line]), 70);
}

/* What was meant and not heard of is said once it is switched on again. */
static int is_still_to_be_told(const checking_t *c, const cs_deal_t *deal, const char *line, const char *text)
{
    const json_t *steps = cs_json_get(deal->intent, "steps");
    size_t i;

    for (i = 0; i < json_array_size(steps); i++) {
        const json_t *from = cs_json_get(cs_json_get(json_array_get(steps, i), "from"), line);
        if (from && strstr(cs_json_print(from, c->p), text)) {
            return 1;
        }
    }
    return 0;
}

/* Whoever wrote over it said so. */
static int is_told(const checking_t *c, const cs_deal_t *deal, const char *line, const char *direction, const char *text)
{
    int i;

    for (i = 0; i < c->journal->nelts; i++) {
        const cs_journal_t *j = APR_ARRAY_IDX(c->journal, i, cs_journal_t *);
        if (j->deal == deal->id && j->line && !strcmp(j->line, line) && !strcmp(j->direction, direction) && j->from && strstr(cs_json_print(j->from, c->p), text)) {
            return 1;
        }
    }
    return is_still_to_be_told(c, deal, line, text);
}

/* Nobody's edit is lost without a word. */
static void check_wrote(const checking_t *c, const referral_t *r, const row_t *row, const cs_deal_t *deal, const json_t *doc, const json_t *text)
{
    static const char *const lines[] = { "value", "close", "notes" };
    wrote_t pc, crm;
    int i;

    for (i = 0; i < LINES; i++) {
        wrote_pc(&pc, doc, i);
        wrote_crm(&crm, text, i);
        if (*row->wrote.text[i] && strcasecmp(row->wrote.text[i], crm.text[i]) && !is_told(c, deal, lines[i], "to_crm", row->wrote.text[i])) {
            violation("row %s of referral %s: a user wrote \"%s\" as %s, it is \"%s\", and the journal does not say why", row->id, r->id, row->wrote.text[i], lines[i], crm.text[i]);
        }
        if (*r->wrote.text[i] && strcasecmp(r->wrote.text[i], pc.text[i]) && !is_told(c, deal, lines[i], "to_pc", r->wrote.text[i])) {
            violation("referral %s: somebody wrote \"%s\" as %s, it is \"%s\", and the journal does not say why", r->id, r->wrote.text[i], lines[i], pc.text[i]);
        }
    }
}

/* ---- one referral ---- */

static void fill_cards(cs_look_t *look, const referral_t *r, apr_pool_t *p)
{
    apr_array_header_t *others = apr_array_make(p, 2, sizeof(cs_card_t *));
    int i;

    look->own = card_of(referral_doc(r), p);
    for (i = 0; i < S->referrals; i++) {
        const referral_t *other = &S->referral[i];
        if (strcmp(other->engagement, r->engagement) || other->org == ORG_OWN) {
            continue;
        }
        if (other->org == ORG_MICROSOFT) {
            look->microsoft = card_of(referral_doc(other), p);
        }
        else {
            APR_ARRAY_PUSH(others, cs_card_t *) = card_of(referral_doc(other), p);
        }
    }
    look->others = others;
}

/* What the CRM could not find is asked for again at every look, and changes nothing. */
static int plan_only_waits(const cs_plan_t *plan, const cs_deal_t *deal)
{
    int i, j;

    for (i = 0; i < plan->steps->nelts; i++) {
        const cs_step_t *step = APR_ARRAY_IDX(plan->steps, i, cs_step_t *);
        for (j = 0; step->send && j < step->lines->nelts; j++) {
            if (!cs_json_get(cs_json_get(deal->images, APR_ARRAY_IDX(step->lines, j, const char *)), "waits")) {
                return 0;
            }
        }
    }
    return 1;
}

static void check_plan(checking_t *c, const referral_t *r, const row_t *row, const cs_deal_t *deal, const json_t *text)
{
    const cs_mapping_kind_t *kind = cs_mapping_kind(site_config.crms[0].mapping, deal->kind);
    cs_look_t look = {0};
    cs_result_t res = {0};
    cs_plan_t *plan;
    int i;

    fill_cards(&look, r, c->p);
    look.mapping = site_config.crms[0].mapping;
    look.crm = CRM;
    look.site = SITE;
    look.organization = OWN_ORGANIZATION;
    look.deal = deal;
    look.record = record_of(row, cs_mapping_columns(kind), cs_lane_lookups(kind, c->p), 1, c->p);
    look.record_read = 1;
    look.now = S->wall;
    if (cs_reconcile_plan(&plan, &look, c->p, c->p, &res) != APR_SUCCESS) {
        violation("no plan for referral %s: %s", r->id, res.detail ? res.detail : "?");
        return;
    }
    if (plan->what == CS_PLAN_STEPS && plan_only_waits(plan, deal)) {
        return;
    }
    if (plan->what == CS_PLAN_STEPS || plan->what == CS_PLAN_GONE || plan->what == CS_PLAN_PARK) {
        violation("referral %s is at rest, yet its plan is %s, with %s", r->id, plan->why,
                  cs_json_print(cs_json_get(plan->explain, "steps"), c->p));
        return;
    }
    for (i = 0; i < plan->lines->nelts && !*S->violation && !is_paused(text); i++) {
        check_line(r, row, APR_ARRAY_IDX(plan->lines, i, cs_line_view_t *), look.own->doc, text, c->p);
    }
}

static void check_ours(const referral_t *r, const row_t *row, const cs_deal_t *deal, const json_t *text)
{
    const char *said = cs_json_str(text, "cosell_referral"), *link = cs_json_str(text, "cosell_link");

    /* After a write whose answer showed nothing, what a user makes of it at once reads as what the CRM made of it. */
    if ((row->touched & TOUCHED_OURS) && cs_json_get(cs_json_get(deal->told, "kept"), !said || strcmp(said, r->id) ? "cosell_referral" : "cosell_link")) {
        return;
    }
    if (!said || strcmp(said, r->id) || !link || !strstr(link, r->id)) {
        violation("row %s does not carry its referral %s: id %s, link %s; told %s", row->id, r->id, said ? said : "-", link ? link : "-",
                  deal->told ? json_dumps(deal->told, JSON_COMPACT) : "-");
    }
}

static void check_linked(checking_t *c, const referral_t *r, const row_t *row, const cs_deal_t *deal, const json_t *doc)
{
    json_t *text = cs_json_own(parse(row->text), c->p);

    if (!deal->record_id || strcmp(deal->record_id, row->id)) {
        violation("the deal of referral %s says record %s, and the row is %s", r->id, deal->record_id ? deal->record_id : "-", row->id);
    }
    /* Who is switched off before he was heard of is journalled when he is on again. */
    if (creates_of(c, deal) != (deal->state == CS_DEAL_NEW && (row->touched & TOUCHED_SYNC) ? 0 : 1)) {
        violation("the journal has %d creations of the row of referral %s", creates_of(c, deal), r->id);
    }
    if (deal->intent && !(row->touched & TOUCHED_SYNC)) {
        violation("referral %s is at rest with an intent: %s", r->id, cs_json_print(deal->intent, c->p));
    }
    if (!(row->touched & TOUCHED_SYNC) && json_integer_value(cs_json_get(text, "statecode")) == 0 && deal->state == CS_DEAL_LINKED) {
        check_ours(r, row, deal, text);
    }
    check_state(r, row, doc, text);
    check_wrote(c, r, row, deal, doc, text);
    check_plan(c, r, row, deal, text);
}

/* A user may have wiped what names the row: then the deal names it. */
static const row_t *row_of(const referral_t *r, const cs_deal_t *deal)
{
    const row_t *row = only_row(r);

    return row ? row : row_by_id("opportunity", deal->record_id);
}

static int is_lead(const json_t *doc)
{
    return !strcmp(cs_json_str(doc, "type"), "Independent") && !strcmp(cs_json_str(doc, "qualification"), "Direct");
}

static void check_referral(checking_t *c, const referral_t *r)
{
    json_t *doc = cs_json_own(referral_doc(r), c->p);
    int closed = !strcmp(cs_json_str(doc, "status"), "Closed");
    cs_deal_t *deal = NULL;
    const row_t *row;

    cs_store_deal_find(c->store, SITE, CS_SYSTEM_PC, r->id, &deal, c->p, NULL);
    if (!deal) {
        violation("no deal knows referral %s", r->id);
        return;
    }
    row = row_of(r, deal);
    if (is_dead(c, deal)) {
        return;
    }
    if (is_lead(doc)) {
        if (row || deal->state != CS_DEAL_LEAD || !said_in_journal(c, deal, "lead")) {
            violation("lead %s is not left alone: state %s", r->id, cs_deal_state_name(deal->state));
        }
        return;
    }
    if (!row) {
        if (!closed) {
            violation("referral %s has no opportunity: deal %ld is %s, %s", r->id, (long)deal->id, cs_deal_state_name(deal->state),
                      deal->problem ? deal->problem : "-");
        }
        return;
    }
    if (row->deleted) {
        if (!row->known && deal->state == CS_DEAL_IGNORED) {
            return;
        }
        if (row->exists || (deal->state != CS_DEAL_GONE && deal->state != CS_DEAL_UNLINKED)) {
            violation("the row of referral %s was deleted by a user, and the deal is %s", r->id, cs_deal_state_name(deal->state));
        }
        return;
    }
    check_linked(c, r, row, deal, doc);
}

/* ---- one record of a seller ---- */

static int referrals_of(const row_t *row, const referral_t **pone)
{
    int i, n = 0;

    for (i = 0; i < S->referrals; i++) {
        json_t *doc = S->referral[i].org == ORG_OWN ? referral_doc(&S->referral[i]) : NULL;
        const char *reference = cs_json_str(doc, "externalReferenceId");
        if (reference && !strcmp(reference, row->id)) {
            *pone = &S->referral[i];
            n++;
        }
        json_decref(doc);
    }
    return n;
}

static int has(const json_t *text, const char *column)
{
    const json_t *value = cs_json_get(text, column);

    return value && !json_is_null(value) && json_number_value(value) + (double)json_is_string(value) + (double)json_is_object(value) != 0;
}

/* Nothing stands in its way. */
static int should_be_posted(const row_t *row, const json_t *text, const cs_deal_t *deal)
{
    const char *status = deal ? deal->status : NULL;

    return row->exists && !is_paused(text) && json_integer_value(cs_json_get(text, "statecode")) == 0 && has(text, "estimatedvalue") && has(text, "estimatedclosedate") &&
           json_integer_value(cs_json_get(text, "cosell_stage")) != 5 && has(text, "name") && !strstr(row->text, "BALK") && !cs_json_str(text, "cosell_referral") && !(status && !strcmp(status, "Needs you"));
}

static void check_seller(checking_t *c, const row_t *row)
{
    json_t *text = cs_json_own(parse(row->text), c->p);
    const referral_t *one = NULL;
    cs_deal_t *deal = NULL;
    int n = referrals_of(row, &one);

    if (n > 1) {
        violation("record %s has %d referrals", row->id, n);
    }
    cs_store_deal_find(c->store, SITE, CRM, row->id, &deal, c->p, NULL);
    if (n && (!deal || !deal->referral_id || strcmp(deal->referral_id, one->id))) {
        violation("record %s has referral %s, and its deal %ld says %s", row->id, one->id, deal ? (long)deal->id : 0, deal && deal->referral_id ? deal->referral_id : "none");
    }
    if (!n && should_be_posted(row, text, deal) && !(deal && is_dead(c, deal))) {
        violation("record %s asks for a referral and has none: deal %ld, %s: %s", row->id, deal ? (long)deal->id : 0, deal && deal->status ? deal->status : "-",
                  deal && deal->problem ? deal->problem : "-");
    }
}

/* Each engagement has one card of Microsoft at most. */
static void check_engagements(void)
{
    int i, k;

    for (i = 0; i < S->referrals; i++) {
        for (k = 0; k < i; k++) {
            if (S->referral[i].org == ORG_MICROSOFT && S->referral[k].org == ORG_MICROSOFT && !strcmp(S->referral[i].engagement, S->referral[k].engagement)) {
                violation("engagement %s has two cards of Microsoft", S->referral[i].engagement);
            }
        }
    }
}

void check_world(void)
{
    checking_t c;
    int i;

    open_store(&c);
    check_work(&c);
    check_engagements();
    for (i = 0; i < S->rows && !*S->violation; i++) {
        if (S->row[i].seller && !strcmp(S->row[i].table, "opportunity")) {
            check_seller(&c, &S->row[i]);
        }
    }
    for (i = 0; i < S->referrals && !*S->violation; i++) {
        if (S->referral[i].org == ORG_OWN) {
            check_referral(&c, &S->referral[i]);
        }
    }
    close_store(&c);
}

/* No notice was lost: the newest version of each referral that a notice spoke of was settled. Asked before anything else makes the engine look again. */
void check_versions(void)
{
    checking_t c;
    int i;

    open_store(&c);
    for (i = 0; i < S->referrals && !*S->violation; i++) {
        const referral_t *r = &S->referral[i];
        cs_deal_t *deal = NULL;
        const row_t *row;
        const char *etag;
        if (r->org != ORG_OWN) {
            continue;
        }
        cs_store_deal_find(c.store, SITE, CS_SYSTEM_PC, r->id, &deal, c.p, NULL);
        row = deal ? row_by_id("opportunity", deal->record_id) : NULL;
        if (!deal) {
            violation("no deal knows referral %s, which was announced", r->id);
        }
        if (!row || !row->exists || (row->touched & TOUCHED_SYNC) || is_dead(&c, deal) || (deal->state != CS_DEAL_LINKED && deal->state != CS_DEAL_CLOSED)) {
            continue;
        }
        etag = cs_json_str(cs_json_own(referral_doc(r), c.p), "eTag");
        if (!deal->pc_version || strcmp(deal->pc_version, etag)) {
            violation("referral %s was last settled at version %s, and is %s", r->id, deal->pc_version ? deal->pc_version : "-", etag);
        }
    }
    close_store(&c);
}
