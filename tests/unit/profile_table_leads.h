/* The same of leads, and the whole text, which is compared with the file TABLE; PROFILE_TABLE=write writes it anew. */
#ifndef CS_TESTS_UNIT_PROFILE_TABLE_LEADS_H
#define CS_TESTS_UNIT_PROFILE_TABLE_LEADS_H

#include "profile_table.h"

/* "Direct" is a marketplace lead, the others are qualified ones. */
static const char *const qualifications[] = { "Direct", "MarketingQualified", "SalesQualified" };
#define QUALIFICATIONS (sizeof(qualifications) / sizeof(qualifications[0]))

static void lead_state(deal_t *d, const char *status, const char *substatus)
{
    deal_status(d->l->w, status, substatus);
    card_set(d->l->w->doc, "/acceptedDateTime", *status == 'A' ? "\"2026-02-01T00:00:00Z\"" : "null", d->p);
    card_set(d->l->w->doc, "/closedDateTime", *status == 'C' ? "\"2026-02-02T00:00:00Z\"" : "null", d->p);
    d->etag++;
}

static cs_meeting_t lead_meeting(deal_t *d, const char *qualification)
{
    deal_world_t *w = d->l->w;
    cs_meeting_t meeting;
    cs_result_t res;

    memset(&res, 0, sizeof(res));
    card_set(w->doc, "/type", "\"Independent\"", d->p);
    card_set(w->doc, "/qualification", apr_psprintf(d->p, "\"%s\"", qualification), d->p);
    card_set(w->doc, "/inviteContext/invitedBy/organizationId", "\"msft\"", d->p);
    deal_fetch(w);
    assert_ok(cs_reconcile_meet(&meeting, &w->look, d->p, &res));
    return meeting;
}

/* Met in this state, and nothing is written yet. */
static deal_t *start_lead(apr_pool_t *p, const char *qualification, const char *status, const char *substatus)
{
    deal_t *d = start(p, status, substatus, 0);
    deal_world_t *w = d->l->w;
    cs_meeting_t meeting;

    lead_state(d, status, substatus);
    meeting = lead_meeting(d, qualification);
    assert_int_equal(meeting.what, CS_MEET_CREATE);
    assert_string_equal(meeting.kind, "lead");
    w->kind = cs_mapping_kind(w->mapping, meeting.kind);
    w->deal.kind = meeting.kind;
    w->deal.table = meeting.table;
    w->deal.record_id = meeting.record_id;
    return d;
}

/* The lead is there, unanswered, and came to rest in this state. */
static deal_t *settled_lead(apr_pool_t *p, const char *qualification, const char *status, const char *substatus)
{
    deal_t *d = start_lead(p, qualification, "New", "Pending");

    rest(d);
    assert_non_null(d->l->w->row);
    if (strcmp(status, "New")) {
        lead_state(d, status, substatus);
        rest(d);
    }
    return d;
}

static const char *edited_lead(apr_pool_t *parent, const row_t *row, int who, const char *status, const char *substatus, const char *then)
{
    apr_pool_t *p;
    const char *out;
    deal_t *d;

    if (((who & THERE) && !row->pc) || ((who & HERE) && !row->crm)) {
        return "-";
    }
    assert_ok(apr_pool_create(&p, parent));
    d = settled_lead(p, "MarketingQualified", status, substatus);
    if (who & THERE) {
        edit_there(d, row);
    }
    if (who & HERE) {
        edit_here(d, row);
    }
    if (then) {
        lead_state(d, then, "Accepted");
    }
    out = apr_pstrdup(parent, answer(plan(d), row->line, p));
    apr_pool_destroy(p);
    return out;
}

static const char *const lead_ends[] = { "Won", "Lost", "Declined", "Expired", "Error" };
#define LEAD_ENDS (sizeof(lead_ends) / sizeof(lead_ends[0]))

