/* cosellctl's pure parts: widths, tables, times, the command line, netrc, addresses, bars. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <apr_general.h>
#include <apr_strings.h>
#include <cmocka.h>

#include "mod_cosell/base/json.h"
#include "mod_cosell/base/time.h"
#include "mod_cosell/ctl/ctl.h"

static apr_pool_t *pool;

static int setup(void **state)
{
    (void)state;
    apr_initialize();
    apr_pool_create(&pool, NULL);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    apr_pool_destroy(pool);
    apr_terminate();
    return 0;
}

static json_t *json(const char *text)
{
    json_t *out = NULL;

    assert_int_equal(cs_json_parse(&out, text, strlen(text), NULL, pool, NULL), 0);
    return cs_json_own(out, pool);
}

/* ---- text ---- */

static void width_of_letters(void **state)
{
    (void)state;
    assert_int_equal(ctl_width(""), 0);
    assert_int_equal(ctl_width("abc"), 3);
    assert_int_equal(ctl_width("Käserei"), 7);
    assert_int_equal(ctl_width("日本語"), 6);
    assert_int_equal(ctl_width("e\xcc\x81"), 1); /* e and a combining accent */
    assert_int_equal(ctl_width("a\xff\xc3"), 3); /* broken: one each */
}

static void characters(void **state)
{
    static const struct {
        const char *text;
        unsigned c;
        int len;
    } cases[] = {{"a", 'a', 1},
                 {"\xc3\xa4", 0xe4, 2},
                 {"\xe2\x82\xac", 0x20ac, 3},
                 {"\xf0\x9f\x98\x80", 0x1f600, 4},
                 {"\xc0\x80", 0xfffd, 1},         /* overlong */
                 {"\xe0\x80\x80", 0xfffd, 1},     /* overlong */
                 {"\xed\xa0\x80", 0xfffd, 1},     /* half of a pair */
                 {"\xf4\x90\x80\x80", 0xfffd, 1}, /* beyond the last */
                 {"\xe2\x82", 0xfffd, 1},         /* cut */
                 {"\x80", 0xfffd, 1}};
    size_t i;
    int len;

    (void)state;
    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(ctl_char(cases[i].text, &len), cases[i].c);
        assert_int_equal(len, cases[i].len);
    }
}

static void terminals_are_not_commanded(void **state)
{
    (void)state;
    assert_string_equal(ctl_clean("a\033[2Jb", pool), "a?[2Jb");
    assert_string_equal(ctl_clean("a\nb\tc", pool), "a b c");
    assert_string_equal(ctl_clean("x\xc2\x9b" "1m", pool), "x?1m");          /* CSI of one letter */
    assert_string_equal(ctl_clean("x\xe2\x80\xaey", pool), "x?y");          /* right to left */
    assert_string_equal(ctl_clean("\xff", pool), "\xef\xbf\xbd");
    assert_string_equal(ctl_clean("Bläck", pool), "Bläck");
    assert_string_equal(ctl_clean(NULL, pool), "");
}

static void cut_and_pad(void **state)
{
    (void)state;
    assert_string_equal(ctl_cut("abcdef", 6, pool), "abcdef");
    assert_string_equal(ctl_cut("abcdef", 4, pool), "abc…");
    assert_string_equal(ctl_cut("日本語です", 6, pool), "日本…");
    assert_int_equal(ctl_width(ctl_cut("日本語です", 6, pool)), 5);
    assert_string_equal(ctl_pad("ä", 3, pool), "ä  ");
    assert_string_equal(ctl_pad("abcd", 3, pool), "abcd");
}

static void wrapped_lines(void **state)
{
    apr_array_header_t *lines = ctl_wrap("one two three four five six seven", 20, pool);

    (void)state;
    assert_int_equal(lines->nelts, 2);
    assert_string_equal(APR_ARRAY_IDX(lines, 0, const char *), "one two three four");
    assert_string_equal(APR_ARRAY_IDX(lines, 1, const char *), "five six seven");
    lines = ctl_wrap("", 20, pool);
    assert_int_equal(lines->nelts, 1);
    lines = ctl_wrap("https://a.example/a-very-long-address", 20, pool);
    assert_int_equal(lines->nelts, 2); /* broken where there is no blank */
    assert_int_equal(ctl_wrap("one two three four five six", 0, pool)->nelts, 1);
}

