#include "xml.h"

#include <apr_strings.h>
#include <apr_tables.h>
#include <expat.h>
#include <limits.h>
#include <stdarg.h>
#include <string.h>

/* Between uri and name. XML has no such character, so that neither of them contains it. */
#define SEPARATOR '\f'

typedef struct binding_t {
    const char *prefix, *uri;
} binding_t;

struct cs_xml_t {
    XML_Parser parser;
    cs_xml_limits_t limits;
    const cs_xml_reader_t *reader;
    apr_pool_t *p;
    apr_pool_t *scratch;  /* of one call of a handler */
    apr_pool_t *bindings; /* the declarations in force; emptied when there are none */
    apr_array_header_t *bound; /* binding_t, the innermost last */
    int declared;         /* namespaces, by the element that starts next */
    apr_size_t elements;
    int depth;
    int skipped;          /* depth of the element that is passed over; 0 = none */
    int wanted;           /* depth of the element whose text is kept; 0 = none */
    char *text;
    apr_size_t len, room;
    apr_status_t rv; /* other than APR_SUCCESS: refused, by `why` */
    const char *why;
    unsigned long line, column;
};

static cs_xml_limits_t with_defaults(const cs_xml_limits_t *limits)
{
    cs_xml_limits_t l = {.bytes = 1024 * 1024,
                         .elements = 20000,
                         .depth = 32,
                         .attributes = 32,
                         .name = 512,
                         .text = 64 * 1024};

    if (limits) {
        l.bytes = limits->bytes ? limits->bytes : l.bytes;
        l.elements = limits->elements ? limits->elements : l.elements;
        l.depth = limits->depth ? limits->depth : l.depth;
        l.attributes = limits->attributes ? limits->attributes : l.attributes;
        l.name = limits->name ? limits->name : l.name;
        l.text = limits->text ? limits->text : l.text;
    }
    return l;
}

/* ---- refusing ---- */

static void stop(cs_xml_t *xml, apr_status_t rv, const char *why)
{
    if (xml->rv != APR_SUCCESS) {
        return;
    }
    xml->rv = rv;
    xml->why = why;
    xml->line = XML_GetCurrentLineNumber(xml->parser);
    xml->column = XML_GetCurrentColumnNumber(xml->parser) + 1;
    XML_StopParser(xml->parser, XML_FALSE);
}

static void exceed(cs_xml_t *xml, const char *what, apr_size_t most)
{
    stop(xml, CS_ELIMIT,
         apr_psprintf(xml->p, "%s; allowed are at most %" APR_SIZE_T_FMT, what, most));
}

void cs_xml_refuse(cs_xml_t *xml, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    stop(xml, CS_EPARSE, apr_pvsprintf(xml->p, fmt, args));
    va_end(args);
}

/* ---- names ---- */

/* "uri<separator>name" in two; 0 when it is too long. */
static int split(cs_xml_t *xml, const char *full, const char **puri, const char **pname)
{
    const char *at = strchr(full, SEPARATOR);

    if (strlen(full) > xml->limits.name) {
        exceed(xml, "a name is too long in bytes", xml->limits.name);
        return 0;
    }
    *puri = at ? apr_pstrmemdup(xml->scratch, full, (apr_size_t)(at - full)) : "";
    *pname = at ? at + 1 : full;
    return 1;
}

const char *cs_xml_qname(const cs_xml_t *xml, const char *value, const char **puri)
{
    static const char blanks[] = " \t\r\n";
    const char *colon, *local;
    char *text;
    int i;

    *puri = "";
    if (!value) {
        return NULL;
    }
    value += strspn(value, blanks);
    text = apr_pstrdup(xml->scratch, value);
    for (apr_size_t len = strlen(text); len && strchr(blanks, text[len - 1]); len--) {
        text[len - 1] = '\0';
    }
    colon = strchr(text, ':');
    local = colon ? colon + 1 : text;
    if (colon == text || !*local || strpbrk(local, ": \t\r\n")) {
        return NULL;
    }
    if (colon) {
        text[colon - text] = '\0';
    }
    for (i = xml->bound->nelts - 1; i >= 0; i--) {
        const binding_t *one = &APR_ARRAY_IDX(xml->bound, i, const binding_t);

        if (!strcmp(one->prefix, colon ? text : "")) {
            *puri = one->uri;
            return local;
        }
    }
    return colon ? NULL : local;
}

