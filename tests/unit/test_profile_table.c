/* The shipped profile, line by line, of opportunities and of leads: what a creation, an edit on either side and edits on both do, and what each
 * state of the referral makes of it. Every organisation-specific name is given, so that no line is off. The answers of the planner are one text
 * that is compared with mapping/profile-table.txt; a change of behaviour is a change of that file: PROFILE_TABLE=write writes it anew. */

#define PROFILE "conf/mapping/dynamics365.json"
#define TABLE "tests/unit/mapping/profile-table.txt"
#define TESTED "tests/unit/test_profile_table.c"
#define CRM_TYPE "dynamics365"
#define RECORD_TABLE "opportunity"
#define LEAD_TABLE "lead"
#define LEAD_TOPIC "subject"
#define BECAME "00000000-0000-4000-8000-0000000000e1"
#define UNTOLD(column) (!strncmp(column, "acme_", 5) || !strcmp(column, "msft_audit"))
#define STATE_COLUMNS "statecode", "statuscode", "msft_syncwithpartnercenter", "msft_referralidentifier"
#define VALUE_AND_DATE                                      \
    "{\"estimatedvalue\":71000,\"estimatedclosedate\":\"2026-06-30\"," \
    "\"transactioncurrencyid\":{\"id\":\"00000000-0000-4000-8000-0000000000f1\",\"isocurrencycode\":\"USD\"}}"
#include "profile_table_leads.h"

static const char metadata_text[] =
    "{\"language\":1033,\"tables\":{\"opportunity\":{\"label\":\"Opportunity\",\"columns\":{"
    "\"msft_howcanmicrosofthelp\":{\"label\":\"How can Microsoft help?\",\"type\":\"choice\",\"options\":["
    "{\"value\":861980000,\"label\":\"Workload Specific Value Proposition\"},{\"value\":861980001,\"label\":\"Customer Technical Architecture\"},"
    "{\"value\":861980002,\"label\":\"Proof Of Concept Or Demo\"},{\"value\":861980003,\"label\":\"Quotes Or Licensing\"},"
    "{\"value\":861980004,\"label\":\"Post Sales Customer Success\"},{\"value\":861980005,\"label\":\"General Or Other\"}]}}}}}";

static const char account_text[] = "{\"id\":\"00000000-0000-4000-8000-0000000000a1\",\"name\":\"Contoso\",\"accountnumber\":null,\"address1_line1\":\"Am Markt 1\","
                                   "\"address1_city\":\"Berlin\",\"address1_stateorprovince\":\"BE\",\"address1_postalcode\":\"10115\",\"address1_country\":\"Germany\"}";

static const char *metadata(void)
{
    return metadata_text;
}

static void name_all(json_t *names, apr_pool_t *p)
{
    static const char *const on[] = {
        "status", "problem", "synced", "explain", "expires", "microsoft_status", "microsoft_reason", "microsoft_seller", "registration_status", "registration_type",
        "campaign", "intent", "location", NULL
    };
    int i;

    for (i = 0; on[i]; i++) {
        assert_true(json_is_null(json_object_get(names, on[i])));
        json_object_set_new(names, on[i], json_string(apr_psprintf(p, "acme_%s", on[i])));
    }
}

static void show_record(deal_t *d)
{
    deal_world_t *w = d->l->w;

    if (is_lead(d)) {
        w->record.table = LEAD_TABLE;
        w->record.id = w->deal.record_id;
    }
    w->record.related = list_related(d->l);
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
        after->table = LEAD_TABLE;
        after->row = cs_json_own(json_deep_copy(row), d->p);
        applied->after = after;
    }
}

static void populate(deal_t *d)
{
    list_add(d->l, "systemuser", "00000000-0000-4000-8000-0000000000b1",
             "{\"internalemailaddress\":\"sam@own.example\",\"firstname\":\"Sam\",\"lastname\":\"Seller\",\"address1_telephone1\":\"2\",\"isdisabled\":false}");
    list_add(d->l, "systemuser", "00000000-0000-4000-8000-0000000000b2",
             "{\"internalemailaddress\":\"tom@own.example\",\"firstname\":\"Tom\",\"lastname\":\"Teller\",\"address1_telephone1\":\"3\",\"isdisabled\":false}");
    list_add(d->l, "msft_microsoftsolutiondetail", "00000000-0000-4000-8000-0000000000c1", "{\"msft_solutionidentifier\":\"SOL-1\",\"msft_solutionname\":\"Analytics\"}");
    list_add(d->l, "msft_microsoftsolutiondetail", "00000000-0000-4000-8000-0000000000c2", "{\"msft_solutionidentifier\":\"SOL-2\",\"msft_solutionname\":\"Backup\"}");
}

static void complete_record(deal_t *d)
{
    json_object_set_new(d->l->w->row, "parentaccountid", json_incref(deal_json(d->p, account_text)));
}

static void become(deal_t *d, json_t *topic)
{
    deal_row(d->l->w, BECAME);
    json_object_set_new(d->l->w->row, "name", topic);
    json_object_set_new(d->l->w->row, "parentcontactid", json_null());
    json_object_set_new(d->l->w->row, "ownerid", json_null());
}

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

static const int crm_states[][2] = { { 0, 1 }, { 0, 2 }, { 1, 3 }, { 2, 4 }, { 2, 5 } };
static const char *const crm_words[] = { "open, In Progress", "open, On Hold", "won", "lost, Canceled", "lost, Out-Sold" };

static size_t crm_states_number(void)
{
    return sizeof(crm_states) / sizeof(crm_states[0]);
}

static const char *crm_state_words(size_t n)
{
    return crm_words[n];
}

static int make_crm_state(deal_t *d, size_t n)
{
    json_t *row = d->l->w->row;

    if (cs_json_int(row, "statecode", -1) == crm_states[n][0] && cs_json_int(row, "statuscode", -1) == crm_states[n][1]) {
        return 0;
    }
    json_object_set_new(row, "statecode", json_integer(crm_states[n][0]));
    deal_edit(d->l->w, "statuscode", apr_psprintf(d->p, "%d", crm_states[n][1]));
    return 1;
}

static void ask_for_referral(deal_t *d, int kind)
{
    deal_world_t *w = d->l->w;

    w->deal.record_id = apr_pstrdup(d->p, cs_json_str(w->row, "opportunityid"));
    json_object_set_new(w->row, "msft_referralidentifier", json_null());
    json_object_set_new(w->row, "msft_referrallink", json_null());
    json_object_set_new(w->row, "msft_syncwithpartnercenter", json_true());
    json_object_set_new(w->row, "msft_referralvisibility", json_boolean(kind > 0));
    json_object_set_new(w->row, "msft_howcanmicrosofthelp", kind > 1 ? json_integer(861980003) : json_null());
    json_object_set_new(w->row, "parentcontactid", json_incref(deal_json(d->p, rows[ROWS - 2].crm_value)));
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

static size_t lead_fates_number(void)
{
    return FATES;
}

static const char *lead_fate_words(size_t n)
{
    return lead_fates[n].words;
}

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

static void test_table(void **state)
{
    compare_table(*state, rows, ROWS, lead_rows, LEAD_ROWS);
}

static void test_complete(void **state)
{
    assert_complete(*state, rows, ROWS, lead_rows, LEAD_ROWS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_complete),
        UNIT_TEST(test_table),
    };

    return UNIT_RUN(tests);
}
