/* The shipped profile of Salesforce, line by line, as test_profile_table.c has that of Dynamics. What differs is the vendor's: the state follows from the stage, rows get
 * their ids when they are made, closed rows take writes (so that the table says "to crm" where the other says "closed"), contacts and people are rows of their own, a lead is
 * converted by its owner only, and a converted one takes no writes. */

#define PROFILE "conf/mapping/salesforce.json"
#define TABLE "tests/unit/mapping/profile-table-salesforce.txt"
#define TESTED "tests/unit/test_profile_table_salesforce.c"
#define CRM_TYPE "salesforce"
#define RECORD_TABLE "Opportunity"
#define LEAD_TABLE "Lead"
#define LEAD_TOPIC "Acme_lead_subject__c"
#define BECAME "0065f00000ABCDfAAP"
#define UNTOLD(column) (!strncmp(column, "Acme_", 5) || !strncmp(column, "Co_sell_", 8) || !strcmp(column, "Audit__c"))
#define STATE_COLUMNS "StageName", "Status", "Loss_Reason__c", "Sync_with_Partner_Center__c", "Referral_Identifier__c"
#define VALUE_AND_DATE "{\"Amount\":71000,\"CloseDate\":\"2026-06-30\",\"CurrencyIsoCode\":\"USD\"}"
#include "profile_table_leads.h"

#define LEAD_ID "00Q5f00000ABCDeEAP"
#define SAM "0055f00000ABCDeAAP"
#define TOM "0055f00000ABCDfAAP"
#define ADA "0035f00000ABCDeAAP"
#define EVE "0035f00000ABCDfAAP"
#define CONTOSO "0015f00000ABCDeAAP"

static const char metadata_text[] =
    "{\"tables\":{\"Opportunity\":{\"label\":\"Opportunity\",\"columns\":{\"StageName\":{\"label\":\"Stage\",\"type\":\"choice\",\"options\":["
    "{\"value\":\"Prospecting\",\"label\":\"Prospecting\",\"state\":0},{\"value\":\"Qualification\",\"label\":\"Qualification\",\"state\":0},"
    "{\"value\":\"Needs Analysis\",\"label\":\"Needs Analysis\",\"state\":0},{\"value\":\"Proposal/Price Quote\",\"label\":\"Proposal/Price Quote\",\"state\":0},"
    "{\"value\":\"Negotiation/Review\",\"label\":\"Negotiation/Review\",\"state\":0},{\"value\":\"" STAGE_HOLD "\",\"label\":\"" STAGE_HOLD "\",\"state\":0},"
    "{\"value\":\"Closed Won\",\"label\":\"Closed Won\",\"state\":1},{\"value\":\"Closed Lost\",\"label\":\"Closed Lost\",\"state\":2}]},"
    "\"Loss_Reason__c\":{\"label\":\"Loss Reason\",\"type\":\"choice\",\"options\":[{\"value\":\"Price\",\"label\":\"Price\"},"
    "{\"value\":\"Competition\",\"label\":\"Competition\"},{\"value\":\"No Decision\",\"label\":\"No Decision\"},{\"value\":\"Other\",\"label\":\"Other\"}]},"
    "\"How_can_Microsoft_help__c\":{\"label\":\"How can Microsoft help?\",\"type\":\"choice\",\"options\":["
    "{\"value\":\"Workload Specific Value Proposition\",\"label\":\"Workload Specific Value Proposition\"},"
    "{\"value\":\"Customer Technical Architecture\",\"label\":\"Customer Technical Architecture\"},"
    "{\"value\":\"Proof Of Concept Or Demo\",\"label\":\"Proof Of Concept Or Demo\"},{\"value\":\"Quotes Or Licensing\",\"label\":\"Quotes Or Licensing\"},"
    "{\"value\":\"Post Sales Customer Success\",\"label\":\"Post Sales Customer Success\"},{\"value\":\"General Or Other\",\"label\":\"General Or Other\"}]},"
    "\"IsClosed\":{\"label\":\"Closed\",\"type\":\"flag\",\"calculated\":true},\"IsWon\":{\"label\":\"Won\",\"type\":\"flag\",\"calculated\":true}}}}}";

static const char *metadata(void)
{
    return metadata_text;
}

