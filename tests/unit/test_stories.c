/* What a seller reads and what is written, story by story, with the shipped profile and an overlay upon it. */
#include "mod_cosell/remote/crm.h"
#include "unit_list.h"

static const char overlay_text[] =
    "{\"extends\":\"dynamics365.json\",\"revision\":\"stories\","
    "\"names\":{\"status\":\"acme_status\",\"problem\":\"acme_problem\",\"expires\":\"acme_expires\",\"microsoft_status\":\"acme_msstatus\"}%s}";

static const char metadata_text[] =
    "{\"language\":1033,\"tables\":{\"opportunity\":{\"label\":\"Opportunity\",\"columns\":{"
    "\"name\":{\"label\":\"Topic\",\"type\":\"text\",\"max\":300},\"description\":{\"label\":\"Description\",\"type\":\"memo\",\"max\":2000},"
    "\"statuscode\":{\"label\":\"Status Reason\",\"type\":\"choice\",\"options\":[{\"value\":1,\"label\":\"In Progress\",\"state\":0},{\"value\":2,\"label\":\"On Hold\",\"state\":0}]},"
    "\"estimatedvalue\":{\"label\":\"Est. Revenue\",\"type\":\"money\",\"precision\":2},\"estimatedclosedate\":{\"label\":\"Est. Close Date\",\"type\":\"date\"},"
    "\"transactioncurrencyid\":{\"label\":\"Currency\",\"type\":\"look-up\",\"targets\":[\"transactioncurrency\"]},"
    "\"msft_howcanmicrosofthelp\":{\"label\":\"How can Microsoft help?\",\"type\":\"choice\",\"options\":[{\"value\":101,\"label\":\"Workload Specific Value Proposition\"},{\"value\":106,\"label\":\"General Or Other\"}]},"
    "\"msft_referralvisibility\":{\"label\":\"Referral Visibility\",\"type\":\"flag\",\"options\":[{\"value\":true,\"label\":\"Yes\"},{\"value\":false,\"label\":\"No\"}]},"
    "\"acme_status\":{\"label\":\"Co-sell status\",\"type\":\"text\",\"max\":100},\"acme_problem\":{\"label\":\"Co-sell problem\",\"type\":\"memo\",\"max\":2000},"
    "\"acme_expires\":{\"label\":\"Expires\",\"type\":\"date\"},\"acme_msstatus\":{\"label\":\"Microsoft status\",\"type\":\"text\",\"max\":100},"
    "\"msft_referralidentifier\":{\"label\":\"Referral Identifier\",\"type\":\"text\",\"max\":100},"
    "\"parentcontactid\":{\"label\":\"Contact\",\"type\":\"look-up\",\"targets\":[\"contact\"]},"
    "\"parentaccountid\":{\"label\":\"Account\",\"type\":\"look-up\",\"targets\":[\"account\"]}}},"
    "\"account\":{\"label\":\"Account\",\"columns\":{\"address1_country\":{\"label\":\"Country\",\"type\":\"text\",\"max\":80}}}}}";

static json_t *meta; /* what the CRM says of its tables */
static json_t *microsoft; /* its card */