static void table_of_leads(table_t *t, const row_t *rows, size_t n)
{
    cs_plan_t *first = plan(start_lead(t->p, "MarketingQualified", "New", "Pending"));
    size_t i, s;

    say(t, "%s", "");
    say(t, "# Leads: an unanswered qualified lead. \"new record\": the first look at a referral without a record. \"accepted too\": the edit at Partner Center and its");
    say(t, "# acceptance in one look. A lead is never made or edited by a record: its lines go one way.");
    for (i = 0; i < n; i++) {
        say(t, "%s", "");
        say(t, "%-20s new record          %s", rows[i].line, answer(first, rows[i].line, t->p));
        say(t, "%-20s edit at PC          %s", "", edited_lead(t->p, &rows[i], THERE, "New", "Pending", NULL));
        say(t, "%-20s accepted too        %s", "", edited_lead(t->p, &rows[i], THERE, "New", "Pending", "Active"));
        say(t, "%-20s edit in the CRM     %s", "", edited_lead(t->p, &rows[i], HERE, "New", "Pending", NULL));
        say(t, "%-20s edit on both sides  %s", "", edited_lead(t->p, &rows[i], THERE | HERE, "New", "Pending", NULL));
        for (s = 0; s < LEAD_ENDS; s++) {
            say(t, "%-20s %-18s  %s / %s", "", apr_pstrcat(t->p, "Closed/", lead_ends[s], NULL), edited_lead(t->p, &rows[i], THERE, "Closed", lead_ends[s], NULL),
                edited_lead(t->p, &rows[i], HERE, "Closed", lead_ends[s], NULL));
        }
    }
}

/* Which kind of record each lead is met with, and what its first look writes. */
static void table_of_lead_meetings(table_t *t, const char *contact)
{
    static const char *const what[] = { "create", "link", "lead, left alone", "ignored", "closed, journalled only" };
    static const char *const without[][2] = {
        { "no contact", "[]" },
        { "a contact without a name", "[{\"email\":\"info@contoso.example\"}]" },
    };
    apr_pool_t *p;
    size_t q, s, i;
    deal_t *d;

    say(t, "%s", "");
    say(t, "# What a lead is met as");
    for (q = 0; q < QUALIFICATIONS; q++) {
        for (s = 0; s < STATES; s++) {
            cs_meeting_t meeting;

            assert_ok(apr_pool_create(&p, t->p));
            d = start(p, states[s][0], states[s][1], 0);
            lead_state(d, states[s][0], states[s][1]);
            meeting = lead_meeting(d, qualifications[q]);
            say(t, "%-18s  %-16s  %s%s%s", s ? "" : qualifications[q], apr_pstrcat(p, states[s][0], "/", states[s][1], NULL), what[meeting.what],
                meeting.what == CS_MEET_CREATE ? " " : "", meeting.what == CS_MEET_CREATE ? meeting.kind : "");
            apr_pool_destroy(p);
        }
    }
    say(t, "%s", "");
    say(t, "# What the first look writes");
    for (q = 0; q < QUALIFICATIONS; q++) {
        d = start_lead(t->p, qualifications[q], "New", "Pending");
        plan(d);
        say(t, "%-24s  %s; status: %s", qualifications[q], all_steps(d->l->w->plan, t->p), d->l->w->plan->status);
    }
    d = start_lead(t->p, "Direct", "Active", "Accepted");
    plan(d);
    say(t, "%-24s  %s; status: %s", "Direct, accepted", all_steps(d->l->w->plan, t->p), d->l->w->plan->status);
    for (i = 0; i < sizeof(without) / sizeof(without[0]); i++) {
        d = start_lead(t->p, "Direct", "New", "Pending");
        card_set(d->l->w->doc, "/customerProfile/team", without[i][1], t->p);
        plan(d);
        say(t, "%-24s  %s", without[i][0], all_steps(d->l->w->plan, t->p));
    }
    say(t, "%s", "");
    say(t, "# The first contact changes: the lines of one person together");
    for (i = 0; i < sizeof(without) / sizeof(without[0]); i++) {
        d = settled_lead(t->p, "Direct", "New", "Pending");
        card_set(d->l->w->doc, "/customerProfile/team", without[i][1], t->p);
        d->etag++;
        plan(d);
        say(t, "%-24s  %s", without[i][0], all_steps(d->l->w->plan, t->p));
    }
    d = settled_lead(t->p, "Direct", "New", "Pending");
    json_array_insert(cs_json_pointer(d->l->w->doc, "/customerProfile/team"), 0, deal_json(t->p, contact));
    d->etag++;
    plan(d);
    say(t, "%-24s  %s", "somebody before him", all_steps(d->l->w->plan, t->p));
}

/* What is planned now; of a lead that became an opportunity, what is planned for that: of its columns those that say what it is. */
static const char *planned_of(deal_t *d)
{
    static const char *const state[] = { STATE_COLUMNS, NULL };
    deal_world_t *w = d->l->w;
    const char *moved = "", *told;

    plan(d);
    if (w->plan->moved_kind) {
        moved = apr_psprintf(d->p, "the deal goes on with the %s; ", w->plan->moved_kind);
        apply(d);
        deal_settle(w);
        follow(d);
        plan(d);
    }
    told = w->plan->problem ? apr_psprintf(d->p, "; %s: %s", w->plan->status, w->plan->problem) : "";
    return apr_pstrcat(d->p, moved, some_steps(w->plan, *moved ? state : NULL, d->p), w->plan->look_at ? "; waits" : "", w->plan->state_after == CS_DEAL_UNLINKED ? "; unlinked" : "", told, NULL);
}