static void name_all(json_t *names, apr_pool_t *p)
{
    static const char *const on[] = {
        "lead_subject", "synced", "explain", "expires", "microsoft_status", "microsoft_reason", "microsoft_seller", "registration_status", "registration_type", "campaign",
        "intent", "location", NULL
    };
    int i;

    for (i = 0; on[i]; i++) {
        assert_true(json_is_null(json_object_get(names, on[i])));
        json_object_set_new(names, on[i], json_string(apr_psprintf(p, "Acme_%s__c", on[i])));
    }
}

/* ---- the CRM ---- */

static void follow_stage(deal_t *d)
{
    stage_t s = {.w = d->l->w, .table = is_lead(d) ? LEAD_TABLE : RECORD_TABLE};

    stage_follow(&s);
}

/* Rows are found by what they point to; the world these tests were made with knows the record by another name. */
static json_t *related(deal_t *d)
{
    json_t *row = d->l->w->row, *out;

    json_object_set(row, "opportunityid", json_object_get(row, "Id"));
    out = list_related(d->l);
    json_object_del(row, "opportunityid");
    return out;
}

static void show_record(deal_t *d)
{
    deal_world_t *w = d->l->w;

    w->record.table = is_lead(d) ? LEAD_TABLE : RECORD_TABLE;
    w->record.id = cs_json_str(w->row, "Id");
    w->record.related = related(d);
}

static void empty_row(deal_t *d, const char *id)
{
    static const char *const flags[] = { "Sync_with_Partner_Center__c", "Referral_Visibility__c", "HasOpportunityLineItem", "IsConverted" };
    const apr_array_header_t *columns = cs_mapping_columns(d->l->w->kind);
    deal_world_t *w = d->l->w;
    size_t f;
    int i;

    w->row = cs_json_own(json_object(), d->p);
    for (i = 0; i < columns->nelts; i++) {
        const char *column = APR_ARRAY_IDX(columns, i, const char *);

        json_object_set_new(w->row, apr_pstrmemdup(d->p, column, strcspn(column, "/")), json_null());
    }
    for (f = 0; f < sizeof(flags) / sizeof(flags[0]); f++) {
        if (json_object_get(w->row, flags[f])) {
            json_object_set_new(w->row, flags[f], json_false());
        }
    }
    json_object_set_new(w->row, "Id", json_string(id));
}

static void record_step(deal_t *d, const cs_step_t *step, cs_applied_t *applied)
{
    deal_world_t *w = d->l->w;
    cs_record_t *after = apr_pcalloc(d->p, sizeof(*after));
    cs_step_t copy = *step;
    json_t *columns;

    copy.list = step->table; /* look-ups are resolved as those of rows */
    columns = list_written(d->l, &copy, applied);
    assert_non_null(columns);
    assert_true(step->kind == CS_STEP_CREATE || step->kind == CS_STEP_UPDATE);
    if (step->kind == CS_STEP_CREATE) {
        empty_row(d, is_lead(d) ? LEAD_ID : STAGE_ID);
        json_object_update(w->row, (json_t *)step->key);
        applied->made = w->deal.record_id = cs_json_str(w->row, "Id");
    }
    json_object_update(w->row, columns);
    follow_stage(d);
    w->version++;
    applied->tried = applied->done = applied->calls = 1;
    after->table = is_lead(d) ? LEAD_TABLE : RECORD_TABLE;
    after->id = cs_json_str(w->row, "Id");
    after->version = deal_version(w);
    after->row = cs_json_own(json_deep_copy(w->row), d->p);
    applied->after = after;
}

static void populate(deal_t *d)
{
    list_add(d->l, "User", SAM, "{\"Email\":\"sam@own.example\",\"FirstName\":\"Sam\",\"LastName\":\"Seller\",\"Phone\":\"2\",\"IsActive\":true}");
    list_add(d->l, "User", TOM, "{\"Email\":\"tom@own.example\",\"FirstName\":\"Tom\",\"LastName\":\"Teller\",\"Phone\":\"3\",\"IsActive\":true}");
    list_add(d->l, "Account", CONTOSO, "{\"Name\":\"Contoso\",\"AccountNumber\":null,\"BillingStreet\":\"Am Markt 1\",\"BillingCity\":\"Berlin\",\"BillingState\":\"BE\","
                                       "\"BillingPostalCode\":\"10115\",\"BillingCountry\":\"Germany\"}");
}

