/* Short texts: blanks around them, letters, lists. (base/text.h) */
#include "unit.h"

#include "mod_cosell/base/text.h"

static void test_lower(void **state)
{
    assert_string_equal(cs_text_lower("AbZ-09", *state), "abz-09");
    assert_string_equal(cs_text_lower("\xc3\x84", *state), "\xc3\x84");
    assert_string_equal(cs_text_lower("", *state), "");
}

static void test_trim(void **state)
{
    apr_size_t len = 99;

    assert_string_equal(cs_text_trimmed(" \t a b\r\n", *state), "a b");
    assert_string_equal(cs_text_trimmed("ab", *state), "ab");
    assert_string_equal(cs_text_trimmed(" \n ", *state), "");
    assert_memory_equal(cs_text_trim("  key  ", &len), "key", 3);
    assert_int_equal(len, 3);
    cs_text_trim("", &len);
    assert_int_equal(len, 0);
}

static void test_lists(void **state)
{
    static const char *const words[] = {"one", "two", NULL}, *const none[] = {NULL};
    apr_array_header_t *list = apr_array_make(*state, 1, sizeof(const char *));

    assert_true(cs_text_is_one_of("two", words));
    assert_false(cs_text_is_one_of("Two", words));
    assert_false(cs_text_is_one_of("one", none));
    cs_text_add_once(list, "one");
    cs_text_add_once(list, "two");
    cs_text_add_once(list, "one");
    assert_int_equal(list->nelts, 2);
    assert_string_equal(APR_ARRAY_IDX(list, 1, const char *), "two");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_lower),
        UNIT_TEST(test_trim),
        UNIT_TEST(test_lists),
    };

    return UNIT_RUN(tests);
}