static list_world_t *story(apr_pool_t *p, const char *more)
{
    cs_mapping_t *m = NULL;
    cs_result_t res;
    const char *text = apr_psprintf(p, overlay_text, more ? more : "");
    list_world_t *l;

    memset(&res, 0, sizeof(res));
    if (cs_mapping_parse(&m, text, strlen(text), "conf/mapping/stories.json", cs_crm_facts_of("dynamics365"), NULL, p, &res) != APR_SUCCESS) {
        fail_msg("%s", res.detail);
    }
    l = list_world_of(p, m);
    meta = deal_json(p, metadata_text);
    microsoft = NULL;
    l->w->doc = deal_json(p, "{\"id\":\"" DEAL_REFERRAL "\",\"name\":\"Contoso migration\",\"status\":\"Active\",\"substatus\":\"Accepted\",\"type\":\"Shared\","
      "\"qualification\":\"SalesQualified\",\"externalReferenceId\":null,\"expirationDateTime\":null,\"acceptedDateTime\":null,"
      "\"inviteContext\":{\"invitedBy\":{\"organizationId\":\"msft\"},\"assistanceRequestCode\":\"Unknown\",\"notes\":null},"
      "\"customerProfile\":{\"name\":\"Contoso\",\"address\":{\"addressLine1\":\"Am Markt 1\",\"city\":\"Berlin\",\"postalCode\":\"10115\",\"country\":\"DE\"},"
      "\"team\":[{\"firstName\":\"Ada\",\"lastName\":\"Example\",\"email\":\"ada@customer.example\",\"phoneNumber\":\"1\"}]},"
      "\"consent\":{\"consentToShareReferralWithMicrosoftSellers\":false},"
      "\"details\":{\"dealValue\":50000,\"currency\":\"USD\",\"closingDateTime\":\"2026-03-31T00:00:00.0000000Z\",\"notes\":\"First call\","
      "\"requirements\":{\"solutions\":[{\"id\":\"SOL-1\",\"name\":\"Backup\",\"type\":\"Name\"},{\"id\":\"SOL-2\",\"name\":\"Archive\",\"type\":\"Name\"}]}},"
      "\"team\":[{\"firstName\":\"Sam\",\"lastName\":\"Seller\",\"email\":\"sam@partner.example\",\"phoneNumber\":\"2\"}]}");
    list_add(l, "systemuser", NULL, "{\"internalemailaddress\":\"sam@partner.example\",\"firstname\":\"Sam\",\"lastname\":\"Seller\",\"address1_telephone1\":\"2\",\"isdisabled\":false}");
    return l;
}

static cs_plan_t *plan_it(list_world_t *l)
{
    cs_result_t res;

    memset(&res, 0, sizeof(res));
    deal_fetch(l->w);
    l->w->look.metadata = meta;
    if (microsoft) {
        cs_card_t *card = apr_pcalloc(l->p, sizeof(*card));

        card->id = "ms";
        card->organization_id = "msft";
        card->doc = microsoft;
        l->w->look.microsoft = card;
    }
    if (l->w->row) {
        l->w->record.related = list_related(l);
    }
    assert_ok(cs_reconcile_plan(&l->w->plan, &l->w->look, l->p, l->p, &res));
    return l->w->plan;
}

static cs_plan_t *go(list_world_t *l)
{
    plan_it(l);
    list_apply(l);
    deal_settle(l->w);
    return l->w->plan;
}

/* A look, and another that writes nothing. */
static void rest(list_world_t *l)
{
    go(l);
    if (deal_sent(plan_it(l))) {
        fail_msg("a second look writes: %s", cs_json_print(cs_json_get(l->w->plan->explain, "steps"), l->p));
    }
}

static list_world_t *settled(apr_pool_t *p, const char *more)
{
    list_world_t *l = story(p, more);

    go(l); /* what became of the look-ups is told with the next look */
    rest(l);
    return l;
}

static void state_of(list_world_t *l, const char *status, const char *substatus)
{
    deal_status(l->w, status, substatus);
    if (!strcmp(status, "Active")) {
        deal_set(l->w, "/acceptedDateTime", "\"2026-02-01T00:00:00Z\"");
    }
}

#define assert_reads(l, status_, problem_) \
    do { \
        assert_string_equal((l)->w->deal.status, (status_)); \
        assert_string_equal((l)->w->deal.problem ? (l)->w->deal.problem : "", (problem_)); \
    } while (0)
#define assert_shows(l, column, text) assert_json((l)->w, cs_json_get((l)->w->row, (column)), (text))

static const char *long_text(list_world_t *l, int units)
{
    char *text = apr_pcalloc(l->p, (apr_size_t)units + 1);

    memset(text, 'x', (size_t)units);
    return apr_psprintf(l->p, "\"%s\"", text);
}

/* ---- where it goes ---- */

static void assert_becomes(list_world_t *l, cs_meet_e what, const char *kind)
{
    cs_meeting_t m;
    cs_result_t res;

    memset(&res, 0, sizeof(res));
    deal_fetch(l->w);
    assert_ok(cs_reconcile_meet(&m, &l->w->look, l->p, &res));
    assert_int_equal(m.what, what);
    if (what == CS_MEET_CREATE) {
        assert_string_equal(m.kind, kind);
    }
}

