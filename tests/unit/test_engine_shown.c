/* What a CRM answers a write with names the rows of look-ups by their ids alone: it still shows what became of a value, so that a difference seen later is
 * somebody's edit. */
#include "unit_engine.h"

#include "mod_cosell/engine/apply.h"

#define EURO "cccccccc-0000-4000-8000-000000000002"
#define VALUE_LINE \
    ",'value':{'pc':{'amount':'/details/dealValue','currency':'/details/currency'},'crm':{'amount':'estimatedvalue','currency':'transactioncurrencyid'}," \
    "'find':'currency','direction':'both'}"
#define CURRENCIES "'find':{'currency':{'table':'transactioncurrency','by':[{'isocurrencycode':'.'}],'none':'hold'},"

/* A referral over 1000 US dollars, whose record was just made. No notice of that came. */
static referral_t *valued(apr_pool_t *p)
{
    referral_t *r;

    new_world(p);
    use_crm(0, CRM_NAME, "dynamics365",
            parse_mapping(p, replaced_text(p, apr_psprintf(p, mapping_text, "1", "", VALUE_LINE), "'find':{", CURRENCIES), "dynamics365"));
    put_row("transactioncurrency", CURRENCY, "{'isocurrencycode':'USD'}");
    put_row("transactioncurrency", EURO, "{'isocurrencycode':'EUR'}");
    begin_lane();
    r = new_referral();
    set_member(r, "/details/dealValue", "1000");
    set_member(r, "/details/currency", "'USD'");
    notify(r);
    work();
    assert_int_equal(W->creates, 1);
    return r;
}

static row_t *record_of_deal(const referral_t *r)
{
    return row_by_id("opportunity", deal_of(r)->record_id);
}

/* As a read shows it, which brings the code along. */
static const char *amount_in(const char *currency, const char *code, int amount)
{
    return apr_psprintf(W->p, "{'estimatedvalue':%d,'transactioncurrencyid':{'id':'%s','isocurrencycode':'%s'}}", amount, currency, code);
}

static double value_at_pc(const referral_t *r)
{
    return json_number_value(cs_json_pointer(r->doc, "/details/dealValue"));
}

static const char *rest_of(const referral_t *r)
{
    return cs_json_str(json_object_get(deal_of(r)->images, "value"), "rest");
}

static void test_edit_after_create_is_sent(void **state)
{
    referral_t *r = valued(*state);

    assert_null(rest_of(r));
    edit_row(record_of_deal(r), amount_in(CURRENCY, "USD", 1500));
    work();
    assert_true(value_at_pc(r) == 1500);
    assert_null(rest_of(r));
}

static void test_another_currency_after_create_is_sent(void **state)
{
    referral_t *r = valued(*state);

    edit_row(record_of_deal(r), amount_in(EURO, "EUR", 1000));
    work();
    assert_true(value_at_pc(r) == 1000);
    assert_string_equal(json_string_value(cs_json_pointer(r->doc, "/details/currency")), "EUR");
}

static void test_edit_after_update_is_sent(void **state)
{
    referral_t *r = valued(*state);

    edit_row(record_of_deal(r), amount_in(CURRENCY, "USD", 1000));
    work();
    set_member(r, "/details/dealValue", "1200");
    set_member(r, "/details/currency", "'EUR'");
    notify(r);
    work();
    assert_string_equal(cs_json_str(json_object_get(record_of_deal(r)->row, "estimatedvalue"), "$number"), "1200.00");
    assert_null(rest_of(r));
    edit_row(record_of_deal(r), amount_in(EURO, "EUR", 1300));
    work();
    assert_true(value_at_pc(r) == 1300);
}

/* ---- what is added to an answer ---- */

static const cs_record_t *shown(const char *after, const char *columns, const char *row, const char *before)
{
    cs_record_t *answer = apr_pcalloc(W->p, sizeof(*answer)), *was = apr_pcalloc(W->p, sizeof(*was));
    cs_step_t step = {.kind = CS_STEP_UPDATE};

    answer->row = js(W->p, after);
    answer->version = "W/2";
    step.columns = js(W->p, columns);
    was->row = before ? js(W->p, before) : NULL;
    return cs_record_shown(answer, &step, js(W->p, row), before ? was : NULL, CS_ID_GUID, W->p);
}

#define USD_LOOKUP "{'cur':{'$lookup':{'table':'transactioncurrency','keys':[{'isocurrencycode':'USD'}]}}}"

static void assert_code(const cs_record_t *record, const char *code)
{
    const char *has = cs_json_str(json_object_get(record->row, "cur"), "isocurrencycode");

    assert_string_equal(has ? has : "none", code);
    assert_string_equal(record->version, "W/2");
}

static void test_only_the_row_that_was_written_is_known(void **state)
{
    new_world(*state);
    assert_code(shown("{'cur':{'id':'" CURRENCY "'}}", USD_LOOKUP, "{'cur':{'$ref':{'id':'" CURRENCY "'}}}", NULL), "USD");
    /* The CRM made it another one. */
    assert_code(shown("{'cur':{'id':'" EURO "'}}", USD_LOOKUP, "{'cur':{'$ref':{'id':'" CURRENCY "'}}}", NULL), "none");
    /* Or left it as it was. */
    assert_code(shown("{'cur':{'id':'" EURO "'}}", USD_LOOKUP, "{'cur':{'$ref':{'id':'" CURRENCY "'}}}",
                      "{'cur':{'id':'" EURO "','isocurrencycode':'EUR'}}"),
                "EUR");
    assert_code(shown("{'cur':{'id':'" EURO "'}}", "{}", "{}", "{'cur':{'id':'" EURO "','isocurrencycode':'EUR'}}"), "EUR");
    assert_code(shown("{'cur':{'id':'" EURO "'}}", "{}", "{}", "{'cur':null}"), "none");
    assert_code(shown("{'cur':null}", USD_LOOKUP, "{'cur':{'$ref':{'id':'" CURRENCY "'}}}", NULL), "none");
    /* What the answer says itself counts. */
    assert_code(shown("{'cur':{'id':'" CURRENCY "','isocurrencycode':'usd'}}", USD_LOOKUP, "{'cur':{'$ref':{'id':'" CURRENCY "'}}}", NULL), "usd");
    /* Nobody knows by which of two it was found. */
    assert_code(shown("{'cur':{'id':'" CURRENCY "'}}", "{'cur':{'$lookup':{'keys':[{'isocurrencycode':'USD'},{'name':'Dollar'}]}}}",
                      "{'cur':{'$ref':{'id':'" CURRENCY "'}}}", NULL),
                "none");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_edit_after_create_is_sent),
        UNIT_TEST(test_another_currency_after_create_is_sent),
        UNIT_TEST(test_edit_after_update_is_sent),
        UNIT_TEST(test_only_the_row_that_was_written_is_known),
    };

    return UNIT_RUN(tests);
}
