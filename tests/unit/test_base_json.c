#include "unit.h"

#include <errno.h>

#include "mod_cosell/base/json.h"

static apr_status_t parse(json_t **pjson, const char *text, size_t len, const cs_json_limits_t *limits, apr_pool_t *p,
                          cs_result_t *res)
{
    void *exact = unit_exact(text, len);
    apr_status_t rv = cs_json_parse(pjson, exact, len, limits, p, res);

    free(exact);
    return rv;
}

static json_t *good(const char *text, apr_pool_t *p)
{
    cs_result_t res;
    json_t *json;
    apr_status_t rv = parse(&json, text, strlen(text), NULL, p, &res);

    if (rv != APR_SUCCESS) {
        fail_msg("\"%s\": %s", text, res.detail);
    }
    return cs_json_own(json, p);
}

static void test_parse_takes_any_value(void **state)
{
    static const char *const texts[] = { "{}", "[]", "1", "-1.5e3", "\"x\"", "true", "null", " \r\n\t[1]\n ", "{\"a\":{\"b\":[1,\"2\",null]}}", "\"\\u00e4\\ud83d\\ude00\"" };
    apr_size_t i;

    for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        good(texts[i], *state);
    }
}

static void test_parse_refuses_malformed(void **state)
{
    static const struct {
        const char *text;
        size_t len;
    } cases[] = {
        { "", 0 }, { " ", 1 }, { "{", 1 }, { "}", 1 }, { "[1,]", 4 }, { "{\"a\":1,}", 8 }, { "{\"a\" 1}", 7 }, { "[1] x", 5 }, { "1 2", 3 },
        { "\xEF\xBB\xBF{}", 5 }, { "{\"a\":1,\"a\":2}", 13 }, { "\"\\u0000\"", 8 }, { "\"a\0b\"", 5 }, { "[1]\0", 4 }, { "\"\xff\"", 3 }, { "\"\xc3", 2 }, { "\"abc", 4 },
        { "\"\\", 2 }, { "\"\\u12", 5 }, { "nul", 3 }, { "01", 2 }, { "1e999", 5 }, { "99999999999999999999", 20 }, { "'a'", 3 }, { "// c\n1", 6 },
        { "NaN", 3 }, { "\"\n\"", 3 }, { "\"\\ud800\"", 8 }, { "{1:2}", 5 }, { "[", 1 }, { "::::", 4 }, { "[1 2]", 5 },
        { "[1\0,2]", 6 }, { "[\0]", 3 }, { "{\0}", 3 },
    };
    apr_pool_t *p = *state;
    cs_result_t res;
    apr_size_t i;
    json_t *json;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        json = (json_t *)1;
        if (parse(&json, cases[i].text, cases[i].len, NULL, p, &res) != CS_EPARSE || json) {
            fail_msg("case %d was accepted", (int)i);
        }
        assert_int_equal(res.rv, CS_EPARSE);
        assert_string_equal(res.problem, "json:syntax");
        assert_has(res.detail, "line ");
        assert_has(res.detail, ", column ");
    }
    assert_int_equal(cs_json_parse(&json, NULL, 0, NULL, p, NULL), CS_EPARSE);
    parse(&json, "{\n\n  \"a\": x}", 12, NULL, p, &res);
    assert_has(res.detail, "line 3, column ");
    parse(&json, "\xEF\xBB\xBF{}", 5, NULL, p, &res);
    assert_has(res.detail, "byte order mark");
}

