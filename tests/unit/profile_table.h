/* What a shipped profile does, asked of the real planner line by line and state by state, and written down as one text: what the tables of all CRMs share.
 *
 * Whoever includes it defines before: PROFILE, TABLE, TESTED (its own file), CRM_TYPE, RECORD_TABLE, LEAD_TABLE, LEAD_TOPIC (a lead's column), BECAME (the opportunity that a lead
 * becomes), UNTOLD(column) (what the seller reads: another test's), STATE_COLUMNS (what says what a record is), VALUE_AND_DATE (an opportunity that has both), and after it the
 * functions that are only declared here.
 */
#ifndef CS_TESTS_UNIT_PROFILE_TABLE_H
#define CS_TESTS_UNIT_PROFILE_TABLE_H

#include "unit_list.h"
#include "unit_stage.h"

#include "mod_cosell/remote/crm.h"
#include "mod_cosell/base/time.h"

#define MICROSOFT "microsoft:"

static const char referral_text[] =
    "{\"id\":\"" DEAL_REFERRAL "\",\"name\":\"Contoso migration\",\"status\":\"Active\",\"substatus\":\"Accepted\",\"type\":\"Shared\","
    "\"qualification\":\"SalesQualified\",\"eTag\":\"\\\"1\\\"\",\"externalReferenceId\":null,\"expirationDateTime\":\"2026-03-03T10:00:00Z\","
    "\"engagementId\":\"5e0f0f55-2222-4222-8333-944455566677\",\"organizationId\":\"own\",\"statusReason\":null,\"closedDateTime\":null,"
    "\"acceptedDateTime\":\"2026-02-01T00:00:00Z\",\"createdDateTime\":\"2026-01-20T00:00:00Z\",\"mpnId\":\"1234567\",\"campaignId\":\"Spring\",\"salesStage\":\"20\",\"referralProgram\":\"Azure\","
    "\"registrationStatus\":\"ReviewPending\",\"registrations\":[{\"type\":\"CoSell\"}],"
    "\"inviteContext\":{\"notes\":\"Please help\",\"assistanceRequestCode\":\"GeneralOrOther\",\"invitedBy\":{\"organizationId\":\"own\"}},"
    "\"customerProfile\":{\"name\":\"Contoso\",\"address\":{\"addressLine1\":\"Am Markt 1\",\"city\":\"Berlin\",\"state\":\"BE\",\"postalCode\":\"10115\",\"country\":\"DE\"},"
    "\"team\":[{\"firstName\":\"Ada\",\"lastName\":\"Example\",\"email\":\"ada@contoso.example\",\"phoneNumber\":\"1\",\"title\":\"CIO\"}]},"
    "\"consent\":{\"consentToShareReferralWithMicrosoftSellers\":true,\"consentToContact\":true,\"consentToToShareInfoWithOthers\":true},"
    "\"team\":[{\"firstName\":\"Sam\",\"lastName\":\"Seller\",\"email\":\"sam@own.example\",\"phoneNumber\":\"2\"}],"
    "\"details\":{\"dealValue\":50000,\"currency\":\"USD\",\"closingDateTime\":\"2026-03-31T12:00:00Z\",\"notes\":\"First call\","
    "\"requirements\":{\"solutions\":[{\"type\":\"Name\",\"id\":\"SOL-1\",\"name\":\"Analytics\"}],"
    "\"additionalRequirements\":{\"attributes\":[{\"type\":\"CustomerMarketplaceIntent\",\"id\":\"HaveNotDecided\"}]}}}}";

static const char microsoft_text[] =
    "{\"id\":\"7c0c0f55-2222-4222-8333-944455566677\",\"organizationId\":\"msft\",\"status\":\"New\",\"substatus\":\"Pending\",\"statusReason\":\"Under review\","
    "\"trackingInfo\":{\"microsoftMsxId\":\"7-ABC\"},\"inviteContext\":{\"notes\":\"Please help\",\"assistanceRequestCode\":\"GeneralOrOther\","
    "\"invitedBy\":{\"organizationId\":\"own\"}},\"team\":[{\"email\":\"mia@microsoft.example\"}]}";


