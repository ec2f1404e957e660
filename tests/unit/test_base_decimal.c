#include "unit.h"

#include <locale.h>

#include "mod_cosell/base/decimal.h"
#include "mod_cosell/base/json.h"

static void test_from_text(void **state)
{
    static const struct {
        const char *text;
        int scale;
        const char *want;
    } cases[] = {
        { "5000000.0000", 2, "5000000.00" }, { "1e3", 2, "1000.00" }, { "1E+3", 0, "1000" }, { "1.5e-1", 2, "0.15" },
        { "0", 2, "0.00" }, { "-0.00", 2, "0.00" }, { "-0", 0, "0" }, { "0.005", 2, "0.01" }, { "-0.005", 2, "-0.01" },
        { "0.0049", 2, "0.00" }, { "-0.0049999", 2, "0.00" }, { "9.995", 2, "10.00" }, { "-9.995", 2, "-10.00" },
        { "0.5", 0, "1" }, { "0.4", 0, "0" }, { "1.5", 0, "2" }, { "2.5", 0, "3" }, { "007.1", 1, "7.1" }, { "+7", 0, "7" },
        { ".5", 1, "0.5" }, { "5.", 1, "5.0" }, { "0.00001", 4, "0.0000" }, { "0.00005", 4, "0.0001" }, { "1234.5678", 4, "1234.5678" },
        { "99999999999999.9", 1, "99999999999999.9" }, { "999999999999999", 2, "999999999999999.00" },
        { "123456789.123456789123456789", 2, "123456789.12" }, { "0e99999999999", 2, "0.00" }, { "1e-99999999999", 2, "0.00" },
        { "0000000000000000000000000000000001", 0, "1" }, { "0.000000000000000000000000000000049e30", 2, "0.05" },
        { "100", 0, "100" }, { "1050", 2, "1050.00" }, { "1e14", 0, "100000000000000" },
        { "10.10", 2, "10.10" }, { "0.10", 2, "0.10" }, { "0.01", 2, "0.01" }, { "19.99", 2, "19.99" },
    };
    apr_pool_t *p = *state;
    const char *got;
    apr_size_t i;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_ok(cs_decimal_from_text(&got, cases[i].text, cases[i].scale, p));
        assert_string_equal(got, cases[i].want);
        assert_ok(cs_decimal_from_text(&got, cases[i].want, cases[i].scale, p));
        assert_string_equal(got, cases[i].want);
    }
}

static void test_from_text_refuses(void **state)
{
    static const char *const bad[] = { "", " ", "-", "+", ".", "-.", "e5", "1e", "1e+", "1e+-3", "1,5", "1.5.5", "0x10", "1 ", " 1", "NaN", "inf", "--1", "1e5.5", "١" };
    static const char *const large[] = { "1e15", "1234567890123456", "999999999999999.5", "-99999999999999.95", "1e400", "12345678901234.56", "1e99999999999999999999" };
    apr_pool_t *p = *state;
    const char *got;
    apr_size_t i;

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (cs_decimal_from_text(&got, bad[i], 2, p) != APR_EINVAL || got) {
            fail_msg("\"%s\" was accepted", bad[i]);
        }
    }
    for (i = 0; i < sizeof(large) / sizeof(large[0]); i++) {
        int scale = i == 2 ? 0 : 2;

        if (cs_decimal_from_text(&got, large[i], scale, p) != CS_ELIMIT || got) {
            fail_msg("\"%s\" was accepted", large[i]);
        }
    }
    assert_int_equal(cs_decimal_from_text(&got, NULL, 2, p), APR_EINVAL);
    assert_int_equal(cs_decimal_from_text(&got, "1", -1, p), APR_EINVAL);
    assert_int_equal(cs_decimal_from_text(&got, "1", 5, p), APR_EINVAL);
}

static void test_from_json(void **state)
{
    static const struct {
        const char *json;
        const char *want;
    } cases[] = {
        { "12", "12.00" }, { "-12", "-12.00" }, { "0.1", "0.10" }, { "5000000.0", "5000000.00" }, { "1.005", "1.01" },
        { "\"7.5\"", "7.50" }, { "1e2", "100.00" }, { "0.30000000000000004", "0.30" }, { "123456789012.35", "123456789012.35" },
    };
    apr_pool_t *p = *state;
    const char *got;
    apr_size_t i;
    json_t *json;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        json = json_loads(cases[i].json, JSON_DECODE_ANY, NULL);
        assert_ok(cs_decimal_from_json(&got, json, 2, p));
        assert_string_equal(got, cases[i].want);
        json_decref(json);
    }
    assert_int_equal(cs_decimal_from_json(&got, NULL, 2, p), APR_EINVAL);
    assert_int_equal(cs_decimal_from_json(&got, json_true(), 2, p), APR_EINVAL);
    json = json_stringn("1\0002", 3);
    assert_int_equal(cs_decimal_from_json(&got, json, 2, p), APR_EINVAL);
    json_decref(json);
    json = json_integer(9007199254740993);
    assert_int_equal(cs_decimal_from_json(&got, json, 2, p), CS_ELIMIT);
    json_decref(json);
}

