/* XML as events: what is told, what is refused and where. */
#include "unit.h"

#include "mod_cosell/base/xml.h"

typedef struct told_t {
    char *text;
    const char *skip, *want, *refuse, *qname; /* local names; an attribute */
    apr_pool_t *p;
} told_t;

static cs_xml_want_e on_start(void *baton, cs_xml_t *xml, const cs_xml_element_t *e)
{
    told_t *t = baton;
    int i;

    t->text = apr_psprintf(t->p, "%s<%s|%s", t->text, e->uri, e->name);
    for (i = 0; i < e->n; i++) {
        const cs_xml_attribute_t *a = &e->attributes[i];
        const char *uri, *local;

        t->text = apr_psprintf(t->p, "%s %s|%s=%s", t->text, a->uri, a->name, a->value);
        if (t->qname && !strcmp(a->name, t->qname)) {
            local = cs_xml_qname(xml, a->value, &uri);
            t->text = apr_psprintf(t->p, "%s->%s|%s", t->text, uri, local ? local : "none");
        }
    }
    t->text = apr_psprintf(t->p, "%s>%d", t->text, e->depth);
    if (t->refuse && !strcmp(e->name, t->refuse)) {
        cs_xml_refuse(xml, "no %s here", e->name);
        cs_xml_refuse(xml, "a second reason");
    }
    if (t->skip && !strcmp(e->name, t->skip)) {
        return CS_XML_SKIP;
    }
    return t->want && !strcmp(e->name, t->want) ? CS_XML_TEXT : CS_XML_ENTER;
}

static void on_end(void *baton, cs_xml_t *xml, int depth, const char *text)
{
    told_t *t = baton;

    (void)xml;
    t->text = apr_psprintf(t->p, "%s/%d%s%s", t->text, depth, text ? "=" : "", text ? text : "");
}

static apr_status_t parse_n(told_t *t, const char *text, size_t len, const cs_xml_limits_t *limits,
                            cs_result_t *res)
{
    cs_xml_reader_t reader = {on_start, on_end, t};
    void *exact = unit_exact(text, len);
    apr_status_t rv;

    t->text = "";
    cs_result_clear(res);
    rv = cs_xml_parse(exact, len, limits, &reader, t->p, res);
    free(exact);
    return rv;
}

static void tells(told_t *t, const char *text, const char *told)
{
    cs_result_t res;

    if (parse_n(t, text, strlen(text), NULL, &res) != APR_SUCCESS) {
        fail_msg("%s: %s", text, res.detail);
    }
    assert_string_equal(t->text, told);
}

static void refuses(told_t *t, const char *text, const cs_xml_limits_t *limits, apr_status_t rv,
                    const char *detail)
{
    cs_result_t res;

    if (parse_n(t, text, strlen(text), limits, &res) != rv || strcmp(res.detail, detail)) {
        fail_msg("%s: %d \"%s\", expected %d \"%s\"", text, res.rv, res.detail, rv, detail);
    }
    assert_int_equal(res.cls, CS_CLASS_REFUSED);
    assert_string_equal(res.problem, rv == CS_ELIMIT ? "xml:limit" : "xml:syntax");
}

static void test_names_have_their_namespace(void **state)
{
    told_t t = {.p = *state};

    tells(&t, "<a/>", "<|a>1/1");
    tells(&t, "<a xmlns='urn:x'><b/><c xmlns=''/></a>", "<urn:x|a>1<urn:x|b>2/2<|c>2/2/1");
    tells(&t, "<p:a xmlns:p='urn:x' xmlns:q='urn:y' k='1' q:k='2'><q:b/></p:a>",
          "<urn:x|a |k=1 urn:y|k=2>1<urn:y|b>2/2/1");
    /* An inner declaration hides the outer one, until its element ends. */
    tells(&t, "<p:a xmlns:p='urn:x'><p:b xmlns:p='urn:y'/><p:c/></p:a>",
          "<urn:x|a>1<urn:y|b>2/2<urn:x|c>2/2/1");
}

static void test_values_that_are_names(void **state)
{
    told_t t = {.p = *state, .qname = "type"};

    tells(&t, "<a xmlns:sf='urn:s' type='sf:Opportunity'/>",
          "<|a |type=sf:Opportunity->urn:s|Opportunity>1/1");
    tells(&t, "<a xmlns:sf='urn:s'><b xmlns:sf='urn:t' type=' sf:X '/><b type='sf:X'/></a>",
          "<|a>1<|b |type= sf:X ->urn:t|X>2/2<|b |type=sf:X->urn:s|X>2/2/1");
    tells(&t, "<a xmlns='urn:d' type='X'/>", "<urn:d|a |type=X->urn:d|X>1/1");
    tells(&t, "<a type='X'/>", "<|a |type=X->|X>1/1");
    tells(&t, "<a type='sf:X'/>", "<|a |type=sf:X->|none>1/1");
    tells(&t, "<a type=':X'/>", "<|a |type=:X->|none>1/1");
    tells(&t, "<a type=''/>", "<|a |type=->|none>1/1");
    tells(&t, "<a xmlns:sf='urn:s' type='sf:'/>", "<|a |type=sf:->|none>1/1");
    tells(&t, "<a xmlns:sf='urn:s' type='sf:X:Y'/>", "<|a |type=sf:X:Y->|none>1/1");
}