/* ---- the text ---- */

typedef struct table_t {
    apr_pool_t *p;
    char *text;
    apr_size_t len, room;
} table_t;

static void say(table_t *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void say(table_t *t, const char *format, ...)
{
    va_list args;
    char *line;
    apr_size_t n;

    va_start(args, format);
    line = apr_pvsprintf(t->p, format, args);
    va_end(args);
    for (n = strlen(line); n > 0 && line[n - 1] == ' '; n--) {
        line[n - 1] = '\0';
    }
    assert_true(t->len + n + 2 < t->room);
    memcpy(t->text + t->len, line, n);
    t->len += n;
    t->text[t->len++] = '\n';
    t->text[t->len] = '\0';
}

/* ---- one deal between two sides ---- */

typedef struct deal_t {
    apr_pool_t *p;
    list_world_t *l;
    json_t *microsoft; /* NULL = there is no such card */
    int etag;
} deal_t;

typedef struct row_t {
    const char *line;
    const char *pc, *pc_value;   /* where Partner Center's users edit it, and what they type; NULL = they cannot */
    const char *crm, *crm_value; /* "column" or "look-up/column"; NULL = they cannot */
} row_t;

/* ---- what differs per CRM ---- */

/* The names that the profile leaves to the organisation, which makes no line be off. */
static void name_all(json_t *names, apr_pool_t *p);
static const char *metadata(void);
/* What a look is shown of the record. */
static void show_record(deal_t *d);
static void record_step(deal_t *d, const cs_step_t *step, cs_applied_t *applied);
/* The rows that are there before. */
static void populate(deal_t *d);
/* What a person adds to a new record. */
static void complete_record(deal_t *d);
/* The row of the opportunity that the lead became. */
static void become(deal_t *d, json_t *topic);
static void edit_here(deal_t *d, const row_t *row);
/* The n-th of the states that people can give an opportunity or a lead; making it 0 = it is so already. */
static size_t crm_states_number(void);
static const char *crm_state_words(size_t n);
static int make_crm_state(deal_t *d, size_t n);
static size_t lead_fates_number(void);
static const char *lead_fate_words(size_t n);
static int make_lead(deal_t *d, size_t fate);
/* The record is no deal's, and asks for a referral: 0 = private, 1 = partner-led, 2 = co-sell. */
static void ask_for_referral(deal_t *d, int kind);

enum { STATE_WON = 2, FATE_QUALIFIED = 3 }; /* among those states, of any CRM */

/* ---- one deal between two sides: what it does ---- */

static cs_mapping_t *profile(apr_pool_t *p)
{
    json_t *root = deal_json(p, deal_read(p, PROFILE));
    cs_mapping_t *mapping = NULL;
    cs_result_t res;
    const char *text;

    name_all(json_object_get(root, "names"), p);
    assert_ok(cs_json_pointer_set(root, "/records/opportunity/lines/stage/enabled", json_true()));
    text = cs_json_print(root, p);
    memset(&res, 0, sizeof(res));
    if (cs_mapping_parse(&mapping, text, strlen(text), "profile.json", cs_crm_facts_of(CRM_TYPE), NULL, p, &res) != APR_SUCCESS) {
        fail_msg("%s", res.detail);
    }
    return mapping;
}

static int is_lead(const deal_t *d)
{
    return !strcmp(d->l->w->kind->name, "lead");
}

static cs_plan_t *plan(deal_t *d)
{
    deal_world_t *w = d->l->w;
    cs_card_t *card;
    cs_result_t res;

    memset(&res, 0, sizeof(res));
    deal_fetch(w);
    w->card.etag = apr_psprintf(d->p, "\"%d\"", d->etag);
    w->card.engagement_id = cs_json_str(w->doc, "engagementId");
    w->look.metadata = deal_json(d->p, metadata());
    w->look.notified = 1;
    if (w->row) {
        show_record(d);
        w->look.edited = !w->deal.crm_version || strcmp(w->record.version, w->deal.crm_version) != 0;
    }
    if (d->microsoft) {
        card = apr_pcalloc(d->p, sizeof(*card));
        card->id = cs_json_str(d->microsoft, "id");
        card->organization_id = "msft";
        card->doc = d->microsoft;
        w->look.microsoft = card;
    }
    if (cs_reconcile_plan(&w->plan, &w->look, d->p, d->p, &res) != APR_SUCCESS) {
        fail_msg("%s", res.detail);
    }
    return w->plan;
}

/* At a pointer into a card; steps into arrays by number. */
static void card_set(json_t *doc, const char *pointer, const char *value, apr_pool_t *p)
{
    const char *last = strrchr(pointer, '/');
    json_t *parent = last == pointer ? doc : cs_json_pointer(doc, apr_pstrndup(p, pointer, (apr_size_t)(last - pointer)));

    assert_true(json_is_object(parent));
    json_object_set(parent, last + 1, deal_json(p, value));
}

static void patch_step(deal_t *d, const cs_step_t *step, cs_applied_t *applied)
{
    cs_card_t *card = apr_pcalloc(d->p, sizeof(*card));
    json_t *op;
    size_t i;

    json_array_foreach(step->columns, i, op) {
        const char *path = cs_json_str(op, "path");
        size_t n = strlen(path);

        if (n > 2 && !strcmp(path + n - 2, "/-")) {
            json_t *list = cs_json_pointer(d->l->w->doc, apr_pstrndup(d->p, path, n - 2));

            json_array_append(list, cs_json_get(op, "value"));
            continue;
        }
        assert_ok(cs_json_pointer_set(d->l->w->doc, path, json_incref(cs_json_get(op, "value"))));
    }
    d->etag++;
    applied->tried = applied->done = 1;
    *card = d->l->w->card;
    card->etag = apr_psprintf(d->p, "\"%d\"", d->etag);
    card->doc = d->l->w->doc;
    applied->card = card;
}

static void apply(deal_t *d)
{
    deal_world_t *w = d->l->w;
    int i;

    w->deal.intent = w->plan->intent ? w->plan->intent : w->deal.intent;
    w->applied = apr_pcalloc(d->p, sizeof(cs_applied_t) * (size_t)(w->plan->steps->nelts + 1));
    for (i = 0; i < w->plan->steps->nelts; i++) {
        const cs_step_t *step = APR_ARRAY_IDX(w->plan->steps, i, cs_step_t *);

        if (!step->send || (step->after >= 0 && !w->applied[step->after].done)) {
            continue;
        }
        if (step->kind == CS_STEP_PATCH_PC) {
            patch_step(d, step, &w->applied[i]);
        }
        else if (!step->list) {
            record_step(d, step, &w->applied[i]);
        }
        else if (step->kind == CS_STEP_JOIN || step->kind == CS_STEP_ENSURE) {
            list_lookup_step(d->l, step, &w->applied[i]);
        }
        else {
            list_row_step(d->l, step, &w->applied[i]);
        }
        if (w->applied[i].made) {
            stage_t named = {.w = w};

            stage_rename(&named, step->id, w->applied[i].made);
        }
    }
}

/* The deal went on with the opportunity, which has the lead's topic and is otherwise as the CRM makes one. */
static void follow(deal_t *d)
{
    deal_world_t *w = d->l->w;
    json_t *topic;

    if (!is_lead(d) || !w->deal.kind || !strcmp(w->deal.kind, "lead")) {
        return;
    }
    topic = json_incref(json_object_get(w->row, LEAD_TOPIC));
    w->kind = cs_mapping_kind(w->mapping, w->deal.kind);
    become(d, topic);
}

static void look(deal_t *d)
{
    plan(d);
    apply(d);
    deal_settle(d->l->w);
    follow(d);
}

static deal_t *start(apr_pool_t *p, const char *status, const char *substatus, int microsoft)
{
    deal_t *d = apr_pcalloc(p, sizeof(*d));
    deal_world_t *w;

    d->p = p;
    d->etag = 1;
    d->l = list_world_of(p, profile(p));
    w = d->l->w;
    w->doc = deal_json(p, referral_text);
    deal_status(w, status, substatus);
    card_set(w->doc, "/externalReferenceId", "null", p);
    if (!strcmp(status, "New")) {
        card_set(w->doc, "/acceptedDateTime", "null", p);
    }
    d->microsoft = microsoft ? deal_json(p, microsoft_text) : NULL;
    populate(d);
    return d;
}

/* Looks until nothing is left to do. */
static void rest(deal_t *d)
{
    deal_world_t *w = d->l->w;
    int i;

    for (i = 0; i < 5; i++) {
        look(d);
        if (!deal_sent(w->plan) && i) {
            return;
        }
        if (w->row && !is_lead(d)) {
            complete_record(d);
        }
    }
    fail_msg("%s does not come to rest: %s", w->deal.pc_status, cs_json_print(cs_json_get(w->plan->explain, "steps"), d->p));
}

/* Both sides are there, came to this state by way of those before it, and nothing is left to do. */
static deal_t *settled(apr_pool_t *p, const char *status, const char *substatus, int microsoft)
{
    int unanswered = !strcmp(substatus, "Pending") || !strcmp(substatus, "Declined") || !strcmp(substatus, "Expired");
    deal_t *d = unanswered ? start(p, "New", "Pending", microsoft) : start(p, "Active", "Accepted", microsoft);

    rest(d);
    assert_non_null(d->l->w->row);
    if (!strcmp(status, "Closed")) {
        deal_status(d->l->w, status, substatus);
        card_set(d->l->w->doc, "/closedDateTime", "\"2026-02-02T00:00:00Z\"", p);
        d->etag++;
        rest(d);
    }
    return d;
}

/* ---- what the people do ---- */

static void edit_there(deal_t *d, const row_t *row)
{
    int microsoft = !strncmp(row->pc, MICROSOFT, sizeof(MICROSOFT) - 1);
    json_t *doc = microsoft ? d->microsoft : d->l->w->doc, *list;
    const char *pointer = row->pc + (microsoft ? sizeof(MICROSOFT) - 1 : 0), *last = strrchr(pointer, '/');

    if (!doc) {
        return;
    }
    list = cs_json_pointer(doc, apr_pstrndup(d->p, pointer, (apr_size_t)(last - pointer)));
    if (json_is_array(list)) {
        json_array_append(list, deal_json(d->p, row->pc_value));
    }
    else {
        card_set(doc, pointer, row->pc_value, d->p);
    }
    d->etag++;
}

/* ---- what the planner says ---- */

static int of_line(const char *name, const char *line)
{
    size_t n = strlen(line);

    return !strncmp(name, line, n) && (!name[n] || name[n] == '/');
}

/* What a step brings for a line: columns or paths. */
static const char *brings(const cs_step_t *step, const char *name, apr_pool_t *p)
{
    const json_t *part = cs_json_get(step->parts, name);
    const char *out = "";
    size_t i;

    for (i = 0; i < json_array_size(part); i++) {
        out = apr_pstrcat(p, out, " ", json_string_value(json_array_get(part, i)), NULL);
    }
    return out;
}

static const char *steps_of(const cs_plan_t *plan, const char *name, apr_pool_t *p)
{
    const char *out = "";
    int i, j;

    for (i = 0; i < plan->steps->nelts; i++) {
        const cs_step_t *step = APR_ARRAY_IDX(plan->steps, i, cs_step_t *);

        for (j = 0; step->send && j < step->lines->nelts; j++) {
            if (!strcmp(APR_ARRAY_IDX(step->lines, j, const char *), name)) {
                out = apr_pstrcat(p, out, "; ", cs_step_kind_name(step->kind), step->call ? " " : "", step->call ? step->call : "", brings(step, name, p),
                                  step->list ? " " : "", step->list ? step->table : "", NULL);
            }
        }
    }
    return out;
}

static const char *answer(const cs_plan_t *plan, const char *line, apr_pool_t *p)
{
    const char *out = NULL;
    int i;

    for (i = 0; i < plan->lines->nelts; i++) {
        const cs_line_view_t *view = APR_ARRAY_IDX(plan->lines, i, cs_line_view_t *);

        if (!of_line(view->line, line)) {
            continue;
        }
        if (strcmp(view->line, line) && view->verdict == CS_VERDICT_EQUAL) {
            continue; /* items that nobody touched */
        }
        out = apr_pstrcat(p, out ? out : "", out ? " | " : "", strcmp(view->line, line) ? view->line + strlen(line) + 1 : "", strcmp(view->line, line) ? ": " : "",
                          cs_verdict_name(view->verdict), steps_of(plan, view->line, p), NULL);
    }
    return out ? out : "-";
}

enum { THERE = 1, HERE = 2 };

static const char *edited(apr_pool_t *parent, const row_t *row, int who, const char *status, const char *substatus, int microsoft)
{
    apr_pool_t *p;
    const char *out;
    deal_t *d;

    if (((who & THERE) && !row->pc) || ((who & HERE) && !row->crm)) {
        return "-";
    }
    assert_ok(apr_pool_create(&p, parent));
    d = settled(p, status, substatus, microsoft);
    if (who & THERE) {
        edit_there(d, row);
    }
    if (who & HERE) {
        edit_here(d, row);
    }
    out = apr_pstrdup(parent, answer(plan(d), row->line, p));
    apr_pool_destroy(p);
    return out;
}

static void table_of_lines(table_t *t, const row_t *rows, size_t n)
{
    deal_t *d = start(t->p, "Active", "Accepted", 1);
    cs_plan_t *first;
    size_t i;

    first = plan(d);
    say(t, "# Lines: an accepted co-sell referral with Microsoft's card. \"new record\": the first look at a referral without a record.");
    for (i = 0; i < n; i++) {
        say(t, "%s", "");
        say(t, "%-20s new record          %s", rows[i].line, answer(first, rows[i].line, t->p));
        say(t, "%-20s edit at PC          %s", "", edited(t->p, &rows[i], THERE, "Active", "Accepted", 1));
        say(t, "%-20s edit in the CRM     %s", "", edited(t->p, &rows[i], HERE, "Active", "Accepted", 1));
        say(t, "%-20s edit on both sides  %s", "", edited(t->p, &rows[i], THERE | HERE, "Active", "Accepted", 1));
    }
}


static const char *const states[][2] = { { "New", "Pending" }, { "Active", "Accepted" }, { "Closed", "Won" }, { "Closed", "Lost" }, { "Closed", "Declined" },
                                         { "Closed", "Expired" } };
#define STATES (sizeof(states) / sizeof(states[0]))

/* Each line in each state of the referral, once both sides came to rest in it. */
static void table_of_states(table_t *t, const row_t *rows, size_t n)
{
    size_t i, s;

    say(t, "%s", "");
    say(t, "# Lines in each state of the referral, both sides at rest in it: an edit at Partner Center / an edit in the CRM");
    for (i = 0; i < n; i++) {
        say(t, "%s", "");
        for (s = 0; s < STATES; s++) {
            say(t, "%-20s %-16s  %s / %s", s ? "" : rows[i].line, apr_pstrcat(t->p, states[s][0], "/", states[s][1], NULL),
                edited(t->p, &rows[i], THERE, states[s][0], states[s][1], 1), edited(t->p, &rows[i], HERE, states[s][0], states[s][1], 1));
        }
    }
}

/* ---- the machine ---- */

/* Of a look-up: which, by what, and what is made when there is none. */
static const char *words_of(const json_t *value, apr_pool_t *p)
{
    const json_t *lookup = cs_json_get(value, "$lookup"), *create = cs_json_get(lookup, "create");

    if (!lookup) {
        return cs_json_print(value, p);
    }
    return apr_pstrcat(p, "(", cs_json_str(lookup, "find"), " by ", cs_json_print(cs_json_get(lookup, "keys"), p), create ? " or new " : "",
                       create ? cs_json_print(create, p) : "", ")", NULL);
}

/* Of what is written to the record: `only` these columns; NULL = all. */
static const char *some_steps(const cs_plan_t *plan, const char *const *only, apr_pool_t *p)
{
    const char *out = "";
    int i, c;

    for (i = 0; i < plan->steps->nelts; i++) {
        const cs_step_t *step = APR_ARRAY_IDX(plan->steps, i, cs_step_t *);
        const char *name;
        json_t *value, *op;
        size_t n;

        if (!step->send) {
            continue;
        }
        out = apr_pstrcat(p, out, "; ", cs_step_kind_name(step->kind), step->call ? " " : "", step->call ? step->call : "", NULL);
        if (step->kind == CS_STEP_PATCH_PC) {
            json_array_foreach(step->columns, n, op) {
                out = apr_pstrcat(p, out, " ", cs_json_str(op, "path"), "=", cs_json_print(cs_json_get(op, "value"), p), NULL);
            }
            continue;
        }
        json_object_foreach(step->columns, name, value) {
            if (UNTOLD(name)) {
                continue; /* what the seller reads: another test's */
            }
            for (c = 0; only && step->kind == CS_STEP_UPDATE && only[c] && strcmp(only[c], name); c++) {
            }
            if (only && step->kind == CS_STEP_UPDATE && !only[c]) {
                continue;
            }
            out = apr_pstrcat(p, out, " ", name, "=", words_of(value, p), NULL);
        }
    }
    return *out ? out + 2 : "nothing";
}

static const char *all_steps(const cs_plan_t *plan, apr_pool_t *p)
{
    return some_steps(plan, NULL, p);
}

static int moves(const char *from, const char *to)
{
    return strcmp(from, to) && cs_state_may_move(from, to);
}

static void table_of_moves(table_t *t)
{
    apr_pool_t *p;
    size_t s, n;
    deal_t *d;

    say(t, "%s", "");
    say(t, "# The state moves at Partner Center (show), the record being as that state left it");
    for (s = 0; s < STATES; s++) {
        for (n = 0; n < STATES + 1; n++) {
            const char *const *to = n < STATES ? states[n] : (const char *const[]){ "Closed", "Error" };
            const char *a = apr_pstrcat(t->p, states[s][0], "/", states[s][1], NULL), *b = apr_pstrcat(t->p, to[0], "/", to[1], NULL);

            if (!moves(a, b)) {
                continue;
            }
            assert_ok(apr_pool_create(&p, t->p));
            d = settled(p, states[s][0], states[s][1], 1);
            deal_status(d->l->w, to[0], to[1]);
            card_set(d->l->w->doc, "/statusReason", "\"ChoseAnotherVendor:cheaper\"", p);
            card_set(d->l->w->doc, "/closedDateTime", *to[0] == 'C' ? "\"2026-02-02T00:00:00Z\"" : "null", p);
            d->etag++;
            plan(d);
            say(t, "%-16s -> %-16s  %s", a, b, all_steps(d->l->w->plan, p));
            apr_pool_destroy(p);
        }
    }
    say(t, "%s", "");
    say(t, "# The state moves in the CRM (hear): the record is set to it by an ordinary edit");
    for (s = 0; s < STATES; s++) {
        for (n = 0; n < crm_states_number(); n++) {
            deal_world_t *w;

            assert_ok(apr_pool_create(&p, t->p));
            d = settled(p, states[s][0], states[s][1], 1);
            w = d->l->w;
            if (make_crm_state(d, n)) {
                plan(d);
                say(t, "%-16s  %-18s  %s%s%s", apr_pstrcat(p, states[s][0], "/", states[s][1], NULL), crm_state_words(n), all_steps(w->plan, p),
                    w->plan->look_at ? "; waits" : "", w->plan->problem ? apr_psprintf(p, "; told: %s", w->plan->problem) : "");
            }
            apr_pool_destroy(p);
        }
    }
}

/* Won on the day after the referral was made. */
static void early_win(table_t *t)
{
    deal_t *d = settled(t->p, "Active", "Accepted", 1);
    deal_world_t *w = d->l->w;

    card_set(w->doc, "/createdDateTime", "\"2026-02-01T12:00:00Z\"", t->p);
    make_crm_state(d, STATE_WON);
    plan(d);
    say(t, "%-16s  %-18s  %s; looked at again at %s", "made yesterday", "won", all_steps(w->plan, t->p), w->plan->look_at ? cs_time_format(w->plan->look_at, t->p) : "no time");
}

/* ---- a referral made of the record ---- */

static void say_posts(table_t *t, const cs_plan_t *said, apr_pool_t *p)
{
    int i;

    for (i = 0; i < said->steps->nelts; i++) {
        const cs_step_t *step = APR_ARRAY_IDX(said->steps, i, cs_step_t *);

        if (step->kind == CS_STEP_POST_PC) {
            say(t, "%s %s %s", cs_step_kind_name(step->kind), step->call, cs_json_pretty(step->columns, p));
        }
    }
    say(t, "status: %s", said->status);
}

/* Partner Center makes the own referral; what the next look says to Microsoft. */
static void table_of_connection(table_t *t, deal_t *d)
{
    deal_world_t *w = d->l->w;
    int i;

    w->applied = apr_pcalloc(d->p, sizeof(cs_applied_t) * (size_t)(w->plan->steps->nelts + 1));
    for (i = 0; i < w->plan->steps->nelts; i++) {
        const cs_step_t *step = APR_ARRAY_IDX(w->plan->steps, i, cs_step_t *);
        cs_card_t *card = apr_pcalloc(d->p, sizeof(*card));

        if (step->kind != CS_STEP_POST_PC) {
            if (step->send) {
                record_step(d, step, &w->applied[i]);
            }
            continue;
        }
        w->doc = cs_json_own(json_deep_copy(step->columns), d->p);
        json_object_update(w->doc, deal_json(d->p, "{\"id\":\"" DEAL_REFERRAL "\",\"engagementId\":\"5e0f0f55-2222-4222-8333-944455566677\","
                                                   "\"organizationId\":\"own\",\"status\":\"Active\",\"substatus\":\"Accepted\"}"));
        card->id = w->deal.referral_id = DEAL_REFERRAL;
        card->engagement_id = w->deal.engagement_id = cs_json_str(w->doc, "engagementId");
        card->organization_id = "own";
        card->etag = apr_psprintf(d->p, "\"%d\"", d->etag);
        card->doc = w->doc;
        w->applied[i].tried = w->applied[i].done = 1;
        w->applied[i].card = card;
        w->deal.posted = deal_json(d->p, "{\"own\":{\"state\":\"done\"}}"); /* as whoever applies it notes */
    }
    deal_settle(w);
    plan(d);
    say(t, "%s", "");
    say(t, "# and Microsoft's referral of the same engagement, at the look after it");
    say_posts(t, w->plan, d->p);
}

static void table_of_creation(table_t *t)
{
    static const char *const kinds[] = { "private", "partner-led", "co-sell" };
    int k, i;

    for (k = 0; k < 3; k++) {
        apr_pool_t *p;
        deal_world_t *w;
        deal_t *d;

        assert_ok(apr_pool_create(&p, t->p));
        d = settled(p, "Active", "Accepted", 1); /* a complete record ... */
        w = d->l->w;
        memset(&w->deal, 0, sizeof(w->deal)); /* ... that no referral was made of */
        w->deal.site = "contoso";
        w->deal.kind = "opportunity";
        w->deal.crm = "sales";
        w->deal.table = RECORD_TABLE;
        ask_for_referral(d, k);
        d->microsoft = NULL;
        for (i = 0; i < 2; i++) { /* the edit, and once it is quiet */
            cs_result_t res;

            memset(&res, 0, sizeof(res));
            deal_fetch(w);
            w->look.own = NULL;
            w->look.metadata = deal_json(p, metadata());
            w->look.notified = w->look.edited = !i;
            w->look.now += apr_time_from_sec(200 * i);
            show_record(d);
            if (cs_reconcile_plan(&w->plan, &w->look, p, p, &res) != APR_SUCCESS) {
                fail_msg("%s", res.detail);
            }
            if (!i) {
                apply(d);
                deal_settle(w);
            }
        }
        say(t, "%s", "");
        say(t, "# A %s referral made of a record", kinds[k]);
        say_posts(t, w->plan, p);
        if (k > 1) {
            table_of_connection(t, d);
        }
        apr_pool_destroy(p);
    }
}

#endif