/* The same of all leads, however they were qualified. */
static const char *moved_lead(apr_pool_t *parent, const char *from, const char *from_sub, const char *to, const char *sub, int fate)
{
    const char *out = NULL, *once;
    apr_pool_t *p;
    size_t q;
    deal_t *d;

    for (q = 0; q < QUALIFICATIONS; q++) {
        assert_ok(apr_pool_create(&p, parent));
        d = settled_lead(p, qualifications[q], from, from_sub);
        if (fate >= 0 && !make_lead(d, (size_t)fate)) {
            apr_pool_destroy(p);
            return NULL;
        }
        if (to) {
            lead_state(d, to, sub);
            card_set(d->l->w->doc, "/statusReason", "\"NotACustomer:wrong number\"", p);
        }
        once = apr_pstrdup(parent, planned_of(d));
        apr_pool_destroy(p);
        if (out) {
            assert_string_equal(once, out);
        }
        out = once;
    }
    return out;
}

static void table_of_lead_moves(table_t *t)
{
    const char *planned;
    size_t s, f;

    say(t, "%s", "");
    say(t, "# The state of a lead moves at Partner Center (show), as New/Pending left the record, and while a person moved it, too");
    for (s = 0; s <= LEAD_ENDS; s++) {
        const char *to = s ? "Closed" : "Active", *sub = s ? lead_ends[s - 1] : "Accepted";

        for (f = 0; f < lead_fates_number(); f++) {
            planned = moved_lead(t->p, "New", "Pending", to, sub, f ? (int)f : -1);
            say(t, "%-16s  %-34s  %s", f ? "" : apr_pstrcat(t->p, to, "/", sub, NULL), lead_fate_words(f), planned);
        }
    }
    say(t, "%s", "");
    say(t, "# The state of a lead moves in the CRM (hear): the record is set to it by an ordinary edit");
    for (s = 0; s <= LEAD_ENDS; s++) {
        const char *at = s ? "Closed" : "New", *sub = s ? lead_ends[s - 1] : "Pending";

        for (f = 0; f < lead_fates_number(); f++) {
            planned = moved_lead(t->p, at, sub, NULL, NULL, (int)f);
            if (planned) {
                say(t, "%-16s  %-34s  %s", apr_pstrcat(t->p, at, "/", sub, NULL), lead_fate_words(f), planned);
            }
        }
    }
}

static void table_of_lead_reasons(table_t *t)
{
    static const char *const reasons[] = { "null", "\"NotACustomer\"", "\"NotACustomer:wrong number\"", "\"ChoseAnotherVendor\"", "\"Others\"", "\"free words\"" };
    deal_t *d;
    size_t i;

    say(t, "%s", "");
    say(t, "# The reason for which a lead was declined at Partner Center");
    for (i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++) {
        d = settled_lead(t->p, "Direct", "New", "Pending");
        lead_state(d, "Closed", "Declined");
        card_set(d->l->w->doc, "/statusReason", reasons[i], t->p);
        say(t, "%-30s  %s", reasons[i], planned_of(d));
    }
    d = settled_lead(t->p, "Direct", "New", "Pending");
    lead_state(d, "Closed", "Expired");
    card_set(d->l->w->doc, "/acceptedDateTime", "\"2026-02-01T00:00:00Z\"", t->p);
    say(t, "%-30s  %s", "expired, accepted before", planned_of(d));
}

/* Look by look until nothing is left to do. */
static void say_looks(table_t *t, deal_t *d)
{
    deal_world_t *w = d->l->w;
    int n, lead, moved;

    for (n = 1; n < 8; n++) {
        plan(d);
        lead = is_lead(d);
        moved = w->plan->moved_kind != NULL;
        say(t, "%-11s  %s%s", lead ? "lead" : "opportunity", moved ? "the deal goes on with what it became; " : "", all_steps(w->plan, d->p));
        apply(d);
        deal_settle(w);
        follow(d);
        if (!lead) {
            complete_record(d);
        }
        if (!deal_sent(w->plan) && !moved) {
            say(t, "%s%s%s", w->plan->status, w->plan->problem ? ": " : "", w->plan->problem ? w->plan->problem : "");
            return;
        }
    }
    fail_msg("the lead does not come to rest");
}