static void times_and_values(void **state)
{
    apr_time_t now = 0;

    (void)state;
    assert_string_equal(ctl_when(json("[\"2026-11-23T03:40:12.123456Z\"]")
                                     ? json_array_get(json("[\"2026-11-23T03:40:12.123456Z\"]"), 0)
                                     : NULL,
                                 pool),
                        "2026-11-23 03:40:12");
    assert_string_equal(ctl_when(NULL, pool), "-");
    assert_int_equal(cs_time_parse(&now, "2026-11-23T04:00:00Z"), 0);
    assert_string_equal(
        ctl_since(json_array_get(json("[\"2026-11-23T03:50:00Z\"]"), 0), now, pool), "10 min");
    assert_string_equal(
        ctl_since(json_array_get(json("[\"2026-11-20T03:50:00Z\"]"), 0), now, pool), "3 d");
    assert_null(ctl_since(json_array_get(json("[\"soon\"]"), 0), now, pool));
    assert_string_equal(ctl_value(json_array_get(json("[null]"), 0), pool), "(empty)");
    assert_string_equal(ctl_value(json("{\"amount\":\"50000.00\",\"currency\":\"USD\"}"), pool),
                        "50000.00 USD");
    assert_string_equal(ctl_value(json_array_get(json("[true]"), 0), pool), "yes");
    assert_string_equal(ctl_value(json("{\"isocurrencycode\":\"USD\"}"), pool), "USD");
    assert_string_equal(ctl_value(NULL, pool), "");
}

/* ---- tables ---- */

static void tables(void **state)
{
    static const char *const heads[] = {"DEAL", "TITLE", "STATE", NULL};
    ctl_table_t *table = ctl_table_make(heads, pool);

    (void)state;
    assert_string_equal(ctl_table_text(table, 0, pool), "");
    ctl_table_row(table, "1", "Bläckforst Käserei", "linked");
    ctl_table_row(table, "22", "日本語", NULL);
    assert_string_equal(ctl_table_text(table, 0, pool), "DEAL  TITLE               STATE\n"
                                                        "1     Bläckforst Käserei  linked\n"
                                                        "22    日本語\n");
    assert_string_equal(ctl_table_text(table, 24, pool), "DEAL  TITLE       STATE\n"
                                                         "1     Bläckfors…  linked\n"
                                                         "22    日本語\n");
}

static void no_line_is_wider_than_the_terminal(void **state)
{
    static const char *const heads[] = {"A", "B", NULL};
    ctl_table_t *table = ctl_table_make(heads, pool);
    char *text, *last = NULL, *line;
    int width;

    (void)state;
    ctl_table_row(table, "0123456789 0123456789 0123456789", "日本語日本語日本語日本語日本語");
    for (width = 20; width < 80; width++) {
        text = apr_pstrdup(pool, ctl_table_text(table, width, pool));
        for (line = apr_strtok(text, "\n", &last); line; line = apr_strtok(NULL, "\n", &last)) {
            assert_true(ctl_width(line) <= width);
        }
    }
}

static void bars(void **state)
{
    const json_t *half =
        json("{\"done\":5000,\"of\":10000,\"rate\":50.0,\"text\":\"looking at deals\"}");
    const char *text = ctl_bar_text(half, 79, pool);
    int width;

    (void)state;
    assert_non_null(strstr(text, "[############............] 50% 5000/10000, 50/s, 2 min left"));
    assert_null(strchr(ctl_bar_text(half, 0, pool), '[')); /* a line, for whoever reads it later */
    assert_string_equal(ctl_bar_text(json("{\"done\":3}"), 0, pool), "3");
    assert_string_equal(ctl_bar_text(json("{\"text\":\"waiting\"}"), 0, pool), "waiting");
    assert_string_equal(ctl_bar_text(json("{}"), 0, pool), "");
    assert_string_equal(ctl_bar_text(json("{\"done\":0}"), 0, pool), "");
    assert_string_equal(ctl_bar_text(json("{\"text\":\"list\",\"waits\":\"no CRM works\"}"), 0, pool),
                        "waits: no CRM works");
    assert_non_null(strstr(ctl_bar_text(json("{\"done\":9,\"of\":3}"), 0, pool), "100% 9/3"));
    for (width = 10; width < 120; width++) {
        assert_true(ctl_width(ctl_bar_text(half, width, pool)) <= width);
    }
}