static void test_to_json_prints_the_same_digits(void **state)
{
    static const struct {
        const char *decimal;
        const char *want;
    } cases[] = {
        { "0.00", "0" }, { "12.00", "12" }, { "-12.00", "-12" }, { "12.50", "12.5" }, { "0.10", "0.1" }, { "19.99", "19.99" },
        { "99999999999999.9", "99999999999999.9" }, { "1234567890123.45", "1234567890123.45" }, { "999999999999999", "999999999999999" }, { "-0.01", "-0.01" },
        { "0.0001", "0.0001" }, { "100", "100" },
    };
    apr_pool_t *p = *state;
    const char *back;
    apr_size_t i;
    json_t *json;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        json = cs_decimal_to_json(cases[i].decimal);
        assert_non_null(json);
        assert_string_equal(cs_json_print(json, p), cases[i].want);
        assert_ok(cs_decimal_from_json(&back, json, strlen(strchr(cases[i].decimal, '.') ? strchr(cases[i].decimal, '.') + 1 : ""), p));
        assert_string_equal(back, cases[i].decimal);
        json_decref(json);
    }
    assert_null(cs_decimal_to_json(NULL));
    assert_null(cs_decimal_to_json(""));
    assert_null(cs_decimal_to_json("abc"));
    assert_null(cs_decimal_to_json("true"));
    assert_null(cs_decimal_to_json(".00"));
}

/* Every cent of a range survives the way through a JSON number. */
static void test_round_trip_of_cents(void **state)
{
    apr_pool_t *p = *state, *sub;
    apr_int64_t cents;

    for (cents = 8765432109800; cents < 8765432110500; cents++) {
        const char *text, *back;
        json_t *json;

        assert_ok(apr_pool_create(&sub, p));
        text = apr_psprintf(sub, "%" APR_INT64_T_FMT ".%02d", cents / 100, (int)(cents % 100));
        json = cs_decimal_to_json(text);
        assert_ok(cs_decimal_from_json(&back, json, 2, sub));
        assert_string_equal(back, text);
        json_decref(json);
        apr_pool_destroy(sub);
    }
}

static void test_zero_and_currency(void **state)
{
    (void)state;
    assert_true(cs_decimal_is_zero("0"));
    assert_true(cs_decimal_is_zero("-0.00"));
    assert_true(cs_decimal_is_zero(""));
    assert_true(cs_decimal_is_zero(NULL));
    assert_false(cs_decimal_is_zero("0.01"));
    assert_false(cs_decimal_is_zero("10"));
    assert_int_equal(cs_currency_scale("JPY"), 0);
    assert_int_equal(cs_currency_scale("jpy"), 0);
    assert_int_equal(cs_currency_scale("KWD"), 3);
    assert_int_equal(cs_currency_scale("CLF"), 4);
    assert_int_equal(cs_currency_scale("USD"), 2);
    assert_int_equal(cs_currency_scale("EUR"), 2);
    assert_int_equal(cs_currency_scale(""), 2);
    assert_int_equal(cs_currency_scale(NULL), 2);
    assert_int_equal(cs_currency_scale("JPYX"), 2);
}

static void test_plain(void **state)
{
    static const char *const plain[] = {"0", "-0", "7", "-12", "1.5", "0.00", "-0.25", "1234567890123456789012345678901234567.8", "1234567890123456789012345678901234567890"};
    static const char *const others[] = {
        "", "-", ".", "1.", ".5", "-.5", "01", "-01", "00", "+1", "1e3", "1,5", " 1", "1 ", "0x1", "NaN", "--1", "1.5.2", "1'", "1)", "\xd9\xa1",
        "12345678901234567890123456789012345678901",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++) {
        if (!cs_decimal_is_plain(plain[i])) {
            fail_msg("%s is plain", plain[i]);
        }
    }
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        if (cs_decimal_is_plain(others[i])) {
            fail_msg("%s is not plain", others[i]);
        }
    }
    assert_false(cs_decimal_is_plain(NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_from_text),
        UNIT_TEST(test_from_text_refuses),
        UNIT_TEST(test_from_json),
        UNIT_TEST(test_to_json_prints_the_same_digits),
        UNIT_TEST(test_round_trip_of_cents),
        UNIT_TEST(test_zero_and_currency),
        UNIT_TEST(test_plain),
    };

    /* A comma as decimal point, where the machine has such a locale, must change nothing. */
    setlocale(LC_NUMERIC, "de_DE.UTF-8");
    return UNIT_RUN(tests);
}
