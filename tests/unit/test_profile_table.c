/* The shipped profile, line by line: what a creation, an edit on either side and edits on both do, and what each state of the referral makes of it. Every
 * organisation-specific name is given, so that no line is off. The answers of the planner are one text that is compared with mapping/profile-table.txt; a change
 * of behaviour is a change of that file: PROFILE_TABLE=write writes it anew. */
#include "unit_list.h"

#include "mod_cosell/base/time.h"

#define PROFILE "conf/mapping/dynamics365.json"
#define TABLE "tests/unit/mapping/profile-table.txt"
#define MICROSOFT "microsoft:"

static const char metadata_text[] =
    "{\"language\":1033,\"tables\":{\"opportunity\":{\"label\":\"Opportunity\",\"columns\":{"
    "\"msft_howcanmicrosofthelp\":{\"label\":\"How can Microsoft help?\",\"type\":\"choice\",\"options\":["
    "{\"value\":861980000,\"label\":\"Workload Specific Value Proposition\"},{\"value\":861980001,\"label\":\"Customer Technical Architecture\"},"
    "{\"value\":861980002,\"label\":\"Proof Of Concept Or Demo\"},{\"value\":861980003,\"label\":\"Quotes Or Licensing\"},"
    "{\"value\":861980004,\"label\":\"Post Sales Customer Success\"},{\"value\":861980005,\"label\":\"General Or Other\"}]}}}}}";

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

static const char account_text[] = "{\"id\":\"00000000-0000-4000-8000-0000000000a1\",\"name\":\"Contoso\",\"accountnumber\":null,\"address1_line1\":\"Am Markt 1\","
                                   "\"address1_city\":\"Berlin\",\"address1_stateorprovince\":\"BE\",\"address1_postalcode\":\"10115\",\"address1_country\":\"Germany\"}";

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

static cs_mapping_t *profile(apr_pool_t *p)
{
    static const char *const on[] = {
        "status", "problem", "synced", "explain", "expires", "microsoft_status", "microsoft_reason", "microsoft_seller", "registration_status", "registration_type",
        "campaign", "intent", "location", NULL
    };
    json_t *root = deal_json(p, deal_read(p, PROFILE));
    cs_mapping_t *mapping = NULL;
    cs_result_t res;
    const char *text;
    int i;

    for (i = 0; on[i]; i++) {
        assert_true(json_is_null(json_object_get(json_object_get(root, "names"), on[i])));
        json_object_set_new(json_object_get(root, "names"), on[i], json_sprintf("acme_%s", on[i]));
    }
    assert_ok(cs_json_pointer_set(root, "/records/opportunity/lines/stage/enabled", json_true()));
    text = cs_json_print(root, p);
    memset(&res, 0, sizeof(res));
    if (cs_mapping_parse(&mapping, text, strlen(text), "profile.json", "dynamics365", NULL, p, &res) != APR_SUCCESS) {
        fail_msg("%s", res.detail);
    }
    return mapping;
}

static cs_plan_t *plan(deal_t *d)
{
    deal_world_t *w = d->l->w;
    cs_card_t *card;
    cs_result_t res;

    memset(&res, 0, sizeof(res));
    deal_fetch(w);
    w->card.etag = apr_psprintf(d->p, "\"%d\"", d->etag);
    w->look.metadata = deal_json(d->p, metadata_text);
    w->look.notified = 1;
    if (w->row) {
        w->record.related = list_related(d->l);
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
            list_record_step(d->l, step, &w->applied[i]);
        }
        else if (step->kind == CS_STEP_JOIN || step->kind == CS_STEP_ENSURE) {
            list_lookup_step(d->l, step, &w->applied[i]);
        }
        else {
            list_row_step(d->l, step, &w->applied[i]);
        }
    }
}