static void test_a_qualified_lead_that_was_accepted_before_is_an_opportunity(void **state)
{
    list_world_t *l = story(*state, NULL);

    deal_set(l->w, "/type", "\"Independent\"");
    deal_set(l->w, "/qualification", "\"MarketingQualified\"");
    assert_becomes(l, CS_MEET_CREATE, "opportunity");
    state_of(l, "New", "Received");
    assert_becomes(l, CS_MEET_CREATE, "lead");
    state_of(l, "Closed", "Declined");
    assert_becomes(l, CS_MEET_CLOSED, NULL);
    /* Who came from the marketplace is a lead, whoever accepted it. */
    deal_set(l->w, "/qualification", "\"Direct\"");
    state_of(l, "Active", "Accepted");
    assert_becomes(l, CS_MEET_CREATE, "lead");
}

/* ---- what is read ---- */

static void test_accepted_in_the_crm(void **state)
{
    list_world_t *l = story(*state, NULL);

    state_of(l, "New", "Pending");
    deal_set(l->w, "/expirationDateTime", "\"2026-03-03T10:00:00Z\"");
    go(l);
    rest(l);
    assert_reads(l, "Not accepted", "Expires Tue 3 Mar; set Status Reason to In Progress to accept, close as lost to decline");
    assert_shows(l, "acme_expires", "\"2026-03-03\"");
    deal_edit(l->w, "statuscode", "1");
    deal_edit(l->w, "description", "\"mine\"");
    rest(l);
    assert_reads(l, "In sync", "");
    assert_json(l->w, cs_json_pointer(l->w->doc, "/details/notes"), "\"mine\"");
    assert_string_equal(cs_json_str(l->w->doc, "substatus"), "Accepted");
    /* There is nothing that expires any more. */
    state_of(l, "Active", "Accepted");
    deal_set(l->w, "/details/notes", "\"mine\"");
    deal_set(l->w, "/expirationDateTime", "null");
    rest(l);
    assert_reads(l, "In sync", "");
    assert_shows(l, "acme_expires", "null");
}

static void test_closed_in_the_crm(void **state)
{
    list_world_t *l = settled(*state, NULL);

    deal_edit(l->w, "statecode", "1");
    deal_edit(l->w, "statuscode", "3");
    rest(l); /* a closed row takes no words: the status page has them */
    assert_reads(l, "Closed", "Closed; edits stay here");
    assert_string_equal(cs_json_str(l->w->doc, "substatus"), "Won");
    /* Reopened there by support it is open here again, and what moved meanwhile arrives. */
    state_of(l, "Closed", "Lost");
    deal_set(l->w, "/statusReason", "\"ChoseAnotherVendor:red: cheaper\"");
    rest(l);
    assert_shows(l, "statecode", "2");
    assert_shows(l, "statuscode", "5");
    assert_reads(l, "Closed", "Closed; edits stay here");
    state_of(l, "Active", "Accepted");
    deal_set(l->w, "/details/dealValue", "99");
    rest(l);
    assert_shows(l, "statecode", "0");
    assert_shows(l, "estimatedvalue", "99");
    assert_reads(l, "In sync", "");
}

static void test_won_while_on_hold_with_an_edit(void **state)
{
    list_world_t *l = settled(*state, NULL);

    deal_edit(l->w, "statuscode", "2");
    deal_edit(l->w, "description", "\"mine\"");
    rest(l);
    assert_shows(l, "statuscode", "2"); /* paused by the customer */
    assert_reads(l, "In sync", "");
    state_of(l, "Closed", "Won");
    rest(l);
    assert_shows(l, "statecode", "1");
    assert_shows(l, "description", "\"mine\"");
    assert_reads(l, "Closed", "Closed; edits stay here");
}