static void table_of_lead_looks(table_t *t)
{
    static const char *const missing[] = { "/details/dealValue", "/details/currency", "/details/closingDateTime" };
    size_t f;
    deal_t *d;

    say(t, "%s", "");
    say(t, "# A lead that is accepted at Partner Center, look by look");
    d = settled_lead(t->p, "MarketingQualified", "New", "Pending");
    lead_state(d, "Active", "Accepted");
    say_looks(t, d);
    say(t, "%s", "");
    say(t, "# A marketplace lead that was accepted before it was met, look by look");
    say_looks(t, start_lead(t->p, "Direct", "Active", "Accepted"));
    for (f = 2; f < 5; f++) {
        say(t, "%s", "");
        say(t, "# A lead that a person made \"%s\", look by look", lead_fate_words(f));
        d = settled_lead(t->p, "MarketingQualified", "New", "Pending");
        assert_true(make_lead(d, f));
        say_looks(t, d);
    }
    say(t, "%s", "");
    say(t, "# A lead without value and date that a person qualified, and the opportunity has both, look by look");
    d = start_lead(t->p, "MarketingQualified", "New", "Pending");
    for (f = 0; f < sizeof(missing) / sizeof(missing[0]); f++) {
        card_set(d->l->w->doc, missing[f], "null", t->p);
    }
    rest(d);
    assert_true(make_lead(d, FATE_QUALIFIED));
    look(d);
    assert_false(is_lead(d));
    json_object_update(d->l->w->row, deal_json(d->p, VALUE_AND_DATE));
    say_looks(t, d);
}

/* The row of the contacts is the last but one. */
static void say_all(table_t *t, const row_t *rows, size_t n, const row_t *leads, size_t m)
{
    say(t, "# What " PROFILE " does, written by " TESTED " from the planner's own answers. PROFILE_TABLE=write writes it anew.");
    say(t, "%s", "");
    table_of_lines(t, rows, n);
    table_of_states(t, rows, n);
    table_of_moves(t);
    early_win(t);
    table_of_creation(t);
    table_of_leads(t, leads, m);
    table_of_lead_meetings(t, rows[n - 2].pc_value);
    table_of_lead_moves(t);
    table_of_lead_reasons(t);
    table_of_lead_looks(t);
}

static void compare_table(apr_pool_t *p, const row_t *rows, size_t n, const row_t *leads, size_t m)
{
    table_t t = { p, apr_pcalloc(p, 1 << 18), 0, 1 << 18 };
    const char *write = getenv("PROFILE_TABLE"), *known;
    apr_size_t i, line = 1, at = 0;
    FILE *f;

    say_all(&t, rows, n, leads, m);
    if (write && !strcmp(write, "write")) {
        f = fopen(TABLE, "wb");
        assert_non_null(f);
        assert_int_equal(fwrite(t.text, 1, t.len, f), t.len);
        fclose(f);
    }
    known = deal_read(t.p, TABLE);
    for (i = 0; t.text[i] && t.text[i] == known[i]; i++) {
        if (t.text[i] == '\n') {
            line++;
            at = i + 1;
        }
    }
    if (t.text[i] || known[i]) {
        fail_msg(TABLE " line %lu differs.\nthere: %.*s\nnow:   %.*s", (unsigned long)line, (int)strcspn(known + at, "\n"), known + at, (int)strcspn(t.text + at, "\n"),
                 t.text + at);
    }
}

static int has_row(const row_t *of, size_t n, const char *name)
{
    size_t r;

    for (r = 0; r < n && strcmp(of[r].line, name); r++) {
    }
    return r < n;
}

static void complete(const cs_mapping_kind_t *kind, const row_t *of, size_t n)
{
    int i;

    for (i = 0; i < kind->lines->nelts; i++) {
        const cs_line_t *line = APR_ARRAY_IDX(kind->lines, i, cs_line_t *);

        if (!has_row(of, n, line->name)) {
            fail_msg("the line %s of the %s has no row in the table", line->name, kind->name);
        }
        if (line->off) {
            fail_msg("the line %s of the %s is off", line->name, kind->name);
        }
    }
    for (i = 0; kind->lists && i < kind->lists->nelts; i++) {
        const char *name = APR_ARRAY_IDX(kind->lists, i, cs_list_t *)->name;

        if (!has_row(of, n, name)) {
            fail_msg("the list %s of the %s has no row in the table", name, kind->name);
        }
    }
}

/* Every line of the profile has its row. */
static void assert_complete(apr_pool_t *p, const row_t *rows, size_t n, const row_t *leads, size_t m)
{
    cs_mapping_t *mapping = profile(p);

    complete(cs_mapping_kind(mapping, "opportunity"), rows, n);
    complete(cs_mapping_kind(mapping, "lead"), leads, m);
}

#endif