const char *cs_xml_attribute(const cs_xml_element_t *element, const char *uri, const char *name)
{
    int i;

    for (i = 0; i < element->n; i++) {
        const cs_xml_attribute_t *one = &element->attributes[i];

        if (!strcmp(one->name, name) && !strcmp(one->uri, uri)) {
            return one->value;
        }
    }
    return NULL;
}

/* ---- what expat says ---- */

static void XMLCALL on_doctype(void *baton, const XML_Char *name, const XML_Char *system,
                               const XML_Char *public, int internal)
{
    (void)name;
    (void)system;
    (void)public;
    (void)internal;
    cs_xml_refuse(baton, "a DOCTYPE is not allowed");
}

static void XMLCALL on_declared(void *baton, const XML_Char *prefix, const XML_Char *uri)
{
    cs_xml_t *xml = baton;
    binding_t *one;

    if (xml->rv != APR_SUCCESS) {
        return;
    }
    if (++xml->declared > xml->limits.attributes) {
        exceed(xml, "too many attributes", (apr_size_t)xml->limits.attributes);
        return;
    }
    if ((prefix ? strlen(prefix) : 0) + (uri ? strlen(uri) : 0) > xml->limits.name) {
        exceed(xml, "a name is too long in bytes", xml->limits.name);
        return;
    }
    one = apr_array_push(xml->bound);
    one->prefix = apr_pstrdup(xml->bindings, prefix ? prefix : "");
    one->uri = apr_pstrdup(xml->bindings, uri ? uri : "");
}

/* Declarations end in the reverse of their order. */
static void XMLCALL on_undeclared(void *baton, const XML_Char *prefix)
{
    cs_xml_t *xml = baton;

    (void)prefix;
    if (xml->rv == APR_SUCCESS && xml->bound->nelts) {
        apr_array_pop(xml->bound);
        if (!xml->bound->nelts) {
            apr_pool_clear(xml->bindings);
        }
    }
}

static int take_attributes(cs_xml_t *xml, cs_xml_element_t *element, const XML_Char **pairs)
{
    cs_xml_attribute_t *list;
    int n = 0, i;

    while (pairs[2 * n]) {
        n++;
    }
    if (n + xml->declared > xml->limits.attributes) {
        exceed(xml, "too many attributes", (apr_size_t)xml->limits.attributes);
        return 0;
    }
    list = apr_palloc(xml->scratch, sizeof(*list) * (apr_size_t)(n + 1));
    for (i = 0; i < n; i++) {
        if (!split(xml, pairs[2 * i], &list[i].uri, &list[i].name)) {
            return 0;
        }
        list[i].value = pairs[2 * i + 1];
        if (strlen(list[i].value) > xml->limits.text) {
            exceed(xml, "the value of an attribute is too long in bytes", xml->limits.text);
            return 0;
        }
    }
    element->attributes = list;
    element->n = n;
    return 1;
}

static void tell_start(cs_xml_t *xml, const cs_xml_element_t *element)
{
    cs_xml_want_e want = xml->reader->start(xml->reader->baton, xml, element);

    if (want == CS_XML_SKIP) {
        xml->skipped = xml->depth;
    }
    else if (want == CS_XML_TEXT) {
        xml->wanted = xml->depth;
        xml->len = 0;
    }
}

static void XMLCALL on_start(void *baton, const XML_Char *name, const XML_Char **pairs)
{
    cs_xml_t *xml = baton;
    cs_xml_element_t element = {0};

    if (xml->rv != APR_SUCCESS) {
        return;
    }
    element.depth = ++xml->depth;
    if (xml->depth > xml->limits.depth) {
        exceed(xml, "elements are nested too deep", (apr_size_t)xml->limits.depth);
    }
    else if (++xml->elements > xml->limits.elements) {
        exceed(xml, "too many elements", xml->limits.elements);
    }
    else if (xml->wanted) {
        cs_xml_refuse(xml, "an element where only text is expected");
    }
    else if (split(xml, name, &element.uri, &element.name) &&
             take_attributes(xml, &element, pairs) && !xml->skipped) {
        tell_start(xml, &element);
    }
    xml->declared = 0;
    apr_pool_clear(xml->scratch);
}