static void test_an_error_loses_nothing(void **state)
{
    list_world_t *l = settled(*state, NULL);

    state_of(l, "Closed", "Error");
    deal_set(l->w, "/statusReason", "\"TestReferral\"");
    deal_set(l->w, "/details/notes", "\"tidied up\"");
    rest(l);
    assert_shows(l, "statecode", "0");
    assert_shows(l, "description", "\"First call\"");
    assert_int_equal(l->w->deal.state, CS_DEAL_UNLINKED);
    assert_has(cs_json_str(l->w->row, "msft_audit"), "Closed (Error): Partner Center closed the referral as an error; this record goes on without it");
}

/* ---- values ---- */

static void test_choices_and_flags_are_named_as_in_the_form(void **state)
{
    list_world_t *l = settled(*state, NULL);

    deal_set(l->w, "/inviteContext/assistanceRequestCode", "\"GeneralOrOther\"");
    rest(l);
    assert_shows(l, "msft_howcanmicrosofthelp", "106");
    deal_set(l->w, "/inviteContext/assistanceRequestCode", "\"Unknown\"");
    rest(l);
    assert_shows(l, "msft_howcanmicrosofthelp", "106");
    assert_reads(l, "In sync, not all", "How can Microsoft help? cannot be taken back: Partner Center empty, here General Or Other");
    deal_set(l->w, "/inviteContext/assistanceRequestCode", "\"GeneralOrOther\"");
    deal_edit(l->w, "msft_referralvisibility", "true");
    rest(l);
    assert_reads(l, "In sync", "");
    assert_json(l->w, cs_json_pointer(l->w->doc, "/consent/consentToShareReferralWithMicrosoftSellers"), "true");
    deal_set(l->w, "/inviteContext/assistanceRequestCode", "\"ProofOfConceptOrDemo\"");
    rest(l);
    assert_has(l->w->deal.problem, "How can Microsoft help?: not copied: the CRM has no choice \"Proof Of Concept Or Demo\" here; it has: "
                                   "Workload Specific Value Proposition, General Or Other");
    assert_null(strstr(l->w->deal.problem, "msft_"));
}

static void test_a_name_changed_here(void **state)
{
    list_world_t *l = settled(*state, NULL);

    deal_edit(l->w, "name", "\"Mine\"");
    rest(l);
    assert_reads(l, "In sync, not all", "Topic cannot change in Partner Center; stays \"Contoso migration\"");
    assert_string_equal(deal_view(l->w->plan, "name")->why, "cannot change in Partner Center; stays \"Contoso migration\"");
}

static void test_an_amount_that_was_emptied_here(void **state)
{
    list_world_t *l = settled(*state, NULL);

    deal_edit(l->w, "estimatedvalue", "null");
    rest(l);
    assert_reads(l, "In sync, not all", "Est. Revenue stays 50000.00 USD in Partner Center: a zero or empty amount is not sent");
    deal_edit(l->w, "estimatedvalue", "50000");
    rest(l);
    assert_reads(l, "In sync", "");
}

static void test_texts_too_long(void **state)
{
    list_world_t *l = story(*state, NULL);

    deal_set(l->w, "/name", long_text(l, 400));
    deal_set(l->w, "/details/notes", long_text(l, 2500));
    go(l);
    rest(l);
    assert_int_equal(strlen(cs_json_str(l->w->row, "name")), 300);
    assert_reads(l, "In sync", "");
    deal_edit(l->w, "description", "\"short\"");
    rest(l);
    assert_reads(l, "In sync, not all", "Description: Partner Center's text is too long for here; what is written here stays here");
    deal_set(l->w, "/details/notes", "\"brief\"");
    rest(l);
    assert_shows(l, "description", "\"brief\"");
    assert_reads(l, "In sync", "");
}

static void test_microsofts_card_is_not_shown(void **state)
{
    list_world_t *l = story(*state, NULL);

    microsoft = deal_json(l->p, "{\"id\":\"ms\",\"status\":\"Active\",\"substatus\":\"Accepted\",\"trackingInfo\":{\"microsoftMsxId\":\"7-ABC\"}}");
    go(l);
    rest(l);
    assert_shows(l, "msft_microsoftcrmidentifier", "\"7-ABC\"");
    microsoft = NULL;
    rest(l);
    assert_verdict(l->w, "msx", CS_VERDICT_UNREADABLE);
    assert_shows(l, "msft_microsoftcrmidentifier", "\"7-ABC\"");
    assert_shows(l, "acme_msstatus", "\"Accepted\"");
    /* Shown without it, it has none. */
    microsoft = deal_json(l->p, "{\"id\":\"ms\",\"status\":\"Active\",\"substatus\":\"Accepted\",\"trackingInfo\":{}}");
    rest(l);
    assert_shows(l, "msft_microsoftcrmidentifier", "null");
    microsoft = NULL;
}