static void complete_record(deal_t *d)
{
    if (!json_is_object(json_object_get(d->l->w->row, "AccountId"))) {
        json_object_set_new(d->l->w->row, "AccountId", list_expanded(d->l, "Account", CONTOSO));
    }
}

/* A conversion makes account, contact and contact role, and the owner stays. */
static void become(deal_t *d, json_t *topic)
{
    json_t *row, *owner = json_incref(json_object_get(d->l->w->row, "OwnerId"));

    empty_row(d, BECAME);
    row = d->l->w->row;
    json_object_set_new(row, "Name", topic);
    json_object_set_new(row, "StageName", json_string("Prospecting"));
    json_object_set_new(row, "OwnerId", owner);
    complete_record(d);
    list_add(d->l, "OpportunityContactRole", NULL, "{\"OpportunityId\":{\"id\":\"" BECAME "\"},\"ContactId\":{\"id\":\"" ADA "\",\"Email\":\"ada@contoso.example\","
                                                   "\"FirstName\":\"Ada\",\"LastName\":\"Example\",\"Phone\":\"1\",\"Title\":\"CIO\"}}");
    follow_stage(d);
}

/* ---- what the people do ---- */

#define A "/details/requirements/additionalRequirements/attributes/0/id"
static const row_t rows[] = {
    { "id", "/externalReferenceId", "\"a note of theirs\"", NULL, NULL },
    { "name", "/name", "\"Renamed there\"", "Name", "\"Renamed here\"" },
    { "value", "/details/dealValue", "61000", "Amount", "71000" },
    { "close", "/details/closingDateTime", "\"2026-05-31T12:00:00Z\"", "CloseDate", "\"2026-06-30\"" },
    { "notes", "/details/notes", "\"Typed there\"", "Description", "\"Typed here\"" },
    { "ask", MICROSOFT "/inviteContext/notes", "\"Asked there\"", NULL, NULL },
    { "help", MICROSOFT "/inviteContext/assistanceRequestCode", "\"QuotesOrLicensing\"", "How_can_Microsoft_help__c", "\"Proof Of Concept Or Demo\"" },
    { "visible", NULL, NULL, "Referral_Visibility__c", "false" },
    { "account", NULL, NULL, "AccountId", "{\"id\":\"0015f00000ABCDfAAP\",\"Name\":\"Fabrikam\",\"AccountNumber\":null,\"BillingStreet\":\"2 Street\","
                                          "\"BillingCity\":\"Bonn\",\"BillingState\":\"NW\",\"BillingPostalCode\":\"53111\",\"BillingCountry\":\"Germany\"}" },
    { "customer", "/customerProfile/name", "\"Contoso AG\"", "AccountId/Name", "\"Contoso SE\"" },
    { "street", "/customerProfile/address/addressLine1", "\"Am Tor 2\"", "AccountId/BillingStreet", "\"Am See 3\"" },
    { "city", "/customerProfile/address/city", "\"Bonn\"", "AccountId/BillingCity", "\"Kiel\"" },
    { "state", "/customerProfile/address/state", "\"NW\"", "AccountId/BillingState", "\"SH\"" },
    { "postal", "/customerProfile/address/postalCode", "\"53111\"", "AccountId/BillingPostalCode", "\"24103\"" },
    { "country", "/customerProfile/address/country", "\"AT\"", "AccountId/BillingCountry", "\"Austria\"" },
    { "location", "/mpnId", "\"2222222\"", "Acme_location__c", "\"3333333\"" },
    { "intent", A, "\"Yes\"", "Acme_intent__c", "\"No\"" },
    { "campaign", "/campaignId", "\"Summer\"", "Acme_campaign__c", "\"Autumn\"" },
    { "stage", "/salesStage", "\"60\"", "StageName", "\"Negotiation/Review\"" },
    { "program", "/referralProgram", "\"Other\"", "Referral_Program__c", "\"Typed here\"" },
    { "expires", "/expirationDateTime", "\"2026-04-04T10:00:00Z\"", "Acme_expires__c", "\"2026-05-05\"" },
    { "msx", MICROSOFT "/trackingInfo/microsoftMsxId", "\"7-XYZ\"", "Microsoft_CRM_Identifier__c", "\"Typed here\"" },
    { "microsoft_status", MICROSOFT "/substatus", "\"Received\"", "Acme_microsoft_status__c", "\"Typed here\"" },
    { "microsoft_reason", MICROSOFT "/statusReason", "\"Taken up\"", "Acme_microsoft_reason__c", "\"Typed here\"" },
    { "microsoft_seller", MICROSOFT "/team/0/email", "\"max@microsoft.example\"", "Acme_microsoft_seller__c", "\"Typed here\"" },
    { "registration_status", "/registrationStatus", "\"Approved\"", "Acme_registration_status__c", "\"Typed here\"" },
    { "registration_type", "/registrations/0/type", "\"Other\"", "Acme_registration_type__c", "\"Typed here\"" },
    { "solutions", "/details/requirements/solutions/1", "{\"type\":\"Name\",\"id\":\"SOL-2\",\"name\":\"Backup\"}", "+Microsoft_Solution__c",
      "{\"Opportunity__c\":{\"id\":\"%s\"},\"Solution_Identifier__c\":\"SOL-2\",\"Name\":\"Backup\",\"Row_Key__c\":null}" },
    { "contacts", "/customerProfile/team/1", "{\"firstName\":\"Bob\",\"lastName\":\"Buyer\",\"email\":\"bob@contoso.example\",\"phoneNumber\":\"9\"}", "+OpportunityContactRole",
      "{\"OpportunityId\":{\"id\":\"%s\"},\"ContactId\":{\"id\":\"" EVE "\",\"Email\":\"eve@contoso.example\",\"FirstName\":\"Eve\",\"LastName\":\"End\","
      "\"Phone\":\"7\",\"Title\":null}}" },
    { "team", "/team/1", "{\"firstName\":\"Tom\",\"lastName\":\"Teller\",\"email\":\"tom@own.example\",\"phoneNumber\":\"3\"}", "OwnerId",
      "{\"id\":\"" TOM "\",\"Email\":\"tom@own.example\",\"FirstName\":\"Tom\",\"LastName\":\"Teller\",\"Phone\":\"3\"}" },
};
#define ROWS (sizeof(rows) / sizeof(rows[0]))