static void XMLCALL on_end(void *baton, const XML_Char *name)
{
    cs_xml_t *xml = baton;
    int depth = xml->depth, told = !xml->skipped;

    (void)name;
    if (xml->rv != APR_SUCCESS) {
        return;
    }
    if (told && xml->reader->end) {
        xml->text[xml->len] = '\0';
        xml->reader->end(xml->reader->baton, xml, depth, xml->wanted == depth ? xml->text : NULL);
        apr_pool_clear(xml->scratch);
    }
    xml->skipped = xml->skipped == depth ? 0 : xml->skipped;
    xml->wanted = xml->wanted == depth ? 0 : xml->wanted;
    xml->depth--;
}

static void grow(cs_xml_t *xml, apr_size_t more)
{
    apr_size_t room = xml->room;
    char *text;

    while (room < xml->len + more) {
        room *= 2;
    }
    text = apr_palloc(xml->p, room + 1);
    memcpy(text, xml->text, xml->len);
    xml->text = text;
    xml->room = room;
}

static void XMLCALL on_text(void *baton, const XML_Char *text, int len)
{
    cs_xml_t *xml = baton;

    if (xml->rv != APR_SUCCESS || !xml->wanted || len <= 0) {
        return;
    }
    if ((apr_size_t)len > xml->limits.text - xml->len) {
        exceed(xml, "the text of an element is too long in bytes", xml->limits.text);
        return;
    }
    if (xml->len + (apr_size_t)len > xml->room) {
        grow(xml, (apr_size_t)len);
    }
    memcpy(xml->text + xml->len, text, (apr_size_t)len);
    xml->len += (apr_size_t)len;
}

/* ---- one document ---- */

static apr_status_t set_up(cs_xml_t *xml, apr_pool_t *p)
{
    static const XML_Char separator = SEPARATOR;

    xml->parser = XML_ParserCreateNS(NULL, separator);
    if (!xml->parser) {
        return APR_ENOMEM;
    }
    apr_pool_create(&xml->p, p);
    apr_pool_create(&xml->scratch, xml->p);
    apr_pool_create(&xml->bindings, xml->p);
    xml->bound = apr_array_make(xml->p, 8, sizeof(binding_t));
    xml->room = 256;
    xml->text = apr_palloc(xml->p, xml->room + 1);
    XML_SetUserData(xml->parser, xml);
    XML_SetElementHandler(xml->parser, on_start, on_end);
    XML_SetCharacterDataHandler(xml->parser, on_text);
    XML_SetNamespaceDeclHandler(xml->parser, on_declared, on_undeclared);
    XML_SetStartDoctypeDeclHandler(xml->parser, on_doctype);
    return APR_SUCCESS;
}

static apr_status_t say(const cs_xml_t *xml, apr_pool_t *p, cs_result_t *res)
{
    return cs_result_set(res, p, xml->rv, CS_CLASS_REFUSED,
                         xml->rv == CS_ELIMIT ? "xml:limit" : "xml:syntax",
                         "line %lu, column %lu: %s", xml->line, xml->column, xml->why);
}

apr_status_t cs_xml_parse(const char *text, apr_size_t len, const cs_xml_limits_t *limits,
                          const cs_xml_reader_t *reader, apr_pool_t *p, cs_result_t *res)
{
    cs_xml_t xml = {.reader = reader, .limits = with_defaults(limits)};
    apr_status_t rv;

    if (len > xml.limits.bytes || len > INT_MAX) {
        return cs_result_set(res, p, CS_ELIMIT, CS_CLASS_REFUSED, "xml:limit",
                             "%" APR_SIZE_T_FMT
                             " bytes of XML; allowed are at most %" APR_SIZE_T_FMT,
                             len, xml.limits.bytes);
    }
    rv = set_up(&xml, p);
    if (rv != APR_SUCCESS) {
        return cs_result_set(res, p, rv, CS_CLASS_RETRY, "xml:memory",
                             "no memory for a parser of XML");
    }
    if (XML_Parse(xml.parser, text, (int)len, XML_TRUE) != XML_STATUS_OK) {
        stop(&xml, CS_EPARSE, XML_ErrorString(XML_GetErrorCode(xml.parser)));
    }
    XML_ParserFree(xml.parser);
    if (xml.rv != APR_SUCCESS) {
        rv = say(&xml, p, res);
    }
    apr_pool_destroy(xml.p);
    return rv;
}