static void test_columns_that_are_not_ours(void **state)
{
    list_world_t *l = settled(*state, NULL);

    assert_ok(cs_json_pointer_set(meta, "/tables/opportunity/columns/description/update", json_false()));
    deal_set(l->w, "/details/notes", "\"more\"");
    rest(l);
    assert_reads(l, "In sync, not all", "Description: the CRM does not let mod_cosell's user write Description");
    json_object_del(l->w->row, "description");
    rest(l);
    assert_verdict(l->w, "notes", CS_VERDICT_UNREADABLE);
}

static void test_enforced_against_a_seller_who_insists(void **state)
{
    list_world_t *l = settled(*state, ",\"records\":{\"opportunity\":{\"lines\":{\"name\":{\"direction\":\"to_crm\",\"to_pc\":null,\"enforce\":true}}}}");
    int i;

    for (i = 0; i < 3; i++) {
        deal_edit(l->w, "name", apr_psprintf(l->p, "\"Mine %d\"", i));
        rest(l);
        assert_shows(l, "name", "\"Contoso migration\"");
    }
}

/* ---- lists ---- */

static void test_solutions_come_and_go(void **state)
{
    list_world_t *l = settled(*state, NULL);
    json_t *rows = list_table(l, "msft_microsoftsolution");

    /* A seller renames the catalogue's row, and nobody minds. */
    json_object_set_new(cs_json_get(json_array_get(list_table(l, "msft_microsoftsolutiondetail"), 0), "row"), "msft_solutionname", json_string("Ours"));
    rest(l);
    deal_set(l->w, LIST_SOLUTIONS, "[{\"id\":\"SOL-2\",\"name\":\"Archive\",\"type\":\"Name\"}]");
    rest(l);
    assert_int_equal(json_array_size(rows), 1);
    /* The last one stays. */
    deal_set(l->w, LIST_SOLUTIONS, "[]");
    rest(l);
    assert_int_equal(json_array_size(rows), 1);
    assert_verdict(l->w, "solutions/sol-2", CS_VERDICT_STAYS);
    deal_set(l->w, LIST_SOLUTIONS, "[{\"id\":\"SOL-2\",\"name\":\"Archive\",\"type\":\"Name\"},{\"id\":\"SOL-3\",\"name\":\"Vault\",\"type\":\"Name\"}]");
    rest(l);
    assert_int_equal(json_array_size(rows), 2);
    /* What a seller removes goes there, too. */
    json_array_remove(rows, 0);
    rest(l);
    assert_reads(l, "In sync", "");
    assert_int_equal(json_array_size(cs_json_pointer(l->w->doc, LIST_SOLUTIONS)), 1);
}

static void test_people(void **state)
{
    list_world_t *l = settled(*state, NULL);

    deal_set(l->w, LIST_CONTACTS, "[{\"firstName\":\"Ada\",\"lastName\":\"Example\",\"email\":\"ada@customer.example\",\"phoneNumber\":\"1\"},"
                                  "{\"firstName\":\"Ada\",\"lastName\":\"Example\",\"email\":\" ADA@Customer.example\",\"phoneNumber\":\"1\"}]");
    rest(l);
    assert_int_equal(json_array_size(list_table(l, "contact")), 1);
    /* Who left the company is no member and nobody's problem. */
    list_add(l, "systemuser", NULL, "{\"internalemailaddress\":\"zoe@partner.example\",\"isdisabled\":true}");
    deal_set(l->w, LIST_TEAM, "[{\"firstName\":\"Sam\",\"lastName\":\"Seller\",\"email\":\"sam@partner.example\",\"phoneNumber\":\"2\"},"
                              "{\"firstName\":\"Zoe\",\"lastName\":\"Gone\",\"email\":\"zoe@partner.example\",\"phoneNumber\":\"3\"}]");
    go(l);
    rest(l);
    assert_verdict(l->w, "team/zoe@partner.example", CS_VERDICT_STAYS);
    assert_int_equal(json_array_size(l->members), 0);
    assert_reads(l, "In sync", "");
}