/* "+table": a row that points to the record. */
static void edit_here(deal_t *d, const row_t *row)
{
    deal_world_t *w = d->l->w;
    const char *slash = strchr(row->crm, '/'), *mark;

    if (*row->crm == '+') {
        mark = strstr(row->crm_value, "%s");
        list_add(d->l, row->crm + 1, NULL, apr_pstrcat(d->p, apr_pstrmemdup(d->p, row->crm_value, (apr_size_t)(mark - row->crm_value)), cs_json_str(w->row, "Id"), mark + 2, NULL));
        return;
    }
    if (slash) {
        json_object_set(json_object_get(w->row, apr_pstrndup(d->p, row->crm, (apr_size_t)(slash - row->crm))), slash + 1, deal_json(d->p, row->crm_value));
        return; /* a row of another table: the record's version stays */
    }
    deal_edit(w, row->crm, row->crm_value);
    follow_stage(d);
}

static const struct {
    const char *words, *stage, *reason;
} stages[] = {
    { "open, Qualification", "\"Qualification\"", "null" },
    { "open, " STAGE_HOLD, "\"" STAGE_HOLD "\"", "null" },
    { "won", "\"Closed Won\"", "null" },
    { "lost, Other", "\"Closed Lost\"", "\"Other\"" },
    { "lost, Competition", "\"Closed Lost\"", "\"Competition\"" },
    { "open, Negotiation/Review", "\"Negotiation/Review\"", "null" },
    { "lost, no reason", "\"Closed Lost\"", "null" },
};

static size_t crm_states_number(void)
{
    return sizeof(stages) / sizeof(stages[0]);
}

static const char *crm_state_words(size_t n)
{
    return stages[n].words;
}

static int make_crm_state(deal_t *d, size_t n)
{
    json_t *row = d->l->w->row;

    if (json_equal(cs_json_get(row, "StageName"), deal_json(d->p, stages[n].stage)) &&
        (!strstr(stages[n].stage, "Lost") || json_equal(json_object_get(row, "Loss_Reason__c"), deal_json(d->p, stages[n].reason)))) {
        return 0;
    }
    json_object_set(row, "Loss_Reason__c", deal_json(d->p, stages[n].reason));
    deal_edit(d->l->w, "StageName", stages[n].stage);
    follow_stage(d);
    return 1;
}