/* ---- the command line ---- */

static int parse(ctl_t *c, const char *line)
{
    const char *argv[20] = {"cosellctl"};
    char *last = NULL, *word, *all = apr_pstrdup(pool, line);
    int n = 1;

    for (word = apr_strtok(all, " ", &last); word && n < 20; word = apr_strtok(NULL, " ", &last)) {
        argv[n++] = word;
    }
    memset(c, 0, sizeof(*c));
    c->p = pool;
    return ctl_parse(c, n, argv);
}

static void verbs_of_one_and_two_words(void **state)
{
    ctl_t c;

    (void)state;
    assert_int_equal(parse(&c, "deals --state linked"), 0);
    assert_string_equal(c.verb->name, "deals");
    assert_string_equal(ctl_opt(&c, "state"), "linked");
    assert_int_equal(parse(&c, "--json deals link 7 0065g"), 0);
    assert_string_equal(c.verb->name, "deals link");
    assert_string_equal(ctl_arg(&c, 0), "7");
    assert_string_equal(ctl_arg(&c, 1), "0065g");
    assert_null(ctl_arg(&c, 2));
    assert_int_equal(parse(&c, "journal -f -n 5"), 0);
    assert_non_null(ctl_opt(&c, "follow"));
    assert_string_equal(ctl_opt(&c, "lines"), "5");
    assert_int_equal(parse(&c, "journal -n5"), 0);
    assert_string_equal(ctl_opt(&c, "lines"), "5");
    assert_int_equal(parse(&c, "show -- -strange-"), 0);
    assert_string_equal(ctl_arg(&c, 0), "-strange-");
    assert_int_equal(parse(&c, ""), 0);
    assert_string_equal(c.verb->name, "help");
    assert_int_equal(parse(&c, "--version"), 0);
    assert_string_equal(c.verb->name, "version");
}

static void an_address_before_and_behind_the_verb(void **state)
{
    ctl_t c;

    (void)state;
    assert_int_equal(parse(&c, "--url https://a/admin webhook register --url https://a/hook"), 0);
    assert_string_equal(ctl_opt(&c, "client"), "https://a/admin");
    assert_string_equal(ctl_opt(&c, "url"), "https://a/hook");
    assert_int_equal(parse(&c, "status --url=https://a/admin"), 0);
    assert_string_equal(ctl_opt(&c, "client"), "https://a/admin");
    assert_null(ctl_opt(&c, "url"));
    assert_int_equal(parse(&c, "webhook register --events a,b --events c"), 0);
    assert_string_equal(ctl_opt(&c, "events"), "a,b,c");
}

static void wrong_lines(void **state)
{
    static const char *const lines[] = {"nope",
                                        "dead",
                                        "dead raise",
                                        "map init",
                                        "adopt",
                                        "crm plan",
                                        "deals link 7",
                                        "show",
                                        "show 1 2",
                                        "status extra",
                                        "status --follow",
                                        "status --nope",
                                        "deals --state",
                                        "status --json=1",
                                        "-u alice:wonder status",
                                        "status --user alice:wonder",
                                        "status --password=wonder",
                                        "status -x",
                                        NULL};
    ctl_t c;
    int i;

    (void)state;
    for (i = 0; lines[i]; i++) {
        assert_int_equal(parse(&c, lines[i]), CTL_USAGE);
    }
}