static void test_limits_count_values_not_names(void **state)
{
    cs_json_limits_t limits = { 100, 4, 3 };
    static const struct {
        const char *text;
        apr_status_t rv;
    } cases[] = {
        { "[1,2,3]", 0 }, { "[1,2,3,4]", CS_ELIMIT }, { "{\"a\":1,\"b\":2,\"c\":3}", 0 }, { "{\"a\":1,\"b\":2,\"c\":3,\"d\":4}", CS_ELIMIT },
        { "[\"a\",\"b\",\"c\"]", 0 }, { "[\"a\",\"b\",\"c\",\"d\"]", CS_ELIMIT }, { "{\"a\":\"b\",\"c\":\"d\",\"e\":\"f\"}", 0 }, { "[[],{},\":,[{\"]", 0 },
        { "[[],{},[],[]]", CS_ELIMIT }, { "[[[]]]", 0 }, { "[[[[]]]]", CS_ELIMIT }, { "[\"[[[[[[[[[[[{{{{{,,,,,\"]", 0 }, { "[true,false,null]", 0 },
        { "[\"\\\"\",\"\\\\\",\"\\\\\\\"\"]", 0 }, { "[[],[],[]]", 0 }, { "{\"a\":{},\"b\":[],\"c\":\"\"}", 0 },
    };
    apr_pool_t *p = *state;
    cs_result_t res;
    apr_size_t i;
    json_t *json;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        apr_status_t rv = parse(&json, cases[i].text, strlen(cases[i].text), &limits, p, &res);

        if (rv != cases[i].rv) {
            fail_msg("%s: %d %s", cases[i].text, rv, res.detail);
        }
        if (rv) {
            assert_null(json);
            assert_string_equal(res.problem, "json:limit");
            assert_has(res.detail, "line 1, column ");
        }
        json_decref(json);
    }
}

static void test_default_limits(void **state)
{
    apr_pool_t *p = *state;
    size_t len = 1024 * 1024 + 1;
    char *text = malloc(len);
    cs_result_t res;
    json_t *json;

    /* a megabyte of {} would be 79 MB of values */
    memset(text, ' ', len);
    assert_int_equal(parse(&json, text, len, NULL, p, &res), CS_ELIMIT);
    assert_has(res.detail, "1048576");
    for (size_t i = 0; i + 3 <= len; i += 3) {
        memcpy(text + i, "{},", 3);
    }
    text[0] = '[';
    assert_int_equal(parse(&json, text, len - 1, NULL, p, &res), CS_ELIMIT);
    assert_has(res.detail, "more than 20000 values");
    memset(text, '[', len);
    assert_int_equal(parse(&json, text, len - 1, NULL, p, &res), CS_ELIMIT);
    assert_has(res.detail, "nested deeper than 32 levels");
    assert_has(res.detail, "column 33");
    memset(text, ']', 64);
    memset(text, '[', 32);
    assert_ok(parse(&json, text, 64, NULL, p, &res));
    json_decref(json);
    memset(text, '"', len);
    assert_int_equal(parse(&json, text, len - 1, NULL, p, &res), CS_ELIMIT);
    memset(text, ':', len);
    assert_int_equal(parse(&json, text, len - 1, NULL, p, &res), CS_EPARSE);
    free(text);
}

/* Each prefix and each one-byte change of a document that has everything must be survived. */
static void test_every_prefix_and_mutation_is_survived(void **state)
{
    static const char text[] = "{\"a\":[1,-2.5e3,\"x\\n\\u00e4\\\"\",true,false,null,{}],\"b\\/c\":{\"d~e\":\"\xc3\xa4\"}}";
    static const char bytes[] = "{}[]:,\"\\ 0a\0\xff\n";
    apr_pool_t *p;
    size_t i, k;

    for (i = 0; i < sizeof(text); i++) {
        json_t *json;

        assert_ok(apr_pool_create(&p, *state));
        assert_int_equal(parse(&json, text, i, NULL, p, NULL) == APR_SUCCESS, i == sizeof(text) - 1);
        json_decref(json);
        for (k = 0; k < sizeof(bytes) && i < sizeof(text) - 1; k++) {
            char *copy = unit_exact(text, sizeof(text) - 1);
            cs_json_source_t *source;
            int line, column;

            copy[i] = bytes[k];
            if (cs_json_source_parse(&json, &source, copy, sizeof(text) - 1, NULL, p, NULL) == APR_SUCCESS) {
                cs_json_source_locate(source, "/a/6", &line, &column);
                cs_json_source_locate(source, "/b~1c/d~0e", &line, &column);
            }
            json_decref(json);
            free(copy);
        }
        apr_pool_destroy(p);
    }
}