static void test_a_contact_without_a_phone(void **state)
{
    list_world_t *l = story(*state, NULL);

    assert_ok(cs_json_pointer_set(meta, "/tables/contact/columns/telephone1", json_incref(deal_json(l->p, "{\"label\":\"Business Phone\",\"type\":\"text\"}"))));
    deal_set(l->w, LIST_CONTACTS, "[]");
    go(l);
    rest(l);
    list_add(l, "contact", "bob", "{\"firstname\":\"Bob\",\"lastname\":\"Example\",\"emailaddress1\":\"bob@x.example\",\"telephone1\":null}");
    json_object_set_new(l->w->row, "parentcontactid", list_expanded(l, "contact", "bob"));
    rest(l);
    assert_reads(l, "Waiting", "Waiting for contact Bob Example (bob@x.example): Business Phone is missing");
}

/* ---- the mapping ---- */

static void test_a_line_that_moves_to_another_column(void **state)
{
    list_world_t *l = settled(*state, NULL), *n;

    n = story(*state, ",\"records\":{\"opportunity\":{\"lines\":{\"notes\":{\"crm\":\"acme_notes\"}}}}");
    l->w->mapping = n->w->mapping;
    l->w->kind = n->w->kind;
    json_object_set_new(l->w->row, "acme_notes", json_null());
    rest(l);
    assert_shows(l, "acme_notes", "\"First call\"");
    assert_shows(l, "description", "\"First call\"");
}

static void test_names_that_are_null(void **state)
{
    cs_mapping_t *m = NULL;
    cs_result_t res;
    const char *text = "{\"extends\":\"dynamics365.json\",\"revision\":\"1\",\"names\":{\"solution_rows\":null,\"solutions\":null,\"sales_team\":null,"
                       "\"audit\":null,\"id\":null,\"link\":null,\"help\":null}}";
    list_world_t *l;

    memset(&res, 0, sizeof(res));
    if (cs_mapping_parse(&m, text, strlen(text), "conf/mapping/stories.json", cs_crm_facts_of("dynamics365"), NULL, *state, &res)) {
        fail_msg("%s", res.detail);
    }
    l = story(*state, NULL);
    l->w->mapping = m;
    l->w->kind = cs_mapping_kind(m, "opportunity");
    go(l);
    rest(l);
    assert_null(cs_json_get(l->w->row, "msft_audit"));
    assert_int_equal(json_array_size(list_table(l, "msft_microsoftsolution")), 0);
    assert_int_equal(json_array_size(list_table(l, "contact")), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_a_qualified_lead_that_was_accepted_before_is_an_opportunity),
        UNIT_TEST(test_accepted_in_the_crm),
        UNIT_TEST(test_closed_in_the_crm),
        UNIT_TEST(test_won_while_on_hold_with_an_edit),
        UNIT_TEST(test_an_error_loses_nothing),
        UNIT_TEST(test_choices_and_flags_are_named_as_in_the_form),
        UNIT_TEST(test_a_name_changed_here),
        UNIT_TEST(test_an_amount_that_was_emptied_here),
        UNIT_TEST(test_texts_too_long),
        UNIT_TEST(test_microsofts_card_is_not_shown),
        UNIT_TEST(test_columns_that_are_not_ours),
        UNIT_TEST(test_enforced_against_a_seller_who_insists),
        UNIT_TEST(test_solutions_come_and_go),
        UNIT_TEST(test_people),
        UNIT_TEST(test_a_contact_without_a_phone),
        UNIT_TEST(test_a_line_that_moves_to_another_column),
        UNIT_TEST(test_names_that_are_null),
    };

    return UNIT_RUN(tests);
}