static void test_attributes_are_found(void **state)
{
    cs_xml_attribute_t list[] = {{"", "k", "1"}, {"urn:x", "k", "2"}};
    cs_xml_element_t e = {.attributes = list, .n = 2};

    (void)state;
    assert_string_equal(cs_xml_attribute(&e, "", "k"), "1");
    assert_string_equal(cs_xml_attribute(&e, "urn:x", "k"), "2");
    assert_null(cs_xml_attribute(&e, "urn:y", "k"));
    assert_null(cs_xml_attribute(&e, "", "x"));
}

static void test_text_is_told_where_it_is_wanted(void **state)
{
    told_t t = {.p = *state, .want = "b"};
    char *text, *told;

    tells(&t, "<a>no<b>yes</b>no</a>", "<|a>1<|b>2/2=yes/1");
    tells(&t, "<a><b/><b> </b></a>", "<|a>1<|b>2/2=<|b>2/2= /1");
    tells(&t, "<a><b>&lt;&amp;&gt;&#x20AC;&#65;<![CDATA[<x>]]>\r\nz<!-- c --><?p i?>!</b></a>",
          "<|a>1<|b>2/2=<&>\xe2\x82\xac" "A<x>\nz!/1");
    t.want = NULL;
    tells(&t, "<a>text</a>", "<|a>1/1");
    t.want = "b";
    text = memset(apr_pcalloc(t.p, 60001), 'y', 60000);
    told = apr_psprintf(t.p, "<|a>1<|b>2/2=%s/1", text);
    tells(&t, apr_psprintf(t.p, "<a><b>%s</b></a>", text), told);
}

static void test_what_is_skipped_is_not_told(void **state)
{
    told_t t = {.p = *state, .skip = "b", .want = "c"};

    tells(&t, "<a><b>t<c>x<d/></c></b><c>y</c></a>", "<|a>1<|b>2<|c>2/2=y/1");
    tells(&t, "<b><b/><c/></b>", "<|b>1");
}

static void test_encodings(void **state)
{
    static const char utf16[] = "\xff\xfe<\0a\0>\0\xe4\0<\0/\0a\0>\0";
    told_t t = {.p = *state, .want = "a"};
    cs_result_t res;

    tells(&t, "\xef\xbb\xbf<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<a>\xc3\xa4</a>",
          "<|a>1/1=\xc3\xa4");
    tells(&t, "<?xml version='1.0' encoding='ISO-8859-1'?><a>\xe4</a>", "<|a>1/1=\xc3\xa4");
    assert_ok(parse_n(&t, utf16, sizeof(utf16) - 1, NULL, &res));
    assert_string_equal(t.text, "<|a>1/1=\xc3\xa4");
    refuses(&t, "<?xml version='1.0' encoding='KOI8-R'?><a/>", NULL, CS_EPARSE,
            "line 1, column 31: unknown encoding");
    refuses(&t, "<a>\xe4</a>", NULL, CS_EPARSE, "line 1, column 4: not well-formed (invalid token)");
}

static void test_malformed(void **state)
{
    told_t t = {.p = *state, .want = "t"};
    cs_result_t res;

    refuses(&t, "", NULL, CS_EPARSE, "line 1, column 1: no element found");
    refuses(&t, "{\"id\":1}", NULL, CS_EPARSE, "line 1, column 1: not well-formed (invalid token)");
    refuses(&t, "<a>\n<b></a>", NULL, CS_EPARSE, "line 2, column 6: mismatched tag");
    refuses(&t, "<a/><b/>", NULL, CS_EPARSE, "line 1, column 5: junk after document element");
    refuses(&t, "<a>", NULL, CS_EPARSE, "line 1, column 4: no element found");
    refuses(&t, "<p:a/>", NULL, CS_EPARSE, "line 1, column 1: unbound prefix");
    refuses(&t, "<a k='1' k='2'/>", NULL, CS_EPARSE, "line 1, column 10: duplicate attribute");
    refuses(&t, "<a>&nbsp;</a>", NULL, CS_EPARSE, "line 1, column 4: undefined entity");
    refuses(&t, "<a>&#0;</a>", NULL, CS_EPARSE,
            "line 1, column 4: reference to invalid character number");
    refuses(&t, "<t>a<b/></t>", NULL, CS_EPARSE,
            "line 1, column 5: an element where only text is expected");
    assert_string_equal(t.text, "<|t>1");
    assert_int_equal(parse_n(&t, "<a>\0</a>", 8, NULL, &res), CS_EPARSE);
}