static void test_file_read(void **state)
{
    apr_pool_t *p = *state;
    cs_json_limits_t limits = { 8, 0, 0 };
    cs_result_t res;
    const char *path;
    json_t *json;

    path = unit_write(p, "a.json", "{\"a\":1}\n", 8);
    assert_ok(cs_json_file_read(&json, path, &limits, p, &res));
    assert_int_equal(cs_json_int(json, "a", 0), 1);
    json_decref(json);
    path = unit_write(p, "a.json", "{\"a\":1}\n ", 9);
    assert_int_equal(cs_json_file_read(&json, path, &limits, p, &res), CS_ELIMIT);
    path = unit_write(p, "a.json", "{\n\"a\":}", 7);
    assert_int_equal(cs_json_file_read(&json, path, NULL, p, &res), CS_EPARSE);
    assert_has(res.detail, "a.json\", line 2, column ");
    path = unit_write(p, "a.json", "", 0);
    assert_int_equal(cs_json_file_read(&json, path, NULL, p, &res), CS_EPARSE);
    assert_int_equal(cs_json_file_read(&json, unit_path(p, "none.json"), NULL, p, &res), ENOENT);
    assert_string_equal(res.problem, "json:file");
    assert_has(res.detail, "none.json");
    assert_int_equal(cs_json_file_read(&json, unit_dir(p), NULL, p, &res), EISDIR);
    assert_null(json);
}

static void expect_at(const cs_json_source_t *source, const char *pointer, int line, int column)
{
    int l = -1, c = -1;

    cs_json_source_locate(source, pointer, &l, &c);
    if (l != line || c != column) {
        fail_msg("\"%s\" is at %d:%d, not %d:%d", pointer, l, c, line, column);
    }
}

static void test_source_locates_pointers(void **state)
{
    static const char text[] =
        "\n"
        "{\n"
        "  \"a\": [10, {\"b\": \"]}\"}, [ ] ,\"z\"],\n"
        "  \"x/y\": 1, \"m~n\":2,\n"
        "  \"\\u00e4\\\"\": { \"\": true },\n"
        "\t\"\xc3\xa4\xc3\xa4\": null, \"1\" :\n"
        "    -5\n"
        "}\n";
    apr_pool_t *p = *state;
    cs_json_source_t *source;
    json_t *json;

    assert_ok(cs_json_source_parse(&json, &source, text, sizeof(text) - 1, NULL, p, NULL));
    cs_json_own(json, p);
    expect_at(source, "", 2, 1);
    expect_at(source, "/a", 3, 8);
    expect_at(source, "/a/0", 3, 9);
    expect_at(source, "/a/1", 3, 13);
    expect_at(source, "/a/1/b", 3, 19);
    expect_at(source, "/a/2", 3, 26);
    expect_at(source, "/a/3", 3, 31);
    expect_at(source, "/x~1y", 4, 10);
    expect_at(source, "/m~0n", 4, 19);
    expect_at(source, "/\xc3\xa4\"", 5, 15);
    expect_at(source, "/\xc3\xa4\"/", 5, 21);
    expect_at(source, "/\xc3\xa4\xc3\xa4", 6, 8);
    expect_at(source, "/1", 7, 5);
    expect_at(source, "/a/4", 0, 0);
    expect_at(source, "/a/00", 0, 0);
    expect_at(source, "/a/-", 0, 0);
    expect_at(source, "/a/0/x", 0, 0);
    expect_at(source, "/nothing", 0, 0);
    expect_at(source, "/m~2n", 0, 0);
    expect_at(source, "a", 0, 0);
    expect_at(source, "/2/", 0, 0);
    expect_at(NULL, "", 0, 0);
}

static void test_source_read(void **state)
{
    apr_pool_t *p = *state;
    cs_json_source_t *source;
    cs_result_t res;
    json_t *json;

    assert_ok(cs_json_source_read(&json, &source, unit_write(p, "s.json", "[\n 1,\n 2]", 9), NULL, p, &res));
    cs_json_own(json, p);
    expect_at(source, "/1", 3, 2);
    assert_int_equal(cs_json_source_read(&json, &source, unit_write(p, "s.json", "[", 1), NULL, p, &res), CS_EPARSE);
    assert_null(source);
    assert_int_equal(cs_json_source_read(&json, &source, unit_path(p, "no"), NULL, p, &res), ENOENT);
}

static void test_print_is_stable(void **state)
{
    apr_pool_t *p = *state;
    json_t *json = good("{\"b\": 0.1, \"a\": [1, 2.50, 100000000.0], \"c\": 0.30000000000000004}", p);

    assert_string_equal(cs_json_print(json, p), "{\"a\":[1,2.5,100000000.0],\"b\":0.1,\"c\":0.3}");
    assert_string_equal(cs_json_print(NULL, p), "null");
    assert_string_equal(cs_json_print(good("\"a\\\"b\"", p), p), "\"a\\\"b\"");
    assert_string_equal(cs_json_pretty(good("{\"b\":1,\"a\":[2]}", p), p), "{\n  \"b\": 1,\n  \"a\": [\n    2\n  ]\n}");
}