static void ask_for_referral(deal_t *d, int kind)
{
    deal_world_t *w = d->l->w;

    w->deal.record_id = apr_pstrdup(d->p, cs_json_str(w->row, "Id"));
    json_object_set_new(w->row, "Referral_Identifier__c", json_null());
    json_object_set_new(w->row, "Referral_Link__c", json_null());
    json_object_set_new(w->row, "Sync_with_Partner_Center__c", json_true());
    json_object_set_new(w->row, "Referral_Visibility__c", json_boolean(kind > 0));
    json_object_set_new(w->row, "How_can_Microsoft_help__c", kind > 1 ? json_string("Quotes Or Licensing") : json_null());
    edit_here(d, &rows[ROWS - 2]);
}

/* ---- leads ---- */

static const row_t lead_rows[] = {
    { "subject", "/name", "\"Renamed there\"", LEAD_TOPIC, "\"Renamed here\"" },
    { "company", "/customerProfile/name", "\"Contoso AG\"", "Company", "\"Contoso SE\"" },
    { "first", "/customerProfile/team/0/firstName", "\"Bob\"", "FirstName", "\"Eve\"" },
    { "last", "/customerProfile/team/0/lastName", "\"Buyer\"", "LastName", "\"End\"" },
    { "title", "/customerProfile/team/0/title", "\"CFO\"", "Title", "\"CTO\"" },
    { "email", "/customerProfile/team/0/email", "\"bob@contoso.example\"", "Email", "\"eve@contoso.example\"" },
    { "phone", "/customerProfile/team/0/phoneNumber", "\"9\"", "Phone", "\"7\"" },
    { "street", "/customerProfile/address/addressLine1", "\"Am Tor 2\"", "Street", "\"Am See 3\"" },
    { "city", "/customerProfile/address/city", "\"Bonn\"", "City", "\"Kiel\"" },
    { "state", "/customerProfile/address/state", "\"NW\"", "State", "\"SH\"" },
    { "postal", "/customerProfile/address/postalCode", "\"53111\"", "PostalCode", "\"24103\"" },
    { "country", "/customerProfile/address/country", "\"AT\"", "Country", "\"Switzerland\"" },
    { "notes", "/details/notes", "\"Typed there\"", "Description", "\"Typed here\"" },
    { "source", NULL, NULL, "LeadSource", "\"Phone\"" },
};
#define LEAD_ROWS (sizeof(lead_rows) / sizeof(lead_rows[0]))

/* What people can make of a lead. */
static const struct {
    const char *words, *status;
    int converted;
    const char *became, *reason;
} lead_fates[] = {
    { "open, not contacted", "Open - Not Contacted", 0, NULL, "null" },
    { "open, contacted", "Working - Contacted", 0, NULL, "null" },
    { "converted, became none", "Closed - Converted", 1, NULL, "null" },
    { "converted", "Closed - Converted", 1, BECAME, "null" },
    { "closed, Competition", "Closed - Not Converted", 0, NULL, "\"Competition\"" },
    { "closed, no reason", "Closed - Not Converted", 0, NULL, "null" },
};

static size_t lead_fates_number(void)
{
    return sizeof(lead_fates) / sizeof(lead_fates[0]);
}

static const char *lead_fate_words(size_t n)
{
    return lead_fates[n].words;
}

static int make_lead(deal_t *d, size_t fate)
{
    json_t *row = d->l->w->row;

    if (!strcmp(cs_json_str(row, "Status"), lead_fates[fate].status) && !lead_fates[fate].converted &&
        (fate < 4 || json_equal(json_object_get(row, "Loss_Reason__c"), deal_json(d->p, lead_fates[fate].reason)))) {
        return 0;
    }
    json_object_set_new(row, "Status", json_string(lead_fates[fate].status));
    json_object_set_new(row, "IsConverted", json_boolean(lead_fates[fate].converted));
    json_object_set_new(row, "ConvertedOpportunityId", lead_fates[fate].became ? json_pack("{s:s}", "id", lead_fates[fate].became) : json_null());
    deal_edit(d->l->w, "Loss_Reason__c", lead_fates[fate].reason);
    follow_stage(d);
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
