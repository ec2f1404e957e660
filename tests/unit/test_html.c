/* Pages are written through one door, and nothing from outside becomes markup there. */
#include "unit.h"

#include <string.h>

#include "mod_cosell/httpd/html.c"

static const char *written(apr_pool_t *p, const char *text)
{
    cosell_html_t *h = cosell_html_create(p);
    apr_size_t len;
    const char *all;

    cosell_element(h, "p", text);
    all = cosell_html_end(h, &len);
    assert_int_equal(strlen(all), len);
    assert_true(!strncmp(all, "<!DOCTYPE html><p>", 18));
    return apr_pstrmemdup(p, all + 18, len - 18 - 5);
}

static void test_text_is_escaped(void **state)
{
    apr_pool_t *p = *state;

    assert_string_equal(written(p, "<b> & \"x\" 'y'</b>"), "&lt;b&gt; &amp; &quot;x&quot; &#39;y&#39;&lt;/b&gt;");
    assert_string_equal(written(p, "Gr\xc3\xb6\xc3\x9f" "e \xe2\x82\xac \xf0\x9f\x98\x80"), "Gr\xc3\xb6\xc3\x9f" "e \xe2\x82\xac \xf0\x9f\x98\x80");
    assert_string_equal(written(p, "a\nb\tc"), "a\nb\tc");
    assert_string_equal(written(p, ""), "");
    assert_string_equal(written(p, NULL), "");
}

static void test_what_is_no_character_is_replaced(void **state)
{
    static const char *const bad[] = {"\x01", "\x1b", "\x7f", "\xc2\x85", "\xff", "\xc0\xaf", "\xe0\x80\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80",
                                      "\xe2\x80\xae", "\xe2\x81\xa6", "\xe2\x80\xa8", "\xef\xbb\xbf", "\xef\xbf\xbe", "\xef\xbf\xbf", "\xf0\x9f\xbf\xbe",
                                      "\xef\xb7\x90"};
    apr_pool_t *p = *state;
    size_t i;

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        const char *got = written(p, apr_pstrcat(p, "a", bad[i], "b", NULL));

        assert_true(got[0] == 'a' && strstr(got, REPLACED) == got + 1 && got[strlen(got) - 1] == 'b');
        assert_null(strstr(got, bad[i]));
    }
    assert_string_equal(written(p, "cut \xe2\x82"), "cut " REPLACED REPLACED);
}

static void test_every_byte_pair_is_harmless(void **state)
{
    apr_pool_t *p = *state, *sub;
    unsigned a, b;

    for (a = 1; a < 256; a++) {
        apr_pool_create(&sub, p);
        for (b = 1; b < 256; b++) {
            char text[3] = {(char)a, (char)b, 0};
            const char *got = written(sub, text);

            assert_null(strpbrk(got, "<>\"'"));
            assert_true(*got);
        }
        apr_pool_destroy(sub);
    }
}

static void test_attributes(void **state)
{
    apr_pool_t *p = *state;
    cosell_html_t *h = cosell_html_create(p);
    apr_size_t len;

    cosell_void(h, "input");
    cosell_attr(h, "value", "\" onfocus=\"alert(1)");
    cosell_attr(h, "name", NULL);
    cosell_flag(h, "required", 1);
    cosell_flag(h, "disabled", 0);
    cosell_open(h, "a");
    cosell_text(h, "x");
    cosell_attr(h, "href", "too late"); /* not within the tag any more */
    assert_string_equal(cosell_html_end(h, &len), "<!DOCTYPE html><input value=\"&quot; onfocus=&quot;alert(1)\" required><a>x</a>\n");
}

static void test_cut(void **state)
{
    apr_pool_t *p = *state;
    cosell_html_t *h = cosell_html_create(p);
    apr_size_t len;

    cosell_text_cut(h, "\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4", 3);
    cosell_foreign(h, "", 5);
    cosell_foreign(h, "\xe2\x80\xaex", 5);
    assert_string_equal(cosell_html_end(h, &len), "<!DOCTYPE html>\xc3\xa4\xc3\xa4\xc3\xa4\xe2\x80\xa6<bdi>" REPLACED "x</bdi>\n");
}

static void test_long_documents(void **state)
{
    apr_pool_t *p = *state;
    cosell_html_t *h = cosell_html_create(p);
    apr_size_t len;
    int i;

    for (i = 0; i < 20000; i++) {
        cosell_element(h, "b", "&");
    }
    assert_string_equal(cosell_html_end(h, &len) + 15 + 19999 * 12, "<b>&amp;</b>\n");
    assert_int_equal(len, 15 + 20000 * 12 + 1);
}

static void test_links(void **state)
{
    static const char *const bad[] = {"javascript:alert(1)", "data:text/html,x", "//host/x", "/x", "https://host/\"x", "https://host/ x", "https://host/<", "ftp://x",
                                      "https://host/\xc3\xa4", "https://host/'x", "", " https://x"};
    apr_pool_t *p = *state;
    size_t i;

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_null(cosell_safe_link(bad[i]));
    }
    assert_null(cosell_safe_link(NULL));
    assert_string_equal(cosell_safe_link("https://host/a?b=c&d"), "https://host/a?b=c&d");
    assert_string_equal(cosell_query_escape("a b&c=\xc3\xa4\"/-._~", p), "a%20b%26c%3D%C3%A4%22%2F-._~");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_text_is_escaped), UNIT_TEST(test_what_is_no_character_is_replaced), UNIT_TEST(test_every_byte_pair_is_harmless),
        UNIT_TEST(test_attributes),      UNIT_TEST(test_cut),                              UNIT_TEST(test_long_documents),
        UNIT_TEST(test_links),
    };

    return UNIT_RUN(tests);
}