static void test_own_gives_up_with_the_pool(void **state)
{
    apr_pool_t *p = *state, *sub;
    json_t *json = json_string("x");

    assert_ok(apr_pool_create(&sub, p));
    assert_ptr_equal(cs_json_own(json_incref(json), sub), json);
    assert_int_equal(json->refcount, 2);
    apr_pool_destroy(sub);
    assert_int_equal(json->refcount, 1);
    json_decref(json);
    assert_null(cs_json_own(NULL, p));
}

static void test_members(void **state)
{
    apr_pool_t *p = *state;
    json_t *j = good("{\"s\":\"x\",\"n\":null,\"i\":-7,\"t\":\"3599\",\"neg\":\"-12\",\"bad\":\"12x\",\"e\":\"\",\"big\":\"9223372036854775808\",\"r\":1.5,"
                     "\"yes\":true,\"no\":false,\"Name\":1,\"name\":2,\"sp\":\" 5\",\"nul\":\"5\"}", p);

    assert_non_null(cs_json_get(j, "n"));
    assert_null(cs_json_get(j, "zzz"));
    assert_null(cs_json_get(NULL, "n"));
    assert_null(cs_json_get(json_true(), "n"));
    assert_int_equal(json_integer_value(cs_json_get_nocase(j, "name")), 2);
    assert_int_equal(json_integer_value(cs_json_get_nocase(j, "NAME")), 1);
    assert_int_equal(json_integer_value(cs_json_get_nocase(j, "I")), -7);
    assert_null(cs_json_get_nocase(j, "zzz"));
    assert_null(cs_json_get_nocase(NULL, "zzz"));
    assert_string_equal(cs_json_str(j, "s"), "x");
    assert_null(cs_json_str(j, "n"));
    assert_null(cs_json_str(j, "i"));
    assert_null(cs_json_str(NULL, "i"));
    assert_int_equal(cs_json_int(j, "i", 1), -7);
    assert_int_equal(cs_json_int(j, "t", 1), 3599);
    assert_int_equal(cs_json_int(j, "neg", 1), -12);
    assert_int_equal(cs_json_int(j, "bad", 1), 1);
    assert_int_equal(cs_json_int(j, "e", 1), 1);
    assert_int_equal(cs_json_int(j, "big", 1), 1);
    assert_int_equal(cs_json_int(j, "r", 1), 1);
    assert_int_equal(cs_json_int(j, "sp", 1), 1);
    assert_int_equal(cs_json_int(NULL, "i", 9), 9);
    assert_int_equal(cs_json_bool(j, "yes", 0), 1);
    assert_int_equal(cs_json_bool(j, "no", 1), 0);
    assert_int_equal(cs_json_bool(j, "s", 1), 1);
    assert_int_equal(cs_json_bool(j, "zzz", 0), 0);
}

static void test_only_member(void **state)
{
    apr_pool_t *p = *state;
    json_t *j = good("{\"one\":{\"$number\":\"1\"},\"two\":{\"$number\":\"1\",\"b\":2},\"list\":[1],\"none\":{}}", p);

    assert_string_equal(json_string_value(cs_json_only(cs_json_get(j, "one"), "$number")), "1");
    assert_null(cs_json_only(cs_json_get(j, "one"), "$ref"));
    assert_null(cs_json_only(cs_json_get(j, "two"), "$number"));
    assert_null(cs_json_only(cs_json_get(j, "list"), "$number"));
    assert_null(cs_json_only(cs_json_get(j, "none"), "$number"));
    assert_null(cs_json_only(NULL, "$number"));
}