static void the_table_of_verbs_is_sound(void **state)
{
    const ctl_verb_t *v;
    char *last = NULL, *name, *all;

    (void)state;
    for (v = ctl_verbs; v->name; v++) {
        assert_ptr_equal(ctl_verb_of(v->name), v);
        assert_non_null(v->run);
        assert_true(v->max >= v->min);
        all = apr_pstrdup(pool, v->options);
        for (name = apr_strtok(all, " ", &last); name; name = apr_strtok(NULL, " ", &last)) {
            assert_non_null(ctl_option_of(name, strlen(name)));
            assert_true(ctl_verb_takes(v, name));
            assert_non_null(strstr(ctl_usage_of(v, pool), apr_pstrcat(pool, "--", name, NULL)));
        }
    }
    assert_false(ctl_verb_takes(ctl_verb_of("deals"), "stat"));
}

/* ---- netrc and addresses ---- */

static void find(const char *text, const char *host, const char *login, const char *password)
{
    const char *l, *p;

    assert_null(ctl_netrc_find(text, host, &l, &p, pool));
    if (!login) {
        assert_null(l);
        assert_null(p);
        return;
    }
    assert_non_null(l);
    assert_string_equal(l, login);
    assert_string_equal(p, password);
}

static void netrc(void **state)
{
    static const char text[] = "# a comment with machine h.example login x password y\n"
                               "machine a.example login alice password #wonder\n"
                               "machine b.example\n  login \"bob b\"\n  password \"q\\\"uote\"\n"
                               "macdef init\ncd /machine c.example\nquit\n\n"
                               "machine d.example login dan\n"
                               "default login anyone password guest\n";
    const char *l, *p, *why;

    (void)state;
    find(text, "a.example", "alice", "#wonder");
    find(text, "A.Example", "alice", "#wonder");
    find(text, "b.example", "bob b", "q\"uote");
    find(text, "c.example", "anyone", "guest");
    find(text, "d.example", NULL, NULL); /* without a password */
    find("", "a.example", NULL, NULL);
    find("machine a.example login a password b", "other", NULL, NULL);
    why = ctl_netrc_find("machine a.example login a\nsecret b\n", "a.example", &l, &p, pool);
    assert_non_null(why);
    assert_non_null(strstr(why, "line 2"));
    assert_null(l);
    why = ctl_netrc_find("machine a.example login a password \"b\n", "a.example", &l, &p, pool);
    assert_non_null(strstr(why, "quote"));
    assert_null(p);
    assert_non_null(ctl_netrc_find("machine", "a.example", &l, &p, pool));
}

static void addresses(void **state)
{
    static const struct {
        const char *url, *host;
    } cases[] = {{"https://hooks.example.com/cosell-admin", "hooks.example.com"},
                 {"https://hooks.example.com:8443/a", "hooks.example.com"},
                 {"http://127.0.0.1:8080/a", "127.0.0.1"},
                 {"http://localhost/a", "localhost"},
                 {"http://[::1]:80/a", "[::1]"},
                 {"https://h/a?scope=all", "h"},
                 {"http://hooks.example.com/a", NULL},
                 {"http://127.evil.example/a", NULL},
                 {"https://alice:wonder@h/a", NULL},
                 {"https://alice@h/a", NULL},
                 {"https:///a", NULL},
                 {"https://h/a?x=1", NULL},
                 {"https://h/a#b", NULL},
                 {"ftp://h/a", NULL},
                 {"h/a", NULL},
                 {"https://h h/a", NULL}};
    const char *host;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *why = ctl_url_wrong(cases[i].url, &host, pool);

        if (cases[i].host) {
            assert_null(why);
            assert_string_equal(host, cases[i].host);
        }
        else {
            assert_non_null(why);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(width_of_letters),
        cmocka_unit_test(characters),
        cmocka_unit_test(terminals_are_not_commanded),
        cmocka_unit_test(cut_and_pad),
        cmocka_unit_test(wrapped_lines),
        cmocka_unit_test(times_and_values),
        cmocka_unit_test(tables),
        cmocka_unit_test(no_line_is_wider_than_the_terminal),
        cmocka_unit_test(bars),
        cmocka_unit_test(verbs_of_one_and_two_words),
        cmocka_unit_test(an_address_before_and_behind_the_verb),
        cmocka_unit_test(wrong_lines),
        cmocka_unit_test(the_table_of_verbs_is_sound),
        cmocka_unit_test(netrc),
        cmocka_unit_test(addresses),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