static void look(deal_t *d)
{
    plan(d);
    apply(d);
    deal_settle(d->l->w);
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
    list_add(d->l, "systemuser", "00000000-0000-4000-8000-0000000000b1",
             "{\"internalemailaddress\":\"sam@own.example\",\"firstname\":\"Sam\",\"lastname\":\"Seller\",\"address1_telephone1\":\"2\",\"isdisabled\":false}");
    list_add(d->l, "systemuser", "00000000-0000-4000-8000-0000000000b2",
             "{\"internalemailaddress\":\"tom@own.example\",\"firstname\":\"Tom\",\"lastname\":\"Teller\",\"address1_telephone1\":\"3\",\"isdisabled\":false}");
    list_add(d->l, "msft_microsoftsolutiondetail", "00000000-0000-4000-8000-0000000000c1", "{\"msft_solutionidentifier\":\"SOL-1\",\"msft_solutionname\":\"Analytics\"}");
    list_add(d->l, "msft_microsoftsolutiondetail", "00000000-0000-4000-8000-0000000000c2", "{\"msft_solutionidentifier\":\"SOL-2\",\"msft_solutionname\":\"Backup\"}");
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
        if (w->row) {
            json_object_set_new(w->row, "parentaccountid", json_incref(deal_json(d->p, account_text)));
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

typedef struct row_t {
    const char *line;
    const char *pc, *pc_value;   /* where Partner Center's users edit it, and what they type; NULL = they cannot */
    const char *crm, *crm_value; /* "column" or "look-up/column"; NULL = they cannot */
} row_t;

#define A "/details/requirements/additionalRequirements/attributes/0/id"
static const row_t rows[] = {
    { "id", "/externalReferenceId", "\"a note of theirs\"", NULL, NULL },
    { "name", "/name", "\"Renamed there\"", "name", "\"Renamed here\"" },
    { "value", "/details/dealValue", "61000", "estimatedvalue", "71000" },
    { "close", "/details/closingDateTime", "\"2026-05-31T12:00:00Z\"", "estimatedclosedate", "\"2026-06-30\"" },
    { "notes", "/details/notes", "\"Typed there\"", "description", "\"Typed here\"" },
    { "ask", MICROSOFT "/inviteContext/notes", "\"Asked there\"", NULL, NULL },
    { "help", MICROSOFT "/inviteContext/assistanceRequestCode", "\"QuotesOrLicensing\"", "msft_howcanmicrosofthelp", "861980002" },
    { "visible", NULL, NULL, "msft_referralvisibility", "false" },
    { "account", NULL, NULL, "parentaccountid", "{\"id\":\"00000000-0000-4000-8000-0000000000a2\",\"name\":\"Fabrikam\",\"accountnumber\":null,\"address1_line1\":\"2 Street\","
                                                "\"address1_city\":\"Bonn\",\"address1_stateorprovince\":\"NW\",\"address1_postalcode\":\"53111\",\"address1_country\":\"Germany\"}" },
    { "customer", "/customerProfile/name", "\"Contoso AG\"", "parentaccountid/name", "\"Contoso SE\"" },
    { "street", "/customerProfile/address/addressLine1", "\"Am Tor 2\"", "parentaccountid/address1_line1", "\"Am See 3\"" },
    { "city", "/customerProfile/address/city", "\"Bonn\"", "parentaccountid/address1_city", "\"Kiel\"" },
    { "state", "/customerProfile/address/state", "\"NW\"", "parentaccountid/address1_stateorprovince", "\"SH\"" },
    { "postal", "/customerProfile/address/postalCode", "\"53111\"", "parentaccountid/address1_postalcode", "\"24103\"" },
    { "country", "/customerProfile/address/country", "\"AT\"", "parentaccountid/address1_country", "\"Austria\"" },
    { "location", "/mpnId", "\"2222222\"", "acme_location", "\"3333333\"" },
    { "intent", A, "\"Yes\"", "acme_intent", "\"No\"" },
    { "campaign", "/campaignId", "\"Summer\"", "acme_campaign", "\"Autumn\"" },
    { "stage", "/salesStage", "\"60\"", "salesstage", "3" },
    { "program", "/referralProgram", "\"Other\"", "msft_referralprogram", "\"Typed here\"" },
    { "expires", "/expirationDateTime", "\"2026-04-04T10:00:00Z\"", "acme_expires", "\"2026-05-05\"" },
    { "msx", MICROSOFT "/trackingInfo/microsoftMsxId", "\"7-XYZ\"", "msft_microsoftcrmidentifier", "\"Typed here\"" },
    { "microsoft_status", MICROSOFT "/substatus", "\"Received\"", "acme_microsoft_status", "\"Typed here\"" },
    { "microsoft_reason", MICROSOFT "/statusReason", "\"Taken up\"", "acme_microsoft_reason", "\"Typed here\"" },
    { "microsoft_seller", MICROSOFT "/team/0/email", "\"max@microsoft.example\"", "acme_microsoft_seller", "\"Typed here\"" },
    { "registration_status", "/registrationStatus", "\"Approved\"", "acme_registration_status", "\"Typed here\"" },
    { "registration_type", "/registrations/0/type", "\"Other\"", "acme_registration_type", "\"Typed here\"" },
    { "solutions", "/details/requirements/solutions/1", "{\"type\":\"Name\",\"id\":\"SOL-2\",\"name\":\"Backup\"}", "+solution", NULL },
    { "contacts", "/customerProfile/team/1", "{\"firstName\":\"Bob\",\"lastName\":\"Buyer\",\"email\":\"bob@contoso.example\",\"phoneNumber\":\"9\"}", "parentcontactid",
      "{\"id\":\"00000000-0000-4000-8000-0000000000d9\",\"emailaddress1\":\"eve@contoso.example\",\"firstname\":\"Eve\",\"lastname\":\"End\",\"telephone1\":\"7\",\"jobtitle\":null}" },
    { "team", "/team/1", "{\"firstName\":\"Tom\",\"lastName\":\"Teller\",\"email\":\"tom@own.example\",\"phoneNumber\":\"3\"}", "ownerid",
      "{\"id\":\"00000000-0000-4000-8000-0000000000b2\",\"internalemailaddress\":\"tom@own.example\",\"firstname\":\"Tom\",\"lastname\":\"Teller\",\"address1_telephone1\":\"3\"}" },
};
#define ROWS (sizeof(rows) / sizeof(rows[0]))

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

static void edit_here(deal_t *d, const row_t *row)
{
    deal_world_t *w = d->l->w;
    const char *slash = strchr(row->crm, '/');

    if (*row->crm == '+') {
        list_add(d->l, "msft_microsoftsolution", NULL,
                 apr_psprintf(d->p, "{\"msft_opportunityid\":{\"id\":\"%s\"},\"msft_solutiondetailid\":{\"id\":\"00000000-0000-4000-8000-0000000000c2\","
                              "\"msft_solutionidentifier\":\"SOL-2\",\"msft_solutionname\":\"Backup\"}}", cs_json_str(w->row, "opportunityid")));
        return;
    }
    if (slash) {
        json_object_set(json_object_get(w->row, apr_pstrndup(d->p, row->crm, (apr_size_t)(slash - row->crm))), slash + 1, deal_json(d->p, row->crm_value));
        return; /* a row of another table: the record's version stays */
    }
    deal_edit(w, row->crm, row->crm_value);
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

static void table_of_lines(table_t *t)
{
    deal_t *d = start(t->p, "Active", "Accepted", 1);
    cs_plan_t *first;
    size_t i;

    first = plan(d);
    say(t, "# Lines: an accepted co-sell referral with Microsoft's card. \"new record\": the first look at a referral without a record.");
    for (i = 0; i < ROWS; i++) {
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
static void table_of_states(table_t *t)
{
    size_t i, s;

    say(t, "%s", "");
    say(t, "# Lines in each state of the referral, both sides at rest in it: an edit at Partner Center / an edit in the CRM");
    for (i = 0; i < ROWS; i++) {
        say(t, "%s", "");
        for (s = 0; s < STATES; s++) {
            say(t, "%-20s %-16s  %s / %s", s ? "" : rows[i].line, apr_pstrcat(t->p, states[s][0], "/", states[s][1], NULL),
                edited(t->p, &rows[i], THERE, states[s][0], states[s][1], 1), edited(t->p, &rows[i], HERE, states[s][0], states[s][1], 1));
        }
    }
}

/* ---- the machine ---- */

static const char *all_steps(const cs_plan_t *plan, apr_pool_t *p)
{
    const char *out = "";
    int i;

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
            if (!strncmp(name, "acme_", 5) || !strcmp(name, "msft_audit")) {
                continue; /* what the seller reads: another test's */
            }
            out = apr_pstrcat(p, out, " ", name, "=", cs_json_print(value, p), NULL);
        }
    }
    return *out ? out + 2 : "nothing";
}

static const int crm_states[][2] = { { 0, 1 }, { 0, 2 }, { 1, 3 }, { 2, 4 }, { 2, 5 } };
static const char *const crm_words[] = { "open, In Progress", "open, On Hold", "won", "lost, Canceled", "lost, Out-Sold" };

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
        for (n = 0; n < sizeof(crm_states) / sizeof(crm_states[0]); n++) {
            deal_world_t *w;

            assert_ok(apr_pool_create(&p, t->p));
            d = settled(p, states[s][0], states[s][1], 1);
            w = d->l->w;
            if (cs_json_int(w->row, "statecode", -1) != crm_states[n][0] || cs_json_int(w->row, "statuscode", -1) != crm_states[n][1]) {
                json_object_set_new(w->row, "statecode", json_integer(crm_states[n][0]));
                deal_edit(w, "statuscode", apr_psprintf(p, "%d", crm_states[n][1]));
                plan(d);
                say(t, "%-16s  %-18s  %s%s%s", apr_pstrcat(p, states[s][0], "/", states[s][1], NULL), crm_words[n], all_steps(w->plan, p),
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
    json_object_set_new(w->row, "statecode", json_integer(1));
    deal_edit(w, "statuscode", "3");
    plan(d);
    say(t, "%-16s  %-18s  %s; looked at again at %s", "made yesterday", "won", all_steps(w->plan, t->p), w->plan->look_at ? cs_time_format(w->plan->look_at, t->p) : "no time");
}

/* ---- a referral made of the record ---- */

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
        w->deal.table = "opportunity";
        w->deal.record_id = apr_pstrdup(p, cs_json_str(w->row, "opportunityid"));
        json_object_set_new(w->row, "msft_referralidentifier", json_null());
        json_object_set_new(w->row, "msft_referrallink", json_null());
        json_object_set_new(w->row, "msft_syncwithpartnercenter", json_true());
        json_object_set_new(w->row, "msft_referralvisibility", json_boolean(k > 0));
        json_object_set_new(w->row, "msft_howcanmicrosofthelp", k > 1 ? json_integer(861980003) : json_null());
        json_object_set_new(w->row, "parentcontactid", json_incref(deal_json(p, rows[ROWS - 2].crm_value)));
        d->microsoft = NULL;
        for (i = 0; i < 2; i++) { /* the edit, and once it is quiet */
            cs_result_t res;

            memset(&res, 0, sizeof(res));
            deal_fetch(w);
            w->look.own = NULL;
            w->look.metadata = deal_json(p, metadata_text);
            w->look.notified = w->look.edited = !i;
            w->look.now += apr_time_from_sec(200 * i);
            w->record.related = list_related(d->l);
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
        for (i = 0; i < w->plan->steps->nelts; i++) {
            const cs_step_t *step = APR_ARRAY_IDX(w->plan->steps, i, cs_step_t *);

            if (step->kind == CS_STEP_POST_PC) {
                say(t, "%s %s %s", cs_step_kind_name(step->kind), step->call, cs_json_pretty(step->columns, p));
            }
        }
        say(t, "status: %s", w->plan->status);
        apr_pool_destroy(p);
    }
}

static void test_table(void **state)
{
    table_t t = { *state, apr_pcalloc(*state, 1 << 18), 0, 1 << 18 };
    const char *write = getenv("PROFILE_TABLE"), *known;
    apr_size_t i, line = 1, at = 0;
    FILE *f;

    say(&t, "# What " PROFILE " does, written by tests/unit/test_profile_table.c from the planner's own answers. PROFILE_TABLE=write writes it anew.");
    say(&t, "%s", "");
    table_of_lines(&t);
    table_of_states(&t);
    table_of_moves(&t);
    early_win(&t);
    table_of_creation(&t);
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

/* Every line of the profile has its row. */
static void test_complete(void **state)
{
    const cs_mapping_kind_t *kind = cs_mapping_kind(profile(*state), "opportunity");
    int i;
    size_t r;

    for (i = 0; i < kind->lines->nelts; i++) {
        const char *name = APR_ARRAY_IDX(kind->lines, i, cs_line_t *)->name;

        for (r = 0; r < ROWS && strcmp(rows[r].line, name); r++) {
        }
        if (r == ROWS) {
            fail_msg("the line %s of the profile has no row in the table", name);
        }
        if (APR_ARRAY_IDX(kind->lines, i, cs_line_t *)->off) {
            fail_msg("the line %s is off", name);
        }
    }
    for (i = 0; i < kind->lists->nelts; i++) {
        const char *name = APR_ARRAY_IDX(kind->lists, i, cs_list_t *)->name;

        for (r = 0; r < ROWS && strcmp(rows[r].line, name); r++) {
        }
        if (r == ROWS) {
            fail_msg("the list %s of the profile has no row in the table", name);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_complete),
        UNIT_TEST(test_table),
    };

    return UNIT_RUN(tests);
}