/* The examples of RFC 6901, section 5. */
static void test_pointer(void **state)
{
    apr_pool_t *p = *state;
    json_t *j = good("{\"foo\":[\"bar\",\"baz\"],\"\":0,\"a/b\":1,\"c%d\":2,\"e^f\":3,\"g|h\":4,\"i\\\\j\":5,\"k\\\"l\":6,\" \":7,\"m~n\":8,\"~1\":9}", p);
    static const struct {
        const char *pointer;
        int want;
    } numbers[] = {
        { "/", 0 }, { "/a~1b", 1 }, { "/c%d", 2 }, { "/e^f", 3 }, { "/g|h", 4 }, { "/i\\j", 5 }, { "/k\"l", 6 }, { "/ ", 7 }, { "/m~0n", 8 }, { "/~01", 9 },
    };
    static const char *const nothing[] = { "x", "/x", "/foo/2", "/foo/01", "/foo/-", "/foo/", "/foo/0/x", "/m~n", "/m~", "/m~2", "/foo/99999999999999999999" };
    apr_size_t i;

    assert_ptr_equal(cs_json_pointer(j, ""), j);
    assert_string_equal(json_string_value(cs_json_pointer(j, "/foo/0")), "bar");
    for (i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        assert_non_null(cs_json_pointer(j, numbers[i].pointer));
        assert_int_equal(json_integer_value(cs_json_pointer(j, numbers[i].pointer)), numbers[i].want);
    }
    for (i = 0; i < sizeof(nothing) / sizeof(nothing[0]); i++) {
        assert_null(cs_json_pointer(j, nothing[i]));
    }
    assert_null(cs_json_pointer(NULL, ""));
    assert_null(cs_json_pointer(j, NULL));
}

static void test_pointer_set(void **state)
{
    apr_pool_t *p = *state;
    json_t *j = good("{\"a\":{\"b\":1},\"l\":[1],\"n\":null}", p);
    static const char *const bad[] = { "", "x", "/l/0", "/a/b/c", "/n/x", "/a~2", "/q/~" };
    apr_size_t i;

    assert_ok(cs_json_pointer_set(j, "/a/b", json_integer(2)));
    assert_ok(cs_json_pointer_set(j, "/a/c/d~1e/f", json_string("deep")));
    assert_ok(cs_json_pointer_set(j, "/new", json_true()));
    assert_string_equal(json_string_value(cs_json_pointer(j, "/a/c/d~1e/f")), "deep");
    assert_int_equal(json_integer_value(cs_json_pointer(j, "/a/b")), 2);
    /* the value is taken over in any case: the sanitizer would tell */
    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(cs_json_pointer_set(j, bad[i], json_string("x")), APR_EINVAL);
    }
    assert_int_equal(cs_json_pointer_set(NULL, "/a", json_string("x")), APR_EINVAL);
    assert_int_equal(cs_json_pointer_set(j, "/a", NULL), APR_EINVAL);
    assert_int_equal(cs_json_pointer_set(j, "/a/\xff", json_string("x")), APR_EINVAL);
}

static void test_words_are_a_string_whatever_they_quote(void **state)
{
    static const struct {
        const char *text, *words;
    } cases[] = {
        { "", "" }, { "plain", "plain" }, { "Gr\xc3\xb6\xc3\x9f" "e \xe2\x82\xac \xf0\x9f\x98\x80", "Gr\xc3\xb6\xc3\x9f" "e \xe2\x82\xac \xf0\x9f\x98\x80" },
        { "cut \xc3", "cut ?" }, { "cut \xe2\x82", "cut ??" }, { "\xf0\x9f\x98 in the middle \xc3\xa4", "??? in the middle \xc3\xa4" },
        { "\xff\xfe\xed\xa0\x80", "?????" }, { "\xc3\xc3\xa4", "?\xc3\xa4" },
    };
    apr_pool_t *p = *state;
    apr_size_t i;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        json_t *json = cs_json_own(cs_json_words(cases[i].text, p), p);

        assert_non_null(json);
        assert_string_equal(json_string_value(json), cases[i].words);
    }
    assert_null(cs_json_words(NULL, p));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_parse_takes_any_value),
        UNIT_TEST(test_parse_refuses_malformed),
        UNIT_TEST(test_limits_count_values_not_names),
        UNIT_TEST(test_default_limits),
        UNIT_TEST(test_every_prefix_and_mutation_is_survived),
        UNIT_TEST(test_file_read),
        UNIT_TEST(test_source_locates_pointers),
        UNIT_TEST(test_source_read),
        UNIT_TEST(test_print_is_stable),
        UNIT_TEST(test_own_gives_up_with_the_pool),
        UNIT_TEST(test_words_are_a_string_whatever_they_quote),
        UNIT_TEST(test_members),
        UNIT_TEST(test_only_member),
        UNIT_TEST(test_pointer),
        UNIT_TEST(test_pointer_set),
    };

    return UNIT_RUN(tests);
}