static void test_a_doctype_is_refused(void **state)
{
    told_t t = {.p = *state};
    static const char why[] = "line 2, column 13: a DOCTYPE is not allowed";

    refuses(&t, "<?xml version='1.0'?>\n<!DOCTYPE a><a/>", NULL, CS_EPARSE,
            "line 2, column 12: a DOCTYPE is not allowed");
    refuses(&t, "\n<!DOCTYPE a SYSTEM 'file:///etc/passwd'><a/>", NULL, CS_EPARSE,
            "line 2, column 40: a DOCTYPE is not allowed");
    refuses(&t, "\n<!DOCTYPE a [<!ENTITY x SYSTEM 'http://127.0.0.1/'>]><a>&x;</a>", NULL,
            CS_EPARSE, why);
    refuses(&t, "\n<!DOCTYPE a [<!ENTITY x 'y'><!ENTITY z '&x;&x;'>]><a>&z;</a>", NULL, CS_EPARSE,
            why);
    assert_string_equal(t.text, "");
}

static void test_a_handler_refuses(void **state)
{
    told_t t = {.p = *state, .refuse = "b"};

    refuses(&t, "<a>\n <b><c/></b></a>", NULL, CS_EPARSE, "line 2, column 2: no b here");
    assert_string_equal(t.text, "<|a>1<|b>2");
    refuses(&t, "<b/>", NULL, CS_EPARSE, "line 1, column 1: no b here");
    assert_string_equal(t.text, "<|b>1");
}

static void test_bounds(void **state)
{
    static const cs_xml_limits_t few = {200, 4, 3, 2, 10, 5};
    told_t t = {.p = *state, .want = "t"};
    char *many;

    tells(&t, "<a><b><c/></b></a>", "<|a>1<|b>2<|c>3/3/2/1");
    refuses(&t, "<a><b><c><d/></c></b></a>", &few, CS_ELIMIT,
            "line 1, column 10: elements are nested too deep; allowed are at most 3");
    refuses(&t, "<a><b/><b/>\n<b/><b/></a>", &few, CS_ELIMIT,
            "line 2, column 5: too many elements; allowed are at most 4");
    refuses(&t, "<a k='' l='' m=''/>", &few, CS_ELIMIT,
            "line 1, column 1: too many attributes; allowed are at most 2");
    refuses(&t, "<a k='' l='' xmlns='u'/>", &few, CS_ELIMIT,
            "line 1, column 1: too many attributes; allowed are at most 2");
    refuses(&t, "<a xmlns:k='u' xmlns:l='v' xmlns='u'/>", &few, CS_ELIMIT,
            "line 1, column 1: too many attributes; allowed are at most 2");
    refuses(&t, "<a12345678901/>", &few, CS_ELIMIT,
            "line 1, column 1: a name is too long in bytes; allowed are at most 10");
    refuses(&t, "<a k2345678901=''/>", &few, CS_ELIMIT,
            "line 1, column 1: a name is too long in bytes; allowed are at most 10");
    refuses(&t, "<a xmlns='u2345678901'/>", &few, CS_ELIMIT,
            "line 1, column 1: a name is too long in bytes; allowed are at most 10");
    refuses(&t, "<a k='123456'/>", &few, CS_ELIMIT,
            "line 1, column 1: the value of an attribute is too long in bytes; allowed are at most 5");
    refuses(&t, "<t>12345&#54;</t>", &few, CS_ELIMIT,
            "line 1, column 9: the text of an element is too long in bytes; allowed are at most 5");
    many = memset(apr_pcalloc(t.p, 202), ' ', 201);
    refuses(&t, many, &few, CS_ELIMIT, "201 bytes of XML; allowed are at most 200");
    many = memset(apr_pcalloc(t.p, 1024 * 1024 + 2), ' ', 1024 * 1024 + 1);
    refuses(&t, many, NULL, CS_ELIMIT, "1048577 bytes of XML; allowed are at most 1048576");
    /* What is skipped is bounded, too. */
    t.skip = "a";
    refuses(&t, "<a><b><c><d/></c></b></a>", &few, CS_ELIMIT,
            "line 1, column 10: elements are nested too deep; allowed are at most 3");
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        UNIT_TEST(test_names_have_their_namespace),
        UNIT_TEST(test_values_that_are_names),
        UNIT_TEST(test_attributes_are_found),
        UNIT_TEST(test_text_is_told_where_it_is_wanted),
        UNIT_TEST(test_what_is_skipped_is_not_told),
        UNIT_TEST(test_encodings),
        UNIT_TEST(test_malformed),
        UNIT_TEST(test_a_doctype_is_refused),
        UNIT_TEST(test_a_handler_refuses),
        UNIT_TEST(test_bounds),
    };

    UNIT_RUN(tests);
}
