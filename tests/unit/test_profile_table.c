/* The shipped profile, line by line, of opportunities and of leads: what a creation, an edit on either side and edits on both do, and what each
 * state of the referral makes of it. Every organisation-specific name is given, so that no line is off. The answers of the planner are one text
 * that is compared with mapping/profile-table.txt; a change of behaviour is a change of that file: PROFILE_TABLE=write writes it anew. */
#include "unit_list.h"

#include "mod_cosell/remote/crm.h"
#include "mod_cosell/base/time.h"

#define PROFILE "conf/mapping/dynamics365.json"
#define TABLE "tests/unit/mapping/profile-table.txt"
#define MICROSOFT "microsoft:"
#define BECAME "00000000-0000-4000-8000-0000000000e1" /* the opportunity that a lead becomes */

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
    if (cs_mapping_parse(&mapping, text, strlen(text), "profile.json", cs_crm_facts_of("dynamics365"), NULL, p, &res) != APR_SUCCESS) {
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
    w->look.metadata = deal_json(d->p, metadata_text);
    w->look.notified = 1;
    if (w->row) {
        if (is_lead(d)) {
            w->record.table = "lead";
            w->record.id = w->deal.record_id;
        }
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

/* A lead is qualified: it ends, and names the opportunity that it became. */
static void qualified(deal_t *d, const char *opportunity)
{
    json_t *row = d->l->w->row;

    assert_int_equal(cs_json_int(row, "statecode", -1), 0);
    json_object_set_new(row, "statecode", json_integer(1));
    json_object_set_new(row, "statuscode", json_integer(3));
    json_object_set_new(row, "qualifyingopportunityid", opportunity ? json_pack("{s:s}", "id", opportunity) : json_null());
    d->l->w->version++;
}

static void record_step(deal_t *d, const cs_step_t *step, cs_applied_t *applied)
{
    json_t *row;

    if (step->call && !strcmp(step->call, "QualifyLead")) {
        qualified(d, BECAME);
        applied->tried = applied->done = 1;
        applied->created = cs_json_own(json_pack("[{s:s,s:s}]", "table", "opportunity", "id", BECAME), d->p);
        return;
    }
    list_record_step(d->l, step, applied);
    if (applied->after && is_lead(d)) {
        cs_record_t *after = apr_pmemdup(d->p, applied->after, sizeof(*after));

        row = d->l->w->row;
        json_object_del(row, "opportunityid"); /* what a row is called in the world these tests were made with */
        json_object_set_new(row, "leadid", json_string(step->id));
        after->table = "lead";
        after->row = cs_json_own(json_deep_copy(row), d->p);
        applied->after = after;
    }
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
            record_step(d, step, &w->applied[i]);
        }
        else if (step->kind == CS_STEP_JOIN || step->kind == CS_STEP_ENSURE) {
            list_lookup_step(d->l, step, &w->applied[i]);
        }
        else {
            list_row_step(d->l, step, &w->applied[i]);
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
    topic = json_incref(json_object_get(w->row, "subject"));
    w->kind = cs_mapping_kind(w->mapping, w->deal.kind);
    deal_row(w, BECAME);
    json_object_set_new(w->row, "name", topic);
    json_object_set_new(w->row, "parentcontactid", json_null());
    json_object_set_new(w->row, "ownerid", json_null());
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
        if (w->row && !is_lead(d)) {
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
            if (!strncmp(name, "acme_", 5) || !strcmp(name, "msft_audit")) {
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
        say_posts(t, w->plan, p);
        if (k > 1) {
            table_of_connection(t, d);
        }
        apr_pool_destroy(p);
    }
}

/* ---- leads ---- */

static const row_t lead_rows[] = {
    { "subject", "/name", "\"Renamed there\"", "subject", "\"Renamed here\"" },
    { "company", "/customerProfile/name", "\"Contoso AG\"", "companyname", "\"Contoso SE\"" },
    { "first", "/customerProfile/team/0/firstName", "\"Bob\"", "firstname", "\"Eve\"" },
    { "last", "/customerProfile/team/0/lastName", "\"Buyer\"", "lastname", "\"End\"" },
    { "title", "/customerProfile/team/0/title", "\"CFO\"", "jobtitle", "\"CTO\"" },
    { "email", "/customerProfile/team/0/email", "\"bob@contoso.example\"", "emailaddress1", "\"eve@contoso.example\"" },
    { "phone", "/customerProfile/team/0/phoneNumber", "\"9\"", "telephone1", "\"7\"" },
    { "street", "/customerProfile/address/addressLine1", "\"Am Tor 2\"", "address1_line1", "\"Am See 3\"" },
    { "city", "/customerProfile/address/city", "\"Bonn\"", "address1_city", "\"Kiel\"" },
    { "state", "/customerProfile/address/state", "\"NW\"", "address1_stateorprovince", "\"SH\"" },
    { "postal", "/customerProfile/address/postalCode", "\"53111\"", "address1_postalcode", "\"24103\"" },
    { "country", "/customerProfile/address/country", "\"AT\"", "address1_country", "\"Switzerland\"" },
    { "notes", "/details/notes", "\"Typed there\"", "description", "\"Typed here\"" },
    { "source", NULL, NULL, "leadsourcecode", "3" },
};
#define LEAD_ROWS (sizeof(lead_rows) / sizeof(lead_rows[0]))

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

static void table_of_leads(table_t *t)
{
    cs_plan_t *first = plan(start_lead(t->p, "MarketingQualified", "New", "Pending"));
    size_t i, s;

    say(t, "%s", "");
    say(t, "# Leads: an unanswered qualified lead. \"new record\": the first look at a referral without a record. \"accepted too\": the edit at Partner Center and its");
    say(t, "# acceptance in one look. A lead is never made or edited by a record: its lines go one way.");
    for (i = 0; i < LEAD_ROWS; i++) {
        say(t, "%s", "");
        say(t, "%-20s new record          %s", lead_rows[i].line, answer(first, lead_rows[i].line, t->p));
        say(t, "%-20s edit at PC          %s", "", edited_lead(t->p, &lead_rows[i], THERE, "New", "Pending", NULL));
        say(t, "%-20s accepted too        %s", "", edited_lead(t->p, &lead_rows[i], THERE, "New", "Pending", "Active"));
        say(t, "%-20s edit in the CRM     %s", "", edited_lead(t->p, &lead_rows[i], HERE, "New", "Pending", NULL));
        say(t, "%-20s edit on both sides  %s", "", edited_lead(t->p, &lead_rows[i], THERE | HERE, "New", "Pending", NULL));
        for (s = 0; s < LEAD_ENDS; s++) {
            say(t, "%-20s %-18s  %s / %s", "", apr_pstrcat(t->p, "Closed/", lead_ends[s], NULL), edited_lead(t->p, &lead_rows[i], THERE, "Closed", lead_ends[s], NULL),
                edited_lead(t->p, &lead_rows[i], HERE, "Closed", lead_ends[s], NULL));
        }
    }
}

/* Which kind of record each lead is met with, and what its first look writes. */
static void table_of_lead_meetings(table_t *t)
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
    json_array_insert(cs_json_pointer(d->l->w->doc, "/customerProfile/team"), 0, deal_json(t->p, rows[ROWS - 2].pc_value));
    d->etag++;
    plan(d);
    say(t, "%-24s  %s", "somebody before him", all_steps(d->l->w->plan, t->p));
}

/* What people can make of a lead in the CRM. */
static const struct {
    const char *words;
    int statecode, statuscode;
    const char *became;
} lead_fates[] = {
    { "open, New", 0, 1, NULL },
    { "open, Contacted", 0, 2, NULL },
    { "qualified, became none", 1, 3, NULL },
    { "qualified", 1, 3, BECAME },
    { "disqualified, Lost", 2, 4, NULL },
    { "disqualified, Cannot Contact", 2, 5, NULL },
    { "disqualified, No Longer Interested", 2, 6, NULL },
    { "disqualified, Canceled", 2, 7, NULL },
};
#define FATES (sizeof(lead_fates) / sizeof(lead_fates[0]))

/* 0 = it is so already. */
static int make_lead(deal_t *d, size_t fate)
{
    json_t *row = d->l->w->row;

    if (cs_json_int(row, "statecode", -1) == lead_fates[fate].statecode && cs_json_int(row, "statuscode", -1) == lead_fates[fate].statuscode) {
        return 0;
    }
    json_object_set_new(row, "statecode", json_integer(lead_fates[fate].statecode));
    json_object_set_new(row, "qualifyingopportunityid", lead_fates[fate].became ? json_pack("{s:s}", "id", lead_fates[fate].became) : json_null());
    deal_edit(d->l->w, "statuscode", apr_psprintf(d->p, "%d", lead_fates[fate].statuscode));
    return 1;
}

/* What is planned now; of a lead that became an opportunity, what is planned for that: of its columns those that say what it is. */
static const char *planned_of(deal_t *d)
{
    static const char *const state[] = { "statecode", "statuscode", "msft_syncwithpartnercenter", "msft_referralidentifier", NULL };
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

        for (f = 0; f < FATES; f++) {
            planned = moved_lead(t->p, "New", "Pending", to, sub, f ? (int)f : -1);
            say(t, "%-16s  %-34s  %s", f ? "" : apr_pstrcat(t->p, to, "/", sub, NULL), lead_fates[f].words, planned);
        }
    }
    say(t, "%s", "");
    say(t, "# The state of a lead moves in the CRM (hear): the record is set to it by an ordinary edit");
    for (s = 0; s <= LEAD_ENDS; s++) {
        const char *at = s ? "Closed" : "New", *sub = s ? lead_ends[s - 1] : "Pending";

        for (f = 0; f < FATES; f++) {
            planned = moved_lead(t->p, at, sub, NULL, NULL, (int)f);
            if (planned) {
                say(t, "%-16s  %-34s  %s", apr_pstrcat(t->p, at, "/", sub, NULL), lead_fates[f].words, planned);
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
        if (!lead && !json_is_object(json_object_get(w->row, "parentaccountid"))) {
            json_object_set_new(w->row, "parentaccountid", json_incref(deal_json(d->p, account_text)));
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
        say(t, "# A lead that a person made \"%s\", look by look", lead_fates[f].words);
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
    assert_true(make_lead(d, 3));
    look(d);
    assert_false(is_lead(d));
    json_object_update(d->l->w->row, deal_json(t->p, "{\"estimatedvalue\":71000,\"estimatedclosedate\":\"2026-06-30\","
                                                     "\"transactioncurrencyid\":{\"id\":\"00000000-0000-4000-8000-0000000000f1\",\"isocurrencycode\":\"USD\"}}"));
    say_looks(t, d);
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
    table_of_leads(&t);
    table_of_lead_meetings(&t);
    table_of_lead_moves(&t);
    table_of_lead_reasons(&t);
    table_of_lead_looks(&t);
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
static void test_complete(void **state)
{
    cs_mapping_t *mapping = profile(*state);

    complete(cs_mapping_kind(mapping, "opportunity"), rows, ROWS);
    complete(cs_mapping_kind(mapping, "lead"), lead_rows, LEAD_ROWS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_complete),
        UNIT_TEST(test_table),
    };

    return UNIT_RUN(tests);
}
